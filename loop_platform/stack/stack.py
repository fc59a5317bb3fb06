"""The supervised programs of one data folder, for as long as a `with` block lasts."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Collection
from typing import Self

from loop_platform.settings import Settings
from loop_platform.stack.configuration import group_file, log_file, write_configuration
from loop_platform.stack.errors import StackError
from loop_platform.stack.incidents import Incidents, tail
from loop_platform.stack.programs import environment, programs
from loop_platform.stack.progress import Progress
from loop_platform.stack.readiness import Probe, Readiness, wait_until
from loop_platform.stack.sockets import supervisor_socket
from loop_platform.stack.supervision import Supervisor, SupervisorError
from loop_platform.stack.tether import kill_group, tethered

_READY_TIMEOUT_S = 180.0
_STOP_TIMEOUT_S = 30.0
_LOOK_EVERY_S = 0.5
_LOW_DISK_BYTES = 256 * 2**20


class Stack:
    """Starts supervisord on entry; on exit, whatever the reason, nothing of it is left."""

    def __init__(
        self, settings: Settings, progress: Progress, lock: int, only: Collection[str] = ()
    ) -> None:
        self.settings = settings
        self.programs = {p.name: p for p in programs(settings) if not only or p.name in only}
        self.supervisor = Supervisor(supervisor_socket(settings.data_dir))
        self._progress = progress
        self._lock = lock
        self._readiness = Readiness(settings, self.supervisor)
        self._incidents = Incidents(settings.data_dir)
        self._disk_was_low = False

    def __enter__(self) -> Self:
        configuration = write_configuration(self.settings.data_dir, list(self.programs.values()))
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration)]
        supervisor_socket(self.settings.data_dir).unlink(missing_ok=True)
        self._daemon = subprocess.Popen(
            tethered(command),
            env={**os.environ, **environment(self.settings)},
            start_new_session=True,  # a Ctrl-C in the terminal is ours to handle
            pass_fds=[self._lock],
            stdin=subprocess.DEVNULL,
        )
        try:
            self.wait("supervisord", self._answers, timeout_s=20)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with self._progress.step("stopping", "everything stopped"):
            self._daemon.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
                self._daemon.wait(_STOP_TIMEOUT_S)
            if self._daemon.poll() is None:
                self._daemon.kill()
                self._daemon.wait()
            for name in self.programs:  # what ended without its children
                kill_group(group_file(self.settings.data_dir, name))

    def start(self, name: str) -> None:
        """Start a program, without waiting for it, if this stack has it."""
        if name in self.programs:
            self.supervisor.start(name)

    def ready(self, name: str) -> None:
        """Wait until a program that was started is ready."""
        if program := self.programs.get(name):
            with self._progress.step(program.title):
                self.wait(name, self._readiness.probe(name), timeout_s=_READY_TIMEOUT_S)

    def wait(self, what: str, ready: Probe, *, timeout_s: float) -> None:
        wait_until(
            ready,
            what,
            timeout_s=timeout_s,
            incidents=self._incidents,
            tell=self._warn,
            log=log_file(self.settings.data_dir, what),
        )

    def watch(self) -> None:
        """Tell of what dies, until interrupted.

        Raises:
            StackError: the supervisor itself died.
        """
        looks = 0
        while self._daemon.poll() is None:
            for incident in self._incidents.new():
                self._warn(str(incident))
            if looks % 20 == 0:
                self._look_at_disk()
            looks += 1
            time.sleep(_LOOK_EVERY_S)
        log = log_file(self.settings.data_dir, "supervisord")
        raise StackError(
            f"the supervisor ended (status {self._daemon.returncode}), and everything with it;"
            f" the end of {log}:\n{tail(log)}"
        )

    def _answers(self) -> bool:
        if self._daemon.poll() is not None:
            log = log_file(self.settings.data_dir, "supervisord")
            raise StackError(f"supervisord could not start; the end of {log}:\n{tail(log)}")
        try:
            self.supervisor.statuses()
        except SupervisorError:
            return False
        return True

    def _look_at_disk(self) -> None:
        free = shutil.disk_usage(self.settings.data_dir).free
        low = free < _LOW_DISK_BYTES
        if low and not self._disk_was_low:
            self._warn(
                f"the disk of {self.settings.data_dir} is nearly full: {free >> 20} MiB left"
            )
        self._disk_was_low = low

    def _warn(self, text: str) -> None:
        self._progress.say(text, style="yellow")
