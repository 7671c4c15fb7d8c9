"""The pooled model: a local level of each log price, with parameters that all series share."""

import numpy as np
import pandas as pd
from scipy import optimize, special, stats
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


class LocalLevel(BaseForecaster):
    r"""A local level for each series, whose observation noise falls with the volume that the series trades.

    For the log price y of series i in year t (Harvey 1989, chapter 2, with parameters shared by all series):

        y[i,t]  = mu[i,t] + eps[i,t]      eps ~ N(0, s[i]^2 * noise_sd^2 * v[i]^-volume_power)
        mu[i,t] = mu[i,t-1] + eta[i,t]    eta ~ N(0, s[i]^2 * level_sd^2)

    v[i] is the geometric mean of the tonnes that the series traded in the years with a price; without X, 1 for
    all. s[i]^2 is the series' own scale: inverse gamma with mean information of `scale_df` degrees of freedom
    around 1, so that a short history borrows its volatility from the others, and the innovations of a series
    are jointly Student-t. The level starts diffuse at the first price; a year without a price has no
    observation. The parameters maximise the likelihood of all series together; one that is given is kept.

    fit: y one column of log prices, X the column `quantity_kg`, both indexed by (series, year).
    predict: the level, the same for every horizon. predict_quantiles: Student-t around it, for the price that
    will be observed: level, its growth with the horizon, and noise.
    """

    _config = {"remember_data": False}  # noqa: RUF012
    _tags = {  # noqa: RUF012
        "y_inner_mtype": "pd-multiindex",
        "X_inner_mtype": "pd-multiindex",
        "capability:multivariate": False,
        "capability:exogenous": True,
        "capability:missing_values": True,
        "capability:insample": False,
        "capability:pred_int": True,
        "capability:pred_int:insample": False,
        "requires-fh-in-fit": False,
        "X-y-must-have-same-index": True,
    }

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

    def _fit(
        self,
        y: pd.DataFrame,
        X: pd.DataFrame | None,
        fh: ForecastingHorizon | None,
    ) -> "LocalLevel":
        prices, log_tonnes = known(y, X)
        observed = prices.to_numpy()
        given = {name: getattr(self, name) for name in SEARCH}
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
        return self

    def _at_horizons(self, fh: ForecastingHorizon) -> tuple[pd.DataFrame, np.ndarray, pd.MultiIndex]:
        """States repeated for each horizon, the horizons beside them, and the index of the answer."""
        steps = np.asarray(fh.to_relative(self.cutoff), dtype=float)
        years = fh.to_absolute_index(self.cutoff)
        index = pd.MultiIndex.from_product([self.states_.index, years])
        states = self.states_.loc[self.states_.index.repeat(len(steps))]
        return states, np.tile(steps, len(self.states_)), index

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
    """Log prices (years × series), and the mean log tonnes of each series in its years with a price (0 without X).

    Raises VindimaError that names a series without any price or with an infinite one, or whose quantities are not
    above 0.
    """
    prices = y.iloc[:, 0].unstack(level=0)
    _refuse(prices.columns[prices.isna().all()], "a price in at least one year, got none")
    _refuse(prices.columns[np.isinf(prices.to_numpy()).any(axis=0)], "finite log prices, got an infinite one")
    if X is None:
        return prices, np.zeros(prices.shape[1])
    tonnes = X["quantity_kg"].unstack(level=0)[prices.columns].where(prices.notna()) / 1000
    bad = ((tonnes <= 0) | np.isinf(tonnes)).any() | tonnes.isna().all()
    _refuse(prices.columns[bad], "finite quantities above 0 beside its prices")
    return prices, np.log(tonnes).mean().to_numpy()


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
