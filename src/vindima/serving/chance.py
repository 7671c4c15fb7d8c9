"""What chance alone explains: how many of so many intervals hold that keep their promise, by the binomial."""

import math


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
