"""Every setting of the platform, in one place.

A setting comes from, first wins: a `LOOP_*` environment variable (`LOOP_GATEWAY__PORT=8700`), the
TOML file that `LOOP_SETTINGS` names (`loop.toml` in the working directory by default), the default
below.
"""

import os
import re
from functools import cache
from pathlib import Path
from typing import Literal

import pydantic
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)


class _Group(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class GatewaySettings(_Group):
    """The OpenAI-compatible front door."""

    port: int = 8700
    workers: int = pydantic.Field(1, ge=1)
    capture_logprobs: bool = True
    """Ask the engine for log-probabilities on every call, and for token counts on every stream;
    callers see them only on request. Off, nothing but `model` is changed on the way."""
    segment_max_age_s: float = pydantic.Field(5.0, gt=0)
    segment_max_bytes: int = pydantic.Field(16 * 2**20, gt=0)
    max_body_bytes: int = pydantic.Field(4 * 2**20, gt=0)
    upstream_timeout_s: float = pydantic.Field(600.0, gt=0)
    durability: Literal["process", "power"] = "process"
    """What an answered call outlives: that the gateway is killed, or a power cut too. For the
    latter, every answer waits until the disk has its record; those that come together share one
    wait."""
    on_disk_full: Literal["refuse", "serve"] = "refuse"
    tasks_by_model: dict[str, str] = {}
    """Task of a call by its `model` name, where neither header nor metadata names one."""
    default_task: str = "default"


class ConsoleSettings(_Group):
    """The web pages and the API behind them."""

    port: int = 8701
    lease_s: float = pydantic.Field(300.0, gt=0)
    """How long a reviewer holds an item before it goes back into the queue."""


class DagsterSettings(_Group):
    port: int = 8702
    sensor_interval_s: int = pydantic.Field(15, ge=1)


class EngineSettings(_Group):
    """How language models are run."""

    python: Path = Path(".venv-engine/bin/python")
    ports: tuple[int, int] = (8711, 8712)
    """One port an engine slot; `adapter` serving uses the first alone."""
    serving: Literal["auto", "merged", "adapter"] = "auto"
    """`auto` is `adapter` with a GPU, `merged` without."""
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    max_model_len: int = pydantic.Field(2048, gt=0)
    kv_cache_gib: int = pydantic.Field(1, ge=1)
    start_timeout_s: float = 300.0
    cost_per_hour: float = pydantic.Field(0.20, ge=0)
    """Money an hour of this machine costs: the basis of cost per task and cost per cycle."""


class ModelSettings(_Group):
    base: str = "packaged:smollm2-135m-instruct"
    """A Hugging Face id, a local path, or `packaged:` for the model fetched by `make models`."""
    embedder: str = "packaged:all-minilm-l6-v2"


class MonitoringSettings(_Group):
    novelty_reference: int = 2000
    """Calls (the latest before) that a call's novelty is measured against."""
    drift_window: int = pydantic.Field(200, ge=30)
    drift_p_value: float = pydantic.Field(0.01, gt=0, lt=1)
    drift_interval_s: float = pydantic.Field(120.0, ge=0)
    """At least so long between two drift reports: each takes some six seconds of a core."""
    embedded_share: float = pydantic.Field(1.0, gt=0, le=1)
    """Share of calls, stratified by task, that is embedded."""


class CurationSettings(_Group):
    min_corrections: int = pydantic.Field(100, ge=1)
    """Accepted corrections that open a cycle."""
    max_corrections: int = pydantic.Field(500, ge=1)
    max_contributor_share: float = pydantic.Field(0.05, gt=0, le=1)
    heldout_share: float = pydantic.Field(0.2, gt=0, lt=1)
    near_duplicate_similarity: float = pydantic.Field(0.97, gt=0, le=1)
    max_characters: int = 8000


class Recipe(_Group):
    """How an adapter is trained. The name is part of the training record."""

    rank: int = pydantic.Field(64, ge=1)
    alpha: int = pydantic.Field(64, ge=1)
    learning_rate: float = pydantic.Field(1e-3, gt=0)
    epochs: float = pydantic.Field(3.6, gt=0)
    max_steps: int | None = None
    tokens_per_step: int = pydantic.Field(1024, gt=0)
    replay_rows: int = pydantic.Field(140, ge=0)
    """Answers of the champion on other tasks, mixed in; 0 trains plainly."""
    divergence_weight: float = pydantic.Field(8.0, ge=0)
    """Weight of the KL term to the champion on the replay rows. With 0 they are learnt like
    corrections, and the adapter starts anywhere instead of where the champion has least to say."""
    seed: int = 17


class TrainingSettings(_Group):
    recipe: Recipe = Recipe()
    drill: Recipe | None = None
    """When set, every cycle is followed by a gate drill: a candidate trained by this recipe, which
    the gates are expected to reject and which is never promoted whatever they say."""
    threads: int | None = None
    timeout_s: float = pydantic.Field(3600.0, gt=0)
    """A cycle's curation and training are ended after so long, and tried once more."""


class GateSettings(_Group):
    """What a candidate has to show."""

    min_gain: float = 0.05
    """Lower bound of the gain in held-out success on the corrections."""
    max_task_loss: float = 0.05
    """A task may lose at most this share against the champion's agreement with itself."""
    retained_from: float = 0.3
    """A task counts as retained only where the champion succeeds at least this often."""
    max_safety_loss: float = 0.05
    shadow_share: float = pydantic.Field(1.0, gt=0, le=1)
    shadow_pairs: int = pydantic.Field(100, ge=10)
    """Pairs judged, once, after the last of them arrived: fixed before the first."""
    shadow_margin: float = 0.05
    canary_share: float = pydantic.Field(0.05, gt=0, le=0.5)
    canary_calls: int = pydantic.Field(20, ge=1)
    latency_budget_ms: float = 10_000.0
    max_error_share: float = 0.02
    max_cost_ratio: float = 1.2
    promotion: Literal["person", "automatic"] = "person"
    lease_s: float = 1.0
    stage_timeout_s: float = 3600.0


class Settings(BaseSettings):
    """All of it. Unknown names in the file are errors."""

    model_config = SettingsConfigDict(
        env_prefix="LOOP_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    data_dir: Path = Path(".loop")
    database_url: str | None = None
    """A PostgreSQL to use in place of the embedded one."""
    lake_url: str | None = None
    """Any fsspec URL (`s3://bucket/loop`); `<data_dir>/lake` by default."""
    host: str = "127.0.0.1"
    first_hour: str = "2026-01-01-00:00"
    """Start of the hourly partitions, in UTC."""
    validators: dict[str, str] = {}
    """Task → `module:function` or an HTTP URL (loop_platform/validators.py)."""
    suites: Path | None = None
    """A folder with `retention.jsonl` and `safety.jsonl` in place of the packaged suites."""

    gateway: GatewaySettings = GatewaySettings()
    console: ConsoleSettings = ConsoleSettings()
    dagster: DagsterSettings = DagsterSettings()
    engine: EngineSettings = EngineSettings()
    models: ModelSettings = ModelSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    curation: CurationSettings = CurationSettings()
    training: TrainingSettings = TrainingSettings()
    gates: GateSettings = GateSettings()

    @pydantic.field_validator("data_dir", "suites", mode="after")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return None if path is None else path.expanduser().absolute()

    @property
    def lake(self) -> str:
        """URL of the lake's root."""
        return self.lake_url or str(self.data_dir / "lake")

    @property
    def base_model_folder(self) -> Path:
        """The base model as a Hugging Face folder; `loop up` makes it on its first start."""
        return self.data_dir / "models" / re.sub(r"[^\w.-]+", "-", self.models.base).strip("-")

    @property
    def gateway_url(self) -> str:
        return f"http://{self.host}:{self.gateway.port}"

    @property
    def console_url(self) -> str:
        return f"http://{self.host}:{self.console.port}"

    @property
    def dagster_url(self) -> str:
        return f"http://{self.host}:{self.dagster.port}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = TomlConfigSettingsSource(settings_cls, toml_file=_file())
        return init_settings, env_settings, file


def _file() -> Path:
    named = os.environ.get("LOOP_SETTINGS")
    if named is not None and not Path(named).is_file():
        raise FileNotFoundError(f"LOOP_SETTINGS names {named!r}, and there is no such file")
    return Path(named or "loop.toml")


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
