"""Takes personal data out of the records of the tenants that ask for it, before they are written.

The work is done by processes of this worker's (loop_platform/personal_data), from a queue with an
end: other tenants do not wait for it, and nothing of it is done on their event loop. Where it
cannot be done the call is refused, and what is recorded of it has no text.
"""

import asyncio
import contextlib
import hashlib
import hmac
import logging
import os
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from loop_platform.gateway.journal import JournalError
from loop_platform.personal_data.frames import (
    LENGTH,
    Done,
    Failed,
    Ready,
    Redacted,
    Said,
    Text,
    Wanted,
    framed,
)
from loop_platform.records import Call, Contribution, Feedback, Record
from loop_platform.settings import RedactionSettings

logger = logging.getLogger(__name__)

_PROGRAM = ("-m", "loop_platform.personal_data.worker")
_TRIES = 2
"""A text that ends two workers does not get a third."""
_PAUSE_S = 1.0
_KEPT = frozenset({"PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "PYTHONPATH", "TMPDIR"})
"""Of the environment: a worker needs no password of ours."""

_said = msgspec.json.Decoder(Said)


class RedactorError(JournalError):
    """Personal data could not be taken out, so that nothing was written."""

    code = "redactor_unavailable"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class RedactorsMissingError(RuntimeError):
    """The settings ask for what is not installed, or does not start."""


@dataclass(slots=True)
class RedactorCounts:
    redacted: int = 0
    """Records, or requests and answers of one, that were looked through."""
    refused: int = 0
    """The queue was full, or no worker was there."""
    failed: int = 0
    """The worker could not do it, died over it or took too long."""


@dataclass(slots=True)
class _Job:
    wanted: Wanted
    done: asyncio.Future[Redacted]
    tries: int = 0


@dataclass(slots=True)
class Redactors:
    settings: RedactionSettings
    secret: bytes
    """Makes the pseudonyms of an application's users."""
    counts: RedactorCounts = field(default_factory=RedactorCounts)
    _queue: asyncio.Queue[_Job] = field(init=False)
    _workers: list[asyncio.Task[None]] = field(default_factory=list)
    _up: int = 0
    _tenants: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self._queue = asyncio.Queue(self.settings.waiting)
        self._tenants = frozenset(self.settings.tenants)

    def covers(self, tenant: str) -> bool:
        return tenant in self._tenants

    @property
    def alive(self) -> bool:
        """Whether those who keep the workers up are there."""
        return not any(worker.done() for worker in self._workers)

    @property
    def up(self) -> int:
        """Workers that wait for work, or are at it."""
        return self._up

    async def start(self) -> None:
        """Starts the workers, where a tenant needs them; returns when they are ready.

        Raises:
            RedactorsMissingError: they are not installed, or end before they are ready.
        """
        if not self.settings.tenants:
            return
        if (missing := self.settings.missing) is not None:
            raise RedactorsMissingError(missing)
        processes = [await self._started() for _ in range(self.settings.workers)]
        try:
            async with asyncio.timeout(self.settings.start_timeout_s):
                for process in processes:
                    await _ready(process)
        except (OSError, EOFError, TimeoutError) as error:
            for process in processes:
                await _end(process)
            command = f"{self.settings.python.absolute()} {' '.join(_PROGRAM)}"
            raise RedactorsMissingError(
                f"a redactor ({command}) did not become ready: its own words are above"
            ) from error
        self._workers = [asyncio.create_task(self._keep_up(process)) for process in processes]
        # Each has begun before anyone asks or stops: a task that is cancelled before its first step
        # ends no process.
        await asyncio.sleep(0)

    async def stop(self) -> None:
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        while not self._queue.empty():
            _tell(self._queue.get_nowait(), RedactorError("the gateway stops"))

    def begin(self, call_body: bytes) -> "asyncio.Future[Redacted]":
        """Begins with a request while it is being answered; `RedactorError` where none of it can be
        done now, so that the engine need not be asked."""
        return self._put([Text("body", call_body.decode())])

    async def record(self, record: Record) -> Record:
        """The record without personal data, and with what was found; `RedactorError` where that
        cannot be had."""
        if isinstance(record, Call):
            return await self.call(record)
        fields = _texts_of(record)
        redacted = await self._redacted([Text("text", text) for text in fields.values()])
        return _with_texts(record, dict(zip(fields, redacted.texts, strict=True)), redacted.found)

    def opened(self, call: Call, request: Redacted) -> Call:
        """The entry of a stream that begins: nothing was answered yet."""
        return msgspec.structs.replace(
            self._pseudonymous(call),
            request=msgspec.Raw(request.texts[0].encode()),
            redacted=request.found,
        )

    def without_text(self, record: Call, error: RedactorError) -> Call:
        """What is recorded of a call whose text cannot be redacted."""
        return msgspec.structs.replace(
            self._pseudonymous(record),
            request=msgspec.Raw(b"{}"),
            response="",
            error=f"recorded without its text: {error.reason}",
            status=503 if record.status < 400 else record.status,
            complete=False,
            redacted={},
        )

    def pseudonym(self, tenant: str, user: str) -> str:
        """The same for the same user of a tenant, and nobody's name."""
        return pseudonym(self.secret, tenant, user)

    async def call(self, call: Call, request: Redacted | None = None) -> Call:
        """The same of a call, the request of which may have been redacted before (`begin`)."""
        texts = [Text("answer", call.response), Text("text", call.error or "")]
        if request is None:
            texts.append(Text("body", bytes(call.request).decode()))
        redacted = await self._redacted(texts)
        response, error, *rest = redacted.texts
        found = dict(redacted.found)
        if request is not None:
            rest = request.texts
            for kind, count in request.found.items():
                found[kind] = found.get(kind, 0) + count
        return msgspec.structs.replace(
            self._pseudonymous(call),
            request=msgspec.Raw(rest[0].encode()),
            response=response,
            error=error or None,
            redacted=found,
        )

    def _pseudonymous(self, call: Call) -> Call:
        user, session = call.user, call.session
        return msgspec.structs.replace(
            call,
            user=user and self.pseudonym(call.tenant, user),
            session=session and self.pseudonym(call.tenant, session),
        )

    async def _redacted(self, texts: Sequence[Text]) -> Redacted:
        try:
            async with asyncio.timeout(self.settings.timeout_s):
                return await self._put(texts)
        except TimeoutError as error:
            self.counts.failed += 1
            raise RedactorError("personal data was not taken out of it in time") from error

    def _put(self, texts: Sequence[Text]) -> asyncio.Future[Redacted]:
        job = _Job(Wanted(list(texts)), asyncio.get_running_loop().create_future())
        # Whoever began it may be gone when it fails: then nobody has to hear of it.
        job.done.add_done_callback(lambda done: done.cancelled() or done.exception())
        if not self._up:
            self.counts.refused += 1
            raise RedactorError("no redactor is running")
        try:
            self._queue.put_nowait(job)
        except asyncio.QueueFull as error:
            self.counts.refused += 1
            raise RedactorError(f"{self.settings.waiting} records wait for the redactor") from error
        return job.done

    async def _keep_up(self, process: Process | None) -> None:
        """One worker, and the next when it ends."""
        while True:
            try:
                if process is None:
                    process = await self._started()
                    async with asyncio.timeout(self.settings.start_timeout_s):
                        await _ready(process)
                self._up += 1
                try:
                    await self._work(process)
                finally:
                    self._up -= 1
            except (OSError, EOFError, TimeoutError) as error:
                logger.error("a redactor ended (%s); another is started", type(error).__name__)
                if not self._up:
                    self._refuse_waiting()
                await asyncio.sleep(_PAUSE_S)
            finally:
                if process is not None:
                    await _end(process)
                process = None

    async def _work(self, process: Process) -> None:
        while True:
            job = await self._queue.get()
            if job.done.done():  # nobody waits for it
                continue
            job.tries += 1
            try:
                async with asyncio.timeout(self.settings.timeout_s):
                    said = await _asked(process, framed(job.wanted))
            except TimeoutError:
                self._fail(job, "personal data was not taken out of it in time")
                raise
            except (OSError, EOFError):
                self._try_again(job)
                raise
            except asyncio.CancelledError:
                _tell(job, RedactorError("the gateway stops"))
                raise
            if isinstance(said, Done):
                self.counts.redacted += 1
                _tell(job, said.redacted)
            else:
                reason = said.reason if isinstance(said, Failed) else "the redactor is confused"
                self._fail(job, reason)

    def _try_again(self, job: _Job) -> None:
        if job.tries >= _TRIES or self._queue.full():
            self._fail(job, "the redactor died over it")
        else:
            self._queue.put_nowait(job)

    def _fail(self, job: _Job, reason: str) -> None:
        self.counts.failed += 1
        _tell(job, RedactorError(reason))

    def _refuse_waiting(self) -> None:
        """Those who were there when the last worker ended are told at once; who was being worked
        for waits for the next."""
        for _ in range(self._queue.qsize()):
            job = self._queue.get_nowait()
            if job.tries:
                self._queue.put_nowait(job)
            else:
                self._fail(job, "the redactor ended")

    async def _started(self) -> Process:
        settings = self.settings
        arguments = (",".join(settings.kinds), str(settings.least_score), str(int(settings.yields)))
        environment = {name: value for name, value in os.environ.items() if name in _KEPT}
        return await asyncio.create_subprocess_exec(
            str(settings.python.absolute()),
            *_PROGRAM,
            *arguments,
            stdin=PIPE,
            stdout=PIPE,
            env=environment | {"OMP_NUM_THREADS": "1"},
        )


def pseudonym(secret: bytes, tenant: str, user: str) -> str:
    said = f"user\0{tenant}\0{user}".encode()
    return f"user-{hmac.new(secret, said, hashlib.sha256).hexdigest()[:24]}"


def _texts_of(record: Feedback | Contribution) -> dict[str, str]:
    """Those that there are, by the field."""
    if isinstance(record, Feedback):
        named = {name: getattr(record, name) for name in ("correction", "report", "comment")}
    else:
        named = {"answer": record.answer, "comment": record.comment}
        for place, message in enumerate(record.messages):
            named[f"messages.{place}"] = message["content"]
    return {name: text for name, text in named.items() if text is not None}


def _with_texts(
    record: Feedback | Contribution, texts: dict[str, str], found: dict[str, int]
) -> Feedback | Contribution:
    if isinstance(record, Feedback):
        return msgspec.structs.replace(record, **texts, redacted=found)
    messages = [
        message | {"content": texts.pop(f"messages.{place}")}
        for place, message in enumerate(record.messages)
    ]
    return msgspec.structs.replace(record, **texts, messages=messages, redacted=found)


async def _asked(process: Process, frame: bytes) -> Said:
    assert process.stdin is not None
    process.stdin.write(frame)
    await process.stdin.drain()
    return await _heard(process)


async def _heard(process: Process) -> Said:
    assert process.stdout is not None
    size = int.from_bytes(await process.stdout.readexactly(LENGTH))
    said: Said = _said.decode(await process.stdout.readexactly(size))
    return said


async def _ready(process: Process) -> None:
    if not isinstance(await _heard(process), Ready):
        raise EOFError("the redactor does not speak as it should")


async def _end(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()


def _tell(job: _Job, outcome: Redacted | RedactorError) -> None:
    if job.done.done():
        return
    if isinstance(outcome, Redacted):
        job.done.set_result(outcome)
    else:
        job.done.set_exception(outcome)
