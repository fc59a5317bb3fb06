"""Where the stack's unix sockets are: under the data folder, or, where that path is too long for a
socket's address (107 bytes), in a folder of the temporary directory named by the folder's hash."""

import hashlib
import os
import tempfile
from pathlib import Path

_LONGEST_ADDRESS = 107
_LONGEST_NAME = len("/supervisor.sock.2147483647")  # supervisord binds a draft, then renames it


def supervisor_socket(data_dir: Path) -> Path:
    return _folder(data_dir) / "supervisor.sock"


def code_socket(data_dir: Path) -> Path:
    """Of the Dagster code location's gRPC server."""
    return _folder(data_dir) / "code.sock"


def make_folder(data_dir: Path) -> None:
    """Make the sockets' folder, closed to other users."""
    folder = _folder(data_dir)
    folder.mkdir(parents=True, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        raise PermissionError(f"{folder} belongs to another user; remove it")
    folder.chmod(0o711 if folder.parent == data_dir else 0o700)


def _folder(data_dir: Path) -> Path:
    folder = data_dir / "run"
    if len(os.fsencode(folder)) + _LONGEST_NAME <= _LONGEST_ADDRESS:
        return folder
    name = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"loop-{os.geteuid()}-{name}-run"
