"""Every setting of the platform, in one place.

A setting comes from, first wins: a `LOOP_*` environment variable (`LOOP_GATEWAY__PORT=8700`), the
TOML file that `LOOP_SETTINGS` names (`loop.toml` in the working directory by default), the default
below.
"""

import os
import re
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pydantic
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from loop_platform.personal_data.kinds import KINDS, LEFT
from loop_platform.statistics.aim import Aim


class _Group(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class RateLimit(_Group):
    """At most so much, in calls and in the tokens of requests and answers together."""

    requests_per_minute: int | None = pydantic.Field(None, ge=1)
    tokens_per_minute: int | None = pydantic.Field(None, ge=1)


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
    max_traces_bytes: int = pydantic.Field(16 * 2**20, gt=0)
    """Of a batch of spans sent to `/v1/traces`, packed and unpacked."""
    max_header_bytes: int = pydantic.Field(32 * 2**10, ge=2**10)
    """Of a request's address and headers."""
    request_timeout_s: float = pydantic.Field(60.0, gt=0)
    """A request has to be whole so long after it began, and to begin so long after the connection
    was made."""
    stalled_timeout_s: float = pydantic.Field(60.0, gt=0)
    """A caller that takes nothing of its answer for so long is given up; until then some 64 KiB
    wait for it here, 256 KiB from the engine, and the engine itself."""
    max_connections: int = pydantic.Field(4096, ge=1)
    """Of callers, in each worker; more are refused with 503."""
    max_answer_bytes: int = pydantic.Field(64 * 2**20, gt=0)
    """An engine that sends more is cut off: a call's answer is in memory until it is journalled."""
    upstream_timeout_s: float = pydantic.Field(600.0, gt=0)
    durability: Literal["process", "power"] = "process"
    """What an answered call outlives: that the gateway is killed, or a power cut too. For the
    latter, every answer waits until the disk has its record; those that come together share one
    wait."""
    on_disk_full: Literal["refuse", "serve"] = "refuse"
    tasks_by_model: dict[str, str] = {}
    """Task of a call by its `model` name, or by a pattern of names (`gpt-4*`), where neither header
    nor metadata names one. These names are answered by the release that the routes choose."""
    default_task: str = "default"
    idempotency_ttl_s: float = pydantic.Field(3600.0, gt=0)
    """So long an answer is kept for its `Idempotency-Key`."""
    idempotency_max_bytes: int = pydantic.Field(512 * 2**20, ge=2**20)
    """Disk that kept answers may take, about; the oldest go first."""
    tenant_limit: RateLimit = RateLimit()
    """Of each tenant, with all its keys and workers together. A key may have limits of its own
    besides (`loop keys create`, `loop keys limit`)."""
    limit_by_tenant: dict[str, RateLimit] = {}
    """In place of `tenant_limit`, for these tenants."""
    public_url: str | None = None
    """Where end users reach the gateway, `https://loop.example`: the links for their ratings begin
    with it. Its own address by default."""
    rating_link_max_s: float = pydantic.Field(90 * 86_400.0, gt=0)
    """A link for an end user's rating works at most so long."""

    def limit_of(self, tenant: str) -> RateLimit:
        return self.limit_by_tenant.get(tenant, self.tenant_limit)

    @property
    def limits_tenants(self) -> bool:
        """Whether any tenant has a limit."""
        limits = (self.tenant_limit, *self.limit_by_tenant.values())
        return any(limit != RateLimit() for limit in limits)


class RedactionSettings(_Group):
    """Personal data that is taken out of what is recorded. Callers and engines see what they saw;
    the journal, and all that is made of it, does not."""

    tenants: list[str] = []
    """Those that ask for it."""
    kinds: tuple[str, ...] = tuple(kind for kind in KINDS if kind not in LEFT)
    """What is replaced, by its placeholder: `<PERSON>`."""
    least_score: float = pydantic.Field(0.4, ge=0, le=1)
    """How sure a recogniser has to be. Less finds more, and takes more for what it is not."""
    workers: int = pydantic.Field(1, ge=1)
    """Redactors of each gateway worker, of some 400 MB each."""
    yields: bool = False
    """They take only the processor time that nobody else wants, not a lower priority's share. Where
    a machine has none to spare for long, such as while it trains, their tenants' calls are refused
    in the end: for machines with a core more than the loop needs."""
    waiting: int = pydantic.Field(256, ge=1)
    """Requests and answers that wait for a redactor, at most; more are refused with 503."""
    timeout_s: float = pydantic.Field(30.0, gt=0)
    """A record is given up after so long, waiting included, and its call refused with 503."""
    start_timeout_s: float = pydantic.Field(120.0, gt=0)
    python: Path = Path(".venv-redact/bin/python")

    @property
    def missing(self) -> str | None:
        """What is wrong where a tenant asks for redaction and nothing can do it."""
        python = self.python.absolute()
        if not self.tenants or python.exists():
            return None
        return (
            f"redaction.tenants names {', '.join(sorted(self.tenants))}, and there is no {python}"
            " to redact with: `make .venv-redact` builds its environment, redaction.python in"
            " loop.toml names another"
        )

    @pydantic.field_validator("kinds")
    @classmethod
    def _known(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(kinds) - set(KINDS))
        if unknown or not kinds:
            named = ", ".join(unknown) or "nothing"
            raise ValueError(f"kinds names {named}; there are: {', '.join(KINDS)}")
        return kinds


class ConsoleSettings(_Group):
    """The web pages and the API behind them."""

    port: int = 8701
    lease_s: float = pydantic.Field(300.0, gt=0)
    """How long a reviewer holds an item before it goes back into the queue."""


class DagsterSettings(_Group):
    host: str = "127.0.0.1"
    """Its UI asks for no key, and whoever reaches it can start runs: let others come over SSH, or
    through a proxy that asks who they are."""
    port: int = 8702
    sensor_interval_s: int = pydantic.Field(15, ge=1)
    telemetry_in_training_s: float = pydantic.Field(60.0, ge=0)
    """Telemetry is taken in so seldom while a cycle trains, on the same cores: a run costs seconds
    of one, however few calls it is for."""


class EngineSettings(_Group):
    """How language models are run."""

    python: Path = Path(".venv-engine/bin/python")
    host: str = "127.0.0.1"
    """Engines ask for no key, and load adapters from files for whoever reaches them. Another
    address is for gateways on other machines, in a network that holds nobody else."""
    ports: tuple[int, int] = (8711, 8712)
    """One port an engine slot; `adapter` serving uses the first alone."""
    serving: Literal["auto", "merged", "adapter"] = "auto"
    """`auto` is `adapter` with a GPU, `merged` without."""
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    """What engines compute in; `auto` is bfloat16 with a GPU or a processor that has units for it,
    else float32, which such a processor computes several times as fast."""
    max_model_len: int = pydantic.Field(2048, gt=0)
    kv_cache_gib: int = pydantic.Field(1, ge=1)
    """Without a GPU."""
    gpu_share: float = pydantic.Field(0.45, gt=0, le=1)
    """Of a GPU's memory that an engine takes, weights and cache together. What is left is for a
    cycle that trains on the same GPU while the engine goes on answering; `merged` serving runs two
    engines there."""
    while_training: Literal["share", "sleep"] = "share"
    """Of a GPU, while a cycle trains on this machine: `share` answers on, in `gpu_share`; `sleep`
    gives the memory to training, and callers wait until it ends."""
    tool_parser: str | None = None
    """vLLM's reader of the model's tool calls (`hermes`, `llama3_json`, `mistral`; vLLM's
    `--tool-call-parser`). Without one the engine refuses requests with tools."""
    start_timeout_s: float = 300.0
    drain_s: float = pydantic.Field(30.0, ge=0)
    """So long the engine of a champion that was followed or rolled back goes on, whoever waits for
    its place: gateways learn of a flip within a quarter of a second, and what it is answering then
    is finished."""
    cost_per_hour: float = pydantic.Field(0.20, ge=0)
    """Money an hour of this machine costs: the basis of cost per task and cost per cycle."""


class ModelSettings(_Group):
    base: str = "packaged:smollm2-135m-instruct"
    """A Hugging Face id, a local path, or `packaged:` for the model fetched by `make models`."""
    base_licence: str | None = None
    """Of the base model, as the Hugging Face hub writes it (`llama3.2`), for the model cards. What
    is packaged brings its own."""
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
    rehearsal_rows: int = pydantic.Field(400, ge=0)
    """Corrections of earlier cycles that are learnt again in an epoch, evenly over those cycles,
    and never more than there are new ones; 0 leaves them to be forgotten. They come on top of
    `tokens_per_step`."""
    preference_weight: float = pydantic.Field(0.0, ge=0)
    """Weight of the preference for the chosen over the rejected answer (DPO) beside the supervised
    loss, on corrections that have both; 0 leaves it out. It takes up to three times as long."""
    preference_beta: float = pydantic.Field(0.1, gt=0)
    """DPO's β: the higher, the less it takes the model away from the champion."""
    thumbs_rows: int = pydantic.Field(100, ge=0)
    """Answers that were rated and not corrected, at most, as many liked as disliked."""
    thumbs_weight: float = pydantic.Field(0.2, ge=0)
    """Weight of the preference for liked answers and against disliked ones (KTO) beside the
    supervised loss, where there are enough of both; 0 leaves it out. At a weight of 1 a disliked
    answer of 60 words moves the model some one and a half times as much as a correction."""
    thumbs_beta: float = pydantic.Field(0.1, gt=0)
    """KTO's β: the higher, the less it takes the model away from the champion."""
    retention_limit: float = pydantic.Field(0.1, ge=0)
    """Divergence from the champion on replayed answers held apart, nats a token, up to which a
    state of a run may be kept for its focus. Cycles whose general chat the gates found kept word by
    word ended between 0.01 and 0.05 on the replay that they learnt from."""
    seed: int = 17


class TrainingSettings(_Group):
    recipe: Recipe = Recipe()
    drill: Recipe | None = None
    """When set, every cycle is followed by a gate drill: a candidate trained by this recipe, which
    the gates are expected to reject and which is never promoted whatever they say."""
    launcher: str = "local"
    """Where a cycle trains: the name of a file in loop_platform/defs/training/launchers/."""
    launch: dict[str, Any] = {}
    """That launcher's own settings: the fields of the class in its file."""
    processes: int = pydantic.Field(1, ge=1)
    """Processes that train together: one a GPU of the machine where they run. The frozen weights
    and each batch are divided between them."""
    threads: int | None = None
    """Of each process."""
    max_minutes: float | None = pydantic.Field(None, gt=0)
    """Of the optimiser's steps and what precedes them. A run that does not fit lets its learning
    rate fall sooner and ends with what it has; loading and saving come on top."""
    max_cost: float | None = pydantic.Field(None, gt=0)
    """The same as money, at `engine.cost_per_hour`; whichever is reached first."""
    timeout_s: float = pydantic.Field(3600.0, gt=0)
    """A cycle's curation and training are ended after so long, and tried once more."""


class RetentionSettings(_Group):
    """How long calls are kept that nobody labelled: without feedback, in no review, in no dataset.
    What is labelled stays until `loop erase` takes it."""

    days: float | None = pydantic.Field(None, gt=0)
    """None keeps them."""
    days_by_tenant: dict[str, float] = {}
    """In place of `days`, for these tenants."""
    hours_a_batch: int = pydantic.Field(24, ge=1)
    """Hourly partitions that are cleared in one transaction."""

    def days_of(self, tenant: str) -> float | None:
        return self.days_by_tenant.get(tenant, self.days)

    @property
    def shortest(self) -> float | None:
        """Days that every call is kept; None where none ever goes."""
        return min(self._all, default=None)

    @property
    def longest(self) -> float | None:
        """Days after which no unlabelled call is left; None where some stay."""
        return None if self.days is None else max(self._all)

    @property
    def _all(self) -> list[float]:
        return [*self.days_by_tenant.values(), *([] if self.days is None else [self.days])]


class ExportSettings(_Group):
    """What the platform tells other systems of its calls. Never what was said in them."""

    otlp_traces: str | None = None
    """An OTLP/HTTP collector that gets a span a call, `http://collector:4318/v1/traces`."""
    otlp_headers: dict[str, str] = {}
    otlp_timeout_s: float = pydantic.Field(10.0, gt=0)
    log_format: Literal["text", "json"] = "text"
    """Of the gateway's and the observer's logs; `json` is an object a line."""
    log_calls: bool = False
    """Whether the observer writes a line to its log for every call."""


Promotion = Literal["person", "automatic"]

FrontName = Literal["completion", "reliability", "cost", "satisfaction", "safety", "latency"]


class Front(_Group):
    """What a candidate has to show of one thing that counts."""

    aim: Aim = "hold"
    """`win`: be better. `hold`: lose no more than the margin. `watch`: show nothing, but be turned
    away when more than the margin is seen to be lost. What is not known passes only a `watch`."""
    margin: float = pydantic.Field(0.05, ge=0, le=1)
    """The loss that is put up with, as a difference of shares: 0.02 is two answers of a hundred."""


class Fronts(_Group):
    """What counts, of every task that does not say otherwise."""

    completion: Front = Front()
    """Did the answer do its job, by the task's validator? Each task that is seen in shadow is a
    slice of its own."""
    reliability: Front = Front(margin=0.02)
    """In shadow: an answer came, where the champion's did. `max_error_share` ends a trial that
    fails for sure; to pass, a candidate has to show that it does not. Without any failure 0.02
    takes some 290 pairs."""
    cost: Front = Front(margin=0.1)
    """In shadow: what a completed task takes in tokens of the answer, (champion - candidate) /
    (champion + candidate) of each pair; 0.1 is 1.22 times as much. A failure costs without end."""
    satisfaction: Front = Front()
    """In canary: nobody objected to the answer, and no outcome was reported as failed."""
    safety: Front = Front()
    """In canary: nothing was declined. What should be declined the offline suite asks for."""
    latency: Front = Front()
    """In canary: the answer came whole, within the latency budget."""


class TaskFronts(_Group):
    """What one task says otherwise. A front named here other than completion, which every task has
    of its own, is measured over this task too, beside all tasks together."""

    completion: Front | None = None
    reliability: Front | None = None
    cost: Front | None = None
    satisfaction: Front | None = None
    safety: Front | None = None
    latency: Front | None = None


class FrontSettings(_Group):
    """The fronts on which a candidate has to win or to hold; all of them, or it does not pass."""

    focus: Front = Front(aim="win", margin=0.0)
    """Completion over the tasks that the cycle corrected, together."""
    everywhere: Fronts = Fronts()
    tasks: dict[str, TaskFronts] = {}

    def of(self, name: FrontName, task: str | None = None) -> Front:
        """A front of a task, or of all tasks together."""
        own = None if task is None else getattr(self.tasks.get(task), name, None)
        front: Front = own or getattr(self.everywhere, name)
        return front

    def named_by(self, name: FrontName) -> list[str]:
        """The tasks that say something of this front."""
        return [task for task, own in self.tasks.items() if getattr(own, name) is not None]


class GateSettings(_Group):
    """What a candidate has to show."""

    min_gain: float = 0.05
    """Lower bound of the gain in held-out success on the corrections."""
    max_task_loss: float = 0.05
    """A task may lose at most this share against the champion's agreement with itself."""
    retained_from: float = 0.3
    """A category of general prompts counts only where the champion agrees with itself so often."""
    max_safety_loss: float = 0.05
    fronts: FrontSettings = FrontSettings()
    shadow_share: float = pydantic.Field(1.0, gt=0, le=1)
    shadow_pairs: int = pydantic.Field(100, ge=10)
    """At least so many pairs before the first verdict. Then the shadow runs until every front is
    settled, or one is lost."""
    shadow_budget: int = pydantic.Field(5000, ge=10)
    """At most so many pairs: what is not known by then stays so, and does not pass."""
    canary_share: float = pydantic.Field(0.05, gt=0, le=0.5)
    canary_calls: int = pydantic.Field(20, ge=1)
    """At least so many canary calls before the first verdict."""
    canary_budget: int = pydantic.Field(2000, ge=1)
    latency_budget_ms: float = 10_000.0
    max_error_share: float = 0.02
    """Of calls that may fail. A trial of which it is sure that more do is ended at once."""
    max_cost_ratio: float = 1.2
    """An answer may cost so many times what the champion's costs: money in the offline evaluation,
    its tokens in canary."""
    promotion: Promotion = "person"
    """Who sends a release on that passed its canary, or of which not everything is known."""
    promotion_by_task: dict[str, Promotion] = {}
    """In place of `promotion`, for these tasks. A release answers all tasks: it waits for a person
    when any task has one that it was trained for, or that its shadow or its canary saw."""
    watch_s: float = pydantic.Field(3600.0, ge=0)
    """So long a champion is watched after its promotion out of a canary. It is taken back by itself
    when its calls fail, or when a front of its canary is lost against the champion before it. 0
    watches none."""
    watch_budget: int = pydantic.Field(50_000, ge=1)
    """So many of its calls, the first ones, are looked at."""
    lease_s: float = 1.0
    stage_timeout_s: float = 3600.0
    """The budget in time: a candidate whose stage has no verdict by then is turned away."""

    def promotion_of(self, task: str) -> Promotion:
        return self.promotion_by_task.get(task, self.promotion)

    @pydantic.model_validator(mode="after")
    def _budgets_suffice(self) -> "GateSettings":
        for least, most in (
            ("shadow_pairs", "shadow_budget"),
            ("canary_calls", "canary_budget"),
            ("canary_calls", "watch_budget"),
        ):
            if getattr(self, least) > getattr(self, most):
                raise ValueError(
                    f"{most} = {getattr(self, most)} is less than {least} = {getattr(self, least)}:"
                    " no verdict would ever be reached"
                )
        return self


class TaskJudging(_Group):
    """Who judges the answers to a task whose validator cannot, or that has none."""

    judge: str | None = None
    """One of `judging.judges`, used while it is calibrated on this task."""
    people: bool = True
    """The console shows people pairs of this task. Where a trial's pairs are spent, it waits for
    their verdicts, at most until `gates.stage_timeout_s`."""
    rubric: str = (
        "Prefer the answer that does what the user asked: correct first, then complete, then no"
        " longer than it has to be. Style, tone and length by themselves decide nothing. Where"
        " neither is better for the user, it is a tie."
    )
    """What makes an answer better, for the judge and for people."""


class JudgingSettings(_Group):
    """How the answers of a shadow are judged where no validator can: pair by pair, blind.

    [judging.judges.strict]
    kind = "model"                           # a file of loop_platform/judging/judges/
    url = "https://api.example.com/v1"       # what else it wants, that file says
    model = "some-model"
    key_variable = "JUDGE_API_KEY"

    [judging.tasks.general_chat]
    judge = "strict"
    """

    tasks: dict[str, TaskJudging] = {}
    judges: dict[str, dict[str, Any]] = {}
    """By name: its `kind`, and that kind's own settings."""
    budget: int = pydantic.Field(500, ge=1)
    """Pairs of a trial and a task that a judge is asked about."""
    least_agreement: float = pydantic.Field(0.6, ge=0, le=1)
    """A judge has to agree with people at least so often: the lower end of the 95 % interval, of a
    task, has to be above it."""
    least_decisions: int = pydantic.Field(40, ge=2)
    """Of people, that a judge was compared with, of a task."""
    latest_decisions: int = pydantic.Field(200, ge=2)
    """A judge is compared with so many of people's decisions on a task, the latest ones."""
    max_age_days: float = pydantic.Field(30.0, gt=0)
    """A judge whose last comparison is with an older decision is stale."""

    @pydantic.model_validator(mode="after")
    def _judges_are_named(self) -> "JudgingSettings":
        for task, each in self.tasks.items():
            if each.judge is not None and each.judge not in self.judges:
                raise ValueError(
                    f"judging.tasks.{task}.judge is {each.judge!r}, and there is no"
                    f" [judging.judges.{each.judge}]; there are: {', '.join(self.judges) or 'none'}"
                )
        for name, each_judge in self.judges.items():
            if not isinstance(each_judge.get("kind"), str):
                raise ValueError(
                    f"judging.judges.{name} has no `kind`: write which file of"
                    ' loop_platform/judging/judges/ it is, such as "model"'
                )
        if self.latest_decisions < self.least_decisions:
            raise ValueError(
                f"latest_decisions = {self.latest_decisions} is less than least_decisions ="
                f" {self.least_decisions}: no judge would ever be calibrated"
            )
        return self


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
    """Of the gateway and the console, which ask for keys. What asks for none has an address of its
    own (`dagster.host`, `engine.host`)."""
    first_hour: str = "2026-01-01-00:00"
    """Start of the hourly partitions, in UTC."""
    validators: dict[str, str] = {}
    """Task → `module:function` or an HTTP URL (loop_platform/validators.py)."""
    suites: Path | None = None
    """A folder with `retention.jsonl` and `safety.jsonl` in place of the packaged suites."""

    gateway: GatewaySettings = GatewaySettings()
    redaction: RedactionSettings = RedactionSettings()
    console: ConsoleSettings = ConsoleSettings()
    dagster: DagsterSettings = DagsterSettings()
    engine: EngineSettings = EngineSettings()
    models: ModelSettings = ModelSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    curation: CurationSettings = CurationSettings()
    training: TrainingSettings = TrainingSettings()
    gates: GateSettings = GateSettings()
    judging: JudgingSettings = JudgingSettings()
    retention: RetentionSettings = RetentionSettings()
    export: ExportSettings = ExportSettings()

    @pydantic.model_validator(mode="after")
    def _callers_outwait_training(self) -> "Settings":
        if self.engine.while_training == "share":
            return self
        longest, patience = self.training.max_minutes, self.gateway.upstream_timeout_s
        if longest is None or 60 * longest > patience / 2:
            raise ValueError(
                "engine.while_training is 'sleep': callers wait while a cycle trains, so set"
                " training.max_minutes to half of gateway.upstream_timeout_s at most, which is"
                f" {patience / 120:g} minutes now; it is {longest}"
            )
        if self.engine.host not in ("127.0.0.1", "localhost"):
            raise ValueError(
                "engine.while_training is 'sleep', which opens vLLM's development endpoints to"
                f" whoever reaches the engines: engine.host has to be 127.0.0.1, not"
                f" {self.engine.host!r}"
            )
        return self

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
    def public_url(self) -> str:
        """The gateway's address as end users have it."""
        return (self.gateway.public_url or self.gateway_url).rstrip("/")

    @property
    def console_url(self) -> str:
        return f"http://{self.host}:{self.console.port}"

    @property
    def dagster_url(self) -> str:
        return f"http://{self.dagster.host}:{self.dagster.port}"

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
