"""The decision on a cycle's release, with the evidence of every stage that it went through."""

import json
from collections.abc import Sequence

import dagster as dg

from loop_platform.defs.resources import LoopResource
from loop_platform.partitions import cycles
from loop_platform.release import registry
from loop_platform.release.registry import Move, Release
from loop_platform.release.states import SETTLED

RELEASE = dg.AssetKey(["release", "release"])


@dg.asset(
    key=RELEASE,
    group_name="release",
    partitions_def=cycles,
    deps=[["release", "canary"]],
    kinds={"postgres"},
    owners=["team:loop"],
)
def release(context: dg.AssetExecutionContext, loop: LoopResource) -> dg.MaterializeResult[None]:
    """What became of a cycle's candidate: champion, rejected or rolled back, and why."""
    cycle = context.partition_key
    with loop.database.connect() as connection:
        found = registry.by_cycle(connection, cycle)
        if found is None:
            raise dg.Failure(f"cycle {cycle!r} has no release: materialise training/adapter first")
        moves = registry.moves(connection, found.release)
        champion = registry.champion(connection)
    if found.state not in SETTLED:
        context.log.info(f"release {found.release} is {found.state}: not settled yet")
    return dg.MaterializeResult(
        data_version=dg.DataVersion(f"{found.release}:{found.state}"),
        metadata=_metadata(found, moves, "none" if champion is None else champion.release),
    )


def _metadata(
    found: Release, moves: Sequence[Move], champion: str
) -> dict[str, str | bool | int | float | dg.MetadataValue]:
    elapsed = (moves[-1].moved_at - moves[0].moved_at).total_seconds()
    return {
        "release": found.release,
        "decision": str(found.state),
        "reason": moves[-1].reason,
        "drill": found.drill,
        "champion now": champion,
        "adapter": found.adapter or "none",
        "moves": dg.MetadataValue.md(_timeline(moves)),
        "seconds from registration to decision": elapsed,
        "evidence": dg.MetadataValue.json(
            {str(move.to_state): json.loads(json.dumps(dict(move.evidence))) for move in moves}
        ),
    }


def _timeline(moves: Sequence[Move]) -> str:
    head = "| when | from | to | by | why |\n| --- | --- | --- | --- | --- |\n"
    return head + "\n".join(
        f"| {move.moved_at:%H:%M:%S} | {move.from_state or '–'} | {move.to_state} | {move.actor} |"
        f" {move.reason.replace('|', '/')} |"
        for move in moves
    )
