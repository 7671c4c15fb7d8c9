"""The joint model as a dense Kalman filter and smoother over all its states: what `JointLevels` must equal.

A matrix of all states for each year: cubic in their number. Durbin and Koopman 2012, chapter 4 and section 7.3.3.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import linalg, sparse


@dataclass(frozen=True)
class Space:
    """What is observed (years × series, less `prior_mean`), and which states each series loads on."""

    observed: np.ndarray
    log_tonnes: np.ndarray
    prior_mean: np.ndarray
    loading: sparse.csr_array
    blocks: dict[str, slice]

    @classmethod
    def of(cls, series: pd.Index, observed: np.ndarray, log_tonnes: np.ndarray) -> "Space":
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
            columns = list(dict.fromkeys(name for name in names if name is not None))
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
class System:
    """Autocorrelation, variance of the yearly change and of the first state, and of the noise of each series."""

    phi: np.ndarray
    change: np.ndarray
    first: np.ndarray
    noise: np.ndarray


FACTORS = {"world": "factor_phi", "product": "factor_phi", "market": "factor_phi", "country": "country_phi"}
"""Block of states → the parameter that is its autocorrelation."""


def system_of(space: Space, values: dict[str, float]) -> System:
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
    return System(phi, change, first, noise)


@dataclass(frozen=True)
class Filtered:
    """The last state given all observations, the log-likelihood, and what the smoother needs of each year."""

    mean: np.ndarray
    variance: np.ndarray
    likelihood: float
    years: list["Year"]


class Year(NamedTuple):
    """Which series were seen, gain, innovation over its variance, root of that variance; state after them."""

    seen: np.ndarray
    gain: np.ndarray
    scaled: np.ndarray
    root: np.ndarray
    mean: np.ndarray
    variance: np.ndarray


def filtered_by(space: Space, values: dict[str, float], weights: np.ndarray) -> Filtered:
    """The Kalman filter (Durbin and Koopman 2012, section 4.3); noise variances are divided by `weights`."""
    system = system_of(space, values)
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
        years.append(Year(seen, gain, scaled, root, mean, variance))
    return Filtered(mean, variance, likelihood, years)


@dataclass(frozen=True)
class Score:
    """Derivatives of the log-likelihood by the variances of change and first state and by the autocorrelation, the
    first state's variance held (each state), and by the variance of noise (years × series); and the smoothed noise
    with its variance (years × series, NaN where nothing was observed)."""

    change: np.ndarray
    first: np.ndarray
    phi: np.ndarray
    noise: np.ndarray
    smoothed: np.ndarray
    smoothed_variance: np.ndarray


def smooth(space: Space, values: dict[str, float], weights: np.ndarray, filtered: Filtered) -> Score:
    """The disturbance smoother (Durbin and Koopman 2012, section 4.5) and the score (section 7.3.3).

    By the autocorrelation it is Σ E[change[t] x[t-1]] / variance of the change, with the covariance of section 4.7.
    """
    system = system_of(space, values)
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
    return Score(change, (r**2 - np.diag(n)) / 2, phi, (u**2 - d) / 2, noise * u, noise - noise**2 * d)


def gradient(space: Space, values: dict[str, float], weights: np.ndarray, filtered: Filtered) -> dict[str, float]:
    """Derivatives of the log-likelihood on the line."""
    score, system = smooth(space, values, weights, filtered), system_of(space, values)
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


def ahead(space: Space, values: dict[str, float], filtered: Filtered, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Median and scale of the log price of each series, so many years after the last."""
    system, loading = system_of(space, values), space.loading
    mean, variance = filtered.mean, filtered.variance
    for _ in range(steps):
        mean = system.phi * mean
        variance = system.phi[:, None] * variance * system.phi + np.diag(system.change)
    spread = np.asarray(loading.multiply(loading @ variance).sum(axis=1)).ravel()
    return space.prior_mean + loading @ mean, np.sqrt(spread + system.noise)
