import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vindima.errors import VindimaError
from vindima.etl import schemas
from vindima.etl.schemas import QUANTILES, SIDES
from vindima.forecasting import scenario
from vindima.forecasting.scenario import (
    EFFECTS,
    INPUTS,
    Impossible,
    apply,
    by_key,
    estimate,
    levels,
    limits,
    quantity,
)

ROOT = Path(__file__).resolve().parent.parent
YEARS = np.arange(1970, 2024)
MARKETS = [(flow, product) for flow in ("exports", "imports") for product in ("sparkling_wine", "table_wine")]
NAMES = ("prices", "production", "sales", "exchange_rates")
Tables = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]


def walk(random: np.random.Generator, sd: float, keeps: float = 1.0, size: int = len(YEARS)) -> np.ndarray:
    """Levels that keep this part of themselves each year."""
    path = np.zeros(size)
    for year in range(1, size):
        path[year] = keeps * path[year - 1] + random.normal(0, sd)
    return path


def simulated(seed: int, elasticity: Mapping[str, float], quantity_noise: float = 0.0) -> Tables:
    """Tables of four markets with 3 to 15 countries, whose log price moves by `elasticity` of the inputs named there.

    Prices revert to their mean, with shocks of the market and of the country, and noise with heavy tails that falls
    with volume. `imports` and `exports` are those of the other countries; the published quantity, and so the price,
    is off by a factor of its own each year when there is `quantity_noise`.
    """
    random = np.random.default_rng(seed)
    made = {
        ("production", "table_wine"): 200e6 * np.exp(random.normal(0, 0.2, len(YEARS)) + walk(random, 0.03)),
        ("production", "derivatives"): 5e6 * np.exp(random.normal(0, 0.3, len(YEARS)) + walk(random, 0.1)),
        ("sales", "table_wine"): 200e6 * np.exp(walk(random, 0.1)),
        ("sales", "sparkling_wine"): 10e6 * np.exp(walk(random, 0.12)),
    }
    rate = 2 * np.exp(walk(random, 0.17))
    inputs = {
        **{("harvest", product): made["production", group]
           for product, group in (("table_wine", "table_wine"), ("sparkling_wine", "derivatives"))},
        **{("sales", product): made["sales", product] for product in ("table_wine", "sparkling_wine")},
        **{("exchange_rate", product): rate for product in ("table_wine", "sparkling_wine")},
    }  # fmt: skip
    volumes = {
        market: np.exp(
            random.normal(4, 2, (count, 1)) + 0.2 * walk(random, 0.5) + [walk(random, 0.3, 0.9) for _ in range(count)]
        )
        for market, count in zip(MARKETS, random.integers(3, 16, len(MARKETS)), strict=True)
    }
    frames = []
    for flow, product in MARKETS:
        tonnes = volumes[flow, product]
        level = random.normal(0.5, 0.3, (len(tonnes), 1)) + walk(random, 0.06, 0.8)
        level = level + [walk(random, 0.1, 0.6) for _ in tonnes]
        log_price = level + 0.3 * tonnes**-0.25 * random.standard_t(3, tonnes.shape)
        for name, effect in elasticity.items():
            moved_by = inputs.get((name, product))
            if moved_by is None:
                all_countries = volumes[name, product].sum(axis=0)
                moved_by = all_countries - tonnes if name == flow else all_countries
            log_price = log_price + effect * np.log(moved_by)
        published = tonnes * np.exp(random.normal(0, quantity_noise, tonnes.shape))
        for place, country in enumerate(f"C{chr(65 + place)}{chr(65 + place)}" for place in range(len(tonnes))):
            frames.append(
                pd.DataFrame(
                    {
                        "flow": flow,
                        "product": product,
                        "country": country,
                        "year": YEARS,
                        "quantity_kg": 1000 * published[place],
                        "value_usd": 1000 * tonnes[place] * np.exp(log_price[place]),
                    }
                )
            )
    parts = pd.concat(frames)
    sums = parts.groupby(["flow", "product", "year"], as_index=False)[["quantity_kg", "value_usd"]].sum()
    prices = pd.concat([parts, sums.assign(country=None).astype({"country": object})], ignore_index=True)
    prices["series"] = prices["flow"] + "." + prices["product"] + ("." + prices["country"]).fillna("")
    prices["price_usd_kg_real"] = prices["value_usd"] / prices["quantity_kg"]
    litres = pd.concat(
        pd.DataFrame({"table": table, "year": YEARS, "product_group": group, "quantity_l": amounts})
        for (table, group), amounts in made.items()
    )
    litres["product"] = litres["product_group"].replace({"derivatives": "sparkling_wine_base"})
    rates = pd.DataFrame({"country": "BRA", "year": YEARS, "currency_per_usd": rate})
    return prices, litres[litres["table"] == "production"], litres[litres["table"] == "sales"], rates


def known_from(tables: Iterable[pd.DataFrame], cutoff: int = 2023) -> pd.DataFrame:
    prices, production, sales, exchange_rates = tables
    return estimate(prices, production, sales, exchange_rates, cutoff)


def estimated(seeds: range, elasticity: Mapping[str, float], quantity_noise: float = 0.0) -> pd.DataFrame:
    return pd.concat(limits(known_from(simulated(seed, elasticity, quantity_noise))) for seed in seeds)


@pytest.fixture(scope="module")
def effects() -> scenario.Effects:
    return by_key(known_from(simulated(1, {"sales": -0.6})))


def forecasts(series: str = "imports.table_wine.CHL", horizon: int = 5) -> list[dict]:
    return [
        {"series": series, "cutoff": 2023, "horizon": step, "year": 2023 + step, "model": "joint", "forecast": 2.5}
        | {"q025": 2.5 / (1 + 0.2 * step), "q10": 2.5 / (1 + 0.1 * step), "q50": 2.5}
        | {"q90": 2.5 * (1 + 0.1 * step), "q975": 2.5 * (1 + 0.2 * step)}
        for step in range(1, horizon + 1)
    ]


# ---- what the inputs mean


def test_inputs_are_sums_of_what_is_published_for_the_product():
    rows = [
        ("table_wine", "red", 2010, 100.0),
        ("table_wine", "white", 2010, 20.0),
        ("fine_wine", "red", 2010, 3.0),
        ("juice", "whole_grape_juice", 2010, 50.0),
        ("derivatives", "charmat_method_base", 2010, 7.0),
        ("derivatives", "moscatel_sparkling_wine", 2010, 1.0),
        ("derivatives", "simple_must", 2010, 900.0),
        ("derivatives", "charmat_method_base", 2004, 7.0),
    ]
    production = pd.DataFrame(rows, columns=["product_group", "product", "year", "quantity_l"])
    found = {product: levels("harvest", product, {"production": production}) for product in scenario.HARVEST}
    assert {product: level.to_dict() for product, level in found.items()} == {
        "table_wine": {2010: 123.0},
        "sparkling_wine": {2010: 8.0},
        "grape_juice": {2010: 50.0},
    }


def test_what_is_not_published_or_zero_is_a_gap():
    rows = [(2010, 100.0), (2010, 20.0), (2011, 0.0), (2011, 0.0), (2012, 100.0), (2012, None), (2013, 5.0)]
    sales = pd.DataFrame(rows, columns=["year", "quantity_l"]).assign(product_group="sparkling_wine", product="any")
    assert levels("sales", "sparkling_wine", {"sales": sales}).to_dict() == {2010: 120.0, 2013: 5.0}


def test_reais_count_from_their_first_whole_year():
    rates = pd.DataFrame({"country": ["BRA", "BRA", "ARG"], "year": [1994, 1995, 1996], "currency_per_usd": 1.0})
    assert levels("exchange_rate", "raisins", {"exchange_rates": rates}).to_dict() == {1995: 1.0}


@pytest.mark.parametrize(
    ("name", "product"),
    [(name, product) for name in ("harvest", "sales") for product in ("fresh_grapes", "raisins")]
    + [("exports", "raisins")],
)
def test_input_that_is_not_published_is_refused_with_the_reason(name: str, product: str, effects: scenario.Effects):
    with pytest.raises(VindimaError, match=f"{name} of {product}: Embrapa publishes"):
        quantity(name, product)
    with pytest.raises(Impossible, match="Embrapa publishes") as refused:
        apply(effects, forecasts(f"imports.{product}"), {name: {"pct": 5}})
    assert refused.value.field == f"scenario.{name}"


def test_every_other_input_has_a_unit_and_words():
    missing = {("harvest", "fresh_grapes"), ("harvest", "raisins"), ("sales", "fresh_grapes"), ("sales", "raisins")}
    for name in INPUTS:
        for product in ("table_wine", "sparkling_wine", "grape_juice", "fresh_grapes", "raisins"):
            if (name, product) not in {*missing, ("exports", "raisins")}:
                meant = quantity(name, product)
                assert meant.unit in ("L", "kg", "R$/US$")
                assert set(meant.words) == {"en", "pt"}


# ---- estimation


def test_where_there_is_no_effect_hardly_any_is_distinguishable():
    found = estimated(range(30), {})
    rates = found.groupby("input")["distinguishable"].mean()
    assert len(found) == 30 * len(INPUTS) * len(MARKETS)
    assert found["distinguishable"].mean() <= 0.06
    assert rates.max() <= 0.10, rates
    alone = found["elasticity_alone"].abs() > found["se_alone"] * scenario.special.stdtrit(found["df"], 0.975)
    assert alone.mean() <= 0.10


@pytest.mark.parametrize(
    ("name", "effect"),
    [("harvest", -0.3), ("sales", -0.6), ("exchange_rate", -0.5), ("imports", -0.3), ("exports", 0.3)],
)
def test_known_effect_is_recovered_and_lies_in_its_interval(name: str, effect: float):
    found = estimated(range(100, 112), {name: effect})
    own = found[found["input"] == name]
    assert own["elasticity"].mean() == pytest.approx(effect, abs=0.08)
    assert own["distinguishable"].mean() >= 0.9
    assert (own["low"].le(effect) & own["high"].ge(effect)).mean() >= 0.85


def test_markets_that_differ_keep_their_difference():
    prices, production, sales, rates = simulated(7, {"sales": -0.5})
    litres = sales.set_index(["product", "year"])["quantity_l"]
    sold = [litres.loc[product, year] for product, year in zip(prices["product"], prices["year"], strict=True)]
    turned = prices["price_usd_kg_real"] * np.where(prices["flow"] == "exports", sold, 1.0)
    found = estimate(prices.assign(price_usd_kg_real=turned), production, sales, rates, 2023)
    effects = found[found["input"] == "sales"].set_index("flow")["elasticity"]
    assert effects["exports"].to_numpy() == pytest.approx(0.5, abs=0.3)
    assert effects["imports"].to_numpy() == pytest.approx(-0.5, abs=0.3)


def test_noise_in_a_series_own_quantity_is_no_effect_of_volume():
    prices = simulated(200, {}, 0.4)[0].dropna(subset="country").sort_values(["series", "year"])
    logs = prices[["quantity_kg", "price_usd_kg_real"]].apply(np.log)
    noise, price = logs.groupby(prices["series"]).diff().dropna().to_numpy().T
    assert np.corrcoef(noise, price)[0, 1] < -0.5  # the trap is there
    found = estimated(range(200, 220), {}, 0.4)
    own = found[found["input"] == found["flow"]]
    assert own["distinguishable"].mean() <= 0.10
    assert abs(float(own["elasticity"].mean())) < 0.03


def test_one_wild_price_hardly_moves_an_effect():
    tables = simulated(9, {"sales": -0.6})
    prices = tables[0]
    wild = (prices["series"] == prices.loc[prices["country"].notna(), "series"].iloc[0]) & (prices["year"] == 2001)
    spoilt = prices.assign(price_usd_kg_real=prices["price_usd_kg_real"].mask(wild, 1e3))
    key = ["input", "flow", "product"]
    whole, other = (known_from(made).set_index(key) for made in (tables, (spoilt, *tables[1:])))
    assert ((whole["elasticity_alone"] - other["elasticity_alone"]).abs() < whole["se_alone"]).all()


def test_nothing_after_the_cutoff_changes_an_effect():
    tables = simulated(3, {"sales": -0.4})
    measures = ["quantity_kg", "value_usd", "price_usd_kg_real", "quantity_l", "currency_per_usd"]
    blank, other = [], []
    for table in tables:
        later = table["year"] > 2015
        numbers = [name for name in measures if name in table]
        blank.append(table[~later])
        other.append(table.assign(**{name: table[name].where(~later, 7.5) for name in numbers}))
    known = known_from(tables, 2015)
    assert known["last_year"].max() == 2015
    pd.testing.assert_frame_equal(known_from(blank, 2015), known, check_exact=True)
    pd.testing.assert_frame_equal(known_from(other, 2015), known, check_exact=True)


def test_effects_are_the_same_bytes_whatever_the_order_of_rows(tmp_path: Path):
    tables = simulated(4, {})
    shuffled = [table.sample(frac=1, random_state=5) for table in tables]
    schemas.write(known_from(tables), EFFECTS, tmp_path / "one.parquet")
    schemas.write(known_from(shuffled), EFFECTS, tmp_path / "two.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_gap_in_an_input_takes_its_two_changes_out_and_nothing_else():
    prices, production, sales, rates = simulated(5, {})
    gap = sales.assign(quantity_l=sales["quantity_l"].mask(sales["year"] == 2000, 0.0))
    whole, holed = (
        estimate(prices, production, table, rates, 2023).set_index(["input", "flow", "product"])["n_years"]
        for table in (sales, gap)
    )
    assert (whole["sales"] - holed["sales"]).tolist() == [2] * len(MARKETS)
    assert whole.drop("sales").equals(holed.drop("sales"))


def test_short_history_gives_no_effect_and_a_clear_refusal():
    tables = tuple(table[table["year"] >= 2013] for table in simulated(6, {}))
    found = known_from(tables)
    assert found.empty
    assert list(found.columns) == list(EFFECTS.schema.columns)
    with pytest.raises(Impossible, match="12 years of changes beside prices of imports of table_wine"):
        apply(by_key(found), forecasts(), {"sales": {"pct": 5}})


def test_figures_without_noise_give_the_exact_elasticity():
    prices, production, sales, rates = simulated(8, {})
    amounts = sales[sales["product_group"] == "table_wine"].set_index("year")["quantity_l"]
    exact = prices[prices["product"] == "table_wine"]
    exact = exact.assign(price_usd_kg_real=exact["year"].map(amounts) ** -0.7)
    found = estimate(exact, production, sales, rates, 2023)
    assert found.loc[found["input"] == "sales", "elasticity"].to_numpy() == pytest.approx(-0.7, abs=1e-5)


# ---- application


@pytest.mark.parametrize("asked", [{"pct": 20}, {"pct": -35.5}, {"level": {"2025": 150e6, "2027": 220e6}}])
def test_path_is_the_baseline_moved_by_the_elasticity_and_no_narrower(asked: dict, effects: scenario.Effects):
    rows = forecasts()
    answer = apply(effects, rows, {"sales": asked})
    assert answer.baseline == rows
    known = effects["sales", "imports", "table_wine"]
    for row, moved in zip(rows, answer.path, strict=True):
        level = asked["level"].get(str(row["year"]), known["baseline"]) if "level" in asked else None
        factor = 1 + asked["pct"] / 100 if level is None else level / known["baseline"]
        assert moved["forecast"] == moved["q50"]
        assert moved["q50"] / row["q50"] == pytest.approx(factor ** known["elasticity"], rel=1e-5)
        assert 0 < moved["q025"] < moved["q10"] < moved["q50"] < moved["q90"] < moved["q975"]
        for level_of, sides in SIDES.items():
            for side in sides:
                before, after = (abs(math.log(one[side] / one["q50"])) for one in (row, moved))
                reach = scenario.special.stdtrit(known["df"], QUANTILES[SIDES[level_of][1]])
                doubt = reach * known["se"] * abs(math.log(factor))
                assert after == pytest.approx(math.hypot(before, doubt), rel=1e-4)


def test_effect_says_by_how_much_the_input_moved_the_forecast(effects: scenario.Effects):
    [effect] = apply(effects, forecasts(), {"sales": {"pct": 20}}).effects
    known = effects["sales", "imports", "table_wine"]
    assert effect["input"] == "sales"
    assert effect["pct"] == pytest.approx(100 * (1.2 ** known["elasticity"] - 1), rel=1e-4)
    reach = scenario.special.stdtrit(known["df"], 0.975) * known["se"]
    assert effect["low"] == pytest.approx(100 * (1.2 ** (known["elasticity"] - reach) - 1), rel=1e-4)
    assert effect["high"] == pytest.approx(100 * (1.2 ** (known["elasticity"] + reach) - 1), rel=1e-4)
    assert effect["distinguishable"]
    [of_one_year] = apply(effects, forecasts(), {"sales": {"level": {"2024": 1.2 * known["baseline"]}}}).effects
    assert of_one_year == pytest.approx(effect)


def test_several_inputs_move_together_and_widen_together(effects: scenario.Effects):
    rows = forecasts()
    asked = {"sales": {"pct": 20}, "exchange_rate": {"pct": -10}}
    both = apply(effects, rows, asked)
    single = [apply(effects, rows, {name: question}) for name, question in asked.items()]
    for row, moved, *alone in zip(rows, both.path, *(one.path for one in single), strict=True):
        product = math.prod(one["q50"] / row["q50"] for one in alone)
        assert moved["q50"] / row["q50"] == pytest.approx(product, rel=1e-5)
        widths = [one["q975"] / one["q50"] for one in (*alone, moved)]
        assert widths[2] > max(widths[:2])
    assert [effect["input"] for effect in both.effects] == list(asked)
    assert scenario.TOGETHER in both.warnings
    assert scenario.TOGETHER not in single[0].warnings


def test_input_that_changes_nothing_leaves_the_path_as_it_is(effects: scenario.Effects):
    answer = apply(effects, forecasts(), {"harvest": {"pct": 0}})
    for row, moved in zip(answer.baseline, answer.path, strict=True):
        assert [moved[name] for name in QUANTILES] == pytest.approx([row[name] for name in QUANTILES], rel=1e-5)
    assert answer.effects == [{"input": "harvest", "pct": 0, "low": 0, "high": 0, "distinguishable": False}]
    assert answer.warnings == [scenario.ASSOCIATION]


@pytest.mark.parametrize(("elasticity", "told"), [(-0.5, True), (0.05, False)])
def test_effect_that_cannot_be_told_from_nothing_is_said_in_both_languages(elasticity: float, told: bool):
    known: dict = {
        "input": "sales",
        "product": "table_wine",
        "unit": "L",
        "elasticity": elasticity,
        "se": 0.1,
        "df": 15.0,
    }
    known |= {"baseline": 187e6, "lowest": 100e6, "highest": 270e6, "largest_change": 0.4}
    answer = apply({("sales", "imports", "table_wine"): known}, forecasts(), {"sales": {"pct": 10}})
    assert answer.effects[0]["distinguishable"] is told
    assert (answer.effects[0]["low"] <= 0 <= answer.effects[0]["high"]) is not told
    assert answer.warnings[0] == scenario.ASSOCIATION
    assert "not a cause" in scenario.ASSOCIATION["en"]
    if told:
        assert len(answer.warnings) == 1
    else:
        assert "cannot be told from nothing" in answer.warnings[1]["en"]
        assert "não se distingue de nenhum" in answer.warnings[1]["pt"]


def test_input_far_outside_history_is_answered_with_a_warning(effects: scenario.Effects):
    known = effects["sales", "imports", "table_wine"]
    high = math.log(known["highest"] / known["baseline"])
    inside = apply(effects, forecasts(), {"sales": {"pct": 1}}).warnings
    assert not any("Far outside history" in words["en"] for words in inside)
    leap = {"pct": 100 * math.expm1(max(high, known["largest_change"]) + 0.1)}
    said = [words for words in apply(effects, forecasts(), {"sales": leap}).warnings if "history" in words["en"]]
    assert len(said) == 2
    assert all("Muito fora da história" in words["pt"] for words in said)
    swing = {"2024": known["baseline"] * math.exp(-0.9 * known["largest_change"]), "2025": known["baseline"]}
    swing["2025"] *= math.exp(0.9 * known["largest_change"])
    assert any(
        "by a factor" in words["en"] for words in apply(effects, forecasts(), {"sales": {"level": swing}}).warnings
    )


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({}, "scenario"),
        (None, "scenario"),
        ([], "scenario"),
        ({"weather": {"pct": 5}}, "scenario"),
        ({"harvest": 5}, "scenario.harvest"),
        ({"harvest": {}}, "scenario.harvest"),
        ({"harvest": {"pct": 5, "level": {"2025": 1e8}}}, "scenario.harvest"),
        ({"harvest": {"pct": -100}}, "scenario.harvest.pct"),
        ({"harvest": {"pct": "5"}}, "scenario.harvest.pct"),
        ({"harvest": {"pct": True}}, "scenario.harvest.pct"),
        ({"harvest": {"pct": None}}, "scenario.harvest.pct"),
        ({"harvest": {"pct": math.nan}}, "scenario.harvest.pct"),
        ({"harvest": {"pct": math.inf}}, "scenario.harvest.pct"),
        ({"harvest": {"pct": 10**400}}, "scenario.harvest.pct"),
        ({"harvest": {"pct": 1e9}}, "scenario.harvest.pct"),
        ({"harvest": {"level": {}}}, "scenario.harvest.level"),
        ({"harvest": {"level": 1e8}}, "scenario.harvest.level"),
        ({"harvest": {"level": {"2023": 1e8}}}, "scenario.harvest.level"),
        ({"harvest": {"level": {"2029": 1e8}}}, "scenario.harvest.level"),
        ({"harvest": {"level": {"soon": 1e8}}}, "scenario.harvest.level"),
        ({"harvest": {"level": {"2025": 0}}}, "scenario.harvest.level.2025"),
        ({"harvest": {"level": {"2025": -1e8}}}, "scenario.harvest.level.2025"),
        ({"harvest": {"level": {"2025": False}}}, "scenario.harvest.level.2025"),
        ({"harvest": {"level": {"2025": 10.0}}}, "scenario.harvest.level.2025"),
    ],
)
def test_impossible_scenario_is_refused_by_name(asked: object, field: str, effects: scenario.Effects):
    with pytest.raises(Impossible, match=f"^{field}: expected .*, got ") as refused:
        apply(effects, forecasts(), asked)
    assert refused.value.field == field
    assert refused.value.expected


# ---- the published figures


@pytest.mark.committed
def test_published_figures_give_an_effect_wherever_an_input_is_published():
    folders = dict.fromkeys(NAMES, "tidy") | {"prices": "prices", "exchange_rates": "prices"}
    files = [ROOT / "data" / folder / f"{name}.parquet" for name, folder in folders.items()]
    if not all(file.is_file() for file in files):
        pytest.skip("the pipeline has not run here: no data/tidy and data/prices")
    tables = [schemas.read(file) for file in files]
    cutoff = int(tables[0]["year"].max())
    found = limits(known_from(tables, cutoff))
    markets = tables[0][["flow", "product"]].drop_duplicates().itertuples(index=False)
    expected = set()
    for flow, product in markets:
        for name in INPUTS:
            try:
                quantity(name, product)
                expected.add((name, flow, product))
            except VindimaError:
                continue
    assert set(found[["input", "flow", "product"]].itertuples(index=False, name=None)) == expected
    own = found["input"].isin(["imports", "exports", "exchange_rate"])
    assert (found.loc[own, "baseline_year"] == cutoff).all()
    assert found["baseline_year"].between(cutoff - 1, cutoff).all()  # production may come a year after trade
    assert found["elasticity"].abs().max() < 1
    rate = found[found["input"] == "exchange_rate"]
    assert (rate["elasticity"] < 0).all()
    assert rate["distinguishable"].mean() > 0.5
