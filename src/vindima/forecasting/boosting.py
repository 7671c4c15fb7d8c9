"""Machine learning beside our models: gradient-boosted trees that learn from all series and horizons at once."""

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.ensemble import HistGradientBoostingRegressor
from sktime.forecasting.base import ForecastingHorizon
from threadpoolctl import threadpool_limits

from vindima.errors import VindimaError
from vindima.forecasting.intervals import SMOOTHING
from vindima.forecasting.level import MedianAndScale, known, log_deflator
from vindima.forecasting.stored import six_digits

LONGEST = 10
"""The longest horizon that is learned; beyond it the trees say the same as at it."""
WINDOWS = (2, 3, 5, 10)
"""Years over which the means are taken from which a price may have strayed."""


class Boosting(MedianAndScale):
    """Gradient boosting of scikit-learn (histograms, absolute loss): one model for all series and horizons.

    What is learned is the change of the log real price from the last one known in a year to the one that came 1 to 10
    years later, of every series and year for which both are known. The trees are told the horizon and `features`: how
    far the last price is from its own past means, from the price of the product's total and from the means of market
    and product, how all these moved, how volatile the series is, how much it trades and how long it has been known.

    There are `rounds` trees, each with at most `leaves` leaves of at least `smallest_leaf` rows; each counts for
    `rate` of what it says. Numbers enter with 6 significant digits and one thread grows the trees, so that neither
    the order of the series nor the number of threads changes a forecast.

    fit: y one column of log prices, X the columns `quantity_kg` and `deflator` (others are not read), both indexed by
    (series, year), series named `flow.product[.country]`, or by the year alone for a single series. predict: the
    last price and the change. predict_quantiles: Laplace around it, with the mean absolute error in sample at the
    horizon, the same for all series. `update` with `update_params=False` keeps the trees.

    >>> import pandas as pd
    >>> from vindima.forecasting.boosting import Boosting
    >>> years = pd.period_range("2020", "2023", freq="Y")
    >>> log_prices = pd.Series([1.0, 1.0, 1.0, 1.0], index=years, name="imports.raisins")
    >>> Boosting().fit(log_prices).predict(fh=[1, 2]).round(2).tolist()
    [1.0, 1.0]
    """

    def __init__(self, rounds: int = 150, rate: float = 0.05, leaves: int = 8, smallest_leaf: int = 50) -> None:
        self.rounds = rounds
        self.rate = rate
        self.leaves = leaves
        self.smallest_leaf = smallest_leaf
        super().__init__()

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Two quick ones for sktime's own checks: few trees, with large leaves and with small ones."""
        return [{"rounds": 5}, {"rounds": 5, "smallest_leaf": 5}]

    def _learn(self, y: pd.DataFrame, X: pd.DataFrame | None, suffix: str) -> "Boosting":
        self._keeps_trees = bool(suffix)
        super()._learn(y, X, "")
        return self

    def _fit_panel(self, y: pd.DataFrame, X: pd.DataFrame | None, given: dict[str, Any]) -> None:
        prices, _ = known(y, X)
        tonnes = pd.DataFrame(np.nan, prices.index, prices.columns)
        if X is not None and "quantity_kg" in X:
            tonnes = X["quantity_kg"].unstack(level=0)[prices.columns].where(prices.notna()) / 1000
        real = prices.add(log_deflator(X, len(prices)), axis=0)
        told, last = features(real, pd.DataFrame(np.log(tonnes))), real.ffill().to_numpy()
        if not self._keeps_trees:
            self._grow(told, last, real.to_numpy(), given)
        self.series_, self._told, self._last = prices.columns, told[-1], last[-1]

    def _grow(self, told: np.ndarray, last: np.ndarray, real: np.ndarray, given: dict[str, Any]) -> None:
        """Trees for the changes from `last` to the `real` prices after it, and their mean error at each horizon."""
        rows, changes = [], []
        for horizon in range(1, min(LONGEST, len(real) - 1) + 1):
            change = real[horizon:] - last[:-horizon]
            came = ~np.isnan(change)
            rows.append(_at(told[:-horizon][came], np.full(came.sum(), horizon)))
            changes.append(six_digits(change[came]))
        if not sum(map(len, changes)):
            raise VindimaError("boosting: expected a series with prices in at least two years, got none")
        learned, target = np.concatenate(rows), np.concatenate(changes)
        learned[:, np.isnan(learned).all(axis=0)] = 0.0  # scikit-learn cannot bin a column without any number
        with threadpool_limits(1):
            self._trees = HistGradientBoostingRegressor(
                loss="absolute_error",
                learning_rate=given["rate"],
                max_iter=given["rounds"],
                max_leaf_nodes=given["leaves"],
                min_samples_leaf=given["smallest_leaf"],
                early_stopping=False,
                random_state=0,
            ).fit(learned, target)
            errors = pd.Series(np.abs(target - self._trees.predict(learned))).groupby(learned[:, 0]).mean()
        # Never surer further ahead: the longest horizons may have come only a few times.
        self.scales_ = pd.Series(six_digits(errors.to_numpy()), errors.index.astype(int)).cummax()

    def _ahead(self, fh: ForecastingHorizon) -> tuple[np.ndarray, np.ndarray, pd.Index]:
        """Median and scale of the log price of each series and horizon, and the index of what is predicted."""
        steps, series = np.asarray(fh.to_relative(self.cutoff), dtype=int), len(self.series_)
        with threadpool_limits(1):
            change = self._trees.predict(_at(np.repeat(self._told, len(steps), axis=0), np.tile(steps, series)))
        scales = self.scales_.reindex(range(1, max(steps) + 1)).ffill()[steps]
        median = np.repeat(self._last, len(steps)) + change
        return median, np.tile(scales, series), self._index_at(self.series_, fh)

    def _standard(self, alpha: list[float]) -> np.ndarray:
        return stats.laplace.ppf(np.array(alpha))


def _at(told: np.ndarray, horizons: np.ndarray) -> np.ndarray:
    return np.column_stack([horizons, told])


def features(real: pd.DataFrame, log_tonnes: pd.DataFrame) -> np.ndarray:
    """What is known of each series at the end of each year, from it and the years before: years × series × features.

    `real` and `log_tonnes` are years × series, gaps NaN; so is what is not known.
    """
    parts = [str(name).split(".") for name in real.columns]
    markets = [".".join(part[:2]) for part in parts]
    products = [part[1] if len(part) > 1 else part[0] for part in parts]
    last, tonnes, change, seen = real.ffill(), log_tonnes.ffill(), real.diff(), real.notna()
    years = pd.DataFrame(np.arange(len(real))[:, None] + 0 * seen, real.index, real.columns)
    from_five = last - real.rolling(5, min_periods=1).mean()
    total = last.reindex(columns=markets).set_axis(real.columns, axis=1)
    beside_total = last - total
    found = [
        *(last - real.rolling(window, min_periods=1).mean() for window in WINDOWS),
        last - real.expanding().mean(),
        last - real.ewm(alpha=SMOOTHING).mean(),
        change,
        change.shift(),
        last - last.shift(5),
        change.abs().rolling(5, min_periods=1).mean(),
        change.abs().expanding().mean(),
        seen.cumsum(),
        years - years.where(seen).ffill(),
        tonnes,
        tonnes.diff(),
        tonnes - log_tonnes.rolling(5, min_periods=1).mean(),
        beside_total,
        beside_total - beside_total.rolling(5, min_periods=1).mean(),
        total.diff(),
        total - total.rolling(5, min_periods=1).mean(),
        *(last - _mean(last, groups) for groups in (markets, products)),
        *(_mean(change, groups) for groups in (markets, products)),
        *(_mean(from_five, groups) for groups in (markets, products)),
        _mean(change, ["all"] * len(parts)),
    ]
    return six_digits(np.stack([np.asarray(feature, dtype=float) for feature in found], axis=2))


def _mean(table: pd.DataFrame, groups: list[str]) -> pd.DataFrame:
    """In each year the mean over the series of the same group."""
    return table.T.groupby(groups).transform("mean").T
