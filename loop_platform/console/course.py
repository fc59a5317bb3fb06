"""The course of a front as a picture: how the interval narrowed down with the pairs or calls seen.

SVG in the page itself: it takes the page's colours, prints, and needs no script.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

Moment = tuple[int, float, float]
"""Pairs or calls, and the interval of candidate minus champion after them."""

_WIDTH, _HEIGHT = 320, 118
_LEFT, _RIGHT, _TOP, _BOTTOM = 38, 8, 6, 18
# The first few pairs say nothing, and would flatten everything that came after.
_LATER = 12
_LEAST_REACH = 0.01


@dataclass(frozen=True)
class Course:
    """What was known of a front after ever more pairs or calls."""

    moments: Sequence[Moment]
    goal: float
    """What the difference must not be shown to lie below: 0 to win, minus the margin to hold."""
    verdict: str
    unit: str

    def picture(self, title: str) -> Markup:
        """The interval as a band against the number seen, on a logarithmic scale; empty without a
        moment to show."""
        if not self.moments:
            return Markup()
        across, up = self._across(), self._up()
        return Markup(
            '<svg class="course {verdict}" viewBox="0 0 {width} {height}" role="img">'
            "<title>{title}</title>{lines}{band}{last}{labels}</svg>"
        ).format(
            verdict=self.verdict.replace(" ", "-"),
            width=_WIDTH,
            height=_HEIGHT,
            title=title,
            lines=self._lines(up),
            band=self._band(across, up),
            last=self._last(across, up),
            labels=self._labels(),
        )

    @property
    def _reach(self) -> float:
        """The largest difference that is shown, either way."""
        late = [abs(bound) for _, *bounds in self.moments[-_LATER:] for bound in bounds]
        return min(1.0, max(_LEAST_REACH, 1.3 * abs(self.goal), 1.05 * max(late)))

    def _across(self) -> Callable[[int], float]:
        first, last = (math.log(max(1, self.moments[at][0])) for at in (0, -1))
        room = _WIDTH - _LEFT - _RIGHT
        if last == first:
            return lambda n: _LEFT + room
        return lambda n: round(_LEFT + room * (math.log(max(1, n)) - first) / (last - first), 1)

    def _up(self) -> Callable[[float], float]:
        reach, room = self._reach, _HEIGHT - _TOP - _BOTTOM
        return lambda value: round(
            _TOP + room * (reach - min(reach, max(-reach, value))) / (2 * reach), 1
        )

    def _lines(self, up: Callable[[float], float]) -> Markup:
        """Zero, and what the band has to stay above, each with its number."""
        goal = _line("goal", up(self.goal))
        if self.goal == 0:
            return goal + _label(_LEFT - 5, up(0) + 3.5, "0", "end")
        apart = up(self.goal) - up(0) > 11
        return (
            _line("zero", up(0))
            + goal
            + (_label(_LEFT - 5, up(0) + 3.5, "0", "end") if apart else Markup())
            + _label(_LEFT - 5, up(self.goal) + 3.5, points(self.goal), "end")
        )

    def _band(self, across: Callable[[int], float], up: Callable[[float], float]) -> Markup:
        above = [f"{across(n)},{up(high)}" for n, _, high in self.moments]
        below = [f"{across(n)},{up(low)}" for n, low, _ in reversed(self.moments)]
        return Markup('<polygon class="band" points="{}"/>').format(" ".join([*above, *below]))

    def _last(self, across: Callable[[int], float], up: Callable[[float], float]) -> Markup:
        """What is known now: the end of the band, with its bounds capped."""
        n, low, high = self.moments[-1]
        x, top, bottom = across(n), up(high), up(low)
        return Markup('<path class="now" d="M{} {}h8m-4 0V{}m-4 0h8"/>').format(x - 4, top, bottom)

    def _labels(self) -> Markup:
        first, last = self.moments[0][0], self.moments[-1][0]
        end = _label(_WIDTH - _RIGHT, _HEIGHT - 4, f"{last:,} {self.unit}", "end")
        return end if first == last else _label(_LEFT, _HEIGHT - 4, f"{first:,}", "start") + end


def points(share: float | None) -> str:
    """A difference of shares in hundredths, with its sign: `+3.1 %`."""
    if share is None:
        return "–"
    text = f"{100 * share:+.1f}".removesuffix(".0").replace("-", "−")
    return f"{'0' if text in ('+0', '−0') else text} %"


def _line(kind: str, y: float) -> Markup:
    return Markup('<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
        kind, _LEFT, _WIDTH - _RIGHT, y, y
    )


def _label(x: float, y: float, text: str, anchor: str) -> Markup:
    return Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(x, y, anchor, text)
