"""How the published forecasts did that came due last: whether what comes drifts away from what was forecast."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vindima.quantiles import SIDES
from vindima.serving import chance
from vindima.serving.answers import Answers

WORSE = 1.1
"""From this many times the error of repeating the last price on, forecasts drift."""

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Stand:
    """How the newest publication of which prices came did in the newest of their years.

    `held` of `due` intervals of 80 per cent held; by chance alone between `fewest` and `most` would. `ratio` is the
    error beside that of repeating the last price, None where there is nothing to compare with.
    """

    year: int
    cutoff: int
    due: int
    held: int
    fewest: int
    most: int
    ratio: float | None

    @property
    def drifts(self) -> bool:
        """Whether fewer intervals held than chance explains, or the errors are above WORSE times the naive ones."""
        return self.held < self.fewest or (self.ratio is not None and self.ratio > WORSE)


def stand(answers: Answers) -> Stand | None:
    """How the published forecasts of the set did that came due last; None where none came due."""
    rows = newest_publication(answers.rows("select * from came_due where actual is not null order by rowid"))
    if not rows:
        return None
    fewest, most = chance.explains(len(rows))
    held = sum(within(row, 80) for row in rows)
    return Stand(rows[0]["year"], rows[0]["cutoff"], len(rows), held, fewest, most, relative_error(rows))


def newest_publication(rows: Rows) -> Rows:
    """Of the rows of the table `came_due`, those of the newest year by the publication with the newest cutoff."""
    if not rows:
        return []
    newest = max(rows, key=lambda row: (row["year"], row["cutoff"]))
    return [row for row in rows if all(row[name] == newest[name] for name in ("vintage", "year"))]


def relative_error(rows: Rows) -> float | None:
    """The mean error beside that of repeating the last price, over the rows that have one; None where that is 0."""
    both = [row for row in rows if row["naive"] is not None]
    naive = math.fsum(error(row["actual"], row["naive"]) for row in both)
    return math.fsum(error(row["actual"], row["forecast"]) for row in both) / naive if naive else None


def within(row: Mapping[str, Any], level: int) -> bool:
    """Whether the interval of 80 or 95 per cent held what came."""
    low, high = SIDES[level]
    return row[low] <= row["actual"] <= row[high]


def error(actual: float, forecast: float) -> float:
    """How far off a forecast was: the absolute error of the log price."""
    return abs(math.log(actual / forecast))
