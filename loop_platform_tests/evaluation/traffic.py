"""Traffic that has arrived in telemetry: calls, feedback and signals as parts of the lake."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import sqlalchemy as sa

from loop_platform.database import parts
from loop_platform.identity import hour_of, new_id
from loop_platform.lake import Lake
from loop_platform.settings import Front, Fronts
from loop_platform.tables import KEYS, schema

RELIABLE = Fronts(reliability=Front(margin=0.3))
"""The fronts of everything, where twenty pairs are enough to show that a candidate answers."""


@dataclass
class Traffic:
    """Writes what a gateway and telemetry would have written."""

    database: sa.Engine
    lake: Lake

    def call(
        self, release: str, route: str, prompt: str, answer: str, **fields: Any
    ) -> dict[str, Any]:
        """A row of `telemetry/calls`."""
        messages = [{"role": "user", "content": prompt}]
        return {
            "call_id": new_id(),
            "tenant": "t",
            "task": "commands",
            "release": release,
            "route": route,
            "status": 200,
            "complete": True,
            "latency_ms": 100.0,
            "completion_tokens": 10,
            "request": json.dumps({"model": "m", "messages": messages}),
            "messages": json.dumps(messages),
            "answer": answer,
            **fields,
        }

    def mirrored(
        self, champion: tuple[str, str], candidate: tuple[str, str], prompt: str, **fields: Any
    ) -> list[dict[str, Any]]:
        """A call and its shadow; each side is a release and its answer."""
        call = self.call(champion[0], "champion", prompt, champion[1], **fields)
        shadow = self.call(
            candidate[0], "shadow", prompt, candidate[1], pair_id=call["call_id"], **fields
        )
        return [call, shadow]

    def arrive(self, asset: str, rows: Sequence[dict[str, Any]]) -> None:
        """Everything in one part of the hour of the first row."""
        segment, hour = new_id(), hour_of(str(rows[0][KEYS[asset]]))
        path = f"{asset}/{segment}.parquet"
        columns = schema(asset)
        full = [{name: row.get(name) for name in columns} for row in rows]
        self.lake.write(pl.DataFrame(full, schema=columns), path)
        with self.database.begin() as connection:
            connection.execute(
                sa.insert(parts).values(
                    asset=asset, hour=hour, segment_id=segment, path=path, rows=len(rows)
                )
            )
