"""The report: the figures under the names that the project promises, and the judgement on them.

The demo succeeds only when every bar is met: a loop that closed by luck or by a lie has not closed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

Figures = Mapping[str, Any]

MIN_SUCCESS = 0.5
MAX_BEFORE = 0.02
MAX_LOSS = 0.05
MIN_PROMPTS = 100
MIN_USERS = 200
MAX_SECONDS = 15 * 60
_CLOCKS_AGREE_S = 15.0
_AGREEMENT = "agreement with the champion"
_WAY = ["registered", "evaluated", "shadow", "canary", "champion"]


@dataclass(frozen=True)
class Bar:
    """One thing that has to be so, and whether it is."""

    what: str
    met: bool
    found: str


def report(figures: Figures) -> dict[str, Any]:
    """What `report.json` holds."""
    first = figures["cycles"][0]
    plain = figures["drill"]
    ours, bad = _agreement(first), _agreement(plain)
    before, after = figures["task_before"], figures["task_after"]
    document = {
        "task_success": {"before": before["all"], "after": after["all"]},
        "task_success_seen_templates": {"before": before["seen"], "after": after["seen"]},
        "task_success_unseen_templates": {"before": before["unseen"], "after": after["unseen"]},
        "few_shot_guided_json": figures["few_shot_guided"],
        "retention": {
            "self": ours.get("self"),
            "ours": ours.get("candidate"),
            "plain": bad.get("candidate"),
            "plain_self": bad.get("self"),
        },
        "rejected_candidate": _rejected(figures["drill_release"]),
        "correction_to_production_s": first["correction_to_production_s"],
        "correction_to_production_s_own_clock": figures.get("production", {}).get("0001"),
        "cycles": [*figures["cycles"], plain],
        "first_release": figures["first_release"],
        "review": figures["review"],
        "reviewer": figures["reviewer"],
        "simulated_users": figures["simulated_users"],
        "second_cycle": figures.get("second"),
        "seconds": figures["seconds"],
        "labels": "users and reviewer are simulated; commands are sampled from a real grammar",
    }
    bars = list(_bars(document)) + list(_second(document))
    return {
        **document,
        "bars": [asdict(bar) for bar in bars],
        "closed_honestly": all(bar.met for bar in bars),
    }


def _agreement(turn: Figures) -> dict[str, Any]:
    """The score on general chat, as the gates took it."""
    return next((score for score in turn["scores"] if score["metric"] == _AGREEMENT), {})


def _rejected(release: Figures) -> dict[str, Any]:
    last = release["moves"][-1]
    return {
        "release": release["release"],
        "state": release["state"],
        "drill": release["drill"],
        "reason": last["reason"],
        "evidence": last["evidence"],
        "states": [move["to_state"] for move in release["moves"]],
    }


def _bars(report: Figures) -> Iterator[Bar]:
    success, kept = report["task_success"], report["retention"]
    yield _bar("the bare model fails", success["before"], success["before"]["rate"] <= MAX_BEFORE)
    yield _bar("held-out success", success["after"], success["after"]["rate"] >= MIN_SUCCESS)
    yield from _kept(kept)
    rejected = report["rejected_candidate"]
    yield Bar(
        "the plain candidate is rejected before it gets traffic",
        rejected["state"] == "rejected" and not {"canary", "champion"} & set(rejected["states"]),
        f"{rejected['state']}: {rejected['reason']}",
    )
    states = [move["to_state"] for move in report["first_release"]["moves"]]
    yield Bar("ours came all the way", states[: len(_WAY)] == _WAY, " → ".join(states))
    yield from _times(report)
    users = report["simulated_users"]["users"]
    yield Bar(f"at least {MIN_USERS} simulated users", users >= MIN_USERS, str(users))


def _kept(kept: Figures) -> Iterator[Bar]:
    if not (kept["self"] and kept["ours"] and kept["plain"]):
        yield Bar("general chat was measured", False, "the evidence has no agreement score")
        return
    least = kept["self"]["rate"] - MAX_LOSS
    yield _bar("general chat is kept", kept["ours"], kept["ours"]["rate"] >= least)
    yield Bar(
        f"measured on at least {MIN_PROMPTS} prompts",
        kept["ours"]["n"] >= MIN_PROMPTS,
        f"n {kept['ours']['n']}",
    )
    plain_least = kept["plain_self"]["rate"] - MAX_LOSS
    yield _bar("the plain one loses it", kept["plain"], kept["plain"]["rate"] < plain_least)


def _times(report: Figures) -> Iterator[Bar]:
    took, own = report["correction_to_production_s"], report["correction_to_production_s_own_clock"]
    if took is None or not own or not own["n"]:
        yield Bar("correction to production was measured", False, f"{took}, own clock {own}")
        return
    yield Bar(
        f"correction to production within {MAX_SECONDS} s at p95",
        took["p95"] <= MAX_SECONDS,
        f"p50 {took['p50']:.0f} s, p95 {took['p95']:.0f} s, max {took['max']:.0f} s, n {took['n']}",
    )
    yield Bar(
        "the driver's own clock agrees",
        abs(own["p95"] - took["p95"]) <= _CLOCKS_AGREE_S,
        f"p95 {own['p95']:.0f} s, n {own['n']}",
    )


def _second(report: Figures) -> Iterator[Bar]:
    second = report["second_cycle"]
    if second is None:
        return
    alarm = second["drift_after"]
    yield Bar("drift alarms", alarm["drifted"], f"p {alarm['p_value']:.4f}")
    new, was = second["new_after"]["all"], second["new_before"]["all"]
    yield _bar("new kinds of command are learnt", new, new["low"] > was["high"])
    old, first = second["old_after"]["all"], report["task_success"]["after"]
    yield _bar("old kinds are kept", old, old["high"] >= first["rate"] - MAX_LOSS)


def _bar(what: str, rate: Figures, met: bool) -> Bar:
    return Bar(what, met, text(rate))


def text(rate: Figures | None) -> str:
    """A rate as it is shown: with its interval and its n."""
    if not rate:
        return "–"
    low, high = 100 * rate["low"], 100 * rate["high"]
    return f"{100 * rate['rate']:.1f} % [{low:.1f}, {high:.1f}], n {rate['n']}"
