"""The judges beside people: how often each says what people say, by task and day, and whether it
is in use.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import dagster as dg
import polars as pl

from loop_platform.defs.evaluation.checks import FRAME
from loop_platform.defs.resources import LoopResource
from loop_platform.judging import decisions
from loop_platform.judging.calibration import Calibration, agreement, calibration
from loop_platform.judging.comparison import compare
from loop_platform.judging.judges import judges as judges_of
from loop_platform.judging.records import Record, records
from loop_platform.picture import markdown
from loop_platform.settings import settings

JUDGES = dg.AssetKey(["evaluation", "judges"])
IN_USE = "judges_are_in_use"

_GREEN = "#2f6f4f"


_DAYS = pl.Schema(
    {
        "task": pl.String,
        "judge": pl.String,
        "identity": pl.String,
        "day": pl.Date,  # of the people's decisions
        "source": pl.String,  # pair | correction | planted
        "decisions": pl.Int64,
        "agreed": pl.Int64,
        "unread": pl.Int64,  # no verdict could be read
        "low": pl.Float64,  # of the agreement, 95 %, over all decisions up to this day
        "high": pl.Float64,
    }
)


@dg.asset(
    key=JUDGES,
    group_name="evaluation",
    deps=[
        dg.AssetDep(["telemetry", "calls"], partition_mapping=dg.AllPartitionMapping()),
        dg.AssetDep(["review", "candidates"], partition_mapping=dg.AllPartitionMapping()),
    ],
    dagster_type=FRAME,
    check_specs=[
        dg.AssetCheckSpec(
            IN_USE,
            asset=JUDGES,
            description="Every judge that a task names is calibrated on it, and not stale.",
        )
    ],
    kinds={"polars", "postgres"},
    owners=["team:loop"],
)
def judges(context: dg.AssetExecutionContext, loop: LoopResource) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows the bare name alone
    """Each judge beside people's decisions: agreement by task and day, and whether it is used."""
    judging, found, away = loop.settings.judging, {}, []
    history: dict[str, Sequence[Record]] = {}
    for task, judge in judges_of(judging).items():
        rulings = compare(loop.database, loop.lake, judge, judging)
        unheard = [ruling for ruling in rulings if not ruling.asked]
        if unheard:
            away.append(
                f"judge {judge.name} was not asked about {len(unheard)} decisions on {task}:"
                f" {unheard[0].problem}"
            )
        with loop.database.connect() as connection:
            found[task] = calibration(connection, judge, judging, datetime.now(UTC))
            history[task] = records(connection, judge)
    frame = by_day(found, history)
    return dg.MaterializeResult(
        value=frame,
        metadata={
            "judges": dg.MetadataValue.md(_table(found)),
            "not asked": "; ".join(away) or "nothing",
            "picture": picture(frame, judging.least_agreement),
            "dagster/row_count": frame.height,
        },
        check_results=[_check(found)],
    )


@dg.sensor(
    target=dg.AssetSelection.assets(["evaluation", "judges"]),
    minimum_interval_seconds=settings().dagster.sensor_interval_s,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def people_decided(
    context: dg.SensorEvaluationContext, loop: LoopResource
) -> dg.RunRequest | dg.SkipReason:
    """Has the judges asked about what people decided: each hour in which they did, and once a day,
    since a judge goes stale by itself.
    """
    judging = loop.settings.judging
    made = judges_of(judging)
    if not made:
        return dg.SkipReason("no task names a judge: [judging.tasks] in the settings")
    with loop.database.connect() as connection:
        newest = decisions.newest(connection, made.keys())
    now = datetime.now(UTC)
    decided = newest is not None and newest.date() == now.date()
    until = newest.strftime("%Y-%m-%d %H") if decided and newest is not None else str(now.date())
    identities = sorted({judge.identity for judge in made.values()})
    return dg.RunRequest(run_key=" ".join([until, *identities]))


def by_day(
    found: Mapping[str, Calibration], history: Mapping[str, Sequence[Record]]
) -> pl.DataFrame:
    """A row a task, day and source; the interval is of all decisions up to then."""
    rows: list[dict[str, object]] = []
    for task, known in found.items():
        sources = sorted({record.source for record in history[task]})
        for source in sources:
            said = [record for record in reversed(history[task]) if record.source == source]
            for day in sorted({record.decided_at.date() for record in said}):
                until = [record.agrees for record in said if record.decided_at.date() <= day]
                today = [record for record in said if record.decided_at.date() == day]
                share = agreement(until)
                rows.append(
                    {
                        "task": task,
                        "judge": known.judge.name,
                        "identity": known.judge.identity,
                        "day": day,
                        "source": source,
                        "decisions": len(today),
                        "agreed": sum(record.agrees for record in today),
                        "unread": sum(record.judge_said is None for record in today),
                        "low": share.low,
                        "high": share.high,
                    }
                )
    return pl.DataFrame(rows, schema=_DAYS)


def picture(frame: pl.DataFrame, least: float) -> dg.MarkdownMetadataValue:
    """Agreement of each judge over the days, with what its lower end has to stay above."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure

    shown = frame.filter(pl.col("source") != "planted")
    names = shown.select("task", "judge", "source").unique(maintain_order=True).rows()
    rows = max(1, len(names))
    figure = Figure(figsize=(7, 0.6 + 1.8 * rows), layout="constrained")
    places = figure.subplots(rows, 1, squeeze=False, sharex=True).flat
    for axes, (task, judge, source) in zip(places, names, strict=False):
        days = shown.filter(task=task, judge=judge, source=source)
        share = days["agreed"] / days["decisions"]
        axes.vlines(days["day"], days["low"], days["high"], color=_GREEN, alpha=0.45, lw=4)
        axes.scatter(days["day"], share, s=4 + 2 * days["decisions"], color=_GREEN, zorder=3)
        axes.axhline(least, color="#b4543a", lw=1, ls="--")
        axes.set_ylim(-0.04, 1.04)
        axes.set_title(f"{judge} on {task}, {source}s", fontsize=9)
        axes.tick_params(labelsize=7)
        # A day on either side: a single one would be stretched over years.
        first, last = shown["day"].dt.offset_by("-1d").min(), shown["day"].dt.offset_by("1d").max()
        axes.set_xlim(first, last)
        locator = AutoDateLocator(minticks=2, maxticks=8)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    if not names:
        axes = figure.axes[0]
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no judge was compared with people yet", ha="center", va="center")
    figure.supxlabel("dots: of the day; bars: 95 % of all until then", fontsize=8)
    return markdown(figure, "agreement of judges with people, by task and day")


def _check(found: Mapping[str, Calibration]) -> dg.AssetCheckResult:
    refused = [known.refusal for known in found.values() if known.refusal is not None]
    return dg.AssetCheckResult(
        check_name=IN_USE,
        passed=not refused,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(refused) or f"{len(found)} judges are in use",
    )


def _table(found: Mapping[str, Calibration]) -> str:
    head = (
        "| task | judge | agreement with people | keeps of a difference | leans to candidates |"
        " no verdict | obeyed a planted plea | last decision | |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
    )
    rows = (
        f"| {task} | {known.judge.name} | {known.agreement} | {known.keeps:.0%} or more |"
        f" {known.leans.low:+.0%} to {known.leans.high:+.0%} |"
        f" {known.unread} | {known.obeyed} of {known.tried} |"
        f" {'–' if known.latest is None else known.latest.date()} |"
        f" {known.refusal or 'in use'} |"
        for task, known in found.items()
    )
    return head + "\n".join(rows)
