"""Closes a call: counted for the guardrails, and in the journal before its last byte leaves."""

import asyncio
import logging
import time

from loop_platform.gateway.commit import GroupCommit
from loop_platform.gateway.counters import Counters
from loop_platform.gateway.exchange import Exchange, Outcome
from loop_platform.gateway.journal import Journal, JournalError
from loop_platform.gateway.redactors import RedactorError, Redactors
from loop_platform.records import Call, Record
from loop_platform.settings import GatewaySettings

logger = logging.getLogger(__name__)

_WARN_EVERY_S = 10.0

_KILLED = "the gateway was killed before the answer had ended"


class Books:
    def __init__(
        self,
        journal: Journal,
        counters: Counters,
        redactors: Redactors,
        settings: GatewaySettings,
    ) -> None:
        self._journal = journal
        self._counters = counters
        self._redactors = redactors
        self._redacting: set[asyncio.Task[None]] = set()
        self._refuses = settings.on_disk_full == "refuse"
        self._commit = GroupCommit(journal.sync) if settings.durability == "power" else None
        self._warned_at = -_WARN_EVERY_S

    def open(self, exchange: Exchange, status: int) -> None:
        """Enters a stream that begins, so that it is on record even if the worker is killed. A
        request that has to be redacted is by then.

        Raises:
            JournalError: it is not on disk, and the settings say not to serve then.
        """
        cut = exchange.record(Outcome(status, False, _KILLED), exchange.elapsed_ms())
        if exchange.redacted is not None:
            cut = self._redactors.opened(cut, exchange.redacted.result())
        try:
            self._journal.open(cut)
        except JournalError as error:
            self._warn(error)
            if self._refuses:
                self._journal.unwritten += 1
                raise

    def close(self, exchange: Exchange, outcome: Outcome) -> None:
        """Enters the call, once; where it has to be redacted, when it is (`recorded`).

        Raises:
            JournalError: it is not on disk, and the settings say not to serve then.
        """
        if exchange.outcome is not None:
            return
        exchange.outcome = outcome
        latency_ms = exchange.elapsed_ms()
        if exchange.allowance is not None:
            exchange.allowance.spend(exchange.tokens())
        target = exchange.target
        self._counters.count(target.release, target.route, latency_ms, error=outcome.fault)
        record = exchange.record(outcome, latency_ms)
        if self._redactors.covers(record.tenant):
            exchange.recorded = asyncio.create_task(self._enter_redacted(exchange, record))
            self._redacting.add(exchange.recorded)
            exchange.recorded.add_done_callback(self._redacting.discard)
            return
        try:
            self.enter(record)
        except JournalError:
            if self._refuses:
                raise

    async def recorded(self, exchange: Exchange) -> None:
        """Returns when a call that was closed is entered.

        Raises:
            RedactorError: it was entered without its text.
            JournalError: it is not on disk, and the settings say not to serve then.
        """
        if exchange.recorded is not None:
            await asyncio.shield(exchange.recorded)

    async def finish(self) -> None:
        """Returns when all that was closed is entered."""
        await asyncio.gather(*self._redacting, return_exceptions=True)

    async def redacted(self, record: Record) -> Record:
        """The record as it may be entered; `RedactorError` where that cannot be had."""
        if self._redactors.covers(record.tenant):
            return await self._redactors.record(record)
        return record

    def enter(self, record: Record) -> None:
        """Journals a record; a `JournalError` is said aloud before it is raised."""
        try:
            self._journal.append(record)
        except JournalError as error:
            self._warn(error)
            raise

    async def _enter_redacted(self, exchange: Exchange, record: Call) -> None:
        failure: RedactorError | None = None
        try:
            request = None if exchange.redacted is None else await exchange.redacted
            record = await self._redactors.call(record, request)
        except RedactorError as error:
            record, failure = self._redactors.without_text(record, error), error
        try:
            self.enter(record)
        except JournalError:
            if self._refuses:
                raise
        if failure is not None:
            raise failure

    async def settle(self) -> None:
        """Returns when everything that was entered is as durable as the settings say.

        Raises:
            JournalError: the disk does not take it, and the settings say not to serve then.
        """
        if self._commit is None:  # what is written outlives the process
            return
        try:
            await self._commit.wait()
        except JournalError as error:
            self._journal.unwritten += 1
            self._warn(error)
            if self._refuses:
                raise

    def _warn(self, error: JournalError) -> None:
        if time.monotonic() - self._warned_at >= _WARN_EVERY_S:
            self._warned_at = time.monotonic()
            logger.error("%s (%d records lost so far)", error, self._journal.unwritten)
