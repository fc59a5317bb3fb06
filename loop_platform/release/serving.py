"""How a release gets onto an engine: the one place that knows whether an engine holds one release
(`merged`) or a base model and many adapters (`adapter`).
"""

from pathlib import Path
from threading import Lock
from typing import Literal, Protocol

import httpx
import msgspec

from loop_platform.engine.assignment import Assignment, read, write
from loop_platform.release.engines import Engines
from loop_platform.release.registry import Release
from loop_platform.release.slots import SLOTS
from loop_platform.settings import Settings
from loop_platform.stack.programs import ENGINES, assignment
from loop_platform.stack.supervision import ProgramState

# The first start of an adapter reads it from disk and warms its kernels.
_LOAD_TIMEOUT_S = 60.0


class Serving(Protocol):
    """Puts releases on engines. Every call can be repeated: what is done already is left alone."""

    def url(self, slot: str) -> str:
        """Where the slot's release answers."""
        ...

    def place(self, slot: str, release: Release) -> None:
        """Make the slot serve this release and no other; does not wait until it does."""
        ...

    def clear(self, slot: str) -> None:
        """Make the slot serve nothing."""
        ...


def serving(settings: Settings, engines: Engines, base: Release) -> Serving:
    """The way of serving that the settings name; `auto` is `adapter` where there is a GPU."""
    if mode(settings) == "adapter":
        return AdapterServing(settings, engines, base)
    return MergedServing(settings, engines)


def mode(settings: Settings) -> Literal["merged", "adapter"]:
    if settings.engine.serving != "auto":
        return settings.engine.serving
    return "adapter" if Path("/dev/nvidia0").exists() else "merged"


class MergedServing:
    """An engine a release: its weights with the adapter merged in."""

    def __init__(self, settings: Settings, engines: Engines) -> None:
        self._settings = settings
        self._engines = engines

    def url(self, slot: str) -> str:
        return f"http://{self._settings.engine.host}:{self._port(slot)}"

    def place(self, slot: str, release: Release) -> None:
        wanted = _assignment(self._settings, self._port(slot), release, serving="merged")
        _serve(self._settings, self._engines, slot, wanted)

    def clear(self, slot: str) -> None:
        self._engines.stop(ENGINES[slot])
        assignment(self._settings, slot).unlink(missing_ok=True)

    def _port(self, slot: str) -> int:
        return self._settings.engine.ports[SLOTS.index(slot)]


class AdapterServing:
    """One engine with the base model; a release is an adapter that is loaded while it runs.

    An adapter's name is its release's, which is the hash of its content: a name never means other
    weights than before, so cached prefixes stay true.
    """

    def __init__(self, settings: Settings, engines: Engines, base: Release) -> None:
        self._settings = settings
        self._engines = engines
        self._base = base
        self._held: dict[str, Release] = {}
        self._lock = Lock()

    def url(self, slot: str) -> str:
        return f"http://{self._settings.engine.host}:{self._settings.engine.ports[0]}"

    def place(self, slot: str, release: Release) -> None:
        with self._lock:
            self._held[slot] = release
            self._reconcile(slot)

    def clear(self, slot: str) -> None:
        with self._lock:
            self._held.pop(slot, None)
            if self._engines.state(ENGINES[SLOTS[0]]).alive:
                self._reconcile(slot)

    def _reconcile(self, slot: str) -> None:
        adapters = {r.release: str(r.adapter_path) for r in self._held.values() if r.adapter}
        port = self._settings.engine.ports[0]
        wanted = msgspec.structs.replace(
            _assignment(self._settings, port, self._base, serving="adapter"), adapters=adapters
        )
        file = assignment(self._settings, SLOTS[0])
        program = ENGINES[SLOTS[0]]
        if not self._engines.state(program).alive or not _same_base(file, wanted):
            _serve(self._settings, self._engines, SLOTS[0], wanted)
            return
        write(wanted, file)  # what the engine loads when it is restarted
        self._load(self.url(slot), adapters)

    def _load(self, url: str, adapters: dict[str, str]) -> None:
        with httpx.Client(base_url=url, timeout=_LOAD_TIMEOUT_S) as client:
            loaded = _names(client.get("/v1/models")) - {self._base.release}
            for name in loaded - adapters.keys():
                body = {"lora_name": name}
                client.post("/v1/unload_lora_adapter", json=body).raise_for_status()
            for name in adapters.keys() - loaded:
                body = {"lora_name": name, "lora_path": adapters[name]}
                client.post("/v1/load_lora_adapter", json=body).raise_for_status()


def served(client: httpx.Client, url: str) -> frozenset[str]:
    """The names that the engine answers to now.

    Raises:
        httpx.HTTPError: it does not answer.
    """
    return _names(client.get(f"{url}/v1/models"))


def _names(response: httpx.Response) -> frozenset[str]:
    response.raise_for_status()
    return frozenset(model["id"] for model in response.json()["data"])


def _assignment(
    settings: Settings, port: int, release: Release, *, serving: Literal["merged", "adapter"]
) -> Assignment:
    return Assignment(
        release=release.release,
        weights_path=str(release.weights_path),
        port=port,
        host=settings.engine.host,
        serving=serving,
        dtype=settings.engine.dtype,
        max_model_len=settings.engine.max_model_len,
        kv_cache_gib=settings.engine.kv_cache_gib,
        gpu_share=settings.engine.gpu_share,
        sleeps=settings.engine.while_training == "sleep",
        tool_parser=settings.engine.tool_parser,
    )


def _serve(settings: Settings, engines: Engines, slot: str, wanted: Assignment) -> None:
    """Stopped before the file changes: whatever dies in between leaves an engine that is down,
    never one that serves what the file does not say."""
    program, file = ENGINES[slot], assignment(settings, slot)
    runs = engines.state(program)
    if _read(file) == wanted:
        if not runs.alive and runs is not ProgramState.BACKOFF:
            engines.start(program)
        return
    engines.stop(program)
    write(wanted, file)
    engines.start(program)


def _read(file: Path) -> Assignment | None:
    try:
        return read(file)
    except ValueError:
        return None


def _same_base(file: Path, wanted: Assignment) -> bool:
    found = _read(file)
    return found is not None and msgspec.structs.replace(found, adapters=wanted.adapters) == wanted
