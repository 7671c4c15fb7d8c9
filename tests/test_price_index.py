"""The price index: published example, axioms, what falls into the mix, and the split of the real unit values."""

import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vindima import paths
from vindima.errors import VindimaError
from vindima.etl import corrections, price_index, prices, schemas, tidy
from vindima.etl.price_index import Drift, FewMatched, Note, Traded, link, span, split
from vindima.ingestion import figures

PRICES = [
    (1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
    (1.2, 3.0, 1.3, 0.7, 1.4, 0.8),
    (1.0, 1.0, 1.5, 0.5, 1.7, 0.6),
    (0.8, 0.5, 1.6, 0.3, 1.9, 0.4),
    (1.0, 1.0, 1.6, 0.1, 2.0, 0.2),
]
QUANTITIES = [
    (1.0, 1.0, 2.0, 1.0, 4.5, 0.5),
    (0.8, 0.9, 1.9, 1.3, 4.7, 0.6),
    (1.0, 1.1, 1.8, 3.0, 5.0, 0.8),
    (1.2, 1.2, 1.9, 6.0, 5.6, 1.3),
    (0.9, 1.2, 2.0, 12.0, 6.5, 2.5),
]
"""Six commodities, five periods: tables 19.1 and 19.2 of the Consumer Price Index Manual (2004), 3.1 and 3.2 of Balk,
*Price and Quantity Index Numbers* (2008). The published results below are those of Balk's chapter 3."""
COMMODITIES = ("ARG", "CHL", "ESP", "FRA", "ITA", "PRT")
PUBLISHED_FISHER = (1.0, 1.4011, 1.2721, 1.1762, 1.0712)
PUBLISHED_TORNQVIST = (1.0, 1.4052, 1.2890, 1.2268, 1.2477)

amounts = st.floats(0.01, 1e6)
traded = st.dictionaries(st.sampled_from(COMMODITIES), st.tuples(amounts, amounts), min_size=1)
factors = st.fixed_dictionaries({country: st.floats(0.001, 1000) for country in COMMODITIES})


def period(t: int) -> dict[str, tuple[float, float]]:
    return {
        country: (quantity, price * quantity)
        for country, price, quantity in zip(COMMODITIES, PRICES[t], QUANTITIES[t], strict=True)
    }


def trade(years: Mapping[int, Traded], flow: str = "imports", product: str = "table_wine") -> pd.DataFrame:
    """The columns of the tidy trade table that the index reads."""
    rows = [
        (flow, product, country, year, quantity, value)
        for year, countries in years.items()
        for country, (quantity, value) in countries.items()
    ]
    columns = ["flow", "product", "country", "year", "quantity_kg", "value_usd"]
    return pd.DataFrame(rows, columns=columns).astype({"quantity_kg": float, "value_usd": float})


def levels(years: Mapping[int, Traded]) -> pd.DataFrame:
    return prices.index(trade(years)).set_index("year")[price_index.LEVELS]


def both(before: Traded, after: Traded) -> tuple[float, float]:
    step = link(before, after)
    return step.fisher, step.tornqvist


@pytest.fixture(scope="module")
def real_trade() -> pd.DataFrame:
    """The trade table made from the figures in Git."""
    tables = {slug: bundled.table for slug, bundled in figures.read(paths.FIGURES).tables.items()}
    return corrections.apply(tidy.tidy(tables, None)["trade"], corrections.register(paths.FIGURES), "all")


@pytest.mark.parametrize("t", range(1, 5))
def test_links_equal_the_published_indices_of_the_manuals_artificial_data(t: int):
    assert both(period(0), period(t)) == pytest.approx((PUBLISHED_FISHER[t], PUBLISHED_TORNQVIST[t]), abs=5e-5)


def test_levels_are_the_product_of_the_links_of_neighbouring_years():
    chained = levels({2000 + t: period(t) for t in range(5)})
    links = [both(period(t), period(t + 1)) for t in range(4)]
    for t in range(5):
        product = [math.prod(column) for column in zip((1.0, 1.0), *links[:t], strict=True)]
        assert chained.T[2000 + t].tolist()[:2] == pytest.approx(product, rel=1e-12)


@given(traded, factors)
def test_prices_that_stay_give_an_index_of_one_whatever_the_quantities(before: Traded, factor: dict[str, float]):
    after = {country: (q * factor[country], v * factor[country]) for country, (q, v) in before.items()}
    assert both(before, after) == pytest.approx((1, 1), rel=1e-9)


@given(traded, traded, st.floats(0.01, 100))
def test_prices_that_rise_in_proportion_raise_the_index_in_proportion(before: Traded, after: Traded, factor: float):
    dearer = {country: (q, v * factor) for country, (q, v) in after.items()}
    expected = factor if before.keys() & after.keys() else 1.0
    step, raised = both(before, after), both(before, dearer)
    assert raised == pytest.approx((step[0] * expected, step[1] * expected), rel=1e-9)


@given(traded, traded, factors)
def test_unit_in_which_a_country_is_weighed_changes_nothing(before: Traded, after: Traded, unit: dict[str, float]):
    weighed = [{c: (q * unit[c], v) for c, (q, v) in year.items()} for year in (before, after)]
    assert both(*weighed) == pytest.approx(both(before, after), rel=1e-9)


@given(traded, traded)
def test_link_back_undoes_the_link_forth(before: Traded, after: Traded):
    forth, back = both(before, after), both(after, before)
    assert (forth[0] * back[0], forth[1] * back[1]) == pytest.approx((1, 1), rel=1e-9)


@given(traded, traded)
def test_index_lies_between_the_smallest_and_the_largest_price_change(before: Traded, after: Traded):
    changes = [after[c][1] / after[c][0] / (before[c][1] / before[c][0]) for c in before.keys() & after.keys()]
    for level in both(before, after):
        assert min(changes, default=1) * (1 - 1e-9) <= level <= max(changes, default=1) * (1 + 1e-9)


@settings(deadline=None)
@given(st.dictionaries(st.integers(1970, 2023), traded, min_size=1, max_size=6))
def test_price_times_mix_is_the_unit_value_of_every_year(years: dict[int, Traded]):
    def unit_value(countries: Traded) -> float:
        return sum(value for _, value in countries.values()) / sum(quantity for quantity, _ in countries.values())

    table = levels(years)
    relative = [unit_value(years[year]) / unit_value(years[min(years)]) for year in sorted(years)]
    assert table["unit_value_relative"].tolist() == pytest.approx(relative, rel=1e-9)
    assert (table["fisher"] * table["mix"]).tolist() == pytest.approx(relative, rel=1e-9)


@settings(deadline=None)
@given(st.dictionaries(st.integers(1970, 2023), st.tuples(amounts, amounts), min_size=1, max_size=6))
def test_product_of_one_country_has_no_mix(years: dict[int, tuple[float, float]]):
    table = levels({year: {"CHL": both_amounts} for year, both_amounts in years.items()})
    assert table["mix"].tolist() == pytest.approx([1.0] * len(years), rel=1e-9)
    assert table["tornqvist"].tolist() == pytest.approx(table["fisher"].tolist(), rel=1e-9)


def test_shift_to_the_dearer_country_at_constant_prices_is_all_mix():
    table = levels({2000: {"CHL": (90, 90), "FRA": (10, 100)}, 2001: {"CHL": (10, 10), "FRA": (90, 900)}})
    assert table.T[2001].tolist() == pytest.approx([1, 1, 910 / 190, 910 / 190])


def test_country_that_enters_and_one_that_leaves_fall_into_the_mix():
    stays = {2000: {"CHL": (10, 20)}, 2001: {"CHL": (10, 22)}}
    table = levels({2000: stays[2000] | {"FRA": (5, 50)}, 2001: stays[2001] | {"PRT": (4, 1)}})
    assert table.T[2001].tolist()[:2] == pytest.approx([1.1, 1.1])
    assert table.loc[2001, "mix"] == pytest.approx(23 / 14 / (70 / 15) / 1.1)


@pytest.mark.parametrize("code", ["OTHER", "UNDECLARED", "SHIP_SUPPLIES"])
def test_row_that_is_no_country_is_in_the_unit_value_but_has_no_price_of_its_own(code: str):
    table = levels({2000: {"CHL": (10, 20), code: (10, 40)}, 2001: {"CHL": (10, 22), code: (10, 80)}})
    assert table.T[2001].tolist() == pytest.approx([1.1, 1.1, 102 / 60, 102 / 60 / 1.1])


def test_year_without_trade_is_bridged():
    years = {2000: period(0), 2003: period(1), 2004: period(2)}
    table = levels(years)
    assert table.index.tolist() == [2000, 2003, 2004]
    assert table.T[2003].tolist()[:2] == pytest.approx([1.4011, 1.4052], abs=5e-5)


def test_country_back_after_a_gap_is_matched_with_neighbouring_years_only():
    years = {2000: {"CHL": (1, 1), "FRA": (1, 4)}, 2001: {"CHL": (1, 1)}, 2002: {"CHL": (1, 1), "FRA": (1, 8)}}
    assert levels(years)["fisher"].tolist() == pytest.approx([1, 1, 1])


def test_index_repeats_and_mix_takes_the_change_where_no_country_trades_in_both_years():
    years = {2000: {"CHL": (1, 1)}, 2001: {"CHL": (1, 2)}, 2002: {"FRA": (1, 6)}, 2003: {"FRA": (1, 9)}}
    table = levels(years)
    assert table["fisher"].tolist() == table["tornqvist"].tolist() == pytest.approx([1, 2, 2, 3])
    assert table["mix"].tolist() == pytest.approx([1, 1, 3, 3])


@pytest.mark.parametrize("empty", [(0.0, 7.0), (7.0, 0.0), (float("nan"), 7.0), (7.0, float("nan"))])
def test_rows_without_a_quantity_and_a_value_count_nowhere(empty: tuple[float, float]):
    complete = {2000: {"CHL": (10.0, 20.0)}, 2001: {"CHL": (10.0, 30.0), "FRA": (1.0, 9.0)}}
    with_empty = {1999: {"FRA": empty}, **complete, 2000: complete[2000] | {"FRA": empty}}
    pd.testing.assert_frame_equal(levels(with_empty), levels(complete))


def test_flows_and_products_are_apart_and_every_one_starts_at_one():
    years = {2000: period(0), 2001: period(1)}
    later = {2010: period(0), 2011: period(2)}
    table = prices.index(pd.concat([trade(years), trade(later, "exports", "grape_juice")]))
    first = table.groupby(["flow", "product"]).first()
    assert first["year"].to_dict() == {("exports", "grape_juice"): 2010, ("imports", "table_wine"): 2000}
    assert (first[price_index.LEVELS] == 1).all(axis=None)


def test_order_of_rows_changes_no_bit(real_trade: pd.DataFrame):
    expected = prices.index(real_trade)
    pd.testing.assert_frame_equal(prices.index(real_trade[::-1]), expected, check_exact=True)
    shuffled = real_trade.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(prices.index(shuffled), expected, check_exact=True)


def test_every_real_product_has_a_level_in_every_year_with_trade_and_price_times_mix_is_its_unit_value(
    real_trade: pd.DataFrame,
):
    table = prices.index(real_trade).set_index(["flow", "product", "year"])
    priced = real_trade[(real_trade["quantity_kg"] > 0) & (real_trade["value_usd"] > 0)]
    totals = priced.groupby(["flow", "product", "year"])[["quantity_kg", "value_usd"]].sum()
    unit_values = totals["value_usd"] / totals["quantity_kg"]
    relative = unit_values / unit_values.groupby(["flow", "product"]).transform("first")
    assert table.index.equals(relative.index)
    assert table.groupby(["flow", "product"]).ngroups == 9
    assert (table["fisher"] * table["mix"] / relative - 1).abs().max() < 1e-9
    assert (table["unit_value_relative"] / relative - 1).abs().max() < 1e-9


def test_imported_wine_2014_to_2023_splits_into_price_and_mix_without_rest(real_trade: pd.DataFrame):
    table = prices.index(real_trade)
    change = split(table, "imports.table_wine", 2014, 2023)
    assert change.price == span(table, "imports.table_wine", 2014, 2023)["fisher"].iloc[-1]
    year = real_trade.query("flow == 'imports' and product == 'table_wine' and quantity_kg > 0 and value_usd > 0")
    sums = year.groupby("year")[["quantity_kg", "value_usd"]].sum().loc[[2014, 2023]]
    before, after = sums["value_usd"] / sums["quantity_kg"]
    assert change.unit_value == pytest.approx(after / before, rel=1e-9)
    assert math.log(change.price) + math.log(change.mix) == pytest.approx(math.log(after / before), abs=1e-9)


def test_index_is_stored_under_its_contract_without_rounding(tmp_path: Path):
    made = prices.index(trade({2000: period(0), 2001: period(1)}))
    schemas.write(made, schemas.INDEX, tmp_path / "index.parquet")
    stored = schemas.read(tmp_path / "index.parquet")
    pd.testing.assert_frame_equal(stored, made, check_exact=True)
    assert list(stored.columns) == ["flow", "product", "year", *price_index.LEVELS]
    assert stored["year"].dtype == "int16"
    assert stored["fisher"].iloc[1] == link(period(0), period(1)).fisher


def test_contract_refuses_a_mix_that_is_not_the_rest():
    table = prices.index(trade({2000: period(0), 2001: period(1)}))
    with pytest.raises(VindimaError, match=r"unit_value_relative = fisher × mix"):
        schemas.validate(table.assign(mix=table["mix"] * (1 + 1e-8)), schemas.INDEX)


def test_span_starts_at_one_in_its_first_year():
    table = prices.index(trade({2000 + t: period(t) for t in range(5)}))
    levels_since = span(table, "imports.table_wine", 2001, 2003)
    assert levels_since.index.tolist() == [2001, 2002, 2003]
    assert levels_since.T[2001].tolist() == [1, 1, 1, 1]
    assert levels_since.loc[2002, "fisher"] == pytest.approx(link(period(1), period(2)).fisher)


@pytest.mark.parametrize(
    ("series", "first", "last", "message"),
    [
        ("imports.raisins", 2000, 2002, r"expected one of imports\.table_wine, got 'imports\.raisins'"),
        ("imports.table_wine", 2002, 2000, r"table_wine: expected a first year before the last, got 2002 and 2000"),
        ("imports.table_wine", 2000, 2001, r"table_wine: expected a year with trade from 2000 to 2002, got 2001"),
        ("imports.table_wine", 1999, 2002, r"table_wine: expected a year with trade from 2000 to 2002, got 1999"),
    ],
)
def test_span_that_the_index_does_not_hold_is_refused(series: str, first: int, last: int, message: str):
    table = prices.index(trade({2000: period(0), 2002: period(1)}))
    with pytest.raises(VindimaError, match=message):
        span(table, series, first, last)


@pytest.mark.parametrize(
    ("years", "expected"),
    [
        (range(1970, 2024), (2014, 2023)),
        ([1990, 2014, 2016, 2023], (2014, 2023)),
        ([1990, 2013, 2016, 2022, 2023], (2016, 2023)),
        ([2001, 2003, 2004], (2001, 2004)),
        ([2000, 2013, 2023], (2013, 2023)),
        ([2023], None),
        ([], None),
    ],
)
def test_split_that_nobody_chose_is_over_the_last_ten_years_with_trade(years, expected):
    assert price_index.usual_span(list(years)) == expected


# What makes a split less certain


def prices_of(years: Mapping[int, Traded]) -> pd.DataFrame:
    """The rows of the countries and of the total that the price table has of imports of table wine."""
    countries = trade(years).sort_values("year", ascending=False)
    return pd.concat([countries, countries.assign(country=None, quantity_kg=1.0, value_usd=1.0)])


def notes_of(years: Mapping[int, Traded]) -> list[Note]:
    table = prices.index(trade(years))
    return price_index.notes(prices_of(years), split(table, "imports.table_wine", min(years), max(years)))


def test_split_over_the_same_countries_whose_chain_does_not_stray_has_no_note():
    years = {2000: {"CHL": (10, 20), "FRA": (5, 50)}, 2001: {"CHL": (11, 24), "FRA": (5, 55)}}
    assert notes_of(years) == []
    assert notes_of(years | {2002: years[2000]}) == []


def test_split_without_rows_of_countries_has_no_note():
    years = {2000: {"CHL": (10, 20)}, 2001: {"CHL": (11, 24)}}
    totals = prices_of(years).query("country.isna()")
    change = split(prices.index(trade(years)), "imports.table_wine", 2000, 2001)
    assert price_index.notes(totals, change) == []


@pytest.mark.parametrize("entering", [25, 26])
def test_link_in_which_a_quarter_of_the_value_has_no_partner_is_noted_with_its_years(entering: int):
    years = {
        1999: {"CHL": (10, 75)},
        2000: {"CHL": (10, 75)},
        2002: {"CHL": (10, 75), "OTHER": (1, entering - 20), "ITA": (1, 20)},
        2003: {"CHL": (10, 75), "ITA": (1, 24)},
    }
    assert notes_of(years) == ([FewMatched(2000, 2002, 75 / 101)] if entering > 25 else [])


def test_chain_that_strays_from_the_direct_comparison_is_noted_with_both():
    """A dear small flow that bounces: prices end where they began, the chain does not."""
    years = {
        2000: {"CHL": (100, 100), "FRA": (100, 100)},
        2001: {"CHL": (100, 200), "FRA": (20, 40)},
        2002: {"CHL": (100, 100), "FRA": (100, 100)},
    }
    assert notes_of(years) == []
    years[2001] = {"CHL": (100, 100), "FRA": (1, 9)}
    years[2002] = {"CHL": (300, 300), "FRA": (100, 100)}
    change = split(prices.index(trade(years)), "imports.table_wine", 2000, 2002)
    assert abs(math.log(change.price)) > price_index.DRIFT
    (note,) = [note for note in notes_of(years) if isinstance(note, Drift)]
    assert note == Drift(2000, 2002, pytest.approx(1), change.price)


def test_chain_is_not_held_against_a_direct_comparison_of_less_than_half_the_value():
    years = {
        2000: {"CHL": (1, 1), "FRA": (10, 10)},
        2001: {"CHL": (1, 2), "FRA": (10, 20), "ITA": (10, 20)},
        2002: {"CHL": (1, 1), "ITA": (10, 60)},
    }
    assert not any(isinstance(note, Drift) for note in notes_of(years))


def test_real_exports_of_sparkling_wine_come_with_a_note_and_imports_of_wine_without(real_trade: pd.DataFrame):
    table, all_prices = (
        prices.index(real_trade),
        real_trade[real_trade["value_usd"] * real_trade["quantity_kg"] > 0],
    )
    noted = {
        series: price_index.notes(all_prices, split(table, series, 2014, 2023))
        for series in ("imports.table_wine", "exports.sparkling_wine")
    }
    assert noted["imports.table_wine"] == []
    assert any(isinstance(note, Drift) for note in noted["exports.sparkling_wine"])
