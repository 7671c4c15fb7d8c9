from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import special

from tests.markets import MARKETS, known_from, simulated
from vindima.errors import VindimaError
from vindima.etl import schemas
from vindima.etl.schemas import EFFECTS
from vindima.forecasting.effects import estimate, levels, limits
from vindima.inputs import HARVEST, INPUTS, quantity

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("prices", "production", "sales", "exchange_rates")


def estimated(seeds: range, elasticity: Mapping[str, float], quantity_noise: float = 0.0) -> pd.DataFrame:
    return pd.concat(limits(known_from(simulated(seed, elasticity, quantity_noise))) for seed in seeds)


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
    found = {product: levels("harvest", product, {"production": production}) for product in HARVEST}
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
def test_input_that_is_not_published_is_refused_with_the_reason(name: str, product: str):
    with pytest.raises(VindimaError, match=f"{name} of {product}: Embrapa publishes"):
        quantity(name, product)


def test_every_other_input_has_a_unit():
    missing = {("harvest", "fresh_grapes"), ("harvest", "raisins"), ("sales", "fresh_grapes"), ("sales", "raisins")}
    for name in INPUTS:
        for product in ("table_wine", "sparkling_wine", "grape_juice", "fresh_grapes", "raisins"):
            if (name, product) not in {*missing, ("exports", "raisins")}:
                assert quantity(name, product).unit in ("L", "kg", "R$/US$")


# ---- estimation


def test_where_there_is_no_effect_hardly_any_is_distinguishable():
    found = estimated(range(30), {})
    rates = found.groupby("input")["distinguishable"].mean()
    assert len(found) == 30 * len(INPUTS) * len(MARKETS)
    assert found["distinguishable"].mean() <= 0.06
    assert rates.max() <= 0.10, rates
    alone = found["elasticity_alone"].abs() > found["se_alone"] * special.stdtrit(found["df"], 0.975)
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


def test_short_history_gives_no_effect():
    tables = tuple(table[table["year"] >= 2013] for table in simulated(6, {}))
    found = known_from(tables)
    assert found.empty
    assert list(found.columns) == EFFECTS.columns


def test_figures_without_noise_give_the_exact_elasticity():
    prices, production, sales, rates = simulated(8, {})
    amounts = sales[sales["product_group"] == "table_wine"].set_index("year")["quantity_l"]
    exact = prices[prices["product"] == "table_wine"]
    exact = exact.assign(price_usd_kg_real=exact["year"].map(amounts) ** -0.7)
    found = estimate(exact, production, sales, rates, 2023)
    assert found.loc[found["input"] == "sales", "elasticity"].to_numpy() == pytest.approx(-0.7, abs=1e-5)


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
