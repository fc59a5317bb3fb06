"""Servers in processes of their own, each on one core, and the processor time that they take."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent.parent
REPOSITORY = HERE.parent

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class ServerError(RuntimeError):
    """A server did not come up, or ended."""


@dataclass(frozen=True)
class Server:
    """A process that listens."""

    url: str
    process: "subprocess.Popen[bytes]"

    def cpu_s(self) -> float:
        """Processor seconds so far, its children's too."""
        return sum(map(_cpu_s, _tree(self.process.pid)))

    def pause(self, paused: bool) -> None:
        """A paused server takes nothing of the core from the one that is measured."""
        for pid in _tree(self.process.pid):
            os.kill(pid, signal.SIGSTOP if paused else signal.SIGCONT)


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


@contextlib.contextmanager
def running(
    command: list[str], port: int, core: int, *, timeout_s: float = 180.0, **environment: str
) -> Iterator[Server]:
    """The server, as soon as it listens."""
    child = subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": f"{HERE}:{REPOSITORY}"} | environment,
        cwd=REPOSITORY,
        stdout=sys.stderr,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),  # noqa: PLW1509 - before any thread
    )
    try:
        _await(child, port, timeout_s)
        yield Server(f"http://127.0.0.1:{port}", child)
    finally:
        for pid in _tree(child.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        child.terminate()
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _await(child: "subprocess.Popen[bytes]", port: int, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        if child.poll() is not None:
            raise ServerError(f"{child.args!r} ended with status {child.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        if time.monotonic() > deadline:
            raise ServerError(f"{child.args!r} did not listen within {timeout_s:g} s")
        time.sleep(0.05)


def busy_s(core: int) -> float:
    """Seconds that a core was busy since the machine started."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, ticks[:8])
            return (user + nice + system + irq + softirq + steal) * _TICK_S
    raise ServerError(f"there is no core {core}; this process may use {os.sched_getaffinity(0)}")


def _tree(pid: int) -> list[int]:
    found = [pid]
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in file.read_text().split():
                found += _tree(int(child))
    return found


def _cpu_s(pid: int) -> float:
    """By the scheduler's own count, in nanoseconds: /proc/PID/stat counts ticks of 10 ms."""
    total = 0
    for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):
            total += int(file.read_text().split()[0])
    return total / 1e9
