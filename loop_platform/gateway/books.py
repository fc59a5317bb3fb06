"""Closes a call: counted for the guardrails, and in the journal before its last byte leaves."""

import logging
import time
from typing import Literal

from loop_platform.gateway.counters import Counters
from loop_platform.gateway.exchange import Exchange, Outcome
from loop_platform.gateway.journal import Journal, JournalError
from loop_platform.records import Record

logger = logging.getLogger(__name__)

_WARN_EVERY_S = 10.0


class Books:
    def __init__(
        self, journal: Journal, counters: Counters, on_disk_full: Literal["refuse", "serve"]
    ) -> None:
        self._journal = journal
        self._counters = counters
        self._on_disk_full = on_disk_full
        self._warned_at = -_WARN_EVERY_S

    def close(self, exchange: Exchange, outcome: Outcome) -> None:
        """Enters the call, once.

        Raises:
            JournalError: it is not on disk, and the settings say not to serve then.
        """
        if exchange.outcome is not None:
            return
        exchange.outcome = outcome
        latency_ms = exchange.elapsed_ms()
        target = exchange.target
        self._counters.count(target.release, target.route, latency_ms, error=outcome.fault)
        try:
            self.enter(exchange.record(outcome, latency_ms))
        except JournalError:
            if self._on_disk_full == "refuse":
                raise

    def enter(self, record: Record) -> None:
        """Journals a record; a `JournalError` is said aloud before it is raised."""
        try:
            self._journal.append(record)
        except JournalError as error:
            if time.monotonic() - self._warned_at >= _WARN_EVERY_S:
                self._warned_at = time.monotonic()
                logger.error("%s (%d records lost so far)", error, self._journal.unwritten)
            raise
