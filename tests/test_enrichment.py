"""Exchange rates and price levels: as published, averaged over whole years, and never later than what was known."""

import csv
import json
import re
import shutil
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pandas as pd
import pycountry
import pytest
from babel.numbers import get_territory_currencies
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.wrappers import Request, Response

from tests.conftest import ROOT
from vindima.errors import VindimaError
from vindima.etl import enrichment, prices, schemas, tidy
from vindima.etl.enrichment import (
    annual,
    chained,
    conversion,
    exchange_rates,
    price_levels,
    read,
    read_fred,
    read_sgs,
)
from vindima.ingestion import figures as published
from vindima.ingestion import mirror, session
from vindima.ingestion.reply import WrongReply

FIGURES = ROOT / "data" / "figures"
BUNDLED = read(FIGURES)


@pytest.fixture
def figures(tmp_path: Path) -> Path:
    """A copy of the bundled tables, to be damaged."""
    for name in (enrichment.RATES, enrichment.LEVELS, enrichment.SOURCES):
        shutil.copy(FIGURES / name, tmp_path)
    return tmp_path


def edit(path: Path, change: Callable[[list[list[str]]], object]) -> None:
    """Let `change` alter the lines of a CSV file in place."""
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))
    change(lines)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)


def cell(lines: list[list[str]], month: str, name: str) -> tuple[int, int]:
    return next(i for i, line in enumerate(lines) if line[0] == month), lines[0].index(name)


def put(path: Path, month: str, name: str, text: str) -> None:
    def change(lines: list[list[str]]) -> None:
        row, column = cell(lines, month, name)
        lines[row][column] = text

    edit(path, change)


def only(series: Mapping[str, enrichment.Series], name: str, last_month: str) -> dict[str, enrichment.Series]:
    """All series, the one called `name` cut after `last_month`."""
    cut = {month: text for month, text in series[name].figures.items() if month <= last_month}
    return {**series, name: enrichment.replace(series[name], figures=cut)}


def rates(country: str, last_year: int = 2025) -> pd.Series:
    frame = exchange_rates(BUNDLED, last_year)
    return frame[frame["country"] == country].set_index("year")["currency_per_usd"]


# What the official services publish


@pytest.mark.parametrize(("year", "reais"), [(1995, 0.9161), (2015, 3.336), (2020, 5.1587), (2023, 4.9946)])
def test_annual_rate_of_the_real_is_that_of_the_federal_reserve_but_for_its_averaging_over_days(year, reais):
    assert rates("BRA")[year] == pytest.approx(reais, rel=2e-3)


@pytest.mark.parametrize(
    ("year", "index"), [(1984, 103.9), (2000, 172.2), (2010, 218.056), (2022, 292.655), (2023, 304.702)]
)
def test_annual_us_cpi_is_the_one_that_is_published(year, index):
    levels = price_levels(BUNDLED, 2023).set_index("year")
    decimals = len(str(index).split(".")[1])
    assert round(levels.loc[year, "us_cpi"], decimals) == index


@pytest.mark.parametrize(
    ("year", "per_cent"),
    [(1995, 22.41), (2002, 12.53), (2015, 10.67), (2020, 4.52), (2021, 10.06), (2022, 5.79), (2023, 4.62)],
)
def test_december_over_december_of_the_chained_ipca_is_the_change_that_ibge_publishes(year, per_cent):
    levels = chained(enrichment._numbers(BUNDLED["ipca_change_pct"]))
    change = 100 * (levels[f"{year}-12"] / levels[f"{year - 1}-12"] - 1)
    assert change == pytest.approx(per_cent, abs=0.0101)


def test_bundled_rates_are_the_copies_they_were_carried_over_from(shared_data: Path):
    names = {"Brazil": "BRL", "Euro": "EUR", "United Kingdom": "GBP", "Portugal": "PTE", "South Africa": "ZAR"}
    copied: dict[str, dict[str, str]] = {}
    with (shared_data / "enrichment" / "exchange_rates_monthly.csv").open(encoding="utf-8") as file:
        for date, country, rate in csv.reader(file):
            copied.setdefault(country, {})[date[:7]] = rate
    assert {name: copied[name] for name in names} == {name: BUNDLED[code].figures for name, code in names.items()}


@pytest.mark.parametrize("country", ["AUS", "GBR", "NZL", "IRL", "DEU"])
def test_money_worth_more_than_a_dollar_in_2007_costs_less_than_one_of_it(country):
    """Some rates are published the other way round: a euro was worth 1.37 dollars, a pound 2.00."""
    assert (rates(country)[2007] < 1) == (country in {"GBR", "IRL", "DEU"})
    assert rates("GBR")[2007] == pytest.approx(1 / 2.0020, rel=1e-3)


@pytest.mark.parametrize("name", sorted(BUNDLED.keys() - {"us_cpi", "ipca_change_pct"}))
def test_no_bundled_rate_jumps_as_a_redenomination_or_a_turned_quotation_would(name):
    figures = pd.Series(enrichment._numbers(BUNDLED[name])).sort_index()
    ratio = figures / figures.shift()
    assert ratio.dropna().between(0.6, 1.6).all()


# Whose money is what


def test_country_that_joined_the_euro_has_one_money_before_and_after():
    frame = exchange_rates(BUNDLED, 2023).set_index(["country", "year"])
    before, after = frame.loc[("FRA", 1998)], frame.loc[("FRA", 1999)]
    assert (before["currency"], before["source_currency"], after["source_currency"]) == ("EUR", "FRF", "EUR")
    assert before["currency_per_usd"] == pytest.approx(5.8995 / 6.55957, rel=1e-3)  # the year's francs a dollar
    assert frame.loc[("GRC", 2000), "source_currency"] == "GRD"
    assert (("SVN", 2006) in frame.index, ("SVN", 2007) in frame.index) == (False, True)


@pytest.mark.parametrize("old", sorted(enrichment.EURO))
def test_fixed_rate_of_old_money_is_what_its_last_quotations_say(old):
    """Until the notes went, old money was still quoted: at its fixed rate to the euro."""
    month = max(BUNDLED[old].figures)
    quoted = float(BUNDLED[old].figures[month]) / float(BUNDLED["EUR"].figures[month])
    assert quoted == pytest.approx(enrichment.EURO[old], rel=1e-3)


def test_money_of_each_country_is_what_cldr_says():
    wrong = []
    frame = exchange_rates(BUNDLED, 2025)
    # CLDR begins the rupee of Sri Lanka in 1978, when its code began.
    for row in frame[frame["year"] >= 1979].itertuples():
        place = pycountry.countries.get(alpha_3=row.country).alpha_2
        tender = get_territory_currencies(place, date(row.year, 2, 1), date(row.year, 2, 1))
        own = "LUF" if (row.country, row.source_currency) == ("LUX", "BEF") else row.source_currency
        if own != tender[-1]:  # the newest: until 2002 old money was tender beside the euro
            wrong.append((row.country, row.year, row.source_currency, tender))
    assert not wrong


def test_country_whose_money_is_not_bundled_has_no_rate():
    assert not set(exchange_rates(BUNDLED, 2023)["country"]) & {"CHL", "ARG", "URY", "VEN"}


def test_money_that_no_figure_is_of_is_refused_with_its_name(monkeypatch):
    monkeypatch.setitem(enrichment.OTHER_COUNTRIES, "CHL", "CLP")
    with pytest.raises(
        VindimaError, match=r"unknown currency CLP \(the money of CHL\): expected USD or one of ATS, AUD"
    ):
        exchange_rates(BUNDLED, 2023)


# Years


def months(year: int, *left_out: int) -> dict[str, float]:
    return {f"{year}-{month:02}": float(month) for month in range(1, 13) if month not in left_out}


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 1e6), min_size=12, max_size=12), st.randoms())
def test_average_lies_among_its_months_and_their_order_does_not_matter(values, random):
    monthly = dict(zip(months(2000), values, strict=True))
    shuffled = list(monthly.items())
    random.shuffle(shuffled)
    (average,) = annual("x", monthly)["x"]
    assert min(values) <= average <= max(values)
    assert annual("x", dict(shuffled)).equals(annual("x", monthly))


@settings(deadline=None)
@given(st.sets(st.integers(1, 12)))
def test_year_has_an_average_when_it_is_whole_or_lacks_one_month_in_its_middle(left_out):
    frame = annual("x", months(2000, *left_out))
    assert len(frame) == (len(left_out) <= 1 and not left_out & {1, 12})
    if len(frame):
        assert frame["months"].tolist() == [12 - len(left_out)]


def test_gap_of_october_2025_is_said_and_the_year_averaged_over_its_eleven_months():
    levels = price_levels(BUNDLED, 2025).set_index("year")
    assert (levels["us_cpi_months"] < 12)[lambda gap: gap].index.tolist() == [2025]
    assert levels.loc[2025, "us_cpi_months"] == 11
    assert levels.loc[2025, "us_cpi"] == pytest.approx(321.943)
    told = enrichment.sources(BUNDLED, 2026).set_index("measure")
    assert told.loc["us_cpi", "gaps"] == "2025-10"
    assert set(told.drop(index="us_cpi")["gaps"]) == {""}


def test_year_that_has_not_ended_is_no_annual_average():
    with pytest.raises(VindimaError, match=r"the series BRL .* ends in 2025-11: expected an annual average for 2025"):
        exchange_rates(only(BUNDLED, "BRL", "2025-11"), 2025)


@pytest.mark.parametrize(("name", "table"), [("us_cpi", price_levels), ("ipca_change_pct", price_levels),
                                             ("EUR", exchange_rates), ("BRL", exchange_rates)])  # fmt: skip
def test_series_that_ends_before_the_last_year_is_refused_with_its_name(name, table):
    with pytest.raises(
        VindimaError, match=f"the series {name} .* ends in 2021-12: .* for 2023, the newest is of 2021"
    ):
        table(only(BUNDLED, name, "2021-12"), 2023)
    assert table(only(BUNDLED, name, "2021-12"), 2021)["year"].max() == 2021


@pytest.mark.parametrize(
    ("name", "lost", "table", "said"),
    [
        (
            "us_cpi",
            r"2005",
            price_levels,
            "no annual average for 2005: .* every year from 1970 on, got 0 months of it",
        ),
        ("us_cpi", r"2005-0[45]", price_levels, "no annual average for 2005: .*, got 10 months of it"),
        ("us_cpi", r"197\d", price_levels, "no annual average for 1970: "),
        (
            "BRL",
            r"2005",
            exchange_rates,
            "no annual average for 2005: .* every year from 1995 on, got 0 months of it",
        ),
        ("BRL", r"199\d", exchange_rates, "no annual average for 1995: "),
    ],
)
def test_year_without_an_average_that_prices_want_is_refused_with_series_and_year(name, lost, table, said):
    figures = {month: text for month, text in BUNDLED[name].figures.items() if not re.match(lost, month)}
    with pytest.raises(VindimaError, match=rf"the series {name} \(.*\) has {said}"):
        table({**BUNDLED, name: enrichment.replace(BUNDLED[name], figures=figures)}, 2023)


def test_gap_in_money_that_no_price_is_in_is_a_year_without_a_row():
    figures = {month: text for month, text in BUNDLED["AUD"].figures.items() if not month.startswith("2005")}
    frame = exchange_rates({**BUNDLED, "AUD": enrichment.replace(BUNDLED["AUD"], figures=figures)}, 2023)
    years = frame.loc[frame["country"] == "AUS", "year"].tolist()
    assert (2004 in years, 2005 in years, 2006 in years) == (True, False, True)


@pytest.mark.parametrize("last_year", [1990, 1998, 2010, 2022])
def test_nothing_after_the_last_year_is_known(last_year):
    """Neither in the rows nor in the figures: what came later could have been anything."""
    later = {
        name: enrichment.replace(
            one, figures={m: "7.7" if m > f"{last_year}-12" else text for m, text in one.figures.items()}
        )
        for name, one in BUNDLED.items()
    }
    assert exchange_rates(BUNDLED, last_year).equals(exchange_rates(later, last_year))
    assert exchange_rates(BUNDLED, last_year)["year"].max() == last_year
    if last_year >= 1993:  # the month that the IPCA is based on
        assert price_levels(BUNDLED, last_year).equals(price_levels(later, last_year))
    assert price_levels(BUNDLED, last_year)["year"].max() == last_year


@pytest.mark.parametrize("last_year", [1998, 2010])
def test_last_year_of_the_data_cuts_exchange_rates_and_price_levels_too(tmp_path: Path, last_year: int):
    tables = {name: bundled.table for name, bundled in published.read(FIGURES).tables.items()}
    trade = tidy.tidy(tables, last_year)["trade"]
    schemas.write(trade, schemas.TRADE, tmp_path / "tidy" / "trade.parquet")
    prices.run(tmp_path / "tidy", FIGURES, tmp_path / "prices", None, "duckdb")
    stored = {path.stem: schemas.read(path) for path in (tmp_path / "prices").glob("*.parquet")}
    newest = {name: frame["year"].max() for name, frame in stored.items() if "year" in frame}
    assert newest.pop("conversion") == 2025  # it converts forecasts and is no figure that one is made from
    assert newest == dict.fromkeys(("prices", "index", "exchange_rates", "price_levels"), last_year)
    assert stored["enrichment_sources"]["last_month"].max() == f"{last_year}-12"
    with pytest.raises(
        VindimaError, match=rf"prices\.base_year: .* to {last_year} \(the newest of trade\), got 2023"
    ):
        prices.run(tmp_path / "tidy", FIGURES, tmp_path / "prices", 2023, "duckdb")


def test_conversion_has_the_averages_of_every_year_that_has_ended_and_no_reais_before_the_real():
    table = conversion(BUNDLED).set_index("year")
    rates = exchange_rates(BUNDLED, 2024)
    reais = rates[rates["country"] == "BRA"].set_index("year")["currency_per_usd"]
    levels = price_levels(BUNDLED, 2024).set_index("year")
    assert table.index[-1] == 2025
    assert table["brl_per_usd"].first_valid_index() == table["ipca"].first_valid_index() == 1995
    assert table.loc[1995:2024, "brl_per_usd"].tolist() == reais.loc[1995:].tolist()
    assert table.loc[1995:2024, "us_cpi"].tolist() == levels.loc[1995:, "us_cpi"].tolist()
    assert table.loc[1995:2024, "ipca"].tolist() == levels.loc[1995:, "ipca"].tolist()


def test_chain_of_an_index_that_misses_a_month_is_refused():
    changes = enrichment._numbers(BUNDLED["ipca_change_pct"])
    del changes["2001-05"]
    with pytest.raises(VindimaError, match="expected a change for every month to chain them, got none for 2001-05"):
        chained(changes)


def test_chain_is_a_hundred_in_its_base_and_grows_by_the_changes():
    levels = chained({"2000-01": 10.0, "2000-02": -50.0, "2000-03": 100.0}, "2000-02")
    assert levels == {
        "2000-01": pytest.approx(200),
        "2000-02": pytest.approx(100),
        "2000-03": pytest.approx(200),
    }
    with pytest.raises(VindimaError, match=r"begin before 1999-12 \(= 100\)"):
        chained({"2000-01": 1.0}, "1999-12")


# The bundled tables


def test_what_is_written_is_what_was_read(tmp_path: Path):
    enrichment.write(BUNDLED, tmp_path)
    for name in (enrichment.RATES, enrichment.LEVELS, enrichment.SOURCES):
        assert (tmp_path / name).read_bytes() == (FIGURES / name).read_bytes()


def test_each_source_says_unit_publisher_address_and_end():
    told = enrichment.sources(BUNDLED, 2026).set_index("measure")
    assert told.loc["BRL", "address"] == "https://fred.stlouisfed.org/graph/fredgraph.csv?id=EXBZUS"
    assert told.loc["BRL", "unit"] == "BRL per US$, monthly average"
    assert (told.loc["us_cpi", "first_month"], told.loc["us_cpi", "last_month"]) == ("1970-01", "2026-05")
    assert told.index[told["retrieved_on"].isna()].tolist() == ["ipca_change_pct"]


def test_sources_speak_of_the_months_to_the_last_year_alone():
    told = enrichment.sources(BUNDLED, 1998).set_index("measure")
    assert told.loc["BRL", "last_month"] == "1998-12"
    assert "EUR" not in told.index
    assert set(told["gaps"]) == {""}


@pytest.mark.parametrize("text", ["nd", "-1.2", "0", "1,5", "inf", "1e5"])
def test_rate_that_is_no_number_above_zero_is_refused(figures: Path, text: str):
    put(figures / enrichment.RATES, "1999-07", "EUR", text)
    with pytest.raises(
        VindimaError, match=rf"exchange_rates\.csv, EUR 1999-07: expected a number above 0, got '{text}'"
    ):
        read(figures)


def test_change_of_prices_may_be_negative_or_zero(figures: Path):
    put(figures / enrichment.LEVELS, "2023-06", "ipca_change_pct", "0.00")
    assert read(figures)["ipca_change_pct"].figures["2023-06"] == "0.00"
    assert float(BUNDLED["ipca_change_pct"].figures["2023-06"]) == -0.08


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda lines: lines.insert(5, lines[5]), "in order: 1971-06, got 1971-05"),
        (lambda lines: lines.pop(9), "in order: 1971-09, got 1971-10"),
        (lambda lines: lines[3].__setitem__(0, "1971-13"), "expected months such as 1970-01"),
        (lambda lines: lines.__delitem__(slice(1, None)), "expected months such as 1970-01"),
        (
            lambda lines: lines[0].__setitem__(0, "Month"),
            "line 1: expected the columns month and then others, got Month",
        ),
        (lambda lines: lines.clear(), "line 1: expected the columns month and then others, got none"),
        (lambda lines: lines[4].append("1"), "line 5: expected 34 columns, got 35"),
        (lambda lines: lines[0].__setitem__(1, "CLP"), r"the series (CLP|ATS) stands in .* but not in "),
        (lambda lines: [line.__setitem__(2, "") for line in lines[1:]], "expected figures for AUD, got none"),
    ],
)
def test_damaged_table_of_rates_is_refused_with_its_place(figures: Path, change, complaint):
    edit(figures / enrichment.RATES, change)
    with pytest.raises(VindimaError, match=complaint):
        read(figures)


@pytest.mark.parametrize(
    ("column", "text", "complaint"),
    [
        (4, "ecb", "AUD: expected a service of fred, sgs"),
        (6, "", "AUD: .* yes or no for inverted and ended, got fred,"),
    ],
)
def test_source_that_cannot_be_asked_is_refused_with_its_name(figures: Path, column: int, text: str, complaint: str):
    edit(figures / enrichment.SOURCES, lambda lines: lines[2].__setitem__(column, text))
    with pytest.raises(VindimaError, match=complaint):
        read(figures)
    edit(figures / enrichment.SOURCES, lambda lines: lines[0].__setitem__(column, "x"))
    with pytest.raises(VindimaError, match=r"enrichment_sources\.csv, line 1: expected the columns series, title"):
        read(figures)


@pytest.mark.parametrize("name", ["us_cpi", "ipca_change_pct"])
def test_tables_without_a_price_level_are_refused_with_its_name(figures: Path, name: str):
    def drop(lines: list[list[str]]) -> None:
        column = lines[0].index(name)
        for line in lines:
            del line[column]

    edit(figures / enrichment.LEVELS, drop)
    edit(figures / enrichment.SOURCES, lambda lines: lines.remove(next(line for line in lines if line[0] == name)))
    with pytest.raises(VindimaError, match=rf"price_levels\.csv: expected the series .*, got no {name}"):
        read(figures)


def test_missing_table_is_refused(figures: Path):
    (figures / enrichment.LEVELS).unlink()
    with pytest.raises(VindimaError, match=r"there is no .*price_levels\.csv"):
        read(figures)


# What the services answer


def test_fred_gaps_are_no_figures():
    data = b"observation_date,CPIAUCNS\n2025-09-01,324.800\n2025-10-01,.\n2025-11-01,324.122\n2025-12-01,\n"
    assert read_fred(data, "CPIAUCNS") == {"2025-09": "324.800", "2025-11": "324.122"}
    assert read_fred(data.replace(b"observation_date", b"DATE"), "CPIAUCNS") == read_fred(data, "CPIAUCNS")


def test_sgs_dates_are_read_day_first():
    data = b'[{"data":"01/01/1995","valor":"1.70"},{"data":"01/02/1995","valor":"1.02"}]'
    assert read_sgs(data, "433") == {"1995-01": "1.70", "1995-02": "1.02"}


@pytest.mark.parametrize(
    "data",
    [
        b"<!DOCTYPE html><html><body>Service unavailable</body></html>",
        b"",
        b"observation_date,EXCAUS\n1971-01-01,1.01\n",
        b"observation_date,EXBZUS\n1995-01-01\n",
        b"observation_date,EXBZUS\n1995-01-01,0.85\n1995-01-01,0.85\n",
        b"observation_date,EXBZUS\n1995-01-02,0.85\n",
    ],
)
def test_answer_of_fred_that_is_not_the_series_is_a_wrong_answer(data: bytes):
    with pytest.raises(WrongReply, match=r"^EXBZUS: expected "):
        read_fred(data, "EXBZUS")


@pytest.mark.parametrize(
    "data",
    [
        b'<?xml version="1.0" encoding="pt-br"?><html>Requisi\xe7\xe3o inv\xe1lida!</html>',
        b'{"error":"O sistema aceita uma janela de consulta de, no m\xc3\xa1ximo, 10 anos"}',
        b'{"erro":{"statusCode":400,"detail":"SGSNegocioException: Value(s) not found"}}',
        b'["01/01/1995"]',
        b'[{"data":"02/01/1995","valor":"1.70"}]',
        b'[{"data":"01/01/1995","valor":"1.70"},{"data":"01/01/1995","valor":"1.70"}]',
        b"null",
    ],
)
def test_answer_of_the_sgs_that_is_not_the_series_is_a_wrong_answer(data: bytes):
    with pytest.raises(WrongReply, match=r"^433: expected "):
        read_sgs(data, "433")


# Refreshing, from services on the loopback interface


class Services:
    """FRED and the SGS as they publish what is bundled, a month further; `change` may answer otherwise."""

    def __init__(self, change: Callable[[str, str], str | None] = lambda code, usual: None) -> None:
        self.change = change
        self.asked: list[str] = []

    def __call__(self, environ, start_response):
        request = Request(environ)
        if request.path == "/robots.txt":
            return Response("User-agent: *\nDisallow: /graph/fredgraph.png\n")(environ, start_response)
        if request.path == "/graph/fredgraph.csv":
            code = request.args["id"]
            usual = self._fred(next(one for one in BUNDLED.values() if one.code == code))
        elif request.path == "/dados/serie/bcdata.sgs.433/dados" and request.args["formato"] == "json":
            code, usual = "433", self._sgs(BUNDLED["ipca_change_pct"])
        else:
            return Response(status=404)(environ, start_response)
        self.asked.append(code)
        changed = self.change(code, usual)
        return Response(usual if changed is None else changed, mimetype="text/plain")(environ, start_response)

    @staticmethod
    def _fred(one: enrichment.Series) -> str:
        cells = {month: one.figures.get(month, ".") for month in one.months}
        if one.inverted:
            cells = {month: text if text == "." else f"{1 / float(text):.6f}" for month, text in cells.items()}
        following = str(pd.Period(one.months[-1], "M") + 1)
        older = "1969-12-01,37.7\n" if one.name == "us_cpi" else ""
        lines = "".join(f"{month}-01,{text}\n" for month, text in {**cells, following: cells[one.months[-1]]}.items())
        return f"observation_date,{one.code}\n{older}{lines}"

    @staticmethod
    def _sgs(one: enrichment.Series) -> str:
        following = str(pd.Period(one.months[-1], "M") + 1)
        cells = {**one.figures, following: "0.33"}
        return json.dumps([{"data": f"01/{m[5:]}/{m[:4]}", "valor": text} for m, text in cells.items()])


@contextmanager
def refreshing(change: Callable[[str, str], str | None] = lambda code, usual: None):
    app = Services(change)
    with mirror.running(app) as base:
        yield app, dict.fromkeys(enrichment.SERVICES, base)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(session, "BACKOFF", 0)
    monkeypatch.setattr(session, "RETRIES", 2)


def refresh(figures: Path, services: Mapping[str, str]) -> pd.DataFrame:
    return enrichment.refresh(figures, services, None, lambda: "2026-08-15T10:00:00+00:00").set_index("series")


def test_refresh_adds_the_new_month_of_every_living_series_and_changes_nothing_else(figures: Path):
    with refreshing() as (app, services):
        outcome = refresh(figures, services)
    assert set(outcome["months_added"]) == {1}
    assert set(outcome["figures_changed"]) == {0}
    assert outcome.loc["BRL", "last_month"] == "2026-07"
    new = read(figures)
    assert "2025-10" not in new["us_cpi"].figures
    assert (new["BRL"].retrieved_on, new["FRF"].retrieved_on) == ("2026-08-15", "2026-07-02")
    assert set(app.asked) == {one.code for one in BUNDLED.values() if not one.ended}
    for name, one in BUNDLED.items():
        assert one.figures.items() <= new[name].figures.items()
        assert min(new[name].figures) == min(one.figures)
    assert exchange_rates(new, 2025).equals(exchange_rates(BUNDLED, 2025))


def test_refresh_counts_the_figures_that_the_service_has_revised(figures: Path):
    with refreshing(lambda code, usual: usual.replace("5.1241", "5.2241") if code == "EXBZUS" else None) as (_, to):
        assert refresh(figures, to)["figures_changed"].loc[lambda changed: changed > 0].to_dict() == {"BRL": 1}
    assert read(figures)["BRL"].figures["2026-06"] == "5.2241"


@pytest.mark.parametrize(
    ("code", "answer", "complaint"),
    [
        ("433", lambda usual: "[]", "433: expected figures from 1970-01 on, got none"),
        ("433", lambda usual: usual.replace('"0.33"}]', '"nd"}]'), "433, ipca_change_pct 2026-01: expected a number"),
        (
            "EXUSEU",
            lambda usual: "<html>busy</html>",
            "EXUSEU: expected a table observation_date,EXUSEU, got '<html>",
        ),
        ("EXUSEU", lambda usual: usual[: len(usual) // 2].rpartition("\n")[0], r"EUR \(EXUSEU of http.*every month"),
        ("CPIAUCNS", lambda usual: usual.replace("1999-05-01,166.2", "1999-05-01,."), "got none for 1999-05; "),
    ],
    ids=["empty list", "not a number", "a page with status 200", "half of it", "a new gap"],
)
def test_refresh_that_brings_less_than_is_on_hand_names_the_series_and_changes_nothing(
    figures: Path, code, answer, complaint
):
    before = {path.name: path.read_bytes() for path in figures.iterdir()}
    with (
        refreshing(lambda asked, usual: answer(usual) if asked == code else None) as (_, services),
        pytest.raises(VindimaError, match=complaint),
    ):
        refresh(figures, services)
    assert {path.name: path.read_bytes() for path in figures.iterdir()} == before


def test_wrong_answer_is_asked_again_and_heals(figures: Path):
    seen: list[str] = []

    def once_wrong(code: str, usual: str) -> str | None:
        seen.append(code)
        return "<html>Requisição inválida!</html>" if code == "433" and seen.count("433") == 1 else None

    with refreshing(once_wrong) as (_, services):
        assert refresh(figures, services).loc["ipca_change_pct", "months_added"] == 1
    assert seen.count("433") == 2


def test_service_that_is_not_there_is_named(figures: Path):
    with pytest.raises(VindimaError, match=r"http://127\.0\.0\.1:9 "):
        refresh(figures, dict.fromkeys(enrichment.SERVICES, "http://127.0.0.1:9"))
