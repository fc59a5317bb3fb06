"""Training as a job of a Ray cluster, over the cluster's own Jobs API (HTTP): nothing of Ray is
installed here.

The cluster's machines have the engine environment and this package, and the data folder under the
same path. A program's messages come back through a file in that folder, as they do locally.
"""

import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pydantic
from dagster._core.errors import DagsterExecutionInterruptedError, DagsterPipesExecutionError
from dagster._core.pipes.client import PipesClientCompletedInvocation

import loop_platform
from loop_platform.defs.training.afar import Lease, renewed, shared_folder
from loop_platform.defs.training.launchers import Program
from loop_platform.settings import Settings

_ENDED = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})
_SHOWN = 4000
"""Characters of a failed job's log that the error shows."""


class Launcher(pydantic.BaseModel):
    """A cluster, and what a job asks of it."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    address: str
    """Of its dashboard: `http://ray-head:8265`."""
    headers: dict[str, str] = {}
    """Such as a token that a proxy in front of it asks for."""
    python: str | None = None
    """The engine environment's Python there; `engine.python`'s path by default."""
    root: Path = Path(loop_platform.__file__).parents[1]
    """Where this package lies there."""
    cpus: float = pydantic.Field(1, ge=0)
    gpus: float = pydantic.Field(0, ge=0)
    resources: dict[str, float] = {}
    """Ray's custom resources, to choose machines by."""
    environment: dict[str, str] = {}
    poll_s: float = pydantic.Field(2.0, gt=0)
    patience_s: float = pydantic.Field(120.0, gt=0)
    """A cluster that does not answer for so long has lost the job, and a job of which nobody hears
    for so long ends itself."""
    stop_s: float = pydantic.Field(60.0, gt=0)
    """A cancelled run waits so long for its job to end."""

    def launch(
        self, context: dg.AssetExecutionContext, settings: Settings, program: Program
    ) -> dg.MaterializeResult[Any]:
        """A cancelled run stops the job; one whose process dies lets its lease run out."""
        name = f"loop-{context.run.run_id[:8]}-{time.time_ns():x}"
        with shared_folder(settings, name) as folder:
            lease = Lease(folder / "lease", self.patience_s)
            with (
                dg.open_pipes_session(
                    context=context,
                    context_injector=dg.PipesEnvContextInjector(),
                    message_reader=dg.PipesFileMessageReader(str(folder / "messages")),
                    extras={**program.extras, **lease.extras},
                ) as session,
                renewed(lease),
                httpx.Client(
                    base_url=self.address, headers=self.headers, timeout=self.patience_s
                ) as http,
            ):
                job = Job(http, name, self)
                job.submit(self._entrypoint(settings, program), session.get_bootstrap_env_vars())
                context.log.info(f"job {name} is submitted to the Ray cluster at {self.address}")
                job.wait()
                _until(lambda: session.message_handler.received_closed_message, self.patience_s)
            return PipesClientCompletedInvocation(session).get_materialize_result(
                implicit_materialization=False
            )

    def _entrypoint(self, settings: Settings, program: Program) -> str:
        python = self.python or str(settings.engine.python.absolute())
        return shlex.join(program.command(python))


class Job:
    """One job, by https://docs.ray.io/en/latest/cluster/running-applications/job-submission."""

    def __init__(self, http: httpx.Client, name: str, launcher: Launcher) -> None:
        self._http = http
        self._name = name
        self._launcher = launcher

    def submit(self, entrypoint: str, environment: Mapping[str, str]) -> None:
        """Hand it over.

        Raises:
            DagsterPipesExecutionError: the cluster does not take it.
        """
        asked = self._launcher
        body = {
            "submission_id": self._name,
            "entrypoint": entrypoint,
            "entrypoint_num_cpus": asked.cpus,
            "entrypoint_num_gpus": asked.gpus,
            "entrypoint_resources": asked.resources,
            "runtime_env": {
                "env_vars": {
                    "PYTHONPATH": str(asked.root),
                    "PYTHONUNBUFFERED": "1",
                    **asked.environment,
                    **environment,
                }
            },
        }
        try:
            answer = self._http.post("/api/jobs/", json=body)
            answer.raise_for_status()
        except httpx.HTTPStatusError as error:
            raise DagsterPipesExecutionError(
                f"the Ray cluster at {asked.address} takes no job: {error.response.text[:_SHOWN]}"
            ) from error
        except httpx.HTTPError as error:
            raise DagsterPipesExecutionError(
                f"the Ray cluster at {asked.address} does not answer: {error!r}"
            ) from error

    def wait(self) -> None:
        """Until it succeeded; stop it where this run is cancelled meanwhile.

        Raises:
            DagsterPipesExecutionError: it did not succeed, or the cluster is away for too long.
        """
        try:
            status = self._status_at_end()
        except (DagsterExecutionInterruptedError, KeyboardInterrupt):
            self._stop()
            raise
        if status["status"] != "SUCCEEDED":
            raise DagsterPipesExecutionError(
                f"Ray job {self._name} is {status['status']}: {status.get('message') or ''}\n"
                f"{self._log()[-_SHOWN:]}"
            )

    def _status_at_end(self) -> dict[str, Any]:
        answered = time.monotonic()
        while True:
            try:
                status = self._status()
            except httpx.HTTPError as error:
                if time.monotonic() - answered > self._launcher.patience_s:
                    raise DagsterPipesExecutionError(
                        f"the Ray cluster at {self._launcher.address} has not answered for"
                        f" {self._launcher.patience_s:g} s: {error!r}"
                    ) from error
            else:
                answered = time.monotonic()
                if status["status"] in _ENDED:
                    return status
            time.sleep(self._launcher.poll_s)

    def _stop(self) -> None:
        self._http.post(f"/api/jobs/{self._name}/stop").raise_for_status()
        _until(lambda: self._status()["status"] in _ENDED, self._launcher.stop_s)

    def _status(self) -> dict[str, Any]:
        answer = self._http.get(f"/api/jobs/{self._name}")
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def _log(self) -> str:
        try:
            answer = self._http.get(f"/api/jobs/{self._name}/logs")
            answer.raise_for_status()
        except httpx.HTTPError as error:
            return f"its log cannot be read: {error!r}"
        return str(answer.json().get("logs", ""))


def _until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait for it, but not for ever: what did not come by then is told by what is missing."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.2)
