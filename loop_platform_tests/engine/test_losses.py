"""The loss over the vocabulary, against the plain formula, to rounding in float32."""

import pytest

from loop_platform.engine import losses
from loop_platform.engine.frozen import Frozen, Packed


@pytest.mark.parametrize("kind", [Frozen, Packed])
@pytest.mark.parametrize("anchored", [False, True])
def test_the_gradient_taken_on_the_way_forward_is_the_formulas(
    monkeypatch: pytest.MonkeyPatch, anchored: bool, kind: type[Frozen]
):
    import torch

    monkeypatch.setattr(losses, "_AT_ONCE", 7)
    torch.manual_seed(1)
    states = torch.randn(20, 8, requires_grad=True)
    champion = torch.randn(20, 8) if anchored else None
    vocabulary = torch.randn(50, 8)
    targets = torch.randint(0, 50, (20,))
    scores = torch.log_softmax(states @ vocabulary.t(), -1)
    if champion is None:
        expected = torch.nn.functional.nll_loss(scores, targets)
    else:
        theirs = torch.log_softmax(champion @ vocabulary.t(), -1)
        expected = torch.nn.functional.kl_div(
            scores, theirs, reduction="batchmean", log_target=True
        )
    (gradient,) = torch.autograd.grad(3.0 * expected, states)

    found = losses._function().apply(states, kind(vocabulary), targets, champion)
    (quick,) = torch.autograd.grad(3.0 * found, states)

    assert float(found) == pytest.approx(float(expected), rel=1e-5)
    assert torch.allclose(quick, gradient, atol=1e-6)
