"""How a candidate ended, and who met it, as the audit log and the callers tell it."""

from collections.abc import Sequence

from loop_platform.drilling.callers import Answer, Calls
from loop_platform.drilling.report import Ending, Exposure
from loop_platform.release.registry import Evidence, Move
from loop_platform.release.states import State

_OUT = (State.REJECTED, State.ROLLED_BACK)
_UNITS = {State.SHADOW: "pairs", State.CANARY: "calls"}


def ending_of(moves: Sequence[Move]) -> Ending:
    """The last of a candidate's moves."""
    last = moves[-1]
    return Ending(
        stage=str(last.from_state),
        state=str(last.to_state),
        by=_by(last),
        reason=last.reason,
        evidence=_seen(last),
        seconds=round((last.moved_at - moves[0].moved_at).total_seconds(), 1),
    )


def exposure_of(
    release: str | None, moves: Sequence[Move], calls: Calls, ahead_s: float
) -> Exposure:
    """What callers met of a release; the audit log's clock is `ahead_s` ahead of theirs."""
    answers = list(calls.answers)
    latest = {move.to_state: move.moved_at.timestamp() - ahead_s for move in moves}
    entered = {move.to_state: move.moved_at.timestamp() - ahead_s for move in reversed(moves)}
    begins, served = entered.get(State.CANARY), entered.get(State.CHAMPION)
    ended = next((latest[state] for state in _OUT if state in latest), None)
    mine = [answer for answer in answers if release is not None and answer.release == release]
    beside = _between(answers, begins, ended)
    tried = _between(answers, begins, served or ended)
    last = max((answer.sent_at for answer in mine), default=None)
    late = last is not None and ended is not None and last > ended
    return Exposure(
        calls=len(mine),
        of=max(len(mine), len(beside)),
        canary_calls=sum(answer.release == release for answer in tried),
        of_canary=len(tried),
        gone_after_s=round(last - ended, 3) if late and last and ended else None,
        errors=len(calls.failed),
        of_all=len(answers),
    )


def _between(answers: Sequence[Answer], first: float | None, last: float | None) -> list[Answer]:
    """The calls that were sent between two moments; none where the first never came."""
    if first is None:
        return []
    return [
        answer
        for answer in answers
        if answer.sent_at >= first and (last is None or answer.sent_at <= last)
    ]


def _by(move: Move) -> str:
    shown = move.evidence
    if move.reason.startswith("guardrail"):
        return "guardrail"
    lost = [name for name, front in _fronts(shown).items() if front.get("verdict") == "lost"]
    if lost:
        return f"lost: {', '.join(lost)}"
    if shown.get("verdict") == "not known" or move.reason.startswith("not known"):
        return "not known"
    gates = [gate["gate"] for gate in shown.get("gates", ()) if not gate.get("passed", True)]
    return f"gate: {', '.join(gates)}" if gates else move.actor


def _seen(move: Move) -> str:
    """How much was looked at for the move."""
    shown = move.evidence
    unit = _UNITS.get(move.from_state) if move.from_state is not None else None
    counted = next(
        (shown[route] for route in ("shadow", "canary", "champion") if route in shown), 0
    )
    if isinstance(counted, dict):
        return f"{counted.get('calls', 0)} calls"
    if shown.get("looked_at"):
        return f"{shown['looked_at']} {unit or 'rows'}"
    rows = max((score["candidate"]["n"] for score in shown.get("scores", ())), default=0)
    return f"{rows} prompts" if rows else "–"


def _fronts(shown: Evidence) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = shown.get("fronts", {})
    return found
