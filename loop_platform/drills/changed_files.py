"""A candidate whose file is changed after it was evaluated, before it is promoted.

The flip has to be refused, with both hashes in the audit log, and nobody is to notice.
"""

from loop_platform.drilling.rehearsal import Rehearsal
from loop_platform.drilling.report import Finding
from loop_platform.release.files import files_of
from loop_platform.release.states import State


def run(rehearsal: Rehearsal) -> list[Finding]:
    copy = rehearsal.copy()
    name, file = next(
        (name, file)
        for name, file in files_of(copy.adapter_path, copy.weights_path).items()
        if file.suffix == ".safetensors"
    )
    with file.open("ab") as opened:
        opened.write(b"\0")
    outcome = rehearsal.outcome(rehearsal.request(State.CHAMPION))
    last = rehearsal.moves()[-1]
    changed = last.evidence.get("files", {}).get("changed", {})
    failed = len(rehearsal.calls.failed)
    return [
        Finding(
            "the promotion is refused", outcome.refusal or "promoted", outcome.refusal is not None
        ),
        Finding("the candidate is rejected", last.reason, last.to_state is State.REJECTED),
        Finding("the audit log has both hashes", str(changed.get(name)), name in changed),
        Finding("no call fails", str(rehearsal.calls), failed == 0),
        rehearsal.one_champion(rehearsal.champion),
    ]
