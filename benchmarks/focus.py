"""Mends what failed and forgets nothing? The champion, a plain TRL SFT LoRA, and ours, in one run.

The champion is made first: the base, taught function calls (bfcl-eval) and grounded support answers
(Doc2Dial) by our own training, because a task at the floor proves nothing about forgetting. It
knows no commands of the product's 2024.3 release. Then, from that champion, both learn the same
corrections of such commands: TRL's trainer as it comes, and ours through the program that the loop
runs, with the champion's own answers to the other tasks replayed.

Held-out commands are split by grammar template: `seen` templates were trained on, by other
sentences, `unseen` ones never. Replayed general prompts come from another source than those that
are tested. Everything is greedy, in the machine's precision. The utterances are sampled from the
product's grammar; they are not user logs.

Every step's result is a folder under `--work`, named by what went in: a run that broke goes on
where it was, and `--until STEP` ends after a step. Estimated on two cores, in minutes: champion 12,
its answers 7, ours 6, TRL 8, the answers of each 6, the bare model 3; each further cycle 11.

    python benchmarks/focus.py [--json] [--quick] [--rows 400] [--cycles 5]
"""

import argparse
import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from focused import scoring
from focused.shelf import ROOT, TOLD, Shelf, contents, say

from loop_platform.defs.training import apart, rehearsal
from loop_platform.statistics import paired
from loop_platform.statistics.proportions import Rate

Row = dict[str, Any]
Figures = dict[str, Any]

FLOOR = 0.3
"""Success on another task, below which the champion proves nothing about forgetting."""
AGREES = 0.8
"""As loop_platform/defs/evaluation/words.py: share of an answer's words that are still the same."""
ENGLISH = 5
"""Cycles of English commands, a dated release each; one more brings German ones."""
APART = 0.05
TOKENS = {"commands": 64, "functions": 96, "support": 64, "chat": 48}
OTHERS = ("functions", "support")
PROGRAMS = ROOT / "benchmarks" / "focused"
ENGINE = ROOT / "loop_platform" / "engine"


class Bench:
    """The steps, each of which asks for those before it."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.shelf = Shelf(given.work.resolve(), given.engine, given.demo)

    def base(self) -> Path:
        if self.given.base is not None:
            folder: Path = self.given.base.resolve()
            return folder
        name = "smollm2-135m-instruct"

        def make(out: Path) -> None:
            options = ("--model", f"packaged:{name}", "--out", out / name)
            self.shelf.run("engine", "loop_platform.engine.base_model", *options)

        return self.shelf.step("base", "a minute", {"name": name}, make) / name

    def tasks(self) -> Path:
        given = self.given
        sizes = {
            name: getattr(given, name)
            for name in ("rows", "test", "taught", "chats", "cycles", "seed")
        }

        def make(out: Path) -> None:
            options = [part for name, size in sizes.items() for part in (f"--{name}", size)]
            self.shelf.run("demo", "focused.tasks", "--out", out, *options)

        home = ROOT / "examples" / "home_assistant"
        code = contents(
            [PROGRAMS / f"{name}.py" for name in ("tasks", "functions", "support")]
            + [home / f"{name}.py" for name in ("corpus", "grammar", "home", "sampling", "exam")]
        )
        return self.shelf.step("tasks", "a minute", {**sizes, "code": code}, make)

    def answers(
        self, who: str, model: Path, rows: Path, tokens: int, schema: Path | None = None
    ) -> list[Row]:
        """What a model says to rows."""
        tokens = min(tokens, self.given.max_tokens)

        def make(out: Path) -> None:
            options: list[object] = ["--model", model, "--rows", rows, "--out", out / "said.jsonl"]
            options += ["--max-tokens", tokens]
            options += [] if schema is None else ["--schema", schema]
            self.shelf.run("engine", "focused.answering", *options)

        inputs = {
            "model": model,
            "rows": contents([rows]),
            "tokens": tokens,
            "schema": schema and contents([schema]),
            "code": PROGRAMS / "answering.py",
        }
        name = f"answers-{who}-{rows.stem}"
        return lines(self.shelf.step(name, "a minute or two", inputs, make) / "said.jsonl")

    def trained(self, who: str, corrections: list[Row], replay: list[Row], **more: Any) -> Path:  # noqa: ANN401
        """The folder of a training by the program that the loop runs.

        Args:
            more: `parent`, the step of the champion's training, `recipe`, `about`, and `rehearsal`,
                corrections of earlier cycles.
        """
        parent: Path | None = more["parent"]
        files = {"corrections": corrections, "replay": replay}
        if more.get("rehearsal"):
            files["rehearsal"] = more["rehearsal"]
        job = {
            "base": str(self.base()),
            "base_name": self.base().name,
            "parent": None if parent is None else str(adapter(parent)),
            "recipe": more["recipe"],
            "max_tokens": 2048,
        }

        def make(out: Path) -> None:
            for name, rows in files.items():
                write(out / f"{name}.jsonl", rows)
            places = {name: str(out / f"{name}.jsonl") for name in files}
            places |= {name: str(out / name) for name in ("adapters", "weights")}
            (out / "job.json").write_text(json.dumps(job | places))
            self.shelf.run("engine", "loop_platform.engine.train", "--job", out / "job.json")

        inputs = {
            "base": self.base(),
            "parent": parent,
            **files,
            "recipe": more["recipe"],
            "code": contents(sorted(ENGINE.glob("*.py"))),
        }
        return self.shelf.step(who, more["about"], inputs, make)

    def recipe(self, **more: Any) -> Row:  # noqa: ANN401
        given = self.given
        return {
            "rank": given.rank,
            "alpha": given.rank,
            "learning_rate": 1.5e-3,
            "epochs": 2.5,
            "max_steps": given.max_steps,
            "tokens_per_step": 384,
            "replay_rows": given.replay,
            "rehearsal_rows": given.rehearsal,
            "divergence_weight": 3.0,
            "seed": given.seed,
            **more,
        }

    def champion(self) -> Path:
        tasks = self.tasks()
        taught = [row for task in OTHERS for row in lines(tasks / f"{task}.train.jsonl")]
        chats = tasks / "chat.train.jsonl"
        said = self.answers("base", self.base(), chats, TOKENS["chat"])
        replay = replayed(lines(chats), said)
        recipe = self.recipe(epochs=3.0)
        about = "12 minutes"
        return self.trained("champion", taught, replay, parent=None, recipe=recipe, about=about)

    def replay(self, who: str, champion: Path) -> list[Row]:
        """The champion's own answers: as many of each other task."""
        tasks = self.tasks()
        names = [*OTHERS, "chat"]
        share = -(-self.given.replay // len(names))
        found = []
        for name in names:
            # Some fail, and only good answers are kept.
            asked = self.folder_of(name, lines(tasks / f"{name}.train.jsonl")[: 3 * share])
            said = self.answers(who, weights(champion), asked, tokens_of(name))
            good = replayed(lines(asked), said)
            found += good[:share]
        return found

    def folder_of(self, name: str, rows: list[Row]) -> Path:
        """A file with these rows."""
        folder = self.shelf.step(
            f"asked-{name}",
            "no time",
            {"rows": rows},
            lambda out: write(out / f"{name}.train.jsonl", rows),
        )
        return folder / f"{name}.train.jsonl"

    def ours(self, champion: Path, cycle: int = 1) -> Path:
        rows = held_apart(lines(self.tasks() / f"commands-{cycle}.train.jsonl"))
        before = "champion" if cycle == 1 else f"ours-{cycle - 1}"
        replay = self.replay(before, champion)
        replay = apart.marked(replay, apart.replay_rows(len(replay)))
        return self.trained(
            f"ours-{cycle}",
            rows,
            replay,
            parent=champion,
            recipe=self.recipe(),
            about="6 minutes",
            rehearsal=self.rehearsal(cycle),
        )

    def rehearsal(self, cycle: int) -> list[Row]:
        """Corrections of earlier cycles, drawn as the loop draws them: a mode is an intent."""
        earlier = [
            row | {"cycle": number}
            for number in range(1, cycle)
            for row in lines(self.tasks() / f"commands-{number}.train.jsonl")
        ]
        if not earlier:
            return []
        new = asked(lines(self.tasks() / f"commands-{cycle}.train.jsonl"))
        pool = asked(earlier).with_columns(
            decision_id=pl.col("messages"),
            cycle=pl.Series([row["cycle"] for row in earlier]),
            cluster=pl.Series([json.loads(row["answer"])["intent"] for row in earlier]),
            chosen=pl.Series([row["answer"] for row in earlier]),
        )
        recipe = self.recipe()
        count = rehearsal.drawn(recipe["rehearsal_rows"], recipe["epochs"])
        drawn = rehearsal.sample(pool, new, count, lot=str(cycle))
        return apart.marked(rehearsal.lines(drawn), apart.rehearsed_rows(drawn.height))

    def plain(self, champion: Path) -> Path:
        rows = self.tasks() / "commands-1.train.jsonl"
        recipe = self.recipe()
        options = {
            "rank": recipe["rank"],
            "rate": recipe["learning_rate"],
            "epochs": recipe["epochs"],
            "tokens": recipe["tokens_per_step"],
            "seed": recipe["seed"],
            **({"max-steps": self.given.max_steps} if self.given.max_steps else {}),
        }

        def make(out: Path) -> None:
            given = [part for name, value in options.items() for part in (f"--{name}", value)]
            places = ("--model", weights(champion), "--rows", rows, "--out", out / "weights")
            self.shelf.run("engine", "focused.plain", *places, *given)

        code = PROGRAMS / "plain.py"
        inputs = {**options, "champion": champion, "rows": contents([rows]), "code": code}
        return self.shelf.step("plain", "8 minutes", inputs, make)

    def moved(self, who: str, champion: Path, model: Path) -> list[Row]:
        """Of each general prompt: how far a model is from the champion."""
        rows = self.tasks() / "chat.test.jsonl"
        said = self.answers("champion", weights(champion), rows, TOKENS["chat"])

        def make(out: Path) -> None:
            write(out / "champion.jsonl", said)
            options = ("--champion", weights(champion), "--model", model, "--rows", rows)
            files = ("--said", out / "champion.jsonl", "--out", out / "moved.jsonl")
            self.shelf.run("engine", "focused.divergence", *options, *files)

        code = PROGRAMS / "divergence.py"
        inputs = {"champion": champion, "model": model, "rows": contents([rows]), "code": code}
        return lines(self.shelf.step(f"moved-{who}", "a minute", inputs, make) / "moved.jsonl")

    def outcomes(self, who: str, model: Path, name: str) -> list[bool]:
        """Whether each held-out row of a task succeeds."""
        file = self.tasks() / f"{name}.jsonl"
        said = self.answers(who, model, file, tokens_of(name))
        return [
            scoring.success(row, each["text"]) for row, each in zip(lines(file), said, strict=True)
        ]

    def few_shot(self, name: str) -> list[bool]:
        """The bare model with examples in its prompt and its answers held to the format."""
        tasks = self.tasks()
        file, schema = tasks / f"few-shot.{name}.jsonl", tasks / "schema.json"
        said = self.answers("bare", self.base(), file, TOKENS["commands"], schema)
        return [
            scoring.success(row, each["text"]) for row, each in zip(lines(file), said, strict=True)
        ]


def one_cycle(bench: Bench) -> tuple[Figures, Path]:
    """The figures of one cycle, and the step of our training."""
    champion = bench.champion()
    folders = {"ours": bench.ours(champion), "plain": bench.plain(champion)}
    models = {
        "champion": weights(champion),
        "plain": folders["plain"] / "weights",
        "ours": weights(folders["ours"]),
    }
    focus = {
        part: {who: bench.outcomes(who, m, f"commands-1.{part}") for who, m in models.items()}
        | {"few_shot": bench.few_shot(part)}
        for part in ("seen", "unseen")
    }
    others = {
        task: {who: bench.outcomes(who, model, f"{task}.test") for who, model in models.items()}
        for task in OTHERS
    }
    moved = {who: bench.moved(who, champion, m) for who, m in models.items() if who != "champion"}
    chat: dict[str, list[bool]] = {who: agreements(rows) for who, rows in moved.items()}
    chat["champion"] = [True] * len(next(iter(moved.values())))
    took = {who: json.loads((folder / TOLD).read_text()) for who, folder in folders.items()}
    speed = {
        "ours": record(folders["ours"])["tokens_per_s"],
        "plain": json.loads((folders["plain"] / "weights" / "trl.json").read_text())[
            "tokens_per_s"
        ],
    }
    lost = {
        who: {
            task: loss(sides["champion"], sides[who])
            for task, sides in {**others, "chat": chat}.items()
        }
        for who in folders
    }
    figures = {
        "focus_success": shares(focus["seen"]),
        "focus_success_unseen_templates": shares(focus["unseen"]),
        "max_task_loss_points": {
            who: max(each["points"] for each in of.values()) for who, of in lost.items()
        },
        "kl_to_champion": {who: divergence(rows) for who, rows in moved.items()},
        "agreement": {who: agreement(rows) for who, rows in moved.items()},
        "cycle_seconds": round(took["ours"]["seconds"], 1),
        "tokens_per_s_over_trl": round(speed["ours"] / speed["plain"], 3),
        "tokens_per_s": {who: round(rate, 1) for who, rate in speed.items()},
        "seconds": {who: round(each["seconds"], 1) for who, each in took.items()},
        "peak_gb": {who: round(each["peak_gb"], 2) for who, each in took.items()},
        "losses": lost,
        "tasks": {task: intervals(sides) for task, sides in others.items()},
        "focus": {part: intervals(sides) for part, sides in focus.items()},
        "at_the_floor": sorted(
            task for task, sides in others.items() if mean(sides["champion"]) < FLOOR
        ),
    }
    return figures, folders["ours"]


def more_cycles(bench: Bench, first: Path) -> Figures:
    """Our further cycles, one on the other: what each release's commands lose until the end."""
    champion = bench.champion()
    courses: dict[str, list[float]] = {}
    kept: Figures = {}
    trained = first
    for cycle in range(1, bench.given.cycles + 1):
        if cycle > 1:
            trained = bench.ours(trained, cycle)
        for number in range(1, cycle + 1):
            name = f"commands-{number}.seen"
            done = bench.outcomes(f"ours-{cycle}", weights(trained), name)
            courses.setdefault(name, []).append(mean(done))
            say(f"after cycle {cycle}, {name}: {Rate.of(sum(done), len(done))}")
        if cycle in (ENGLISH, bench.given.cycles):
            kept[f"after_cycle_{cycle}"] = others_after(bench, champion, f"ours-{cycle}", trained)
            say(f"after cycle {cycle}, against the champion: {kept[f'after_cycle_{cycle}']}")
    english = list(courses.values())[:ENGLISH]
    # Course by course, until the last English cycle: what German costs is a figure of its own.
    until = [course[: ENGLISH - at] for at, course in enumerate(english)]
    figures = {
        "max_backward_loss_points": round(max(100 * (max(c) - c[-1]) for c in until), 2),
        "by_release": {name: [round(each, 4) for each in row] for name, row in courses.items()},
        "others_lost": kept,
    }
    if len(courses) > ENGLISH:
        lost = [100 * (course[-2] - course[-1]) for course in english]
        figures["english_lost_to_german_points"] = {
            "mean": round(sum(lost) / len(lost), 2),
            "max": round(max(lost), 2),
        }
    return figures


def others_after(bench: Bench, champion: Path, who: str, trained: Path) -> Figures:
    """What the other tasks lost since the first champion."""
    losses = {
        task: loss(
            bench.outcomes("champion", weights(champion), f"{task}.test"),
            bench.outcomes(who, weights(trained), f"{task}.test"),
        )
        for task in OTHERS
    }
    moved = bench.moved(who, champion, weights(trained))
    losses["chat"] = loss([True] * len(moved), agreements(moved))
    return {"losses": losses, "kl_to_champion": divergence(moved)}


def asked(rows: Sequence[Row]) -> pl.DataFrame:
    """What the loop calls a correction by."""
    messages = [json.dumps(row["messages"]) for row in rows]
    return pl.DataFrame({"task": [row["task"] for row in rows], "messages": messages})


def held_apart(rows: Sequence[Row]) -> list[Row]:
    """The corrections, a twentieth of them marked for the trainer to choose the best state by:
    whole templates, as the loop keeps near-duplicates together."""
    names = sorted(
        {row["template"] for row in rows},
        key=lambda name: hashlib.sha256(name.encode()).hexdigest(),
    )
    left = round(APART * len(rows))
    marked = set()
    for name in names:
        count = sum(row["template"] == name for row in rows)
        if count <= left:
            marked.add(name)
            left -= count
    return [row | {"apart": True} if row["template"] in marked else row for row in rows]


def replayed(rows: Sequence[Row], said: Sequence[Row]) -> list[Row]:
    """Answers as a model gave them, where they are good or nobody can tell."""
    return [
        {"messages": row["messages"], "answer": each["text"], "ended": each["ended"]}
        for row, each in zip(rows, said, strict=True)
        if each["text"].strip() and (row["task"] == "chat" or scoring.success(row, each["text"]))
    ]


def agreements(rows: Iterable[Row]) -> list[bool]:
    return [row["same"] >= AGREES * row["tokens"] for row in rows]


def agreement(rows: Sequence[Row]) -> float:
    """Share of the champion's words that a model would have said, too."""
    same = sum(int(row["same"]) for row in rows)
    return round(same / max(1, sum(int(row["tokens"]) for row in rows)), 4)


def divergence(rows: Sequence[Row]) -> float:
    """Mean nats a token."""
    kl = sum(float(row["kl"]) for row in rows)
    return round(kl / max(1, sum(int(row["tokens"]) for row in rows)), 5)


def loss(champion: Sequence[bool], other: Sequence[bool]) -> Figures:
    """What is lost against the champion, pair by pair, in points, with its 95 % interval."""
    found = paired.difference(paired.Pairs.of(champion, other))
    return {
        "points": round(0.0 - 100 * (found.value or 0.0), 2),
        "low": round(-100 * found.high, 2),
        "high": round(-100 * found.low, 2),
        "n": len(champion),
    }


def shares(sides: dict[str, list[bool]]) -> Figures:
    return {who: round(mean(done), 4) for who, done in sides.items()} | {"n": len(sides["ours"])}


def intervals(sides: dict[str, list[bool]]) -> Figures:
    return {who: str(Rate.of(sum(done), len(done))) for who, done in sides.items()}


def mean(done: Sequence[bool]) -> float:
    return sum(done) / len(done) if done else 0.0


def table(figures: Figures) -> str:
    """In Markdown."""
    sides = ("champion", "few_shot", "plain", "ours")
    rows = [
        *((f"commands, {part} templates", of) for part, of in figures["focus"].items()),
        *figures["tasks"].items(),
    ]
    lines = ["| | champion | bare, few-shot, guided | TRL | ours |", "|---|---|---|---|---|"]
    lines += [
        f"| {name} | " + " | ".join(of.get(w, "–") for w in sides) + " |" for name, of in rows
    ]
    for task in (*OTHERS, "chat"):
        lost = [figures["losses"][who][task] for who in ("plain", "ours")]
        told = [f"{each['points']} [{each['low']}, {each['high']}], n {each['n']}" for each in lost]
        lines.append(f"| {task}: points lost | | | {told[0]} | {told[1]} |")
    for name in ("agreement", "kl_to_champion", "seconds", "tokens_per_s", "peak_gb"):
        of = figures[name]
        lines.append(f"| {name.replace('_', ' ')} | | | {of['plain']} | {of['ours']} |")
    return "\n".join(lines)


def adapter(trained: Path) -> Path:
    """The one adapter of a training step."""
    [folder] = (trained / "adapters").iterdir()
    return folder


def weights(trained: Path) -> Path:
    """The merged weights of a training step."""
    [folder] = (trained / "weights").iterdir()
    return folder


def record(trained: Path) -> Row:
    found: Row = json.loads((adapter(trained) / "training.json").read_text())
    return found


def tokens_of(name: str) -> int:
    """An answer's longest, by the task that a file's name begins with."""
    return next(tokens for task, tokens in TOKENS.items() if name.startswith(task))


def lines(file: Path) -> list[Row]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def write(file: Path, rows: Iterable[Row]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="no table; the figures alone")
    parser.add_argument("--quick", action="store_true", help="does it run: a few rows of each")
    parser.add_argument("--rows", type=int, default=400, help="corrections a cycle")
    parser.add_argument("--test", type=int, default=300, help="held-out rows a task")
    parser.add_argument("--taught", type=int, default=350, help="rows a task for the champion")
    parser.add_argument("--chats", type=int, default=120, help="general prompts to replay")
    parser.add_argument("--replay", type=int, default=252, help="the champion's answers a cycle")
    parser.add_argument("--rehearsal", type=int, default=400, help="earlier corrections an epoch")
    parser.add_argument(
        "--cycles",
        type=int,
        choices=range(1, ENGLISH + 2),
        default=1,
        help="dated releases in a row, up to 5, and German as the sixth",
    )
    parser.add_argument("--until", choices=("tasks", "champion", "plain", "ours"))
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--base", type=Path, help="another base: a folder")
    parser.add_argument("--work", type=Path, default=ROOT / ".loop" / "focus")
    parser.add_argument("--engine", type=Path, default=ROOT / ".venv-engine" / "bin" / "python")
    parser.add_argument("--demo", type=Path, default=ROOT / ".venv-demo" / "bin" / "python")
    given = parser.parse_args()
    given.max_steps, given.max_tokens = None, 10**6
    if given.quick:
        sizes = {"rows": 12, "test": 4, "taught": 8, "chats": 4, "replay": 6, "rehearsal": 4}
        vars(given).update(sizes, rank=4, max_steps=2, max_tokens=8)
    return given


def main() -> None:
    given = options()
    bench = Bench(given)
    if given.until is not None:
        champion = None if given.until == "tasks" else bench.champion()
        done = bench.tasks() if champion is None else champion
        if champion is not None and given.until != "champion":
            done = getattr(bench, given.until)(champion)
        print(done)
        return
    figures, first = one_cycle(bench)
    if given.cycles > 1:
        figures |= more_cycles(bench, first)
    if figures["at_the_floor"]:
        say(f"void: the champion is below {FLOOR} at {', '.join(figures['at_the_floor'])}")
    if not given.json:
        print(table(figures))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
