"""What chance alone explains: how many of so many intervals hold that keep their promise.

Of one series by the binomial; of many forecasts together with what those made at the same time have in common.
"""

import math
from collections.abc import Mapping
from statistics import NormalDist

FEWEST_CUTOFFS = 6
"""With fewer cutoffs nothing can be said of what their forecasts have in common."""


def explains(due: int, promised: float = 0.8) -> tuple[int, int]:
    """How many of `due` intervals chance alone lets hold, of such as hold with the probability `promised`.

    The fewest and the most: the quantiles 0.025 and 0.975 of the binomial distribution, exactly.
    """
    below, fewest = 0.0, -1
    for held in range(due + 1):
        below += _probability(held, due, promised)
        if fewest < 0 and below >= 0.025:
            fewest = held
        if below >= 0.975:
            return fewest, held
    return max(fewest, 0), due


def _probability(held: int, due: int, promised: float) -> float:
    return math.comb(due, held) * promised**held * (1 - promised) ** (due - held)


def outside(due: int) -> float:
    """The probability that chance alone leaves a series with `due` forecasts outside of what it explains."""
    fewest, most = explains(due)
    return 1 - math.fsum(_probability(held, due, 0.8) for held in range(fewest, most + 1))


def verdict(held: int, due: int) -> int:
    """−1, 0 or 1: whether `held` of `due` is below, within or above what chance explains."""
    fewest, most = explains(due)
    return (held > most) - (held < fewest)


def spread(counts: Mapping[int, tuple[int, int]], promised: float, overlap: int) -> float | None:
    """How far from `promised` the share that held may lie by chance alone, at 95 in 100; None with few cutoffs.

    `counts` is cutoff → (how many came due, how many of them held). Forecasts of one cutoff err together, and so do
    those of cutoffs up to `overlap` years apart, whose years are partly the same. So the variance is that of the sums
    by cutoff, with Bartlett's weights for the overlap (Driscoll and Kraay 1998), but never less than independent
    forecasts have; the quantile is Student's.
    """
    if len(counts) < FEWEST_CUTOFFS:
        return None
    due, held = (sum(column) for column in zip(*counts.values(), strict=True))
    years = range(min(counts), max(counts) + 1)
    sums = [counts[year][1] - held / due * counts[year][0] if year in counts else 0.0 for year in years]
    variance = math.fsum(one * one for one in sums)
    for apart in range(1, overlap + 1):
        both = math.fsum(early * late for early, late in zip(sums, sums[apart:], strict=False))
        variance += 2 * (1 - apart / (overlap + 1)) * both
    variance = max(variance, due * promised * (1 - promised))
    return _student(len(counts) - 1) * math.sqrt(variance) / due


def _student(freedom: int) -> float:
    """The quantile 0.975 of Student's t, by the expansion in the normal one (Abramowitz and Stegun 26.7.5)."""
    z = NormalDist().inv_cdf(0.975)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + math.fsum(term / freedom**power for power, term in enumerate(terms, 1))
