"""The joint model: the log prices of all series as one state space, in which they inform each other."""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import linalg, optimize, sparse, special, stats
from sktime.forecasting.base import ForecastingHorizon
from threadpoolctl import threadpool_limits

from vindima.forecasting.level import PanelForecaster, known, log_deflator

SD, PHI, POWER = (1e-3, 3.0), (0.3, 0.997), (-1.0, 2.0)
SEARCH = {
    "own_sd": (0.10, SD),
    "world_sd": (0.05, SD),
    "product_sd": (0.05, SD),
    "market_sd": (0.05, SD),
    "country_sd": (0.05, SD),
    "noise_sd": (0.20, SD),
    "mean_sd": (2.0, (0.05, 20.0)),
    "own_phi": (0.80, PHI),
    "factor_phi": (0.95, PHI),
    "country_phi": (0.95, PHI),
    "noise_power": (0.3, POWER),
    "own_power": (0.1, POWER),
}
"""Where the search for each parameter starts, and the range it stays in: standard deviations of yearly changes of log
prices, autocorrelations, and powers of volume."""
PRIORS = {"noise_power": (0.3, 0.3), "own_power": (0.1, 0.2)}
"""Mean and standard deviation of the powers before the data: a panel of few series says little of them."""
NOISE_DF = 4.0
"""Degrees of freedom of the noise: prices of single lots have heavy tails."""
REWEIGHTINGS = 5
ROUNDS, STEPS = 3, 12


class JointLevels(PanelForecaster):
    r"""Factors that all series share, a level of its own for each, and noise that falls with volume.

    For the log real price y of series i, of flow f, product p and country c, in year t:

        y[i,t] = m[i] + world[t] + product[p,t] + market[f.p,t] + country[c,t] + own[i,t] + e[i,t]

        x[t]     = phi x[t-1] + N(0, sd^2)        world, product, market (factor_phi), country (country_phi)
        own[i,t] = own_phi own[i,t-1] + N(0, own_sd^2 v[i]^-own_power)
        m[i]     ~ N(mean of its market, mean_sd^2)
        e[i,t]   ~ Student-t(4), scale^2 noise_sd^2 v[i]^-noise_power

    v[i] is the geometric mean of the tonnes that the series traded in the years with a price; without X, 1 for all. A
    total has no country. Prices are deflated by the `deflator` of X (1 without one) to the money of the
    cutoff year, in which forecasts are: the last price level known. A year without a price has no observation.

    Estimation: the Student-t noise is Gaussian with weights (Lange, Little and Taylor 1989), the weights by the
    smoothed noise; given them the parameters maximise the Gaussian likelihood, with its score from the disturbance
    smoother (Koopman and Shephard 1992; Durbin and Koopman 2012, sections 4.5 and 7.3.3). With Gaussian noise this
    is maximum likelihood; the weights of Student-t noise lean towards noise, so that the changes of the levels come
    out small (own_sd 0.07 where 0.12 made the data). A parameter that is given is kept.

    fit: y one column of log prices, X the columns `quantity_kg` and `deflator` (others are not read), both indexed by
    (series, year), series named `flow.product[.country]`, or by the year alone for a single series. predict: the
    median. predict_quantiles: Student-t(4) around it, for the price that will be observed.

    >>> import pandas as pd
    >>> from vindima.forecasting.joint import JointLevels
    >>> years = pd.period_range("2020", "2023", freq="Y")
    >>> log_prices = pd.Series([1.0, 1.0, 1.0, 1.0], index=years, name="imports.raisins")
    >>> JointLevels(own_sd=0.1).fit(log_prices).predict(fh=[1, 2]).round(2).tolist()
    [1.0, 1.0]
    """

    def __init__(
        self,
        own_sd: float | None = None,
        world_sd: float | None = None,
        product_sd: float | None = None,
        market_sd: float | None = None,
        country_sd: float | None = None,
        noise_sd: float | None = None,
        mean_sd: float | None = None,
        own_phi: float | None = None,
        factor_phi: float | None = None,
        country_phi: float | None = None,
        noise_power: float | None = None,
        own_power: float | None = None,
    ) -> None:
        self.own_sd = own_sd
        self.world_sd = world_sd
        self.product_sd = product_sd
        self.market_sd = market_sd
        self.country_sd = country_sd
        self.noise_sd = noise_sd
        self.mean_sd = mean_sd
        self.own_phi = own_phi
        self.factor_phi = factor_phi
        self.country_phi = country_phi
        self.noise_power = noise_power
        self.own_power = own_power
        super().__init__()

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Two quick ones for sktime's own checks: all parameters given, with little noise and with much."""
        given = {name: start for name, (start, _) in SEARCH.items()}
        return [given, given | {"noise_sd": 1.0}]

    def _fit_panel(self, y: pd.DataFrame, X: pd.DataFrame | None, given: dict[str, Any]) -> None:
        prices, log_tonnes = known(y, X)
        deflator = log_deflator(X, len(prices))
        # One thread: these matrices are small, and sums in another order would be other bytes.
        with threadpool_limits(1):
            space = _Space.of(prices.columns, prices.to_numpy() + deflator[:, None], log_tonnes)
            fitted, weights = _estimate(space, given)
            last = _filter(space, fitted, weights)
        for name, value in fitted.items():
            setattr(self, f"{name}_", value)
        self._space, self._fitted, self._last = space, fitted, (last.mean, last.variance)
        self.series_ = prices.columns

    def _ahead(self, fh: ForecastingHorizon) -> tuple[np.ndarray, np.ndarray, pd.Index]:
        """Median and scale of the log price of each series and horizon, and the index of what is predicted."""
        steps = [int(step) for step in fh.to_relative(self.cutoff)]
        system = _system(self._space, self._fitted)
        mean, variance = self._last
        medians, scales = {}, {}
        with threadpool_limits(1):
            for step in range(1, max(steps) + 1):
                mean = system.phi * mean
                variance = system.phi[:, None] * variance * system.phi + np.diag(system.change)
                loading = self._space.loading
                own = np.asarray(loading.multiply(loading @ variance).sum(axis=1)).ravel()
                medians[step] = self._space.prior_mean + loading @ mean
                scales[step] = np.sqrt(own + system.noise)
        median, scale = (np.stack([by[step] for step in steps], axis=1).ravel() for by in (medians, scales))
        return median, scale, self._index_at(self.series_, fh)

    def _predict(self, fh: ForecastingHorizon, X: pd.DataFrame | None) -> pd.DataFrame:
        medians, _, index = self._ahead(fh)
        return pd.DataFrame(medians, index=index, columns=self._get_varnames())

    def _predict_quantiles(self, fh: ForecastingHorizon, X: pd.DataFrame | None, alpha: list[float]) -> pd.DataFrame:
        medians, scales, index = self._ahead(fh)
        columns = pd.MultiIndex.from_product([self._get_varnames(), alpha])
        standard = stats.t.ppf(np.array(alpha), NOISE_DF)
        return pd.DataFrame(medians[:, None] + scales[:, None] * standard, index=index, columns=columns)


@dataclass(frozen=True)
class _Space:
    """What is observed (years × series, less `prior_mean`), and which states each series loads on."""

    observed: np.ndarray
    log_tonnes: np.ndarray
    prior_mean: np.ndarray
    loading: sparse.csr_array
    blocks: dict[str, slice]

    @classmethod
    def of(cls, series: pd.Index, observed: np.ndarray, log_tonnes: np.ndarray) -> "_Space":
        parts = [str(name).split(".") for name in series]
        markets = [".".join(part[:2]) for part in parts]
        keys: dict[str, list[str | None]] = {
            "mean": [str(name) for name in series],
            "own": [str(name) for name in series],
            "world": ["world"] * len(parts),
            "product": [part[1] if len(part) > 1 else part[0] for part in parts],
            "market": [*markets],
            "country": [part[2] if len(part) > 2 else None for part in parts],
        }
        loadings, blocks, start = [], {}, 0
        for block, names in keys.items():
            columns = sorted({name for name in names if name is not None})
            loadings.append(np.array([[float(name == column) for column in columns] for name in names]))
            loadings[-1] = loadings[-1].reshape(len(parts), len(columns))
            blocks[block] = slice(start, start + len(columns))
            start += len(columns)
        table = pd.DataFrame(
            {"market": markets, "sum": np.nansum(observed, axis=0), "n": (~np.isnan(observed)).sum(0)}
        )
        sums = table.groupby("market")[["sum", "n"]].transform("sum")
        prior_mean = (sums["sum"] / sums["n"]).to_numpy()
        return cls(observed - prior_mean, log_tonnes, prior_mean, sparse.csr_array(np.hstack(loadings)), blocks)


@dataclass(frozen=True)
class _System:
    """Autocorrelation, variance of the yearly change and of the first state, and of the noise of each series."""

    phi: np.ndarray
    change: np.ndarray
    first: np.ndarray
    noise: np.ndarray


FACTORS = {"world": "factor_phi", "product": "factor_phi", "market": "factor_phi", "country": "country_phi"}
"""Block of states → the parameter that is its autocorrelation."""


def _system(space: _Space, values: dict[str, float]) -> _System:
    size = space.loading.shape[1]
    phi, change, first = np.ones(size), np.zeros(size), np.zeros(size)
    first[space.blocks["mean"]] = values["mean_sd"] ** 2
    own = space.blocks["own"]
    phi[own] = values["own_phi"]
    change[own] = values["own_sd"] ** 2 * np.exp(-values["own_power"] * space.log_tonnes)
    for block, name in FACTORS.items():
        phi[space.blocks[block]] = values[name]
        change[space.blocks[block]] = values[f"{block}_sd"] ** 2
    moving = phi < 1
    first[moving] = change[moving] / (1 - phi[moving] ** 2)
    noise = values["noise_sd"] ** 2 * np.exp(-values["noise_power"] * space.log_tonnes)
    return _System(phi, change, first, noise)


@dataclass(frozen=True)
class _Filtered:
    """The last state given all observations, the log-likelihood, and what the smoother needs of each year."""

    mean: np.ndarray
    variance: np.ndarray
    likelihood: float
    years: list["_Year"]


class _Year(NamedTuple):
    """Which series were seen, gain, innovation over its variance, root of that variance; state after them."""

    seen: np.ndarray
    gain: np.ndarray
    scaled: np.ndarray
    root: np.ndarray
    mean: np.ndarray
    variance: np.ndarray


def _filter(space: _Space, values: dict[str, float], weights: np.ndarray) -> _Filtered:
    """The Kalman filter (Durbin and Koopman 2012, section 4.3); noise variances are divided by `weights`."""
    system = _system(space, values)
    mean, variance = np.zeros(len(system.phi)), np.diag(system.first)
    decay, diagonal = np.outer(system.phi, system.phi), np.diag_indices(len(system.phi))
    likelihood, years = 0.0, []
    for year, row in enumerate(space.observed):
        if year:
            mean = system.phi * mean
            variance = decay * variance
            variance[diagonal] += system.change
        seen = np.flatnonzero(~np.isnan(row))
        loading = space.loading[seen]
        spread = loading @ variance
        expected = loading @ spread.T + np.diag(system.noise[seen] / weights[year, seen])
        root = linalg.cholesky(expected, lower=True, check_finite=False)
        innovation = row[seen] - loading @ mean
        scaled = linalg.cho_solve((root, True), innovation, check_finite=False)
        gain = linalg.cho_solve((root, True), spread, check_finite=False).T
        likelihood -= (innovation @ scaled + len(seen) * np.log(2 * np.pi)) / 2 + np.log(np.diag(root)).sum()
        mean = mean + scaled @ spread
        taken = gain @ spread
        variance = np.subtract(variance, taken, out=taken)
        years.append(_Year(seen, gain, scaled, root, mean, variance))
    return _Filtered(mean, variance, likelihood, years)


@dataclass(frozen=True)
class _Score:
    """Derivatives of the log-likelihood by the variances of change and first state and by the autocorrelation, the
    first state's variance held (each state), and by the variance of noise (years × series); and the smoothed noise
    with its variance (years × series, NaN where nothing was observed)."""

    change: np.ndarray
    first: np.ndarray
    phi: np.ndarray
    noise: np.ndarray
    smoothed: np.ndarray
    smoothed_variance: np.ndarray


def _smooth(space: _Space, values: dict[str, float], weights: np.ndarray, filtered: _Filtered) -> _Score:
    """The disturbance smoother (Durbin and Koopman 2012, section 4.5) and the score (section 7.3.3).

    By the autocorrelation it is Σ E[change[t] x[t-1]] / variance of the change, with the covariance of section 4.7.
    """
    system = _system(space, values)
    size = len(system.phi)
    r, n = np.zeros(size), np.zeros((size, size))
    change, phi = np.zeros((2, size))
    decay = np.outer(system.phi, system.phi)
    u, d = np.full((2, *space.observed.shape), np.nan)
    for year in range(len(space.observed) - 1, -1, -1):
        seen, gain, scaled, root, _, _ = filtered.years[year]
        loading = space.loading[seen]
        carried = n @ gain
        precision = linalg.cho_solve((root, True), np.eye(len(seen)), check_finite=False) + gain.T @ carried
        error = scaled - gain.T @ r
        u[year, seen], d[year, seen] = error, np.diag(precision)
        r = r + loading.T @ error
        cross = loading.T @ carried.T
        n -= cross
        n -= cross.T
        n += loading.T @ (loading.T @ precision).T
        if year:
            change += (r**2 - np.diag(n)) / 2
            before = filtered.years[year - 1]
            smoothed = before.mean + before.variance @ (system.phi * r)
            phi += r * smoothed - np.einsum("ij,j,ij->i", n, system.phi, before.variance)
            r = system.phi * r
            n *= decay
    noise = system.noise / weights
    return _Score(change, (r**2 - np.diag(n)) / 2, phi, (u**2 - d) / 2, noise * u, noise - noise**2 * d)


def _reweighted(space: _Space, values: dict[str, float], weights: np.ndarray, times: int) -> np.ndarray:
    """The weights that make Gaussian noise Student-t: small where the smoothed noise is large for its variance."""
    noise = _system(space, values).noise
    for _ in range(times):
        score = _smooth(space, values, weights, _filter(space, values, weights))
        squares = (score.smoothed**2 + np.maximum(score.smoothed_variance, 0)) / noise
        weights = np.where(np.isnan(squares), 1.0, (NOISE_DF + 1) / (NOISE_DF + squares))
    return weights


def _estimate(space: _Space, given: dict[str, float | None]) -> tuple[dict[str, float], np.ndarray]:
    """The parameters, as `_rounded`, and the weights at them."""
    free = [name for name, value in given.items() if value is None]
    values = {name: SEARCH[name][0] if value is None else value for name, value in given.items()}
    weights = np.ones(space.observed.shape)
    for turn in range(ROUNDS if free else 0):
        weights = _reweighted(space, values, weights, 4 if turn == 0 else 2)
        found = optimize.minimize(
            partial(_surprise, space, values, free, weights),
            [_to_line(name, values[name]) for name in free],
            jac=True,
            method="L-BFGS-B",
            bounds=[tuple(_to_line(name, edge) for edge in SEARCH[name][1]) for name in free],
            options={"maxiter": STEPS},
        )
        values |= {name: _from_line(name, point) for name, point in zip(free, found.x, strict=True)}
    values |= {name: _rounded(name, values[name]) for name in free}
    return values, _reweighted(space, values, np.ones(space.observed.shape), REWEIGHTINGS)


def _rounded(name: str, value: float) -> float:
    """To 2 significant digits, an autocorrelation by its distance from 1: the data say no more of it, and the last
    digits of a search are not the same on every processor."""
    if name.endswith("_phi"):
        return round(1 - float(f"{1 - value:.2g}"), 6)
    return float(f"{value:.2g}")


def _to_line(name: str, value: float) -> float:
    """A parameter on the line on which it is searched: log of a standard deviation, logit of an autocorrelation."""
    if name.endswith("_phi"):
        return float(special.logit(value))
    return float(np.log(value)) if name.endswith("_sd") else value


def _from_line(name: str, point: float) -> float:
    if name.endswith("_phi"):
        return float(special.expit(point))
    return float(np.exp(point)) if name.endswith("_sd") else float(point)


def _surprise(
    space: _Space, kept: dict[str, float], free: list[str], weights: np.ndarray, point: np.ndarray
) -> tuple[float, np.ndarray]:
    """Minus the log-likelihood and log priors at `point` on the line, and its gradient."""
    values = kept | {name: _from_line(name, place) for name, place in zip(free, point, strict=True)}
    filtered = _filter(space, values, weights)
    gradient = _gradient(space, values, weights, filtered)
    surprise = -filtered.likelihood
    slopes = np.array([-gradient[name] for name in free])
    for name, (mean, sd) in PRIORS.items():
        if name in free:
            surprise += ((values[name] - mean) / sd) ** 2 / 2
            slopes[free.index(name)] += (values[name] - mean) / sd**2
    return surprise, slopes


def _gradient(space: _Space, values: dict[str, float], weights: np.ndarray, filtered: _Filtered) -> dict[str, float]:
    """Derivatives of the log-likelihood on the line."""
    score, system = _smooth(space, values, weights, filtered), _system(space, values)
    by_state = score.change * system.change + score.first * np.where(system.phi < 1, system.first, 0)
    by_noise = score.noise * system.noise / weights
    mean, own = space.blocks["mean"], space.blocks["own"]
    gradient = {f"{block}_sd": 2 * by_state[space.blocks[block]].sum() for block in ("own", *FACTORS)}
    gradient["mean_sd"] = 2 * (score.first[mean] * system.first[mean]).sum()
    gradient["noise_sd"] = 2 * np.nansum(by_noise)
    gradient["noise_power"] = -np.nansum(by_noise * space.log_tonnes)
    gradient["own_power"] = -(by_state[own] * space.log_tonnes).sum()
    moving = system.phi < 1
    phi = system.phi[moving]
    by_phi = np.zeros(len(system.phi))
    # The first state's variance is change / (1 - phi^2); phi is searched by its logit.
    by_phi[moving] = (score.phi[moving] + score.first[moving] * system.first[moving] * 2 * phi / (1 - phi**2)) * (
        phi * (1 - phi)
    )
    for block, name in {"own": "own_phi", **FACTORS}.items():
        gradient[name] = gradient.get(name, 0.0) + by_phi[space.blocks[block]].sum()
    return gradient
