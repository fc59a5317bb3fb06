"""Logs as lines of text, or as an object of JSON a line for those who collect them."""

import logging
import sys
import traceback
from datetime import UTC, datetime

import msgspec

from loop_platform.settings import ExportSettings

_TEXT = "%(asctime)s %(levelname)s %(message)s"

FIELDS = "fields"
"""What a record carries beside its message: `logger.info("…", extra={FIELDS: {…}})`."""


class JsonLines(logging.Formatter):
    """`at` (RFC 3339, UTC), `level`, `logger`, `message`, the record's own fields, `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": self._at(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info:
            line["exception"] = "".join(traceback.format_exception(*record.exc_info))
        return msgspec.json.encode(line, enc_hook=str).decode()

    def _at(self, created: float) -> str:
        return datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds")


def configure(settings: ExportSettings) -> None:
    """Sets up this process's logs, in place of what was set up before."""
    handler = logging.StreamHandler(sys.stderr)
    json = settings.log_format == "json"
    handler.setFormatter(JsonLines() if json else logging.Formatter(_TEXT))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)
