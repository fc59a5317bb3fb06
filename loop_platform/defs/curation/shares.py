"""No contributor speaks louder than the settings say."""

from collections import Counter
from collections.abc import Mapping, Sequence


def allowance(counts: Mapping[str, int], share: float) -> int:
    """The most corrections of one contributor: the largest number that is at most `share` of what
    then enters altogether, and at least one.

    With fewer than 1 / `share` contributors nothing larger than one holds: a team of three sets
    `curation.max_contributor_share` to what it means.
    """
    capped = {who: count for who, count in counts.items() if not is_reviewer(who)}
    own = sum(counts.values()) - sum(capped.values())
    for most in range(max(capped.values(), default=1), 1, -1):
        if most <= share * (own + sum(min(count, most) for count in capped.values())):
            return most
    return 1


def usable(counts: Mapping[str, int], share: float) -> int:
    """How many corrections may enter together."""
    most = allowance(counts, share)
    return sum(count if is_reviewer(who) else min(count, most) for who, count in counts.items())


def over_share(contributors: Sequence[str], share: float) -> list[bool]:
    """For each correction, oldest first, whether its contributor has had their share before it."""
    most = allowance(Counter(contributors), share)
    seen: Counter[str] = Counter()
    over = []
    for who in contributors:
        seen[who] += 1
        over.append(not is_reviewer(who) and seen[who] > most)
    return over


def is_reviewer(contributor: str) -> bool:
    """A reviewer's own words, on a call that nobody complained of, are nobody's contribution."""
    return contributor.startswith("reviewer:")
