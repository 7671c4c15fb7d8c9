"""Unit values: Σ value / Σ quantity where both are above zero, for totals and countries."""

import pandas as pd
import pytest

from vindima.errors import VindimaError
from vindima.etl.prices import as_published, prices

COUNTRIES = ("CHL", "ITA", "OTHER", "PRT", "USA")


@pytest.fixture
def trade() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "flow": "imports",
            "product": "table_wine",
            "country": [*COUNTRIES, "CHL"],
            "year": [2000, 2000, 2000, 2000, 2000, 2001],
            "quantity_kg": [100.0, 50.0, 10.0, 9.0, 7.0, 0.0],
            "value_usd": [200.0, 250.0, 30.0, 0.0, float("nan"), 5.0],
            "quantity_status": ["reported", "corrected", *["reported"] * 4],
            "value_status": [*["reported"] * 4, "blank", "reported"],
        }
    )


def by_series(trade: pd.DataFrame) -> pd.DataFrame:
    return prices(trade, None, "duckdb").set_index(["series", "year"])


def test_price_is_value_over_quantity_of_rows_that_have_both(trade: pd.DataFrame):
    total = by_series(trade).loc[("imports.table_wine", 2000)]
    assert total["price_usd_kg"] == pytest.approx(480 / 160)
    assert (total["quantity_kg"], total["value_usd"]) == (160, 480)


def test_each_country_and_the_total_are_series_and_a_year_without_a_price_has_no_row(trade: pd.DataFrame):
    assert set(by_series(trade).index) == {
        ("imports.table_wine", 2000),
        ("imports.table_wine.CHL", 2000),
        ("imports.table_wine.ITA", 2000),
        ("imports.table_wine.OTHER", 2000),
    }


def test_total_has_no_country(trade: pd.DataFrame):
    frame = prices(trade, None, "duckdb").set_index("series")
    assert frame["country"].isna().tolist() == (~frame.index.str.contains(r"\.[A-Z]")).tolist()


def test_price_that_rests_on_a_corrected_figure_is_marked_and_so_is_its_total(trade: pd.DataFrame):
    corrected = by_series(trade)["corrected"].xs(2000, level="year")
    assert corrected.to_dict() == {
        "imports.table_wine": True,
        "imports.table_wine.CHL": False,
        "imports.table_wine.ITA": True,
        "imports.table_wine.OTHER": False,
    }


def test_engine_of_a_later_version_is_refused(trade: pd.DataFrame):
    with pytest.raises(VindimaError, match=r"prices\.engine: expected duckdb"):
        prices(trade, None, "spark")


def test_base_year_outside_the_data_is_refused(trade: pd.DataFrame):
    with pytest.raises(VindimaError, match=r"prices\.base_year: expected a year from 2000 to 2001, got 1999"):
        prices(trade, 1999, "duckdb")


def test_prices_as_published_ignore_corrections(trade: pd.DataFrame):
    published = trade.assign(quantity_kg_published=trade["quantity_kg"], value_usd_published=trade["value_usd"] * 2)
    doubled = as_published(published).set_index(["series", "year"])["price_usd_kg"]
    assert doubled.to_dict() == (by_series(trade)["price_usd_kg"] * 2).to_dict()
