"""The pooled model: a local level of each log price, with parameters that all series share."""

from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize, special, stats
from sktime.datatypes import update_data
from sktime.forecasting.base import BaseForecaster, ForecastingHorizon

from vindima.errors import VindimaError
from vindima.forecasting.stored import six_digits

SEARCH = {
    "level_sd": (0.2, (1e-3, 3.0)),
    "noise_sd": (0.5, (1e-3, 30.0)),
    "volume_power": (0.5, (1e-3, 3.0)),
    "scale_df": (4.0, (0.5, 200.0)),
}
"""Where the search for each parameter of `LocalLevel` starts, and the range it stays in: log prices that move
by 0.1 to 300 per cent a year, and noise that falls with volume, not so fast that one large series is exact."""


class PanelForecaster(BaseForecaster):
    """A forecaster that learns from all series of a panel together; what sktime asks of one, written once.

    One series alone, given without the level of series in its index, is a panel of one. `update` takes the new years
    in: the parameters are estimated anew from all years, or stay as they are with `update_params=False`.
    """

    _config = {"remember_data": False}  # noqa: RUF012
    _tags = {  # noqa: RUF012
        "y_inner_mtype": ["pd.DataFrame", "pd-multiindex"],
        "X_inner_mtype": ["pd.DataFrame", "pd-multiindex"],
        "capability:multivariate": False,
        "capability:exogenous": True,
        "capability:missing_values": True,
        "capability:insample": False,
        "capability:pred_int": True,
        "capability:pred_int:insample": False,
        "requires-fh-in-fit": False,
        "capability:update": True,
        "X-y-must-have-same-index": True,
    }
    _y = _X = None  # sktime makes them only where `remember_data` is on from the start

    def _fit(self, y: pd.DataFrame, X: pd.DataFrame | None, fh: ForecastingHorizon | None) -> "PanelForecaster":
        return self._learn(y, X, "")

    def _update(
        self, y: pd.DataFrame, X: pd.DataFrame | None = None, update_params: bool = True
    ) -> "PanelForecaster":
        y, X = update_data(self._cur_y, y), update_data(self._cur_X, X)
        return self._learn(y, X if X is None else X.reindex(y.index), "" if update_params else "_")

    def _learn(self, y: pd.DataFrame, X: pd.DataFrame | None, suffix: str) -> "PanelForecaster":
        """Estimate from these years, parameters given by the attributes of their names and `suffix`."""
        self._cur_y, self._cur_X = y, X
        given = {name: getattr(self, name + suffix) for name in self.get_param_names(sort=False)}
        if y.index.nlevels == 1:
            name = str(y.columns[0])
            y, X = pd.concat({name: y}), X if X is None else pd.concat({name: X})
        self._fit_panel(y, X, given)
        return self

    def _fit_panel(self, y: pd.DataFrame, X: pd.DataFrame | None, given: dict[str, Any]) -> None:
        """Set the fitted attributes from panels; a parameter that is not None in `given` is kept."""
        raise NotImplementedError

    def _index_at(self, series: pd.Index, fh: ForecastingHorizon) -> pd.Index:
        years = fh.to_absolute_index(self.cutoff)
        return years if self._cur_y.index.nlevels == 1 else pd.MultiIndex.from_product([series, years])


class MedianAndScale(PanelForecaster):
    """A panel forecaster whose forecasts are medians, with scales of one standard distribution around them."""

    def _ahead(self, fh: ForecastingHorizon) -> tuple[np.ndarray, np.ndarray, pd.Index]:
        """Median and scale of the log price of each series and horizon, and the index of what is predicted."""
        raise NotImplementedError

    def _standard(self, alpha: list[float]) -> np.ndarray:
        """Quantiles of the standard distribution."""
        raise NotImplementedError

    def _predict(self, fh: ForecastingHorizon, X: pd.DataFrame | None) -> pd.DataFrame:
        medians, _, index = self._ahead(fh)
        return pd.DataFrame(medians, index=index, columns=self._get_varnames())

    def _predict_quantiles(self, fh: ForecastingHorizon, X: pd.DataFrame | None, alpha: list[float]) -> pd.DataFrame:
        medians, scales, index = self._ahead(fh)
        columns = pd.MultiIndex.from_product([self._get_varnames(), alpha])
        made = medians[:, None] + scales[:, None] * self._standard(alpha)
        return pd.DataFrame(made, index=index, columns=columns)


class LocalLevel(PanelForecaster):
    r"""A local level for each series, whose observation noise falls with the volume that the series trades.

    For the log price y of series i in year t (Harvey 1989, chapter 2, with parameters shared by all series):

        y[i,t]  = mu[i,t] + eps[i,t]      eps ~ N(0, s[i]^2 * noise_sd^2 * v[i]^-volume_power)
        mu[i,t] = mu[i,t-1] + eta[i,t]    eta ~ N(0, s[i]^2 * level_sd^2)

    v[i] is the geometric mean of the tonnes that the series traded in the years with a price; without X, 1 for
    all. s[i]^2 is the series' own scale: inverse gamma with mean information of `scale_df` degrees of freedom
    around 1, so that a short history borrows its volatility from the others, and the innovations of a series
    are jointly Student-t. The level starts diffuse at the first price; a year without a price has no
    observation. The parameters maximise the likelihood of all series together; one that is given is kept.

    fit: y one column of log prices, X the column `quantity_kg` (others are not read), both indexed by (series, year),
    or by the year alone for a single series. predict: the level, the same for every horizon. predict_quantiles:
    Student-t around it, for the price that will be observed: level, its growth with the horizon, and noise.

    >>> import pandas as pd
    >>> from vindima.forecasting.level import LocalLevel
    >>> years = pd.period_range("2020", "2023", freq="Y")
    >>> log_prices = pd.Series([0.9, 1.1, 1.0, 1.0], index=years)
    >>> LocalLevel(level_sd=0.1, noise_sd=0.1).fit(log_prices).predict(fh=[1, 2]).round(2).tolist()
    [1.0, 1.0]
    """

    def __init__(
        self,
        level_sd: float | None = None,
        noise_sd: float | None = None,
        volume_power: float | None = None,
        scale_df: float | None = None,
    ) -> None:
        self.level_sd = level_sd
        self.noise_sd = noise_sd
        self.volume_power = volume_power
        self.scale_df = scale_df
        super().__init__()

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Two quick ones for sktime's own checks: all parameters given, with little noise and with much."""
        given = {name: start for name, (start, _) in SEARCH.items()}
        return [given, given | {"noise_sd": 1.0}]

    def _fit_panel(self, y: pd.DataFrame, X: pd.DataFrame | None, given: dict[str, Any]) -> None:
        prices, log_tonnes = known(y, X)
        observed = prices.to_numpy()
        free = [name for name, value in given.items() if value is None]

        def parameters(logs: np.ndarray) -> dict[str, float]:
            return given | dict(zip(free, np.exp(logs).tolist(), strict=True))

        def surprise(logs: np.ndarray) -> float:
            return -_filter(observed, log_tonnes, **parameters(logs))[1]

        best = np.zeros(0)
        if free:
            best = optimize.minimize(
                surprise,
                np.log([SEARCH[name][0] for name in free]),
                method="L-BFGS-B",
                jac="3-point",
                bounds=[tuple(np.log(SEARCH[name][1])) for name in free],
                options={"ftol": 1e-13, "gtol": 1e-6},
            ).x
        fitted = {name: float(six_digits(value)) for name, value in parameters(best).items()}
        self.level_sd_, self.noise_sd_, self.volume_power_, self.scale_df_ = fitted.values()
        states, _ = _filter(observed, log_tonnes, **fitted)
        self.states_ = pd.DataFrame(states, index=prices.columns)

    def _at_horizons(self, fh: ForecastingHorizon) -> tuple[pd.DataFrame, np.ndarray, pd.Index]:
        """States repeated for each horizon, the horizons beside them, and the index of what is predicted."""
        steps = np.asarray(fh.to_relative(self.cutoff), dtype=float)
        states = self.states_.loc[self.states_.index.repeat(len(steps))]
        return states, np.tile(steps, len(self.states_)), self._index_at(self.states_.index, fh)

    def _predict(self, fh: ForecastingHorizon, X: pd.DataFrame | None) -> pd.DataFrame:
        states, _, index = self._at_horizons(fh)
        return pd.DataFrame(states["level"].to_numpy(), index=index, columns=self._get_varnames())

    def _predict_quantiles(
        self,
        fh: ForecastingHorizon,
        X: pd.DataFrame | None,
        alpha: list[float],
    ) -> pd.DataFrame:
        states, steps, index = self._at_horizons(fh)
        variance = states["level_variance"] + steps * self.level_sd_**2 + states["noise_variance"]
        spread = (states["scale"] * np.sqrt(variance)).to_numpy()
        columns = pd.MultiIndex.from_product([self._get_varnames(), alpha])
        standard = stats.t.ppf(np.array(alpha)[None, :], states["df"].to_numpy()[:, None])
        return pd.DataFrame(
            states["level"].to_numpy()[:, None] + spread[:, None] * standard, index=index, columns=columns
        )


def known(y: pd.DataFrame, X: pd.DataFrame | None) -> tuple[pd.DataFrame, np.ndarray]:
    """Log prices (years × series), and the mean log tonnes of each series in its years with a price (0 without).

    Raises VindimaError that names a series without any price or with an infinite one, or whose quantities are not
    above 0.
    """
    prices = y.iloc[:, 0].unstack(level=0)
    _refuse(prices.columns[prices.isna().all()], "a price in at least one year, got none")
    _refuse(prices.columns[np.isinf(prices.to_numpy()).any(axis=0)], "finite log prices, got an infinite one")
    if X is None or "quantity_kg" not in X:
        return prices, np.zeros(prices.shape[1])
    tonnes = X["quantity_kg"].unstack(level=0)[prices.columns].where(prices.notna()) / 1000
    bad = ((tonnes <= 0) | np.isinf(tonnes)).any() | tonnes.isna().all()
    _refuse(prices.columns[bad], "finite quantities above 0 beside its prices")
    return prices, np.log(tonnes).mean().to_numpy()


def log_deflator(X: pd.DataFrame | None, years: int) -> np.ndarray:
    """Log deflator of each year to money of the last; VindimaError where one is not a finite number above 0."""
    if X is None or "deflator" not in X:
        return np.zeros(years)
    deflator = X["deflator"].unstack(level=0).median(axis=1).ffill().bfill()
    if not (np.isfinite(deflator) & (deflator > 0)).all():
        raise VindimaError("deflator: expected finite numbers above 0 in at least one year, got others or none")
    return np.log(deflator / deflator.iloc[-1]).to_numpy()


def _refuse(series: pd.Index, expected: str) -> None:
    if len(series):
        raise VindimaError(f"{series[0]}: expected {expected}")


def _filter(
    observed: np.ndarray,
    log_tonnes: np.ndarray,
    level_sd: float,
    noise_sd: float,
    volume_power: float,
    scale_df: float,
) -> tuple[dict[str, np.ndarray], float]:
    """The Kalman filter of `LocalLevel`, all series at once: (years × series) → last states, log-likelihood.

    Variances are in units of each series' own scale squared; the likelihood has the scale integrated out.
    """
    noise = noise_sd**2 * np.exp(-volume_power * log_tonnes)
    level = np.full(observed.shape[1], np.nan)
    variance = np.full(observed.shape[1], np.nan)
    count, squares, log_variances = np.zeros((3, observed.shape[1]))
    for price in observed:
        variance = variance + level_sd**2
        first = np.isnan(level) & ~np.isnan(price)
        innovation = price - level
        seen = ~np.isnan(innovation)
        expected = variance + noise
        count = count + seen
        squares = squares + np.where(seen, innovation**2 / expected, 0)
        log_variances = log_variances + np.where(seen, np.log(expected), 0)
        gain = np.where(seen, variance / expected, 0)
        level = np.where(first, price, level + np.where(seen, gain * innovation, 0))
        variance = np.where(first, noise, variance * (1 - gain))
    df = scale_df + count
    likelihood = (
        special.gammaln(df / 2)
        - special.gammaln(scale_df / 2)
        - (count * np.log(scale_df * np.pi) + log_variances + df * np.log1p(squares / scale_df)) / 2
    )
    states = {
        "level": level,
        "level_variance": variance,
        "noise_variance": noise,
        "scale": np.sqrt((scale_df + squares) / df),
        "df": df,
    }
    return states, float(likelihood.sum())
