"""The lake: Parquet files on any fsspec store, written whole or not at all."""

import io
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import dagster as dg
import fsspec
import polars as pl
from upath import UPath


class Lake:
    """A folder of an fsspec store; paths are relative to it."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")
        self._store, self._folder = fsspec.core.url_to_fs(self.root)

    @cached_property
    def is_local(self) -> bool:
        return urlsplit(self.root).scheme in ("", "file", "local")

    @property
    def filesystem(self) -> Any:  # noqa: ANN401  # fsspec publishes no types
        return self._store

    def path(self, *parts: str) -> str:
        """The path that `filesystem` knows `parts` by."""
        return "/".join((self._folder, *parts))

    def read_bytes(self, path: str) -> bytes:
        content: bytes = self._store.cat_file(self.path(path))
        return content

    def write_bytes(self, path: str, content: bytes) -> None:
        """Atomic: object stores put whole objects, a local file is renamed into its place."""
        full = self.path(path)
        if not self.is_local:
            self._store.pipe_file(full, content)
            return
        Path(full).parent.mkdir(parents=True, exist_ok=True)
        draft = Path(f"{full}.{os.getpid()}.draft")
        draft.write_bytes(content)
        draft.replace(full)

    def write(self, frame: pl.DataFrame, path: str) -> None:
        """The same frame gives the same bytes."""
        buffer = io.BytesIO()
        frame.write_parquet(buffer, compression="zstd", statistics=True)
        self.write_bytes(path, buffer.getvalue())

    def read(self, path: str) -> pl.DataFrame:
        return pl.read_parquet(io.BytesIO(self.read_bytes(path)))

    def scan(self, paths: Sequence[str], schema: pl.Schema) -> pl.LazyFrame:
        """The files as one frame of `schema`; columns that a file does not have are null.

        A local file is read by column; of a remote one all of it is fetched.
        """
        if not paths:
            return pl.LazyFrame(schema=schema)
        sources = (
            [self.path(path) for path in paths]
            if self.is_local
            else [io.BytesIO(self.read_bytes(path)) for path in paths]
        )
        return pl.scan_parquet(
            sources,  # type: ignore[arg-type]  # a list of one kind or of the other
            schema=schema,
            missing_columns="insert",
            extra_columns="ignore",
        )

    def exists(self, path: str) -> bool:
        return bool(self._store.exists(self.path(path)))

    def remove(self, path: str) -> None:
        """Gone is gone: no error when it was not there."""
        if self.exists(path):
            self._store.rm_file(self.path(path))


class ParquetIOManager(dg.ConfigurableIOManager, dg.UPathIOManager):
    """Keeps a frame-valued asset as `<lake>/<asset key>/<partition>.parquet`."""

    root: str
    extension: ClassVar[str | None] = ".parquet"  # type: ignore[misc]  # no field, no config

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        self._base_path = UPath(self.root)

    def get_path_for_partition(
        self, context: dg.InputContext | dg.OutputContext, path: UPath, partition: str
    ) -> UPath:
        # Hours have a colon in their key, which not every store and no Windows share takes.
        return super().get_path_for_partition(context, path, partition.replace(":", ""))

    def dump_to_path(self, context: dg.OutputContext, obj: pl.DataFrame, path: UPath) -> None:
        Lake(str(path.parent)).write(obj, path.name)

    def load_from_path(self, context: dg.InputContext, path: UPath) -> pl.DataFrame:
        return Lake(str(path.parent)).read(path.name)
