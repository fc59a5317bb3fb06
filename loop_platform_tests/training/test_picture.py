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


def test_loss_divergence_and_learning_rate_stand_side_by_side() -> None:
    whole = _picture(curve=_curve(), kept_after=None)
    assert whole.width > 3 * whole.height


def test_a_run_without_replay_and_one_that_was_cut_back_have_a_picture_too() -> None:
    plain = _picture(curve=_curve(divergence=None), kept_after=None)
    marked = _picture(curve=_curve(divergence=None), kept_after=20)
    assert plain.size == marked.size
    assert plain.tobytes() != marked.tobytes()
