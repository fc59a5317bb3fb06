"""Run a command as one of a stack's programs: it dies with its parent, and what its predecessor
left behind dies before it starts.

    python tether.py [--signal TERM] [--user U] [--group FILE] -- command…

Linux delivers the signal when the parent ends, however it ends; an exec keeps the tether, a change
of user would cut it, so the user changes first. FILE remembers the process group: engines and code
servers have children of their own, which outlive them when they are killed.
Nothing but the standard library: it runs before every program.
"""

import argparse
import contextlib
import ctypes
import os
import pwd
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def tethered(
    command: list[str], *, signal: str = "TERM", user: str | None = None, group: Path | None = None
) -> list[str]:
    """The command line that runs `command` so."""
    as_user = ["--user", user] if user else []
    in_group = ["--group", str(group)] if group else []
    tether = [sys.executable, "-IS", str(Path(__file__)), "--signal", signal]
    return [*tether, *as_user, *in_group, "--", *command]


def main() -> None:
    parent = os.getppid()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--signal", default="TERM")
    parser.add_argument("--user")
    parser.add_argument("--group", type=Path)
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    if arguments.group:
        kill_group(arguments.group)
        arguments.group.write_text(f"{os.getpgrp()} {os.getsid(0)}")
    if arguments.user:
        _become(arguments.user)
    if sys.platform == "linux":
        _tether(signal.Signals[f"SIG{arguments.signal}"], parent)
    os.execvp(arguments.command[0], arguments.command)


def kill_group(file: Path) -> None:
    """Kill what is left of the process group that `file` remembers.

    A number may have been given to strangers since: a member is in the same session too.
    """
    if not file.exists():
        return
    group, session = map(int, file.read_text().split())
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            pid = int(entry.name)
            if pid != os.getpid() and (os.getpgid(pid), os.getsid(pid)) == (group, session):
                os.kill(pid, signal.SIGKILL)


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
