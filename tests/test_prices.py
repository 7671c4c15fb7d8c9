"""Unit values: Σ value / Σ quantity where both are above zero, for totals and countries, in every money."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import ibis
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import ROOT
from vindima.errors import VindimaError
from vindima.etl import enrichment, schemas
from vindima.etl import prices as module
from vindima.etl.prices import as_confirmed, as_published, prices

COUNTRIES = ("CHL", "ITA", "OTHER", "PRT", "USA")
FIGURES = ROOT / "data" / "figures"
BUNDLED = enrichment.read(FIGURES)
RATES = enrichment.exchange_rates(BUNDLED, 2023)
LEVELS = enrichment.price_levels(BUNDLED, 2023)
REAL = ["price_usd_kg_real", "price_brl_kg", "price_brl_kg_real"]


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


def priced(trade: pd.DataFrame, base_year: int | None = None) -> pd.DataFrame:
    return prices(trade, RATES, LEVELS, base_year, "duckdb")


def by_series(trade: pd.DataFrame) -> pd.DataFrame:
    return priced(trade).set_index(["series", "year"])


def traded(quantities: dict[int, tuple[int, int]]) -> pd.DataFrame:
    """Imports of table wine from Chile: year → (kg, US$)."""
    return pd.DataFrame(
        {"flow": "imports", "product": "table_wine", "country": "CHL", "year": list(quantities),
         "quantity_kg": [float(kg) for kg, _ in quantities.values()],
         "value_usd": [float(usd) for _, usd in quantities.values()],
         "quantity_status": "reported", "value_status": "reported"}
    )  # fmt: skip


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
    frame = priced(trade).set_index("series")
    assert frame["country"].isna().tolist() == (~frame.index.str.contains(r"\.[A-Z]")).tolist()


def test_price_that_rests_on_a_corrected_figure_is_marked_and_so_is_its_total(trade: pd.DataFrame):
    corrected = by_series(trade)["corrected"].xs(2000, level="year")
    assert corrected.to_dict() == {
        "imports.table_wine": True,
        "imports.table_wine.CHL": False,
        "imports.table_wine.ITA": True,
        "imports.table_wine.OTHER": False,
    }


def test_unknown_engine_is_refused(trade: pd.DataFrame):
    with pytest.raises(VindimaError, match=r"prices\.engine: expected duckdb or spark, got 'dask'"):
        prices(trade, RATES, LEVELS, None, "dask")


@pytest.mark.parametrize("base_year", [1994, 2002, 0])
def test_base_year_without_reais_or_after_the_newest_trade_is_refused(trade: pd.DataFrame, base_year: int):
    with pytest.raises(VindimaError, match=rf"prices\.base_year: .* from 1995 .* to 2001 .* got {base_year}$"):
        priced(trade, base_year)


def test_prices_of_one_year_in_every_money():
    """US CPI-U 1995 and 2023: 152.383 and 304.702; 4.9944 reais a dollar in 2023."""
    frame = priced(traded({1994: (100, 300), 1995: (100, 300), 2023: (100, 300)})).set_index(["country", "year"])
    chile = frame.loc["CHL"]
    assert chile.loc[1995, "price_usd_kg_real"] == pytest.approx(3 * 304.702 / 152.383, rel=1e-5)
    assert chile.loc[2023, "price_brl_kg"] == pytest.approx(3 * 4.9944, rel=1e-4)
    assert chile.loc[2023, "price_brl_kg_real"] == chile.loc[2023, "price_brl_kg"]
    assert chile.loc[2023, "price_usd_kg_real"] == chile.loc[2023, "price_usd_kg"] == 3


def test_dollars_are_deflated_by_us_prices_and_reais_by_brazilian_ones():
    levels = pd.DataFrame({"year": [2000, 2001, 2002], "us_cpi": [100.0, 200.0, 400.0], "ipca": [10.0, 50.0, 100.0]})
    rates = pd.DataFrame({"country": ["BRA", "CHN"] * 3, "year": [2000, 2000, 2001, 2001, 2002, 2002],
                          "currency_per_usd": [2.0, 9.0, 3.0, 9.0, 4.0, 9.0]})  # fmt: skip
    trade = traded({2000: (10, 10), 2001: (10, 20), 2002: (10, 80)})
    frame = prices(trade, rates, levels, 2001, "duckdb")
    total = frame[frame["country"].isna()].set_index("year")
    assert total["price_usd_kg"].tolist() == [1, 2, 8]
    assert total["price_usd_kg_real"].tolist() == [2, 2, 4]
    assert total["price_brl_kg"].tolist() == [2, 6, 32]
    assert total["price_brl_kg_real"].tolist() == [10, 6, 16]


def test_year_without_a_price_level_is_refused_and_never_dropped(trade: pd.DataFrame):
    with pytest.raises(VindimaError, match="price_usd_kg_real: expected not_nullable, got nan"):
        prices(trade, RATES, LEVELS[LEVELS["year"] != 2000], None, "duckdb")


def test_a_price_before_1995_has_no_reais_but_real_dollars():
    frame = priced(traded({1970: (10, 10), 1994: (10, 10), 1995: (10, 10)})).set_index("year")
    assert frame["price_usd_kg_real"].notna().all()
    for column in ("price_brl_kg", "price_brl_kg_real"):
        assert sorted(set(frame.index[frame[column].notna()])) == [1995]


def test_trade_that_ends_before_the_real_has_only_dollars():
    frame = priced(traded({1980: (10, 10), 1990: (10, 10)}))
    assert frame[REAL].notna().any().tolist() == [True, False, False]
    assert frame.set_index("year").loc[1990, "price_usd_kg_real"].tolist() == [1, 1]


KG_AND_USD = st.tuples(st.integers(1, 10**9), st.integers(1, 10**9))
TRADE = st.dictionaries(st.integers(1970, 2023), KG_AND_USD, min_size=2, max_size=8)


@settings(deadline=None, max_examples=15)  # each makes two DuckDB databases
@given(TRADE, st.data())
def test_base_year_only_sets_the_unit_of_real_money_and_in_it_real_is_nominal(quantities, data):
    last = max(quantities)
    base = data.draw(st.integers(min(1995, last), last))
    frame = priced(traded(quantities), base).set_index("year")
    newest = priced(traded(quantities)).set_index("year")
    pd.testing.assert_series_equal(frame["price_usd_kg"], newest["price_usd_kg"])
    pd.testing.assert_series_equal(frame["price_brl_kg"], newest["price_brl_kg"])
    for column in ("price_usd_kg_real", "price_brl_kg_real"):
        ratio = (frame[column] / newest[column]).dropna()
        assert ratio.max() == pytest.approx(ratio.min()) if len(ratio) else True
    if base in frame.index:
        at_base = frame.loc[[base]]
        assert at_base["price_usd_kg_real"].to_numpy() == pytest.approx(at_base["price_usd_kg"].to_numpy())
        assert at_base["price_brl_kg_real"].to_numpy() == pytest.approx(
            at_base["price_brl_kg"].to_numpy(), nan_ok=True
        )


@settings(deadline=None, max_examples=10)
@given(TRADE)
def test_reais_of_a_year_are_its_dollars_at_one_rate_for_every_series(quantities):
    frame = priced(pd.concat([traded(quantities), traded(quantities).assign(country="ITA", value_usd=7.0)]))
    brazil = RATES[RATES["country"] == "BRA"].set_index("year")["currency_per_usd"]
    rate = (frame["price_brl_kg"] / frame["price_usd_kg"]).to_numpy()
    assert rate == pytest.approx(frame["year"].map(brazil).to_numpy(), nan_ok=True)


def test_nominal_prices_do_not_depend_on_the_enrichment(trade: pd.DataFrame):
    other = prices(trade, RATES.assign(currency_per_usd=2.0), LEVELS.assign(us_cpi=1.0, ipca=3.0), None, "duckdb")
    pd.testing.assert_frame_equal(other.drop(columns=REAL), priced(trade).drop(columns=REAL))
    assert (other["price_usd_kg_real"] == other["price_usd_kg"]).all()
    assert (other["price_brl_kg"] == 2 * other["price_usd_kg"]).all()


def test_prices_as_published_ignore_corrections(trade: pd.DataFrame):
    published = trade.assign(quantity_kg_published=trade["quantity_kg"], value_usd_published=trade["value_usd"] * 2)
    doubled = as_published(published).set_index(["series", "year"])["price_usd_kg"]
    assert doubled.to_dict() == (by_series(trade)["price_usd_kg"] * 2).to_dict()


def test_likely_corrections_are_taken_back_and_confirmed_ones_stay(trade: pd.DataFrame):
    published = trade.assign(quantity_kg_published=trade["quantity_kg"], value_usd_published=trade["value_usd"])
    doubled = published.assign(value_usd=published["value_usd"] * 2)
    cells = pd.DataFrame({"table": trade["flow"] + "_" + trade["product"], **trade[["country", "year"]]})
    before, after = (as_published(frame).set_index(["series", "year"])["price_usd_kg"] for frame in (
        published, published.assign(value_usd_published=doubled["value_usd"])
    ))  # fmt: skip
    for certainty, applied, expected in (
        ("likely", True, before),
        ("likely", False, after),
        ("confirmed", True, after),
    ):
        register = cells.drop_duplicates().assign(certainty=certainty, applied=applied)
        found = as_confirmed(doubled, register).set_index(["series", "year"])["price_usd_kg"]
        assert found.to_dict() == expected.to_dict()


@pytest.fixture
def tidy_dir(tmp_path: Path) -> Path:
    """A trade table of 6,000 rows with odd quantities."""
    places = [f"{a}{b}{c}" for a in "ABCDE" for b in "FGHIJ" for c in "KLMN"]
    rows = [
        {"flow": flow, "product": "table_wine", "country": place, "year": year, "country_pt": place,
         "quantity_kg": float(kg), "value_usd": float(kg * (year % 7 + 1) // 3 + 1)}
        for flow in schemas.FLOWS
        for place in places
        for year in range(1994, 2024)
        for kg in [int(hashlib.sha256(f"{place}{year}".encode()).hexdigest()[:7], 16)]
    ]  # fmt: skip
    trade = pd.DataFrame(rows).assign(quantity_status="reported", value_status="reported")
    published = {f"{name}_published": trade[name] for name in ("quantity_kg", "value_usd")}
    schemas.write(trade.assign(**published), schemas.TRADE, tmp_path / "tidy" / "trade.parquet")
    return tmp_path / "tidy"


def test_number_of_threads_changes_no_byte(tidy_dir: Path, tmp_path: Path, monkeypatch):
    connect: Callable = ibis.duckdb.connect
    made = []
    for run, threads in enumerate([1, 2, 2, 4]):
        monkeypatch.setattr(module.ibis.duckdb, "connect", lambda threads=threads: connect(threads=threads))
        folder = tmp_path / f"prices{run}"
        module.run(tidy_dir, FIGURES, folder, None, "duckdb")
        made.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert sorted(made[0]) == [
        "base_year.json", "conversion.parquet",
        "enrichment_sources.parquet", "exchange_rates.parquet", "index.parquet",
        "price_levels.parquet", "prices.parquet",
    ]  # fmt: skip
    assert all(other == made[0] for other in made[1:])


def test_base_year_is_stored_and_what_forecasts_are_made_from_knows_none(tidy_dir: Path, tmp_path: Path):
    given = []
    for base_year in (None, 2000):
        module.run(tidy_dir, FIGURES, tmp_path / "prices", base_year, "duckdb")
        given.append(module.for_forecasts(tidy_dir, tmp_path / "prices"))
        stored = json.loads((tmp_path / "prices" / "base_year.json").read_text(encoding="utf-8"))
        assert stored == {"base_year": base_year or 2023}
    pd.testing.assert_frame_equal(*given, check_exact=True)
    in_money_of_2000 = schemas.read(tmp_path / "prices" / "prices.parquet")
    assert (in_money_of_2000["price_usd_kg_real"] != given[0]["price_usd_kg_real"]).any()


def test_tables_beside_the_prices_know_nothing_after_the_newest_trade(tidy_dir: Path, tmp_path: Path):
    trade = schemas.read(tidy_dir / "trade.parquet")
    schemas.write(trade[trade["year"] <= 2010], schemas.TRADE, tidy_dir / "trade.parquet")
    frame = module.run(tidy_dir, FIGURES, tmp_path / "prices", None, "duckdb").set_index("year")
    for name in ("exchange_rates", "price_levels"):
        assert schemas.read(tmp_path / "prices" / f"{name}.parquet")["year"].max() == 2010
    assert schemas.read(tmp_path / "prices" / "enrichment_sources.parquet")["last_month"].max() == "2010-12"
    assert (frame.loc[2010, "price_usd_kg_real"] == frame.loc[2010, "price_usd_kg"]).all()


def test_trade_newer_than_the_price_levels_is_refused_with_the_series_and_nothing_written(
    tidy_dir: Path, tmp_path: Path
):
    trade = schemas.read(tidy_dir / "trade.parquet").assign(year=lambda frame: frame["year"] + 4)
    schemas.write(trade, schemas.TRADE, tidy_dir / "trade.parquet")
    with pytest.raises(
        VindimaError, match=r"the series \w+ .* ends in 2026-\d\d: expected an annual average for 2027"
    ):
        module.run(tidy_dir, FIGURES, tmp_path / "prices", None, "duckdb")
    assert not (tmp_path / "prices").exists()
