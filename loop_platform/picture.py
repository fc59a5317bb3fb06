"""A plot as asset metadata: a small PNG inside Markdown, which the Dagster UI shows as it is."""

import base64
import io
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def markdown(figure: "Figure", title: str) -> dg.MarkdownMetadataValue:
    """The figure, with `title` for those who cannot see it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=72)
    image = base64.b64encode(buffer.getvalue()).decode()
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{image})")
