"""What must be there before the programs start: folders, room, environments, models."""

import contextlib
import shutil
import subprocess
import uuid
from collections.abc import Collection
from pathlib import Path

from loop_platform.packaged import packaged_path
from loop_platform.settings import Settings
from loop_platform.stack import postgres
from loop_platform.stack.errors import StackError
from loop_platform.stack.programs import ENGINES, REPOSITORY, dagster_home
from loop_platform.stack.sockets import make_folder

_PACKAGED = "packaged:"
_NEEDED_BYTES = 2**30


def check_data_folder(data_dir: Path, needed_bytes: int = _NEEDED_BYTES) -> None:
    """Raises `StackError` unless the folder can be written and its disk has room."""
    probe = data_dir / f".probe-{uuid.uuid4().hex}"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"\0" * 4096)
    except OSError as error:
        raise StackError(
            f"the data folder {data_dir} cannot be written ({error.strerror}): set LOOP_DATA_DIR"
            " to one that can"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    free = shutil.disk_usage(data_dir).free
    if free < needed_bytes:
        raise StackError(
            f"the disk of {data_dir} is full: {free / 2**30:.1f} GiB free, and the loop needs"
            f" {needed_bytes / 2**30:.1f} GiB; make room, or set LOOP_DATA_DIR to another disk"
        )


def check_environments(settings: Settings, programs: Collection[str]) -> None:
    """Raises `StackError` when an environment or a packaged model is missing that is needed."""
    if "gateway" in programs and (missing := settings.redaction.missing) is not None:
        raise StackError(missing)
    if not set(programs) & set(ENGINES.values()):
        return
    if not settings.engine.python.exists():
        raise StackError(
            f"the engine environment is missing: there is no {settings.engine.python.absolute()};"
            " `make .venv-engine` builds it, engine.python in loop.toml names another"
        )
    for model in (settings.models.base, settings.models.embedder):
        if model.startswith(_PACKAGED):
            _check_packaged(model.removeprefix(_PACKAGED))


def check_judges(settings: Settings) -> None:
    """Raises `StackError` when the settings name a judge that cannot be made: found out in a look
    at a shadow, it would cost a candidate its trial."""
    if not settings.judging.tasks:
        return
    from loop_platform.judging.judges import UnknownJudgeError, judges

    try:
        judges(settings.judging)
    except (UnknownJudgeError, ValueError) as error:
        raise StackError(f"a judge of [judging] in loop.toml cannot be made: {error}") from error


def _check_packaged(name: str) -> None:
    try:
        path = packaged_path(name)
    except ValueError as error:
        raise StackError(str(error)) from error
    except FileNotFoundError as error:
        raise StackError(f"the model {name} is missing: `make models` fetches it") from error
    if not path.exists():
        raise StackError(f"the model {name} is missing ({path}): `make models` fetches it")


def has_base_model(settings: Settings) -> bool:
    return (settings.base_model_folder / "config.json").is_file()


def make_base_model(settings: Settings) -> None:
    """The base model as a Hugging Face folder: some ten seconds, once."""
    module = [str(settings.engine.python), "-m", "loop_platform.engine.base_model"]
    source = ["--model", settings.models.base, "--out", str(settings.base_model_folder)]
    done = subprocess.run([*module, *source], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise StackError(f"the model {settings.models.base!r} cannot be read: {last}")


def make_folders(settings: Settings) -> None:
    """Everything that a program expects to find."""
    for name in ("run", "logs", "engines", "journal", "models"):
        (settings.data_dir / name).mkdir(exist_ok=True)
    make_folder(settings.data_dir)
    dagster_home(settings).mkdir(exist_ok=True)
    shutil.copyfile(REPOSITORY / "dagster.yaml", dagster_home(settings) / "dagster.yaml")
    if settings.database_url is None:
        postgres.prepare(settings.data_dir)
