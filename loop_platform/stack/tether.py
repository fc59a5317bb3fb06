"""Run a command that dies with its parent: `tether.py [--signal TERM] [--user U] -- command…`

Linux delivers the signal when the parent ends, however it ends; an exec keeps the tether, a change
of user would cut it, so the user changes first. Elsewhere the command just runs.
Nothing but the standard library: it runs before every program of the stack.
"""

import argparse
import ctypes
import os
import pwd
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def tethered(command: list[str], *, signal: str = "TERM", user: str | None = None) -> list[str]:
    """The command line that runs `command` so."""
    as_user = ["--user", user] if user else []
    return [
        sys.executable,
        "-IS",
        str(Path(__file__)),
        "--signal",
        signal,
        *as_user,
        "--",
        *command,
    ]


def main() -> None:
    parent = os.getppid()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--signal", default="TERM")
    parser.add_argument("--user")
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    if arguments.user:
        _become(arguments.user)
    if sys.platform == "linux":
        _tether(signal.Signals[f"SIG{arguments.signal}"], parent)
    os.execvp(arguments.command[0], arguments.command)


def _become(user: str) -> None:
    entry = pwd.getpwnam(user)
    os.initgroups(user, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def _tether(death_signal: signal.Signals, parent: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:  # it ended before the tether held
        sys.exit(1)


if __name__ == "__main__":
    main()
