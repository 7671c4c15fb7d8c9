r"""Effects: how prices moved with the harvest, trade volumes, sales and the exchange rate.

For input x and a series i of market m (a flow and a product), over pairs of consecutive years:

    change of log real price[i,t] = intercept[m] + elasticity[m] * change of log x[t] + e[i,t]
    elasticity[m] ~ N(mean, spread^2)                            over the markets, for each input

The price is value over quantity, so noise in a series' own quantity alone would make volume "lower" its price. Its
own volume is therefore nowhere in its effect: `imports` of a product beside the price of a country it comes from is
the volume of the other countries, and `exports` likewise. A total has no others, so the effect found in its countries
stands for it. Its own volume of the year before would not do: its noise is in the price of that year, from which the
change is counted (with quantities that are off by 40 per cent and no effect at all, 85 per cent of simulated totals
showed one). Every input is of the same year as the price.

What comes out is an association in past years, never a cause.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize, special

from vindima.errors import VindimaError
from vindima.etl import schemas
from vindima.etl.schemas import EFFECTS
from vindima.forecasting.eligibility import COUNTRY_KG
from vindima.forecasting.stored import six_digits
from vindima.inputs import FEWEST_YEARS, INPUTS, quantity
from vindima.quantiles import QUANTILES, SIDES
from vindima.series import FLOWS, NEVER_FORECAST

NOISE_POWER = 0.25
"""Of the volume, in how large a change of price is usual: 0.1 to 0.5 fit the changes to 2023 about as well."""
WILD = 2.0
"""What is beyond twice the usual change of price weighs less: the error of a slope falls by a fifth to a third."""
REWEIGHTINGS = 5
RUN = 3
"""Years left out together. With made-up inputs beside the real prices 4 to 8 per cent of the markets by themselves
are distinguishable at the 5 per cent level, 1 to 7 when drawn together; with runs of one year 5 to 9, and 1 to 8."""
SPREADS = np.linspace(0, 1, 21)
"""Standard deviations of elasticities between markets that are tried, equally likely before the data."""


def estimate(
    prices: pd.DataFrame, production: pd.DataFrame, sales: pd.DataFrame, exchange_rates: pd.DataFrame, cutoff: int
) -> pd.DataFrame:
    """The effects table (`EFFECTS`): for each input and market what a change of it went with, up to `cutoff`.

    `elasticity`: by how many per cent the price moved with 1 per cent of the input, drawn towards the mean of the
    markets; `se` its standard error, that mean's uncertainty in it; `df` the degrees of freedom of its Student-t
    interval. `elasticity_alone`, `se_alone`: of the market by itself. `n_changes` changes of the prices of `n_series`
    series in `n_years` years, `first_year` to `last_year`. `baseline`: the last published level of the input, in
    `unit`, of `baseline_year`; `lowest` and `highest` of its history; `largest_change` of one year, in logs. A market
    with fewer than `FEWEST_YEARS` years of changes has no row. Estimated numbers have 6 significant digits.

    The arguments are the tables of that name as stored. A change of price weighs by how large a change is usual for
    its volume, and less when it is wild (Huber 1964). Inputs are common to all series of a year, and neighbouring
    years are not independent, so the standard errors are those of a jackknife that leaves out runs of `RUN` years of
    all markets together (Künsch 1989). The spread between markets is integrated out over `SPREADS` (Gelman 2006): an
    estimate of it is often 0, as if it were certain that the markets are all alike.
    """
    tables = {
        name: table[table["year"] <= cutoff]
        for name, table in (
            ("prices", prices),
            ("production", production),
            ("sales", sales),
            ("exchange_rates", exchange_rates),
        )
    }
    changes = _price_changes(tables["prices"])
    rows = [row for name in INPUTS for row in _effects_of(name, changes, tables)]
    types = {name: str(column.dtype) for name, column in EFFECTS.schema.columns.items()}
    table = pd.DataFrame(rows, columns=list(types)).astype(types)
    for name in ("elasticity", "se", "df", "elasticity_alone", "se_alone", "largest_change"):
        table[name] = six_digits(table[name].to_numpy())
    return schemas.validate(table, EFFECTS)


def moves(effects: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of the effects table as a scenario wants them, with `reach_80` and `reach_95`.

    These are half the width of the elasticity's Student-t interval of that level.
    """
    by_level = {
        f"reach_{level}": special.stdtrit(effects["df"], QUANTILES[upper]) * effects["se"]
        for level, (_, upper) in SIDES.items()
    }
    rows = effects.assign(**by_level)
    return [dict(zip(rows.columns, row, strict=True)) for row in rows.itertuples(index=False)]


def limits(effects: pd.DataFrame) -> pd.DataFrame:
    """`effects` with the `low` and `high` of the elasticity's 95 per cent interval, and whether 0 is outside it."""
    reach = special.stdtrit(effects["df"], QUANTILES["q975"]) * effects["se"]
    low, high = effects["elasticity"] - reach, effects["elasticity"] + reach
    return effects.assign(low=low, high=high, distinguishable=(low > 0) | (high < 0))


def levels(name: str, product: str, tables: Mapping[str, pd.DataFrame]) -> pd.Series:
    """The input's published level by year, where there is one above 0; `tables` by name, as stored."""
    meant = quantity(name, product)
    table = tables[meant.table]
    if meant.table == "exchange_rates":
        amounts = table[table["country"] == "BRA"].set_index("year")["currency_per_usd"]
    elif meant.table == "prices":
        amounts = table[table["series"] == f"{name}.{product}"].set_index("year")["quantity_kg"]
    else:
        counted = table["product_group"].isin(meant.groups)
        if meant.products:
            counted &= table["product"].isin(meant.products)
        amounts = table[counted].groupby("year")["quantity_l"].agg(lambda parts: parts.sum(skipna=False))
    return amounts[(amounts > 0) & (amounts.index >= meant.first_year)].sort_index()


def _price_changes(prices: pd.DataFrame) -> pd.DataFrame:
    """Changes of the log real price between consecutive years in which a series traded 1,000 kg or more.

    `usual` is the mean absolute change at such volumes.
    """
    traded = prices[(prices["quantity_kg"] >= COUNTRY_KG) & ~prices["country"].isin(NEVER_FORECAST)]
    rows = traded[["series", "flow", "product", "year", "quantity_kg"]].assign(
        log=np.log(traded["price_usd_kg_real"]), noise=(traded["quantity_kg"] / 1000) ** -NOISE_POWER
    )
    rows = rows.sort_values(["series", "year"])
    before = rows.groupby("series")[["year", "quantity_kg", "log", "noise"]].shift()
    rows = rows.assign(
        change=rows["log"] - before["log"],
        noise=(rows["noise"] + before["noise"]) / 2,
        quantity_kg_before=before["quantity_kg"],
    )[rows["year"] == before["year"] + 1]
    parts = np.column_stack([np.ones(len(rows)), rows["noise"]])
    usual = parts @ optimize.nnls(parts, rows["change"].abs().to_numpy())[0] if len(rows) else 1.0
    return rows.assign(usual=usual)


def _input_changes(name: str, changes: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> pd.Series:
    """Log change of the input beside each of one market's `changes`; of the other countries on its own flow."""
    published = levels(name, changes["product"].iloc[0], tables)
    now, before = changes["year"].map(published), (changes["year"] - 1).map(published)
    if name in FLOWS:
        own = changes["flow"] == name
        now = now.where(~own, now - changes["quantity_kg"])
        before = before.where(~own, before - changes["quantity_kg_before"])
        now, before = now.where(now >= COUNTRY_KG), before.where(before >= COUNTRY_KG)
    return np.log(now) - np.log(before)


def _effects_of(name: str, changes: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """One row for each market that has a history of the input."""
    kept = []
    for (flow, product), market in changes.groupby(["flow", "product"]):
        flow, product = str(flow), str(product)
        try:
            beside = _input_changes(name, market, tables)
        except VindimaError:  # not published for this product
            continue
        market = market.assign(input=beside)[beside.notna()]
        if market["year"].nunique() >= FEWEST_YEARS and market["input"].std() > 0:
            kept.append(((flow, product), market))
    if not kept:
        return []
    alone, covariance, df, information = _by_market([market for _, market in kept])
    elasticity, variance = _shrunk(alone, covariance, information)
    rows = []
    for place, ((flow, product), market) in enumerate(kept):
        history = levels(name, product, tables)
        steps = np.log(history).reindex(range(history.index[0], history.index[-1] + 1)).diff().abs()
        rows.append(
            {"input": name, "flow": flow, "product": product}
            | {"elasticity": elasticity[place], "se": math.sqrt(variance[place]), "df": df[place]}
            | {"elasticity_alone": alone[place], "se_alone": math.sqrt(covariance[place, place])}
            | {"n_series": market["series"].nunique(), "n_changes": len(market)}
            | {"n_years": market["year"].nunique()}
            | {"first_year": market["year"].min(), "last_year": market["year"].max()}
            | {"unit": quantity(name, product).unit}
            | {"baseline": history.iloc[-1], "baseline_year": history.index[-1]}
            | {"lowest": history.min(), "highest": history.max(), "largest_change": steps.max()}
        )
    return rows


def _by_market(markets: list[pd.DataFrame]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Each market's slope of price on input, their covariance, degrees of freedom, and information."""
    changes = pd.concat(markets, ignore_index=True)
    market = np.repeat(np.arange(len(markets)), [len(rows) for rows in markets])
    year = (changes["year"] - changes["year"].min()).to_numpy()
    x, y, usual = (changes[column].to_numpy() for column in ("input", "change", "usual"))
    shape = len(markets), int(year.max()) + 1
    weight = usual**-2.0

    for _ in range(REWEIGHTINGS):
        sums = _sums(market, year, weight, x, y, shape).sum(axis=2)
        slope = _slope(sums)
        residual = y - (sums[2] / sums[0])[market] - slope[market] * (x - (sums[1] / sums[0])[market])
        weight = usual**-2.0 * np.minimum(1, WILD / np.maximum(np.abs(residual) / usual, 1e-9))

    sums = _sums(market, year, weight, x, y, shape)
    whole = sums.sum(axis=2)
    slope = _slope(whole)
    runs = [slice(max(end - RUN, 0), end) for end in range(1, shape[1] + RUN)]
    moved = np.stack([_slope(whole - sums[:, :, run].sum(axis=2)) - slope for run in runs], axis=1)
    years = (sums[0] > 0).sum(axis=1)
    moved *= np.sqrt((years - RUN) / (years * RUN))[:, None]
    covariance = moved @ moved.T + 1e-12 * np.eye(len(markets))  # figures without any noise have a variance too
    return slope, covariance, years / RUN - 1, whole[3] - whole[1] ** 2 / whole[0]


def _sums(
    market: np.ndarray, year: np.ndarray, weight: np.ndarray, x: np.ndarray, y: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """Σ w, Σ wx, Σ wy, Σ wxx, Σ wxy of each market and year: (5, markets, years)."""
    cell = market * shape[1] + year
    terms = (weight, weight * x, weight * y, weight * x * x, weight * x * y)
    return np.stack([np.bincount(cell, term, shape[0] * shape[1]).reshape(shape) for term in terms])


def _slope(sums: np.ndarray) -> np.ndarray:
    w, wx, wy, wxx, wxy = sums
    return (wxy - wx * wy / w) / (wxx - wx**2 / w)


def _shrunk(alone: np.ndarray, covariance: np.ndarray, information: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each market's slope drawn towards their mean, and its variance, averaged over the spreads that may be.

    Whatever the weights, the result is linear in the slopes, so that its variance is exact for their full covariance:
    markets share their years, and their errors with them. The mean weighs by the `information` of the design, not by
    the standard errors, whose own noise goes with the slopes'.
    """
    own = np.diag(covariance)
    planned = np.exp(np.mean(np.log(own * information))) / information
    one = np.eye(len(alone))
    fits, guesses, variances = [], [], []
    for spread in SPREADS:
        near = 1 / (own + spread**2)
        mean = (near * alone).sum() / near.sum()
        fits.append((np.log(near).sum() - np.log(near.sum()) - (near * (alone - mean) ** 2).sum()) / 2)
        weights = 1 / (planned + spread**2)
        trust = spread**2 / (spread**2 + own)
        drawn = np.diag(trust) + np.outer(1 - trust, weights / weights.sum())
        guesses.append(drawn @ alone)
        off = drawn - one
        variances.append(np.diag(drawn @ covariance @ drawn.T + spread**2 * off @ off.T))
    odds = np.exp(np.array(fits) - max(fits))
    odds /= odds.sum()
    guess = odds @ np.array(guesses)
    return guess, odds @ (np.array(variances) + (np.array(guesses) - guess) ** 2)
