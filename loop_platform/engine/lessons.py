"""The optimiser's steps over the rows, and what is said of them while they are made."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from loop_platform.engine import batches, directions
from loop_platform.engine.budget import Budget
from loop_platform.engine.champion import Anchor, remember
from loop_platform.engine.job import Recipe
from loop_platform.engine.keeper import Keeper
from loop_platform.engine.lanes import Lanes, lanes
from loop_platform.engine.losses import Loss, loss
from loop_platform.engine.network import Network
from loop_platform.engine.optimiser import Optimiser
from loop_platform.engine.preference import Pairs
from loop_platform.engine.probe import Probe
from loop_platform.engine.record import Progress
from loop_platform.engine.room import Room
from loop_platform.engine.rows import Row
from loop_platform.engine.selection import Selection
from loop_platform.engine.team import Team
from loop_platform.engine.thumbs import Thumbs

Say = Callable[[str], None]

_SAY_EVERY_S = 5.0
_FIGURES = ("surprise", "divergence", "preference", "thumbs")


class TrainingError(RuntimeError):
    """A run that cannot give an adapter."""


class _HarmError(ArithmeticError):
    """The weights are worth nothing any more; says why."""


@dataclass(frozen=True)
class _Learnt:
    """What one batch taught."""

    loss: Loss
    tokens: int
    over: int
    """Answer tokens, pairs or answers that the loss is the mean of."""
    gradients: Sequence[Any]
    """One a trained weight."""


@dataclass(frozen=True)
class _Task:
    """A batch of a step."""

    work: Callable[[int], _Learnt]
    """Of how much is computed at once."""
    longest: int
    """Tokens that cannot be divided."""


class Lessons:
    """One training run of a network on rows."""

    def __init__(
        self,
        network: Network,
        rows: Sequence[Row],
        recipe: Recipe,
        *,
        fresh: bool,
        pairs: Pairs | None = None,
        thumbs: Thumbs | None = None,
        probe: Probe | None = None,
        budget_s: float | None = None,
        team: Team | None = None,
    ) -> None:
        """
        Args:
            fresh: the adapter is new, none of the champion's.
            pairs: what is preferred to what, where the recipe gives that a weight.
            thumbs: what was liked and disliked, where it gives that a weight.
            probe: what states are chosen by.
            budget_s: seconds for it all.
            team: the processes that do this together.
        """
        self._network = network
        self._rows = rows
        self._recipe = recipe
        self._fresh = fresh
        self._pairs = pairs
        self._thumbs = thumbs
        self._probe = probe or Probe([])
        self._budget = Budget(budget_s)
        self._team = team or Team()
        self._anchor = Anchor({})
        self._weights: list[Any] = []

    @property
    def steps(self) -> int:
        recipe = self._recipe
        return recipe.max_steps or max(
            1, math.ceil(recipe.epochs * self._an_epoch / recipe.tokens_per_step)
        )

    @property
    def _an_epoch(self) -> int:
        """Tokens, without those that are rehearsed beside them."""
        return sum(len(row.ids) for row in self._rows if not row.earlier)

    def run(self, say: Say) -> Progress:
        """Look at the champion, then make the steps.

        A run that comes to harm ends with the last good state, one that runs out of time with what
        it has; what came of it says so. Of that state and those that were measured on the way the
        best is kept.

        Raises:
            TrainingError: the loss is no number any more, or ran away, before any state was good;
                or there was no time for a step.
            NoRoomError: there is no memory for a row.
        """
        began = time.monotonic()
        progress = Progress(self.steps)
        alone = self._team.alone
        room = Room(self._recipe.tokens_per_step, "tokens", say, alone=alone)
        aiming = Room(directions.ROWS_AT_ONCE, "rows", say, alone=alone)
        others = (self._pairs is not None) + (self._thumbs is not None)
        kinds = len({row.replay for row in self._rows}) + others
        with lanes(at_most=kinds if alone else 1) as side_by_side:
            if self._recipe.divergence_weight > 0 and any(row.replay for row in self._rows):
                self._hold_on(side_by_side, aiming, room, say)
            if self._pairs is not None:
                self._weigh(self._pairs, "prefers", side_by_side, room)
            if self._thumbs is not None:
                self._weigh(self._thumbs, "would say", side_by_side, room)
            self._weights = self._network.parameters
            keeper = Keeper(self._weights, progress.steps)
            selection = self._selection(progress.steps)
            selection.begin(self._network, room, side_by_side)
            try:
                self._make_steps(
                    side_by_side,
                    progress,
                    room=room,
                    keeper=keeper,
                    selection=selection,
                    began=began,
                    say=say,
                )
                _check_finite(self._weights)
            except _HarmError as harm:
                self._bring_back(keeper, progress, harm)
            self._choose(selection, progress, room, side_by_side)
            progress.seconds = time.monotonic() - began
        say(f"kept: {progress.reason}")
        if progress.stopped is not None:
            say(f"stopped: {progress.stopped}")
        progress.out_of_memory = aiming.halvings + room.halvings
        return progress

    def _selection(self, steps: int) -> Selection:
        tokens = steps * min(self._recipe.tokens_per_step, self._an_epoch)
        return Selection(
            self._probe,
            self._recipe.retention_limit,
            steps=steps,
            tokens=tokens,
            team=self._team,
        )

    def _choose(
        self, selection: Selection, progress: Progress, room: Room, side_by_side: Lanes
    ) -> None:
        """Keep the best state: the one that the weights are in, or one that was measured."""
        last = len(progress.curve) if progress.kept is None else progress.kept
        if all(found.step != last for found in selection.probed):
            try:
                selection.see(last, self._network, self._weights, room, side_by_side)
            except ArithmeticError as nothing:
                if selection.kept is None:
                    raise TrainingError(f"{nothing}: no state of the run is good") from nothing
        if selection.kept is not None and selection.kept.step != last:
            selection.bring_back(self._weights)
            progress.kept = selection.kept.step
        progress.probes = selection.probed
        progress.reason = selection.reason

    def _hold_on(self, side_by_side: Lanes, aiming: Room, room: Room, say: Say) -> None:
        """Remember the champion, and listen where it has little to say."""
        network, rows = self._network, self._rows
        if self._fresh:
            aimed = aiming.run(
                partial(directions.aim, network, rows, self._recipe.seed, side_by_side),
                "looking for directions",
                least=1,
            )
            say(f"{aimed} of {len(network.layers)} layers listen to the corrections' directions")
        else:
            network.freeze_directions()
        self._anchor = room.run(
            lambda at_once: remember(network, rows, at_once, side_by_side),
            "remembering the champion",
            least=max(len(row.ids) for row in rows if row.replay),
        )

    def _weigh(self, answers: Pairs | Thumbs, what: str, side_by_side: Lanes, room: Room) -> None:
        """What the champion makes of chosen and rejected, or liked and disliked, answers."""
        room.run(
            lambda at_once: answers.remember(self._network, at_once, side_by_side),
            f"asking the champion what it {what}",
            least=answers.longest(range(len(answers))),
        )

    def _planned(self) -> Iterator[list[_Task]]:
        """Without end: what is done in each optimiser step."""
        others = []
        if (pairs := self._pairs) is not None:
            others.append(map(partial(self._on_pairs, pairs), self._beside(pairs)))
        if (thumbs := self._thumbs) is not None:
            others.append(map(partial(self._on_thumbs, thumbs), self._beside(thumbs)))
        recipe = self._recipe
        for chosen in batches.steps(
            self._rows, recipe.tokens_per_step, recipe.seed, recipe.rehearsal_rows
        ):
            yield [*map(self._on_rows, chosen), *map(next, others)]

    def _beside(self, answers: Pairs | Thumbs) -> Iterator[list[int]]:
        """Those of each step: through all of them as often as through the rows."""
        share = self._recipe.tokens_per_step * answers.tokens // self._an_epoch
        return answers.steps(share, self._recipe.seed)

    def _on_rows(self, batch: list[int]) -> _Task:
        longest = max(len(self._rows[index].ids) for index in batch)
        return _Task(partial(self._learn, batch), longest)

    def _on_pairs(self, pairs: Pairs, chosen: list[int]) -> _Task:
        return _Task(partial(self._prefer, pairs, chosen), pairs.longest(chosen))

    def _on_thumbs(self, thumbs: Thumbs, chosen: list[int]) -> _Task:
        return _Task(partial(self._approve, thumbs, chosen), thumbs.longest(chosen))

    def _make_steps(
        self,
        side_by_side: Lanes,
        progress: Progress,
        *,
        room: Room,
        keeper: Keeper,
        selection: Selection,
        began: float,
        say: Say,
    ) -> None:
        recipe, steps = self._recipe, progress.steps
        optimiser = Optimiser(self._weights, recipe.learning_rate, steps)
        said = time.monotonic()
        prepared = self._team.told(said - began)
        for step, tasks in enumerate(islice(self._planned(), steps), 1):
            elapsed = self._team.told(time.monotonic() - began)
            step_s = (elapsed - prepared) / max(1, step - 1)
            if self._budget.is_over(elapsed, step_s + selection.seconds):
                progress.stopped = self._out_of_time(step)
                return
            optimiser.spent = self._budget.spent(elapsed, step_s, steps - step + 1)
            rate = optimiser.learning_rate
            learnt = room.run(
                partial(_together, side_by_side, tasks),
                f"step {step}",
                least=max(task.longest for task in tasks),
            )
            losses = [part.loss for part in learnt]
            _check_course(keeper, losses)
            optimiser.step(_total([part.gradients for part in learnt]))
            progress.seconds = time.monotonic() - began
            progress.add(step, rate, losses, sum(part.tokens for part in learnt))
            if selection.due(step):
                self._see(selection, step, room, side_by_side)
            if time.monotonic() - said > _SAY_EVERY_S or step == steps:
                said = time.monotonic()
                say(_line(progress, step))

    def _see(self, selection: Selection, step: int, room: Room, side_by_side: Lanes) -> None:
        """Measure a state on the way, which may be no good."""
        _check_finite(self._weights)
        try:
            selection.see(step, self._network, self._weights, room, side_by_side)
        except ArithmeticError as nothing:
            raise _HarmError(str(nothing)) from nothing

    def _learn(self, chosen: Sequence[int], at_once: int) -> _Learnt:
        """The gradients of one batch."""
        return self._divided(self._learn_part, batches.parts(self._rows, chosen, at_once))

    def _learn_part(self, chosen: Sequence[int]) -> _Learnt:
        batch = batches.collate(self._rows, chosen)
        found = loss(self._network, batch, self._anchor, self._recipe.divergence_weight)
        return self._differentiated(found, batch.tokens, over=len(batch.targets))

    def _prefer(self, pairs: Pairs, chosen: Sequence[int], at_once: int) -> _Learnt:
        """The gradients of the preference for the chosen answers."""
        return self._divided(partial(self._prefer_part, pairs), pairs.parts(chosen, at_once))

    def _divided(
        self, learn: Callable[[Sequence[int]], _Learnt], parts: Sequence[Sequence[int]]
    ) -> _Learnt:
        """A batch from its parts, each of them divided between those who train together."""
        if self._team.alone:
            return _whole([learn(part) for part in parts])
        mine = self._team.mine(parts)
        return _added_up(self._team, [(learn(part), counts) for part, counts in mine])

    def _prefer_part(self, pairs: Pairs, chosen: Sequence[int]) -> _Learnt:
        recipe = self._recipe
        found, tokens = pairs.loss(
            self._network, chosen, beta=recipe.preference_beta, weight=recipe.preference_weight
        )
        return self._differentiated(found, tokens, over=len(chosen))

    def _approve(self, thumbs: Thumbs, chosen: Sequence[int], at_once: int) -> _Learnt:
        """The gradients of the preference for liked answers, and against disliked ones."""
        recipe = self._recipe
        reference = thumbs.reference(self._network, chosen, at_once, self._team)

        def learn(part: Sequence[int]) -> _Learnt:
            found, tokens = thumbs.loss(
                self._network,
                part,
                reference,
                beta=recipe.thumbs_beta,
                weight=recipe.thumbs_weight,
            )
            return self._differentiated(found, tokens, over=len(part))

        return self._divided(learn, thumbs.parts(chosen, at_once))

    def _differentiated(self, found: Loss, tokens: int, over: int) -> _Learnt:
        import torch

        total = float(found.total.detach())
        # One of a team goes on with the others, who wait for it: they all see the sum.
        if not math.isfinite(total) and self._team.alone:
            raise _HarmError(f"the loss is {total}")
        return _Learnt(found, tokens, over, torch.autograd.grad(found.total, self._weights))

    def _out_of_time(self, step: int) -> str:
        said = f"the budget of {self._budget.seconds:g} s"
        if step == 1:
            raise TrainingError(f"{said} was spent before the first step: training needs more")
        return f"{said} did not suffice for more than {step - 1} of {self.steps} steps"

    def _bring_back(self, keeper: Keeper, progress: Progress, harm: _HarmError) -> None:
        said = f"{harm} after {len(progress.curve)} steps: the training diverged"
        if not keeper.bring_back():
            raise TrainingError(
                f"{said}, and no state before was better than the start; lower the recipe's"
                f" learning rate of {self._recipe.learning_rate:g}"
            ) from harm
        progress.stopped = f"{said}; the last good state is that after {keeper.after} steps"
        progress.kept = keeper.after


def _added_up(team: Team, parts: Sequence[tuple[_Learnt, bool]]) -> _Learnt:
    """A batch from what each of a team learnt of it, each part by what it is over."""
    import torch

    overs = [part.over if counts else 0 for part, counts in parts]
    learnt = [part for part, _ in parts]
    tokens = sum(part.tokens for part, counts in parts if counts)
    gradients = [
        sum(over * gradient.float() for over, gradient in zip(overs, of_weight, strict=True))
        for of_weight in zip(*(part.gradients for part in learnt), strict=True)
    ]
    losses = [part.loss for part in learnt]
    figures = torch.tensor(
        [
            *(
                math.fsum(
                    o * (getattr(each, name) or 0.0) for o, each in zip(overs, losses, strict=True)
                )
                for name in _FIGURES
            ),
            float(sum(overs)),
            float(tokens),
        ],
        dtype=torch.float32,
    )
    team.add_up([*gradients, figures])
    *sums, over, all_tokens = figures.tolist()
    known = {
        name: None if getattr(losses[0], name) is None else total / over
        for name, total in zip(_FIGURES, sums, strict=True)
    }
    found = Loss(total=None, **known)
    return _Learnt(found, round(all_tokens), round(over), [g.div_(over) for g in gradients])


def _check_course(keeper: Keeper, losses: Sequence[Loss]) -> None:
    """See the loss on the corrections; it may not run away."""
    figures = [getattr(found, name) for found in losses for name in _FIGURES]
    wrong = [figure for figure in figures if figure is not None and not math.isfinite(figure)]
    if wrong:
        raise _HarmError(f"the loss is {wrong[0]}")
    known = [found.surprise for found in losses if found.surprise is not None]
    keeper.see(sum(known) / len(known))
    if keeper.runs_away:
        raise _HarmError(f"the loss ran away to {known[0]:.3g}")


def _check_finite(weights: Sequence[Any]) -> None:
    """What the last step did has shown in no loss yet."""
    import torch

    if not all(bool(torch.isfinite(weight).all()) for weight in weights):
        raise _HarmError("a weight is no number")


def _together(side_by_side: Lanes, tasks: Sequence[_Task], at_once: int) -> list[_Learnt]:
    """The batches of a step, computed in parts of at most `at_once` padded tokens."""
    return side_by_side.run(lambda task: task.work(at_once), tasks)


def _whole(parts: Sequence[_Learnt]) -> _Learnt:
    """A batch from its parts: its mean is that of theirs, each by what it is over."""
    if len(parts) == 1:
        return parts[0]
    over = sum(part.over for part in parts)
    shares = [part.over / over for part in parts]
    gradients = [
        sum(share * gradient.float() for share, gradient in zip(shares, of_weight, strict=True))
        for of_weight in zip(*(part.gradients for part in parts), strict=True)
    ]

    def mean(figures: Sequence[float | None]) -> float | None:
        known = [figure for figure in figures if figure is not None]
        return sum(map(math.prod, zip(shares, known, strict=True))) if known else None

    found = [part.loss for part in parts]
    of_whole = Loss(
        total=None,
        surprise=mean([each.surprise for each in found]),
        divergence=mean([each.divergence for each in found]),
        preference=mean([each.preference for each in found]),
        thumbs=mean([each.thumbs for each in found]),
    )
    return _Learnt(of_whole, sum(part.tokens for part in parts), over, gradients)


def _total(parts: Sequence[Sequence[Any]]) -> list[Any]:
    """The sum of the batches' gradients, in float32 and always in the same order."""
    totals = [gradient.float() for gradient in parts[0]]
    for part in parts[1:]:
        for total, gradient in zip(totals, part, strict=True):
            total.add_(gradient)
    return totals


def _line(progress: Progress, step: int) -> str:
    point = progress.curve[-1]
    left = progress.seconds / step * (progress.steps - step)
    surprise = "-" if point.surprise is None else f"{point.surprise:.3f}"
    divergence = "-" if point.divergence is None else f"{point.divergence:.4f}"
    return (
        f"step {step}/{progress.steps}: loss {surprise}, divergence {divergence},"
        f" {progress.tokens_per_s:.0f} tokens/s, {left:.0f} s left"
    )
