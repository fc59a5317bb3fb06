"""The offline evaluation: what a candidate shows on fixed prompts, before it meets any traffic."""

import time
from collections.abc import Sequence

import dagster as dg
import polars as pl
import sqlalchemy as sa

from loop_platform.defs.curation.modes import by_split
from loop_platform.defs.evaluation import leak
from loop_platform.defs.evaluation import offline_gates as gate
from loop_platform.defs.evaluation.checks import FRAME, check_result, specs
from loop_platform.defs.evaluation.comparison import Comparison, comparison
from loop_platform.defs.evaluation.decision import ask
from loop_platform.defs.evaluation.evidence import Gate, evidence, refusals, table
from loop_platform.defs.evaluation.heldout import held_out, held_out_before, some
from loop_platform.defs.evaluation.interview import IN_FLIGHT
from loop_platform.defs.evaluation.mending import Mending, mendings, sentence
from loop_platform.defs.evaluation.mending import evidence as evidence_of_modes
from loop_platform.defs.evaluation.mending import table as table_of_modes
from loop_platform.defs.evaluation.panel import Panel, Papers
from loop_platform.defs.evaluation.part import Part
from loop_platform.defs.evaluation.picture import picture
from loop_platform.defs.evaluation.yardstick import yardsticks
from loop_platform.defs.resources import LoopResource
from loop_platform.embedder import embedder
from loop_platform.lessons import LessonsLostError, lineage, read
from loop_platform.partitions import cycles
from loop_platform.release.registry import Release
from loop_platform.release.states import State
from loop_platform.resemblance import Collection
from loop_platform.settings import Settings
from loop_platform.validators import validators

OFFLINE = dg.AssetKey(["evaluation", "offline"])

# Bounds that keep an evaluation at a minute or two on two cores.
_HELD_OUT = 120
_EARLIER = 60


@dg.asset(
    key=OFFLINE,
    group_name="evaluation",
    partitions_def=cycles,
    deps=[["training", "adapter"], ["evaluation", "baseline"]],
    ins={"corrections": dg.AssetIn(["curation", "corrections"])},
    dagster_type=FRAME,
    check_specs=specs(OFFLINE, leak.NAMES | gate.NAMES),
    kinds={"vllm", "polars"},
    owners=["team:loop"],
)
def offline(
    context: dg.AssetExecutionContext, loop: LoopResource, corrections: pl.DataFrame
) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows the bare name alone
    """Champion and candidate on held-out corrections, general prompts and safety prompts."""
    cycle, settings = context.partition_key, loop.settings
    with loop.database.connect() as connection:
        both = comparison(connection, cycle)
        studied, lost = _studied(connection, loop.settings, both.candidate)
        learnt = Collection(line.question for each in studied for line in each.lessons.lines)
        earlier = held_out_before(connection, loop.lake, cycle, _EARLIER, learnt)
    kept = held_out(corrections)
    unseen = leak.unknown(lost) if lost else leak.unseen([*kept, *earlier], studied)
    suites = yardsticks(loop.lake, both.ask_champion, settings)
    papers = Papers(some(kept, _HELD_OUT), earlier, suites["retention"], suites["safety"])
    panel = Panel(both, embedder(settings.models.embedder), validators(settings.validators))
    started = time.monotonic()
    parts = panel.parts(papers)
    seconds = time.monotonic() - started
    gates = [unseen, *_gates(parts, settings)]
    mended = mendings(
        by_split(corrections), [asked.mode for asked in papers.corrections], parts[0].pairs
    )
    asked_for = _decide(loop, both, gates, mended)
    return dg.MaterializeResult(
        value=pl.concat(part.rows for part in parts),
        metadata=_metadata(both, parts, gates, mended, asked_for) | {"seconds": round(seconds, 1)},
        check_results=[check_result(found) for found in gates],
    )


def _studied(
    connection: sa.Connection, settings: Settings, candidate: Release
) -> tuple[list[leak.Studied], LessonsLostError | None]:
    """What the candidate learnt from, its own cycle first; none of it where some of it is lost."""
    try:
        trainings = [
            leak.Studied(release, read(settings.data_dir, cycle))
            for cycle, release in lineage(connection, candidate)
        ]
    except LessonsLostError as error:
        return [], error
    return trainings, None


def _gates(parts: Sequence[Part], settings: Settings) -> list[Gate]:
    corrections, earlier, general, safety = parts
    limits = settings.gates
    sides = {
        "champion": (corrections.champion, sum(corrections.champion_wins)),
        "candidate": (corrections.candidate, sum(corrections.candidate_wins)),
    }
    replies = [reply for part in parts for reply in part.candidate]
    return [
        gate.corrections_won(corrections.labels, corrections.pairs, limits),
        gate.earlier_kept(earlier.pairs, limits),
        gate.general_kept(
            general.labels,
            general.champion_wins,
            general.candidate_wins,
            limits,
            general.figures,
        ),
        gate.safety_kept(safety.pairs, limits),
        gate.answers_come(replies, limits),
        gate.cost_kept(sides, 2 * IN_FLIGHT, settings.engine.cost_per_hour, limits),
    ]


def _decide(
    loop: LoopResource, both: Comparison, gates: Sequence[Gate], mended: Sequence[Mending]
) -> str:
    shown = {**evidence(both.champion.release, gates), "modes": evidence_of_modes(mended)}
    passed = all(found.passed for found in gates)
    reason = f"it passed {len(gates)} offline gates" if passed else refusals(gates)
    target = State.EVALUATED if passed else State.REJECTED
    with loop.database.begin() as connection:
        return ask(
            connection,
            both.candidate.release,
            State.REGISTERED,
            target,
            reason=reason,
            evidence=shown,
        )


def _metadata(
    both: Comparison,
    parts: Sequence[Part],
    gates: Sequence[Gate],
    mended: Sequence[Mending],
    asked_for: str,
) -> dict[str, dg.MetadataValue | str | int | float]:
    scores = [score for found in gates for score in found.scores]
    return {
        "release": both.candidate.release,
        "champion": both.champion.release,
        "drill": both.candidate.drill,
        "verdict": refusals(gates) or f"all {len(gates)} gates passed",
        "asked for": asked_for,
        "scores": dg.MetadataValue.md(table(gates)),
        "failure modes": sentence(mended),
        "by failure mode": dg.MetadataValue.md(table_of_modes(mended)),
        "picture": picture(scores),
        "answers known beforehand": sum(len(part.champion) for part in parts if part.known),
        "dagster/row_count": sum(len(part.prompts) for part in parts),
    }
