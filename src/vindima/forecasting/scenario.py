r"""What if: how prices moved with the harvest, trade volumes, sales and the exchange rate, and a path moved by them.

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
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize, special

from vindima.errors import VindimaError
from vindima.etl import schemas
from vindima.etl.schemas import EFFECTS, FEWEST_YEARS, FIRST_YEAR_IN_REAIS, INPUTS, QUANTILES, SIDES
from vindima.forecasting.eligibility import COUNTRY_KG
from vindima.forecasting.stored import six_digits
from vindima.labels import FLOWS, Language, number, series_name
from vindima.series import NEVER_FORECAST

LANGUAGES: tuple[Language, ...] = ("en", "pt")
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
FARTHEST = 1000.0
"""A change by more than a thousand times is taken for a slip of units."""

Words = dict[Language, str]
NOT_PUBLISHED = (("exports", "raisins"),)


@dataclass(frozen=True)
class Quantity:
    """The published quantity that an input means for a product: the sum of rows of a table, in `unit`.

    `groups` are product groups of `table` (production or sales), `products` those of them that count (none: all). A
    published 0 is not told from "not recorded" by the source, so it is a gap; so is a year with a part not published.
    Before `first_year` it was not recorded, or in another money.
    """

    table: str
    unit: str
    words: Words
    groups: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    first_year: int = 1970


_STILL = ("table_wine", "fine_wine")
_SPARKLING = (
    "sparkling_wine", "moscatel_sparkling_wine", "organic_sparkling_wine", "sparkling_wine_base",
    "moscatel_sparkling_wine_base", "charmat_method_base", "traditional_method_base",
)  # fmt: skip
EXCHANGE_RATE = Quantity(
    "exchange_rates",
    "R$/US$",
    {"en": "the exchange rate, reais per US dollar, yearly average", "pt": "o câmbio, reais por dólar, média do ano"},
    first_year=FIRST_YEAR_IN_REAIS,
)
HARVEST = {
    "table_wine": Quantity(
        "production",
        "L",
        {
            "en": "the production of still wine, common and fine, in Rio Grande do Sul",
            "pt": "a produção de vinhos de mesa, comuns e finos, no Rio Grande do Sul",
        },
        _STILL,
    ),
    "sparkling_wine": Quantity(
        "production",
        "L",
        {
            "en": "the production of sparkling wine and its base wines in Rio Grande do Sul",
            "pt": "a produção de espumantes e seus vinhos-base no Rio Grande do Sul",
        },
        ("derivatives",),
        _SPARKLING,
        first_year=2005,  # base wines are in the table from 2004 on, little of them before the next year
    ),
    "grape_juice": Quantity(
        "production",
        "L",
        {
            "en": "the production of grape juice in Rio Grande do Sul, concentrate by its own litres",
            "pt": "a produção de suco de uva no Rio Grande do Sul, o concentrado por seus próprios litros",
        },
        ("juice",),
    ),
}
SALES = {
    "table_wine": Quantity(
        "sales",
        "L",
        {
            "en": "the sale of still wine, common, fine, special and organic, by Rio Grande do Sul",
            "pt": "a venda de vinhos de mesa, comuns, finos, especiais e orgânicos, pelo Rio Grande do Sul",
        },
        (*_STILL, "special_wine", "organic_wine"),
    ),
    "sparkling_wine": Quantity(
        "sales",
        "L",
        {
            "en": "the sale of sparkling wine by Rio Grande do Sul",
            "pt": "a venda de espumantes pelo Rio Grande do Sul",
        },
        ("sparkling_wine",),
    ),
    "grape_juice": Quantity(
        "sales",
        "L",
        {
            "en": "the sale of grape juice by Rio Grande do Sul, concentrate by its own litres",
            "pt": "a venda de suco de uva pelo Rio Grande do Sul, o concentrado por seus próprios litros",
        },
        ("grape_juice", "concentrated_juice"),
    ),
}


def quantity(name: str, product: str) -> Quantity:
    """The published quantity that the input `name` means for `product`.

    Raises VindimaError with the reason where none is published.
    """
    if name not in INPUTS:
        raise VindimaError(f"input: expected one of {', '.join(INPUTS)}, got {name}")
    if name == "exchange_rate":
        return EXCHANGE_RATE
    if name in FLOWS:
        if (name, product) in NOT_PUBLISHED:
            raise VindimaError(f"{name} of {product}: Embrapa publishes the imports of {product} alone, no {name}")
        words: Words = {language: series_name(f"{name}.{product}", language) for language in LANGUAGES}
        return Quantity("prices", "kg", words)
    published = HARVEST if name == "harvest" else SALES
    if product not in published:
        raise VindimaError(
            f"{name} of {product}: Embrapa publishes what Rio Grande do Sul makes and sells in litres of wine and "
            f"juice, so there is a {name} of {', '.join(published)}, of {product} none"
        )
    return published[product]


# ---- estimation


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


# ---- application


class Impossible(VindimaError):
    """A scenario that cannot be answered: which `field`, what was `expected` there, and what it `got`."""

    def __init__(self, field: str, expected: str, got: Any) -> None:
        super().__init__(f"{field}: expected {expected}, got {got!r}")
        self.field, self.expected, self.got = field, expected, got


@dataclass(frozen=True)
class Answer:
    """What a scenario says of one series.

    `path` and `baseline`: rows of the forecasts table with and without it. `effects`: for each `input` the `pct` by
    which it moved the forecast in the year that it changed most (the last of these), `low` and `high` of the 95 per
    cent interval of that, and whether it is `distinguishable` from nothing: 0 is outside. `warnings`: sentences.
    """

    path: list[dict[str, Any]]
    baseline: list[dict[str, Any]]
    effects: list[dict[str, Any]]
    warnings: list[Words]


Effects = Mapping[tuple[str, str, str], Mapping[Hashable, Any]]


def by_key(effects: pd.DataFrame) -> Effects:
    """The effects table as `apply` reads it: (input, flow, product) → row."""
    return {(row["input"], row["flow"], row["product"]): row for row in effects.to_dict("records")}


def apply(effects: Effects, forecasts: Sequence[Mapping[Any, Any]], scenario: Any) -> Answer:
    """The path of one series if inputs were as `scenario` says, beside its baseline.

    `forecasts`: the series' rows of the forecasts table, by horizon. `scenario`: input → `{"pct": x}`, a change from
    the last published level in every year, or `{"level": {"2025": x}}`, levels of those years in the input's unit,
    other years at the last published one. In year t the log price moves by elasticity · log(input[t] / last level);
    each side of an interval widens, in logs, by the root of the sum of its square and that of the effect's own
    Student-t interval. A level of `imports` or `exports` is that of all countries; the countries other than the
    series' own are taken to change by as many per cent.

    Raises Impossible for a scenario that is none, and for an input that this price cannot be asked about, with the
    reason.
    """
    flow, product = str(forecasts[0]["series"]).split(".")[:2]
    years = [int(row["year"]) for row in forecasts]
    moves = [_move(effects, name, asked, flow, product, years) for name, asked in _inputs(scenario).items()]
    path = []
    for place, row in enumerate(forecasts):
        shift = sum(move.elasticity * move.changes[place] for move in moves)
        moved = dict(row)
        for level, sides in SIDES.items():
            doubt = math.hypot(*(move.doubt(place, level) for move in moves))
            for side, sign in zip(sides, (-1, 1), strict=True):
                reach = math.hypot(math.log(row[side] / row["q50"]), doubt)
                moved[side] = row["q50"] * math.exp(shift + sign * reach)
        moved["q50"] = row["q50"] * math.exp(shift)
        moved |= zip(QUANTILES, six_digits(np.array([moved[name] for name in QUANTILES])).tolist(), strict=True)
        path.append(moved | {"forecast": moved["q50"]})
    return Answer(
        path,
        [dict(row) for row in forecasts],
        [move.effect() for move in moves],
        [
            ASSOCIATION,
            *(warning for move in moves for warning in move.warnings()),
            *([TOGETHER] if moves[1:] else []),
        ],
    )


@dataclass(frozen=True)
class _Move:
    """One input of a scenario: its row of the effects table and its log change from the last level in each year."""

    known: Mapping[Hashable, Any]
    years: list[int]
    changes: list[float]

    @property
    def name(self) -> str:
        return self.known["input"]

    @property
    def elasticity(self) -> float:
        return self.known["elasticity"]

    def doubt(self, place: int, level: int) -> float:
        """Half-width of the interval of `level` per cent of the log shift in the year at `place`."""
        reach = float(special.stdtrit(self.known["df"], QUANTILES[SIDES[level][1]]))
        return reach * self.known["se"] * abs(self.changes[place])

    def effect(self) -> dict[str, Any]:
        place = max(range(len(self.years)), key=lambda place: (abs(self.changes[place]), place))
        shift, doubt = self.elasticity * self.changes[place], self.doubt(place, 95)
        pct, low, high = (six_digits(100 * np.expm1([shift, shift - doubt, shift + doubt])) + 0.0).tolist()
        return {"input": self.name, "pct": pct, "low": low, "high": high, "distinguishable": not low <= 0 <= high}

    def warnings(self) -> list[Words]:
        known = self.known
        words = quantity(self.name, known["product"]).words
        said: list[Words] = []
        if any(self.changes) and not self.effect()["distinguishable"]:
            said.append({language: _SENTENCES["nothing"][language].format(words[language]) for language in LANGUAGES})
        asked = {
            year: known["baseline"] * math.exp(change) for year, change in zip(self.years, self.changes, strict=True)
        }
        outside = [
            year for year, level in asked.items() if not known["lowest"] * 0.999 <= level <= known["highest"] * 1.001
        ]
        if outside:
            said.append(
                self._sentence("outside", words, outside[0], asked[outside[0]], known["lowest"], known["highest"])
            )
        steps = np.abs(np.diff([0.0, *self.changes]))
        if steps.max() > known["largest_change"] * 1.001:
            place = int(steps.argmax())
            factors = (math.exp(steps[place]), math.exp(known["largest_change"]))
            said.append(self._sentence("leap", words, self.years[place], *factors))
        return said

    def _sentence(self, name: str, words: Words, year: int, *numbers: float) -> Words:
        unit = self.known["unit"]
        decimals = 2 if name == "leap" or self.known["baseline"] < 100 else 0
        return {
            language: _SENTENCES[name][language].format(
                words[language], year, *(number(value, decimals, language) for value in numbers), unit=unit
            )
            for language in LANGUAGES
        }


def _inputs(scenario: Any) -> Mapping[str, Any]:
    if not isinstance(scenario, Mapping) or not scenario:
        raise Impossible("scenario", f"at least one of {', '.join(INPUTS)}", scenario)
    for name in scenario:
        if name not in INPUTS:
            raise Impossible("scenario", f"one of {', '.join(INPUTS)}", name)
    return scenario


def _move(effects: Effects, name: str, asked: Any, flow: str, product: str, years: list[int]) -> _Move:
    field = f"scenario.{name}"
    try:
        unit = quantity(name, product).unit
    except VindimaError as reason:
        raise Impossible(field, f"an input that is published ({reason})", name) from None
    known = effects.get((name, flow, product))
    if known is None:
        history = f"an input with {FEWEST_YEARS} years of changes beside prices of {flow} of {product}"
        raise Impossible(field, history, name)
    if not isinstance(asked, Mapping) or set(asked) not in ({"pct"}, {"level"}):
        raise Impossible(field, 'either {"pct": number} or {"level": {year: number}}', asked)
    if "pct" in asked:
        factor = 1 + _number(asked["pct"], f"{field}.pct", "a number of per cent above -100", -100) / 100
        return _Move(known, years, [_log_change(factor, f"{field}.pct", asked["pct"])] * len(years))
    given = asked["level"]
    if not isinstance(given, Mapping) or not given:
        raise Impossible(f"{field}.level", f"a level in {unit} for one or more years", given)
    changes = dict.fromkeys(map(str, years), 0.0)
    for year, level in given.items():
        if str(year) not in changes:
            raise Impossible(f"{field}.level", f"years from {years[0]} to {years[-1]}", year)
        place = f"{field}.level.{year}"
        factor = _number(level, place, f"a number of {unit} above 0", 0) / known["baseline"]
        changes[str(year)] = _log_change(factor, place, level)
    return _Move(known, years, list(changes.values()))


def _number(value: Any, field: str, expected: str, above: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not above < value < 1e300:
        raise Impossible(field, expected, value)
    return float(value)


def _log_change(factor: float, field: str, got: Any) -> float:
    """log of `factor`; one beyond a thousandfold is Impossible."""
    if not 1 / FARTHEST <= factor <= FARTHEST:
        raise Impossible(field, f"a change from the last published level of at most {FARTHEST:,.0f} times", got)
    return math.log(factor)


ASSOCIATION: Words = {
    "en": "The effect of an input is an association in past years, not a cause: what moved the input then may have "
    "moved the price too.",
    "pt": "O efeito de uma variável é uma associação em anos passados, não uma causa: o que moveu a variável então "
    "pode ter movido também o preço.",
}
TOGETHER: Words = {
    "en": "Each input's effect is estimated on its own: inputs that used to move together may count the same thing "
    "twice.",
    "pt": "O efeito de cada variável é estimado à parte: variáveis que se moviam juntas podem contar a mesma coisa "
    "duas vezes.",
}
_SENTENCES: dict[str, Words] = {
    "nothing": {
        "en": "The effect of this input cannot be told from nothing: {}. The forecast moves by the best guess of it, "
        "and the intervals hold the doubt.",
        "pt": "O efeito desta variável não se distingue de nenhum: {}. A previsão move-se pela melhor estimativa "
        "dele, e os intervalos guardam a dúvida.",
    },
    "outside": {
        "en": "Far outside history: {0} would be {2} {unit} in {1}; the published years lie between {3} and {4}.",
        "pt": "Muito fora da história: {0} seria {2} {unit} em {1}; os anos publicados ficam entre {3} e {4}.",
    },
    "leap": {
        "en": "Far outside history: {0} would change by a factor of {2} in {1}; the largest of one year was {3}.",
        "pt": "Muito fora da história: {0} mudaria por um fator de {2} em {1}; o maior de um ano foi {3}.",
    },
}
