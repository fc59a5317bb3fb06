"""That what is promoted is what was registered: its files are read again, whole, and compared.

Their hashes (loop_platform/release/files.py) are in the audit log from the release's first line on,
before anything was evaluated.

What is not covered: an engine reads its files when it starts. A file that was changed for a start
and put back before the promotion is not seen.
"""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillReadingError
from dataclasses import dataclass

from loop_platform.release.files import files_of, hashes
from loop_platform.release.registry import Evidence, Release
from loop_platform.release.states import RefusedError

Hashes = Mapping[str, str]
"""`weights/model.safetensors` → SHA-256."""

# A round of the controller may take so long: a lease of a second is renewed four times in it.
_IN_A_ROUND_S = 0.2
_SHOWN = 12


class ChangedFilesError(RefusedError):
    """A release whose files are not those that were registered."""

    def __init__(self, release: str, changed: Mapping[str, tuple[str | None, str | None]]) -> None:
        said = "; ".join(f"{name} {_change(*each)}" for name, each in changed.items())
        super().__init__(
            f"the files of release {release!r} are not those that were evaluated: {said}"
        )
        self.release = release
        self.evidence: Evidence = {
            "files": {
                "verdict": "changed",
                "changed": {
                    name: {"registered": was, "found": now} for name, (was, now) in changed.items()
                },
            }
        }


class UnreadableFilesError(RefusedError):
    """A release of which a file is there and cannot be read."""

    def __init__(self, release: str, error: OSError) -> None:
        super().__init__(f"the files of release {release!r} cannot be read: {error}")


class UnsealedError(RefusedError):
    """A release of whose files nobody wrote down what they were."""

    def __init__(self, release: str) -> None:
        super().__init__(
            f"nobody wrote down what the files of release {release!r} were when it was registered,"
            " since an earlier version of the loop did not: it cannot be shown that they are those"
            " that are evaluated. Materialise training/adapter of its cycle in Dagster again, with"
            " another training.recipe.seed: the same corrections make a new candidate"
        )


def compare(release: Release, sealed: Hashes | None, found: Hashes) -> Evidence:
    """The evidence that nothing changed.

    Raises:
        ChangedFilesError: something did.
        UnsealedError: nobody knows.
    """
    if not sealed:
        raise UnsealedError(release.release)
    changed = {
        name: (sealed.get(name), found.get(name))
        for name in sorted({*sealed, *found})
        if sealed.get(name) != found.get(name)
    }
    if changed:
        raise ChangedFilesError(release.release, changed)
    return {"files": {"verdict": "as registered", "sha256": dict(found)}}


@dataclass(frozen=True)
class _Reading:
    """Files that are being read, and what they looked like before that."""

    marks: Mapping[str, tuple[int, int, int, int]]
    hashes: "Future[dict[str, str]]"


class Inspection:
    """Reads the files of one release at a time, beside the controller's rounds."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="inspection")
        self._readings: dict[str, _Reading] = {}

    def found(self, release: Release) -> Hashes | None:
        """The hashes as they are at this moment; None while they are being read.

        They are read anew for every promotion, and again where a file was touched meanwhile: the
        kernel notes that in a time which nobody can set.

        Raises:
            UnreadableFilesError: a file cannot be read.
        """
        try:
            return self._look(release)
        except OSError as error:
            self.forget(release.release)
            raise UnreadableFilesError(release.release, error) from error

    def _look(self, release: Release) -> Hashes | None:
        marks = _marks(release)
        reading = self._readings.get(release.release)
        if reading is None or reading.marks != marks:
            read = self._pool.submit(hashes, release.adapter_path, release.weights_path)
            reading = self._readings[release.release] = _Reading(marks, read)
        try:
            read_now = reading.hashes.result(timeout=_IN_A_ROUND_S)
        except StillReadingError:
            return None
        return read_now if _marks(release) == marks else None

    def forget(self, release: str) -> None:
        """What was read of a release is old: its promotion was done or refused."""
        self._readings.pop(release, None)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _marks(release: Release) -> dict[str, tuple[int, int, int, int]]:
    """What changes with every change of a file: inode, size, and the times of both."""
    found = {}
    for name, file in files_of(release.adapter_path, release.weights_path).items():
        stat = file.stat()
        found[name] = (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    return found


def _change(was: str | None, now: str | None) -> str:
    if was is None:
        return "was not there"
    if now is None:
        return "is gone"
    return f"was {was[:_SHOWN]} when it was registered and is {now[:_SHOWN]} now"
