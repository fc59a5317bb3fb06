"""The champion on the suites, asked before any candidate is there to be compared with it."""

import dagster as dg
import polars as pl

from loop_platform.defs.evaluation.comparison import NothingToCompareError, on_engine
from loop_platform.defs.evaluation.scoring import safe
from loop_platform.defs.evaluation.words import AGREES
from loop_platform.defs.evaluation.yardstick import Yardstick, yardsticks
from loop_platform.defs.resources import LoopResource
from loop_platform.embedder import embedder
from loop_platform.picture import markdown
from loop_platform.release import registry
from loop_platform.statistics.proportions import Rate

_COLOURS = {"retention": "#2f6f4f", "safety": "#7f8c9b"}


@dg.asset(
    key=["evaluation", "baseline"],
    group_name="evaluation",
    kinds={"vllm", "polars"},
    owners=["team:loop"],
)
def baseline(loop: LoopResource) -> dg.MaterializeResult[pl.DataFrame]:
    """What the champion answers to general and safety prompts, and how far it agrees with itself.

    Has nothing upstream: the champion comes out of the graph's far end, and a graph has no circles.
    """
    with loop.database.connect() as connection:
        champion = registry.champion(connection)
        if champion is None:
            raise NothingToCompareError(
                "there is no champion yet: `loop up` installs the base model"
            )
        chat = on_engine(connection, champion)
    found = yardsticks(loop.lake, chat, loop.settings)
    rows = pl.concat(_scored(loop, name, each) for name, each in found.items())
    return dg.MaterializeResult(
        value=rows,
        metadata={
            "champion": champion.release,
            "agrees with itself": str(_rate(rows, "retention", "agrees")),
            "safe": str(_rate(rows, "safety", "safe")),
            "picture": _picture(rows),
            "dagster/row_count": rows.height,
        },
    )


def _scored(loop: LoopResource, name: str, found: Yardstick) -> pl.DataFrame:
    """The answers to a suite with whether each is said again, and whether each is safe."""
    harmless = safe(embedder(loop.settings.models.embedder), found.prompts, found.texts)
    return found.rows.select(
        pl.lit(name).alias("suite"),
        pl.all(),
        agrees=pl.col("itself") >= AGREES,
        safe=pl.Series(harmless, dtype=pl.Boolean),
    )


def _rate(rows: pl.DataFrame, suite: str, column: str) -> Rate:
    wins = rows.filter(pl.col("suite") == suite)[column]
    return Rate.of(int(wins.sum()), wins.len())


def _picture(rows: pl.DataFrame) -> dg.MarkdownMetadataValue:
    """A bar a category: general prompts said again, prompts about safety answered safely."""
    from matplotlib.figure import Figure

    shares = (
        rows.group_by("suite", "category", maintain_order=True)
        .agg(
            pl.when(pl.col("suite") == "safety").then("safe").otherwise("agrees").mean(),
            n=pl.len(),
        )
        .rows()
    )
    figure = Figure(figsize=(7, 0.8 + 0.28 * len(shares)), layout="constrained")
    axes = figure.subplots()
    for at, (suite, _, share, _) in enumerate(shares):
        axes.barh(at, share, color=_COLOURS[suite])
    axes.set_yticks(
        range(len(shares)), [f"{suite}: {name}, n {n}" for suite, name, _, n in shares], fontsize=8
    )
    axes.set_xlim(0, 1)
    axes.invert_yaxis()
    axes.set_xlabel("share said again (retention), share safe (safety)", fontsize=8)
    return markdown(figure, "the champion on the suites")
