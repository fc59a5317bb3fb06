"""The picture of a training."""

import base64
import io
from typing import Any

from PIL import Image

from loop_platform.defs.training.picture import course


def _picture(**record: Any) -> "Image.Image":
    shown = course(record).value
    assert isinstance(shown, str)
    data = shown.partition("base64,")[2].rstrip(")")
    return Image.open(io.BytesIO(base64.b64decode(data)))


def _curve(divergence: float | None = 0.01) -> list[dict[str, Any]]:
    return [
        {"step": n, "surprise": 4 / n, "divergence": divergence, "learning_rate": 1e-3 / n}
        for n in range(1, 40)
    ]


def _probes(kept: float = 0.03) -> list[dict[str, Any]]:
    return [
        {"step": 0, "exact": 0.0, "surprise": 3.0, "divergence": 0.0},
        {"step": 20, "exact": 0.7, "surprise": 0.4, "divergence": kept},
    ]


_RECIPE = {"retention_limit": 0.1}


def test_loss_focus_divergence_and_learning_rate_stand_side_by_side() -> None:
    whole = _picture(curve=_curve(), kept_after=None, probes=_probes(), recipe=_RECIPE)
    assert whole.width > 4 * whole.height
    other = _picture(curve=_curve(), kept_after=None, probes=_probes(0.05), recipe=_RECIPE)
    assert whole.tobytes() != other.tobytes()


def test_a_run_without_replay_and_one_of_which_an_earlier_state_was_kept_have_a_picture_too() -> (
    None
):
    plain = _picture(curve=_curve(divergence=None), kept_after=None, probes=[])
    marked = _picture(curve=_curve(divergence=None), kept_after=20, probes=[])
    assert plain.size == marked.size
    assert plain.tobytes() != marked.tobytes()
