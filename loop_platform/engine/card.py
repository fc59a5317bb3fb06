"""The model card of an adapter: `README.md` beside its weights, with the front matter that the
Hugging Face hub and peft read.

It is made of the training record, and later, by the platform, of what the offline evaluation showed
too. An adapter's hash is over configuration and weights, so a card changes no name. It says what
people corrected by the names of the failure modes alone.

Importable in both environments.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

FILE = "README.md"

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_SHOWN = 20
"""Failure modes in a table; the rest is counted."""

Fields = Mapping[str, Any]


def card(record: Fields, evidence: Fields | None = None) -> str:
    """As Markdown.

    Args:
        record: of the training (loop_platform/engine/record.py), or of the taking in of what was
            trained elsewhere (loop_platform/engine/take_in.py).
        evidence: of the offline evaluation, where it has been.
    """
    parts = [
        _front_matter(record),
        f"# Adapter {str(record['adapter'])[:12]}",
        *(_arrived(record) if "brought" in record else _trained(record)),
        "## Measured",
        _measured(evidence),
        "## What got worse",
        _worse(evidence),
        "## Licence",
        _licence(record),
    ]
    return "\n\n".join(parts) + "\n"


def _trained(record: Fields) -> list[str]:
    return [
        f"A LoRA adapter on `{record['base']}`, made to mend answers that people corrected and to"
        " leave every other answer as it was. Rank"
        f" {record['recipe']['rank']}, alpha {record['recipe']['alpha']}, on every linear layer.",
        _trained_on_top(record),
        "## Aimed at",
        _aims(record.get("modes", [])),
        "## Data",
        _data(record),
        "## Method",
        "\n".join(f"- {line}" for line in _method(record)),
        "## What it took",
        _cost(record),
    ]


def _arrived(record: Fields) -> list[str]:
    held = (
        f" It was made of {record['brought']}: of what that changed in the base's weights, squared,"
        f" it holds {record['held']:.2%}."
    )
    return [
        f"A LoRA adapter on `{record['base']}` that was trained elsewhere. Rank {record['rank']},"
        f" alpha {record['alpha']}, on every linear layer.{held}",
        _trained_on_top(record),
        "## Data",
        f"{record['corrections']} rows, by the word of who brought it: {record['note']}\n\nSHA-256"
        f" of the data: `{record['data_sha256']}`.",
    ]


def _front_matter(record: Fields) -> str:
    base = str(record["base"])
    fields: dict[str, object] = {"library_name": "peft", "pipeline_tag": "text-generation"}
    if record.get("licence"):
        fields["license"] = record["licence"]
    tags = ["lora"]
    # Of a base that the hub does not have, the hub would refuse the name.
    if _HUB_ID.fullmatch(base):
        fields["base_model"] = base
        tags.insert(0, f"base_model:adapter:{base}")
    fields["tags"] = tags
    # A JSON value is a YAML value, whatever is in it.
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items()]
    return "\n".join(["---", *lines, "---"])


def _trained_on_top(record: Fields) -> str:
    if record["parent"] is None:
        return "It is the first on this base."
    return f"Training went on from adapter `{str(record['parent'])[:12]}`, which it replaces."


def _aims(modes: Sequence[Fields]) -> str:
    if not modes:
        return "The record names no failure modes."
    rows = [
        (mode["name"], _number(mode["severity"], ".2f"), mode["rows"], mode["held_out"])
        for mode in modes[:_SHOWN]
    ]
    table = _table(("failure mode", "severity", "trained on", "held out"), rows)
    return table + _rest(modes)


def _data(record: Fields) -> str:
    refused = len(record.get("refused", []))
    return (
        f"{record['corrections']} corrections that reviewers accepted, and {record['replay']}"
        " answers of the model before, of other tasks, to be kept."
        + _rehearsed(record)
        + _apart(record.get("held_apart") or {})
        + (f" {refused} rows could not be trained on and were left out." if refused else "")
        + f"\n\nSHA-256 of the data: `{record['data_sha256']}`. Seed: {record['seed']}."
    )


def _rehearsed(record: Fields) -> str:
    if not record.get("rehearsal"):
        return ""
    return f" {record['rehearsal']} corrections of earlier cycles were there to be learnt again."


def _apart(rows: Fields) -> str:
    if not rows.get("corrections"):
        return ""
    earlier = rows.get("rehearsal")
    before = f", {earlier} corrections of earlier cycles" if earlier else ""
    return (
        f" Besides, {rows['corrections']} corrections{before} and {rows['replay']} such answers"
        " that it did not learn from: the state of the run that is kept was chosen by them, and"
        " nothing was tested on them."
    )


def _probes(record: Fields) -> str:
    """The states of the run that were measured on rows held apart."""
    heads = (
        "after steps",
        "word by word",
        "loss (nats a token)",
        "divergence (nats a token)",
        "earlier ones word by word",
    )
    rows = [
        (
            found["step"],
            f"{found['exact']:.0%}",
            f"{found['surprise']:.4f}",
            _number(found["divergence"], ".4f"),
            _number(found.get("earlier"), ".0%"),
        )
        for found in record.get("probes") or []
    ]
    return "\n\n" + _table(heads, rows) if rows else ""


def _method(record: Fields) -> Iterator[str]:
    recipe = record["recipe"]
    yield "LoRA: Hu et al. 2021, arXiv:2106.09685; peft."
    yield "On the corrections: cross-entropy at the tokens of the answer alone."
    if record.get("rehearsal"):
        yield (
            f"{recipe['rehearsal_rows']} corrections of earlier cycles an epoch, at most, learnt"
            " again beside them: experience replay, Rolnick et al. 2019, arXiv:1811.11682."
        )
    if record.get("preferences"):
        yield (
            f"On {record['preferences']} pairs of a chosen and a rejected answer: direct preference"
            f" optimisation, weight {recipe['preference_weight']:g}, β"
            f" {recipe['preference_beta']:g} (Rafailov et al. 2023, arXiv:2305.18290)."
        )
    if record.get("thumbs"):
        yield (
            f"On {record['thumbs']} answers that were liked or disliked and not corrected:"
            f" Kahneman-Tversky optimisation, weight {recipe['thumbs_weight']:g}, β"
            f" {recipe['thumbs_beta']:g} (Ethayarajh et al. 2024, arXiv:2402.01306)."
        )
    if not record["replay"]:
        yield "Nothing was replayed: nothing holds the other tasks where they were."
    elif recipe["divergence_weight"] > 0:
        yield (
            "On the replayed answers: the divergence from the model before, weight"
            f" {recipe['divergence_weight']:g} (Hinton, Vinyals and Dean 2015, arXiv:1503.02531; Li"
            " and Hoiem 2016, arXiv:1606.09282)."
        )
        where = (
            "listen where corrections speak and replay is quiet, and stay there"
            if record["parent"] is None
            else "stay where the first cycle set them: where corrections speak and replay is quiet"
        )
        yield (
            f"The A matrices {where} (after CorDA, Yang et al. 2024, arXiv:2406.05223, and LoRA-FA,"
            " Zhang et al. 2023, arXiv:2308.03303)."
        )
    else:
        yield "The replayed answers were learnt like corrections."
    yield (
        f"AdamW (Loshchilov and Hutter 2017, arXiv:1711.05101), learning rate"
        f" {recipe['learning_rate']:g} with warm-up and cosine decay, {recipe['tokens_per_step']}"
        f" tokens a step; {record.get('precision', 'bfloat16')}, masters in float32."
    )


def _cost(record: Fields) -> str:
    lines = [
        f"{record['steps']} steps over {record['tokens']} tokens in {record['seconds']} s"
        f" ({record['tokens_per_s']} tokens/s); cost {record['cost']:g}, in the currency of the"
        " machine's hourly rate.",
        "At the end: loss on the corrections"
        f" {_number(record['final_surprise'], '.4f')}, divergence"
        f" {_number(record['final_divergence'], '.5f')} nats a token.",
    ]
    if record.get("kept_because"):
        lines.append(f"Kept is {record['kept_because']}.")
    if record.get("stopped"):
        lines.append(f"Stopped early: {record['stopped']}.")
    if record.get("out_of_memory"):
        lines.append(f"Memory ran out {len(record['out_of_memory'])} times; it went on in parts.")
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    return "\n".join([*lines, f"\nVersions: {versions}."]) + _probes(record)


def _measured(evidence: Fields | None) -> str:
    if evidence is None:
        return (
            "Nothing yet: this card was written by the training. `loop export adapter` and the"
            " console give it with what the offline evaluation showed."
        )
    rows = [
        (
            score["task"],
            score["metric"],
            _rate(score["champion"] or score["self"]),
            _rate(score["candidate"]),
            score["verdict"],
        )
        for score in evidence["scores"]
    ]
    told = [
        f"Against release `{evidence['champion']}`, on prompts that it was not trained on, with"
        f" 95 % intervals. The gates: {evidence['verdict']}.",
        _table(("task", "measure", "before", "after", "verdict"), rows),
    ]
    modes = evidence.get("modes")
    if modes:
        told.append(f"Failure modes mended: {'; '.join(modes['mended']) or 'none that is known'}.")
        tested = [mode for mode in modes["each"] if mode["candidate"]["n"]]
        of_modes = [
            (mode["mode"], _rate(mode["champion"]), _rate(mode["candidate"]), mode["verdict"])
            for mode in tested[:_SHOWN]
        ]
        if of_modes:
            heads = ("failure mode", "before", "after", "verdict")
            told.append(_table(heads, of_modes) + _rest(tested))
    return "\n\n".join(told)


def _worse(evidence: Fields | None) -> str:
    if evidence is None:
        return "Not known yet."
    lost = [score["task"] for score in evidence["scores"] if score["verdict"] == "lost"]
    worse = [*lost, *(evidence.get("modes") or {}).get("worse", [])]
    refused = [
        f"{gate['gate']}: {gate['sentence']}" for gate in evidence["gates"] if not gate["passed"]
    ]
    told = [f"- {line}" for line in [*worse, *refused]]
    return "\n".join(told) or "Nothing that these prompts show; what they do not ask is not known."


def _licence(record: Fields) -> str:
    licence = record.get("licence")
    if not licence:
        return "The licence of the base is not stated (setting `models.base_licence`)."
    return f"The base is under {licence}; what is made from it keeps to that."


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(
        f"| {' | '.join(str(cell).replace('|', '/') for cell in line)} |" for line in lines
    )


def _rest(modes: Sequence[Fields]) -> str:
    return f"\n\nAnd {len(modes) - _SHOWN} more." if len(modes) > _SHOWN else ""


def _rate(rate: Fields | None) -> str:
    if rate is None or rate["rate"] is None:
        return "–"
    return f"{rate['rate']:.1%} ({rate['low']:.1%} to {rate['high']:.1%}, n {rate['n']})"


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
