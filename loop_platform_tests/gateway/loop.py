"""A gateway in a thread, the routes that it follows, and what it leaves behind."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import httpx
import msgspec
import sqlalchemy as sa

from loop_platform.database import releases, routes
from loop_platform.gateway.app import app_of
from loop_platform.gateway.parts import Parts, parts
from loop_platform.gateway.protocol import BoundedProtocol
from loop_platform.keys import create_key
from loop_platform.records import Call, Continued, Line, Opened, Record
from loop_platform.settings import GatewaySettings, Settings
from loop_platform_tests.gateway.serving import serving

T = TypeVar("T")

_line = msgspec.json.Decoder(Line)


class Loop:
    """What the tests of the gateway share: a database, a folder, a client."""

    def __init__(self, settings: Settings, database: sa.Engine) -> None:
        self.settings = settings
        self.database = database
        self.client = httpx.Client(timeout=15)
        self.parts: Parts | None = None
        """Of the running gateway."""

    @contextlib.contextmanager
    def gateway(self) -> Iterator["Loop"]:
        self.parts = parts(self.settings)
        with serving(app_of(self.parts), http=bounded_by(self.settings.gateway)) as url:
            self.client.base_url = httpx.URL(url)
            yield self
        self.parts = None

    def key(self, role: str = "contributor", tenant: str = "acme", name: str = "ada") -> str:
        """Makes a key, which the client uses from now on."""
        with self.database.begin() as connection:
            text = create_key(connection, role, tenant, name)
        self.client.headers["authorization"] = f"Bearer {text}"
        return text

    def route(self, **values: object) -> None:
        """Sets the routes: `route(champion="r-1", champion_url=…)`."""
        with self.database.begin() as connection:
            for route in ("champion", "canary", "shadow"):
                if values.get(route) is not None:
                    values.setdefault(f"{route}_model", values[route])
                    connection.execute(
                        sa.dialects.postgresql.insert(releases)
                        .values(release=values[route], weights_path="/none", state=route, record={})
                        .on_conflict_do_nothing()
                    )
            connection.execute(routes.delete())
            connection.execute(routes.insert().values(only=True, version=1, **values))
        for _ in range(2):  # a reading that was under way may have been too early
            self._wait_for_a_reading()

    def _wait_for_a_reading(self) -> None:
        if self.parts is not None:
            table, last = self.parts.routes, self.parts.routes.current
            eventually(lambda: table.current is not last)

    def chat(self, said: str = "hello", **more: Any) -> httpx.Response:
        headers = more.pop("headers", None)
        return self.client.post("/v1/chat/completions", json=_body(said, more), headers=headers)

    def stream(self, said: str = "hello", **more: Any) -> tuple[httpx.Response, bytes]:
        """The whole stream of an answer."""
        body = _body(said, {"stream": True} | more)
        with self.client.stream("POST", "/v1/chat/completions", json=body) as response:
            return response, response.read()

    def records(self) -> list[Record]:
        """Everything journalled: still here, or shipped."""
        while True:
            with contextlib.suppress(FileNotFoundError):  # sealed or shipped under our eyes
                return self._records()

    def lines(self, kind: type[T]) -> list[T]:
        """Every line of a kind, those sent twice too."""
        while True:
            with contextlib.suppress(FileNotFoundError):
                return [line for line in self._lines() if isinstance(line, kind)]

    def _records(self) -> list[Record]:
        seen: dict[str, Record] = {}
        for record in self._lines():
            if isinstance(record, Opened | Continued):
                continue
            seen[record.call_id if isinstance(record, Call) else record.feedback_id] = record
        return [seen[name] for name in sorted(seen)]

    def _lines(self) -> list[Line]:
        """Each segment once: while it is shipped it is in both places. A line without its end is
        being written."""
        lake = self.settings.data_dir / "lake"
        files = [*self.settings.data_dir.glob("journal/*"), *lake.glob("segments/*/*")]
        segments = {file.name.partition(".")[0]: file for file in files}
        texts = [file.read_bytes() for file in segments.values()]
        return [_line.decode(line) for text in texts for line in text.split(b"\n")[:-1]]

    def calls(self) -> list[Call]:
        return [record for record in self.records() if isinstance(record, Call)]

    def call(self, response: httpx.Response) -> Call:
        """The record of the call that was answered with `response`."""
        call_id = response.headers["x-loop-call-id"]
        return eventually(lambda: next((c for c in self.calls() if c.call_id == call_id), None))


def bounded_by(settings: GatewaySettings) -> type[BoundedProtocol]:
    """The server's protocol with the limits of a test."""

    class Bounded(BoundedProtocol):
        @classmethod
        def limits(cls) -> GatewaySettings:
            return settings

    return Bounded


def eventually(look: Callable[[], T | None], timeout_s: float = 30.0) -> T:
    """What `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"nothing in {timeout_s:g} s"
        time.sleep(0.02)
    return found


def in_the_future(seconds: float) -> sa.ColumnElement[Any]:
    """A moment by the database's clock."""
    return sa.func.clock_timestamp() + sa.text(f"interval '{seconds} seconds'")


def _body(said: str, more: dict[str, Any]) -> dict[str, Any]:
    return {"model": "loop", "messages": [{"role": "user", "content": said}]} | more
