"""The joint model: the log prices of all series as one state space, in which they inform each other."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import optimize, special, stats
from sktime.forecasting.base import ForecastingHorizon
from threadpoolctl import threadpool_limits

from vindima.forecasting.level import MedianAndScale, known, log_deflator

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
NOISE_DF = 8.0
"""Degrees of freedom of the noise: prices of single lots have heavy tails."""
AS_ALL = 5.0
"""A series' own noise begins as that of five prices as noisy as all series of its volume are."""
REWEIGHTINGS = 5
ROUNDS, STEPS = 3, 12
SERIES_AT_ONCE = 250
"""How many have their matrices of years × years worked on at a time, beside those that are kept."""


class JointLevels(MedianAndScale):
    r"""Factors that all series share, a level of its own for each, and noise that falls with volume.

    For the log real price y of series i, of flow f, product p and country c, in year t:

        y[i,t] = m[i] + world[t] + product[p,t] + market[f.p,t] + country[c,t] + own[i,t] + e[i,t]

        x[t]     = phi x[t-1] + N(0, sd^2)        world, product, market (factor_phi), country (country_phi)
        own[i,t] = own_phi own[i,t-1] + N(0, own_sd^2 v[i]^-own_power)
        m[i]     ~ N(mean of its market, mean_sd^2)
        e[i,t]   ~ Student-t(8), scale^2 noise_sd^2 v[i]^-noise_power s[i]^2

    v[i] is the geometric mean of the tonnes that the series traded in the years with a price; without X, 1 for all. A
    total has no country. Prices are deflated by the `deflator` of X (1 without one) to the money of the
    cutoff year, in which forecasts are: the last price level known. A year without a price has no observation.

    Estimation: the Student-t noise is Gaussian with weights (Lange, Little and Taylor 1989), the weights by the
    smoothed noise; s[i]^2 is the mean of a series' weighted squares of it, over what its volume says, shrunk to 1
    (`AS_ALL`). Given both, the parameters maximise the Gaussian likelihood, with its score by what is expected of
    prices and factors together (Koopman and Shephard 1992; Durbin and Koopman 2012, section 7.3.3). With Gaussian
    noise this is maximum likelihood; the weights of Student-t noise lean towards noise, so that the changes of the
    levels come out small. A parameter that is given is kept: where there are thousands of series, those found from
    some of them serve all (`JointLevels(**found)`).

    fit: y one column of log prices, X the columns `quantity_kg` and `deflator` (others are not read), both indexed by
    (series, year), series named `flow.product[.country]`, or by the year alone for a single series. predict: the
    median. predict_quantiles: Student-t(8) around it, for the price that will be observed.

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
            fitted, noise = _estimate(space, given)
            last = _last_states(space, fitted, _solve(space, fitted, noise.precision))
        for name, value in fitted.items():
            setattr(self, f"{name}_", value)
        self._space, self._fitted, self._last, self._scale = space, fitted, last, noise.scale
        self.series_ = prices.columns

    def _ahead(self, fh: ForecastingHorizon) -> tuple[np.ndarray, np.ndarray, pd.Index]:
        """Median and scale of the log price of each series and horizon, and the index of what is predicted."""
        steps = [int(step) for step in fh.to_relative(self.cutoff)]
        space, values = self._space, self._fitted
        own, noise = _variances(space, values)
        noise = noise * self._scale
        shared = _between(space, values).diagonal()[space.market]
        country = values["country_sd"] ** 2 * space.has_country
        change = np.stack([0 * own, own, shared[space.cell], country[space.cell]], axis=1)
        phi = np.array([1.0, *(values[f"{name}_phi"] for name in ("own", "factor", "country"))])
        mean, variance = self._last
        median, scale = np.empty((2, len(own), len(steps)))
        for step in range(1, max(steps) + 1):
            mean, variance = phi * mean, phi[:, None] * variance * phi
            variance[:, range(4), range(4)] += change
            at = space.order[:, None], np.flatnonzero(np.equal(steps, step))
            median[at] = (space.prior_mean + mean.sum(axis=1))[:, None]
            scale[at] = np.sqrt(variance.sum(axis=(1, 2)) + noise)[:, None]
        return median.ravel(), scale.ravel(), self._index_at(self.series_, fh)

    def _standard(self, alpha: list[float]) -> np.ndarray:
        return stats.t.ppf(np.array(alpha), NOISE_DF)


@dataclass(frozen=True)
class _Space:
    """What is observed, less `prior_mean` (series × years, 0 without a price), and the factors of each series.

    Series are sorted by country, market and name: `order` is the place of each in what was given. A cell is the
    series of one market and country, which have the same factors: `cell` of each series, first series (`starts`) and
    `market` of each cell, `product` of each market. `countries` are the cells of each; totals have none
    (`has_country` of each cell is 0, else 1).
    """

    order: np.ndarray
    observed: np.ndarray
    seen: np.ndarray
    log_tonnes: np.ndarray
    prior_mean: np.ndarray
    cell: np.ndarray
    starts: np.ndarray
    market: np.ndarray
    product: np.ndarray
    countries: list[slice]
    has_country: np.ndarray

    @classmethod
    def of(cls, series: pd.Index, observed: np.ndarray, log_tonnes: np.ndarray) -> "_Space":
        """Of what is observed of `series` in their order: years × series, NaN without a price."""
        parts = [str(name).split(".") for name in series]
        names = pd.DataFrame(
            {
                "country": [part[2] if len(part) > 2 else "" for part in parts],
                "market": [".".join(part[:2]) for part in parts],
                "series": [str(name) for name in series],
                "product": [part[1] if len(part) > 1 else part[0] for part in parts],
            }
        ).sort_values(["country", "market", "series"])
        order = names.index.to_numpy()
        seen = ~np.isnan(observed.T[order])
        prices = np.where(seen, observed.T[order], 0.0)
        market, markets = pd.factorize(names["market"], sort=True)
        sums, counts = (np.bincount(market, of.sum(axis=1)) for of in (prices, seen))
        prior_mean = (sums / counts)[market]
        cell, cells = pd.factorize(pd.MultiIndex.from_frame(names[["country", "market"]]))
        country, countries = pd.factorize(cells.get_level_values(0))
        edges = np.searchsorted(country, np.arange(len(countries) + 1))
        return cls(
            order=order,
            observed=np.where(seen, prices - prior_mean[:, None], 0.0),
            seen=seen,
            log_tonnes=log_tonnes[order],
            prior_mean=prior_mean,
            cell=cell,
            starts=np.searchsorted(cell, np.arange(len(cells))),
            market=markets.get_indexer(cells.get_level_values(1)),
            product=pd.factorize(names.groupby("market")["product"].first())[0],
            countries=[slice(*pair) for pair, name in zip(pairwise(edges), countries, strict=True) if name],
            has_country=(cells.get_level_values(0) != "").astype(float),
        )


def _variances(space: _Space, values: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """Of the yearly change of each series' own level, and of its noise."""
    own = values["own_sd"] ** 2 * np.exp(-values["own_power"] * space.log_tonnes)
    return own, values["noise_sd"] ** 2 * np.exp(-values["noise_power"] * space.log_tonnes)


def _between_markets(space: _Space, values: dict[str, float]) -> dict[str, np.ndarray]:
    """What each factor that markets may share adds to the covariance of their yearly changes (markets × markets)."""
    same = np.equal.outer(space.product, space.product)
    shared = {"world": np.ones(same.shape), "product": same, "market": np.eye(len(same))}
    return {name: values[f"{name}_sd"] ** 2 * by for name, by in shared.items()}


def _between(space: _Space, values: dict[str, float]) -> np.ndarray:
    """The covariance of the yearly changes of what markets share (markets × markets)."""
    return np.sum(list(_between_markets(space, values).values()), axis=0)


def _between_root(space: _Space, values: dict[str, float]) -> np.ndarray:
    """A matrix that times its transpose is that covariance."""
    found = np.linalg.eigh(_between(space, values))
    return found.eigenvectors * np.sqrt(np.maximum(found.eigenvalues, 0))


def _root(years: int, phi: float) -> np.ndarray:
    """A lower triangle that times its transpose is the covariance, over the years, of x[t] = phi x[t-1] + N(0, 1):
    stationary, or from 0 on where phi is 1."""
    lag = np.subtract.outer(np.arange(years), np.arange(years))
    root = np.tril(float(phi) ** np.maximum(lag, 0))
    root[:, 0] *= (1 - phi**2) ** -0.5 if phi < 1 else 0
    return root


def _slope(root: np.ndarray, phi: float) -> np.ndarray:
    """The inverse of `root` times its derivative by phi."""
    slope = np.zeros(root.shape)
    slope[1:] = root[:-1]
    slope[0, 0] = phi / (1 - phi**2) if phi < 1 else 0
    return slope


def _spread(over_markets: np.ndarray, over_years: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The Kronecker product of the first two, times a matrix of markets × years, times its transpose."""
    for _ in range(2):
        rows = over_years @ matrix.reshape(len(over_markets), len(over_years), -1)
        matrix = (over_markets @ rows.reshape(len(over_markets), -1)).reshape(matrix.shape).T
    return matrix


def _inverse(matrices: np.ndarray) -> tuple[np.ndarray, float]:
    """Inverses of positive definite matrices, and half the log of their determinants together."""
    roots = np.linalg.cholesky(matrices)
    return np.linalg.inv(matrices), float(np.log(np.diagonal(roots, axis1=-2, axis2=-1)).sum())


def _parts(space: _Space) -> Iterator[slice]:
    """The series, SERIES_AT_ONCE at a time."""
    for start in range(0, len(space.cell), SERIES_AT_ONCE):
        yield slice(start, start + SERIES_AT_ONCE)


def _precisions(space: _Space, values: dict[str, float], weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Inverse covariance of the prices of each series given its factors (series × years × years, 0 without a price),
    and half the log of the determinants of those covariances."""
    own, noise = _variances(space, values)
    root, years = _root(space.seen.shape[1], values["own_phi"]), np.arange(space.seen.shape[1])
    found, halves = np.empty((*space.seen.shape, len(years))), 0.0
    for part in _parts(space):
        seen = space.seen[part]
        covariance = own[part, None, None] * (root @ root.T) + values["mean_sd"] ** 2
        covariance *= seen[:, :, None] & seen[:, None, :]
        covariance[:, years, years] += np.where(seen, noise[part, None] / weights[part], 1.0)
        found[part], half = _inverse(covariance)
        halves += half
    found[:, years, years] *= space.seen
    return found, halves


class _Solved(NamedTuple):
    """What prices y of covariance K say of series and factors; their last year is apart, for what comes after it.

    `precision` and `scaled`: inverse covariance of each series' prices given its factors, and its part of K⁻¹ y.
    `variance`: of the sum of each cell's factors (cells × years × years). `last`, `last_variance`: of what a cell's
    market and its country are in the last year (cells × 2); `with_last`: their covariance with that sum (cells ×
    years × 2). `markets`, `countries`: second moments of the factors in units of their `_root`, less 1 (of markets ×
    years; of years, all countries together).
    """

    likelihood: float
    precision: np.ndarray
    scaled: np.ndarray
    variance: np.ndarray
    last: np.ndarray
    last_variance: np.ndarray
    with_last: np.ndarray
    markets: np.ndarray
    countries: np.ndarray


def _solve(space: _Space, values: dict[str, float], weights: np.ndarray) -> _Solved:
    """The joint normal distribution of prices and factors; noise variances are divided by `weights`.

    Given all factors the series are independent, and given what the markets share (each one's sum of world, product
    and market) the countries are: eliminated in this order, they leave one system of markets × years (Boyd and
    Vandenberghe 2004, section C.4). In units of their `_root` factors are N(0, 1), and may have no variance at all.
    """
    n_years, n_markets = space.seen.shape[1], len(space.product)
    precision, halves = _precisions(space, values, weights)
    heard = np.add.reduceat((precision @ space.observed[:, :, None])[:, :, 0], space.starts)
    known = np.add.reduceat(precision, space.starts)

    places = space.market[:, None] * n_years + np.arange(n_years)
    left, told = np.zeros((n_markets * n_years,) * 2), np.zeros(n_markets * n_years)
    for at, of, sums in zip(places, known, heard, strict=True):
        left[np.ix_(at, at)] += of
        told[at] += sums
    unit, one = values["country_sd"] * _root(n_years, values["country_phi"]), np.eye(n_years)
    gains, alone = known @ unit, []
    for cells in space.countries:
        at, met = places[cells].ravel(), gains[cells].reshape(-1, n_years)
        inverse, half = _inverse(one + unit.T @ gains[cells].sum(axis=0))
        gain, mean = met @ inverse, inverse @ (unit.T @ heard[cells].sum(axis=0))
        left[np.ix_(at, at)] -= gain @ met.T
        told[at] -= met @ mean
        halves += half
        gains[cells] = gain.reshape(-1, n_years, n_years)
        alone.append((inverse, mean))

    between, root = _between_root(space, values), _root(n_years, values["factor_phi"])
    inverse, half = _inverse(np.eye(len(left)) + _spread(between.T, root.T, left))
    standard = inverse @ (between.T @ told.reshape(n_markets, n_years) @ root).ravel()
    shared = between @ standard.reshape(n_markets, n_years) @ root.T
    shared_variance = _spread(between, root, inverse)

    mean = shared[space.market]
    variance = shared_variance.reshape(n_markets, n_years, n_markets, n_years)[space.market, :, space.market]
    last, last_variance = np.zeros((len(places), 2)), np.zeros((len(places), 2, 2))
    with_last, countries = np.zeros((len(places), n_years, 2)), np.zeros((n_years, n_years))
    last[:, 0], last_variance[:, 0, 0], with_last[:, :, 0] = mean[:, -1], variance[:, -1, -1], variance[:, :, -1]
    for cells, (own, own_mean) in zip(space.countries, alone, strict=True):
        at, gain = places[cells].ravel(), gains[cells].reshape(-1, n_years)
        carried = shared_variance[np.ix_(at, at)] @ gain
        own, own_mean = own + gain.T @ carried, own_mean - shared.ravel()[at] @ gain
        countries += own + np.outer(own_mean, own_mean) - one
        own, own_mean = unit @ own @ unit.T, unit @ own_mean
        beside = -(carried @ unit.T).reshape(-1, n_years, n_years)
        last[cells, 1], last_variance[cells, 1, 1] = own_mean[-1], own[-1, -1]
        last_variance[cells, 0, 1] = last_variance[cells, 1, 0] = beside[:, -1, -1]
        with_last[cells] += np.stack([beside[:, -1], beside[:, :, -1] + own[-1]], axis=2)
        mean[cells] += own_mean
        variance[cells] += beside + beside.transpose(0, 2, 1) + own

    scaled = (precision @ (space.observed - mean[space.cell])[:, :, None])[:, :, 0]
    likelihood = -(np.vdot(space.observed, scaled) + space.seen.sum() * np.log(2 * np.pi)) / 2 - halves - half
    moments = inverse + np.outer(standard, standard) - np.eye(len(left))
    return _Solved(likelihood, precision, scaled, variance, last, last_variance, with_last, moments, countries)


def _scores(space: _Space, solved: _Solved) -> Iterator[tuple[slice, np.ndarray]]:
    """Parts of the series, and twice the derivative of the log-likelihood by the covariance of each one's prices:
    its block of K⁻¹ y y' K⁻¹ - K⁻¹ (series × years × years)."""
    for part in _parts(space):
        precision, scaled = solved.precision[part], solved.scaled[part]
        explained = precision @ solved.variance[space.cell[part]] @ precision
        yield part, scaled[:, :, None] * scaled[:, None, :] - precision + explained


def _last_states(space: _Space, values: dict[str, float], solved: _Solved) -> tuple[np.ndarray, np.ndarray]:
    """Mean (series × 4) and variance (series × 4 × 4) of each series' mean, own level, market and country in the last
    year, given all prices."""
    own, _ = _variances(space, values)
    root = _root(space.seen.shape[1], values["own_phi"])
    prior = np.zeros((len(own), 2, 2))
    prior[:, 0, 0], prior[:, 1, 1] = values["mean_sd"] ** 2, own * (root[-1] @ root[-1])
    with_prices = np.empty((*space.seen.shape, 2))
    with_prices[:, :, 0], with_prices[:, :, 1] = values["mean_sd"] ** 2, np.outer(own, root @ root[-1])
    gain = (solved.precision @ with_prices).transpose(0, 2, 1)
    mean = np.hstack([(with_prices * solved.scaled[:, :, None]).sum(axis=1), solved.last[space.cell]])
    variance = np.empty((len(own), 4, 4))
    variance[:, :2, :2] = prior - gain @ (with_prices - solved.variance[space.cell] @ gain.transpose(0, 2, 1))
    variance[:, :2, 2:] = -gain @ solved.with_last[space.cell]
    variance[:, 2:, :2] = variance[:, :2, 2:].transpose(0, 2, 1)
    variance[:, 2:, 2:] = solved.last_variance[space.cell]
    return mean, variance


class _Noise(NamedTuple):
    """What divides the variance of noise (`precision`: series × years), and what multiplies it in each series
    (`scale`), in which it holds too."""

    precision: np.ndarray
    scale: np.ndarray

    @classmethod
    def of_all(cls, space: _Space) -> "_Noise":
        """Gaussian, and by volume alone."""
        return cls(np.ones(space.seen.shape), np.ones(len(space.seen)))


def _reweighted(space: _Space, values: dict[str, float], noise: _Noise, times: int) -> _Noise:
    """The weights that make Gaussian noise Student-t, small where the smoothed noise is large for its variance, and
    with them the scale of each series, in turns."""
    precision, scale = noise
    by_volume, count = _variances(space, values)[1][:, None], space.seen.sum(axis=1)
    for _ in range(times):
        given, scores = by_volume / precision, np.empty(space.seen.shape)
        for part, score in _scores(space, _solve(space, values, precision)):
            scores[part] = np.diagonal(score, axis1=1, axis2=2)
        squares = np.where(space.seen, (given + given**2 * scores) / by_volume, 0.0)
        weights = (NOISE_DF + 1) / (NOISE_DF + squares / scale[:, None])
        scale = (AS_ALL + (weights * squares).sum(axis=1)) / (AS_ALL + count)
        weights = (NOISE_DF + 1) / (NOISE_DF + squares / scale[:, None])
        precision = np.where(space.seen, weights / scale[:, None], 1.0)
    return _Noise(precision, scale)


def _estimate(space: _Space, given: dict[str, float | None]) -> tuple[dict[str, float], _Noise]:
    """The parameters, as `_rounded`, and the noise at them."""
    free = [name for name, value in given.items() if value is None]
    values = {name: SEARCH[name][0] if value is None else value for name, value in given.items()}
    noise = _Noise.of_all(space)
    for turn in range(ROUNDS if free else 0):
        noise = _reweighted(space, values, noise, 4 if turn == 0 else 2)
        found = optimize.minimize(
            partial(_surprise, space, values, free, noise.precision),
            [_to_line(name, values[name]) for name in free],
            jac=True,
            method="L-BFGS-B",
            bounds=[tuple(_to_line(name, edge) for edge in SEARCH[name][1]) for name in free],
            options={"maxiter": STEPS},
        )
        values |= {name: _from_line(name, point) for name, point in zip(free, found.x, strict=True)}
    values |= {name: _rounded(name, values[name]) for name in free}
    return values, _reweighted(space, values, _Noise.of_all(space), REWEIGHTINGS)


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
    solved = _solve(space, values, weights)
    gradient = _gradient(space, values, weights, solved)
    surprise = -solved.likelihood
    slopes = np.array([-gradient[name] for name in free])
    for name, (mean, sd) in PRIORS.items():
        if name in free:
            surprise += ((values[name] - mean) / sd) ** 2 / 2
            slopes[free.index(name)] += (values[name] - mean) / sd**2
    return surprise, slopes


def _gradient(space: _Space, values: dict[str, float], weights: np.ndarray, solved: _Solved) -> dict[str, float]:
    """Derivatives of the log-likelihood on the line, by Fisher's identity: those expected of prices and factors
    together (Durbin and Koopman 2012, section 7.3.3)."""
    (n_series, n_years), (own, noise) = space.seen.shape, _variances(space, values)
    root = _root(n_years, values["own_phi"])
    slope = root @ _slope(root, values["own_phi"]) @ root.T
    by = np.stack([np.ones((n_years, n_years)), root @ root.T, slope + slope.T]).reshape(3, -1).T
    by_covariance, by_noise = np.empty((n_series, 3)), np.empty((n_series, n_years))
    for part, score in _scores(space, solved):
        by_covariance[part] = score.reshape(len(score), -1) @ by / 2
        by_noise[part] = np.diagonal(score, axis1=1, axis2=2) / 2
    by_mean, by_own, by_own_phi = by_covariance.T
    by_noise = (by_noise / weights).sum(axis=1, where=space.seen) * noise
    gradient = {
        "own_sd": 2 * by_own @ own,
        "own_power": -(by_own * own) @ space.log_tonnes,
        "own_phi": by_own_phi @ own,
        "mean_sd": 2 * by_mean.sum() * values["mean_sd"] ** 2,
        "noise_sd": 2 * by_noise.sum(),
        "noise_power": -by_noise @ space.log_tonnes,
        "country_sd": np.trace(solved.countries),
    }
    moments = solved.markets.reshape(len(space.product), n_years, len(space.product), n_years)
    inverse = np.linalg.pinv(_between_root(space, values))
    by_pair = inverse.T @ np.einsum("itjt->ij", moments) @ inverse
    for name, shared in _between_markets(space, values).items():
        gradient[f"{name}_sd"] = (by_pair * shared).sum()
    for name, by_years in (("factor_phi", np.einsum("itiu->tu", moments)), ("country_phi", solved.countries)):
        gradient[name] = (_slope(_root(n_years, values[name]), values[name]).T * by_years).sum()
    return gradient | {name: gradient[name] * values[name] * (1 - values[name]) for name in gradient if "phi" in name}
