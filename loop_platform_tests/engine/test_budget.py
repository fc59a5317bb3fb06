"""What a run may take."""

from loop_platform.engine.budget import Budget
from loop_platform.engine.optimiser import Optimiser


def test_without_a_budget_nothing_is_ever_over():
    assert not Budget(None).is_over(1e9, 1.0)
    assert Budget(None).spent(1e9, 1.0, 5) == 0.0


def test_it_is_over_before_a_step_would_go_beyond_it():
    budget = Budget(60)
    assert not budget.is_over(50, 10)
    assert budget.is_over(51, 10)


def test_only_where_the_rest_does_not_fit_the_share_counts():
    budget = Budget(60)
    assert budget.spent(20, 1.0, left=40) == 0.0
    assert budget.spent(20, 1.0, left=41) == 20 / 60
    assert budget.spent(80, 1.0, left=1) == 1.0


def test_the_learning_rate_falls_with_the_time_that_is_left():
    import torch

    optimiser = Optimiser([torch.zeros(2)], 1.0, steps=100)
    for _ in range(20):
        optimiser.step([torch.ones(2)])
    before = optimiser.learning_rate
    optimiser.spent = 0.1  # less than the steps that are made
    assert optimiser.learning_rate == before
    optimiser.spent = 0.9
    assert optimiser.learning_rate < 0.05 < before
