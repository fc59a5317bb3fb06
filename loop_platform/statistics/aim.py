"""What a candidate has to show on a front."""

from typing import Literal

Aim = Literal["win", "hold", "watch"]
"""`win`: be better. `hold`: be worse by no more than a margin. `watch`: nothing has to be shown,
but who is seen to lose by more than the margin is turned away."""

Verdict = Literal["won", "held", "lost", "not known"]
