"""What money was worth: exchange rates, the US and the Brazilian price level.

data/figures holds the monthly figures as the official services publish them (its README tells what each is, where it
is from and what is odd about it); the annual averages are computed here, from the months. `refresh` fetches the
services' newest figures into the same tables. Nothing later than the `last_year` that a caller gives is known here.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import pandas as pd

from vindima import files
from vindima.errors import VindimaError
from vindima.etl import schemas
from vindima.ingestion.reply import Reply, WrongReply
from vindima.ingestion.session import Session, utc_now
from vindima.series import FIRST_YEAR_IN_REAIS

RATES, LEVELS, SOURCES = "exchange_rates.csv", "price_levels.csv", "enrichment_sources.csv"
SOURCE_COLUMNS = (
    "series", "title", "unit", "publisher", "service", "code", "inverted", "ended", "retrieved_on",
)  # fmt: skip
US_CPI, IPCA = "us_cpi", "ipca_change_pct"
SERVICES = {"fred": "https://fred.stlouisfed.org", "sgs": "https://api.bcb.gov.br"}
ADDRESSES = {"fred": "graph/fredgraph.csv?id={code}", "sgs": "dados/serie/bcdata.sgs.{code}/dados?formato=json"}
REQUESTS_PER_SECOND = 1  # FRED's robots.txt asks for a second between requests

MONTH = r"\d{4}-(0[1-9]|1[0-2])"
FIRST_MONTH = "1970-01"  # trade begins in 1970
FEWEST_MONTHS = 11
"""A year with one month missing between its January and its December is averaged over the others (US CPI 2025: the
prices of October were never collected), and the tables say so in their `months`; with more missing it has none."""
IPCA_BASE = "1993-12"  # = 100, as in the number index that IBGE publishes
DECIMALS = 4  # of the rates that are published as US$ per unit and turned round, as in the bundled figures

EURO = {
    "ATS": 13.7603, "BEF": 40.3399, "DEM": 1.95583, "ESP": 166.386, "FIM": 5.94573, "FRF": 6.55957, "GRD": 340.75,
    "IEP": 0.787564, "ITL": 1936.27, "NLG": 2.20371, "PTE": 200.482,
}  # fmt: skip
"""Old money for one euro, for ever: Council Regulations (EC) 2866/98 and 1478/2000."""

EURO_COUNTRIES = {
    "AUT": (1999, "ATS"), "BEL": (1999, "BEF"), "DEU": (1999, "DEM"), "ESP": (1999, "ESP"), "FIN": (1999, "FIM"),
    "FRA": (1999, "FRF"), "GLP": (1999, "FRF"), "GRC": (2001, "GRD"), "GUF": (1999, "FRF"), "IRL": (1999, "IEP"),
    "ITA": (1999, "ITL"), "MTQ": (1999, "FRF"), "NLD": (1999, "NLG"), "PRT": (1999, "PTE"),
    # Luxembourg's own franc was worth a Belgian one.
    "LUX": (1999, "BEF"),
    # Their old money is not among the figures.
    "BGR": (2026, None), "CYP": (2008, None), "EST": (2011, None), "HRV": (2023, None), "LTU": (2015, None),
    "LVA": (2014, None), "MLT": (2008, None), "SVK": (2009, None), "SVN": (2007, None),
}  # fmt: skip
"""Country → the year from which its money is the euro, and the money that it had before."""

OTHER_COUNTRIES = {
    "AUS": "AUD", "BRA": "BRL", "CAN": "CAD", "CHE": "CHF", "CHN": "CNY", "DNK": "DKK", "GBR": "GBP", "HKG": "HKD",
    "IND": "INR", "JPN": "JPY", "KOR": "KRW", "LKA": "LKR", "MEX": "MXN", "MYS": "MYR", "NOR": "NOK", "NZL": "NZD",
    "PRI": "USD", "SGP": "SGD", "SWE": "SEK", "THA": "THB", "TWN": "TWD", "USA": "USD", "ZAF": "ZAR",
}  # fmt: skip
"""Country → its money. A country that is in neither table has no exchange rate here; the README of the figures says
which of the large ones that concerns."""


@dataclass(frozen=True)
class Series:
    """One monthly series as bundled: `figures` is month → text as published, '1995-01' → '0.8461'; no gap is in it.

    `inverted`: the service publishes US$ per unit, here it is units per US$. `ended`: there will be no further month.
    """

    name: str
    title: str
    unit: str
    publisher: str
    service: str
    code: str
    inverted: bool
    ended: bool
    retrieved_on: str
    figures: Mapping[str, str]

    @property
    def months(self) -> list[str]:
        """All months from the first figure to the last, gaps too."""
        return [str(month) for month in pd.period_range(min(self.figures), max(self.figures), freq="M")]


def read(figures_dir: Path) -> dict[str, Series]:
    """All bundled series by name: ISO 4217 codes (units per US$), `us_cpi` and `ipca_change_pct`.

    Raises VindimaError for a table that is missing or inconsistent, a series that no line of the sources tells of (an
    unknown currency), and a figure that is no number or, but for a change in per cent, not above 0.
    """
    figures = _columns(figures_dir / RATES) | _columns(figures_dir / LEVELS)
    lines = files.read_csv(figures_dir / SOURCES, SOURCE_COLUMNS)
    described = {line["series"]: line for line in lines}
    if odd := sorted(figures.keys() ^ described.keys()):
        places = (SOURCES, f"{RATES} or {LEVELS}")
        here, there = places if odd[0] in described else places[::-1]
        raise VindimaError(f"{figures_dir}: the series {odd[0]} stands in {here} but not in {there}")
    if missing := [name for name in (US_CPI, IPCA) if name not in figures]:
        raise VindimaError(f"{figures_dir / LEVELS}: expected the series {US_CPI} and {IPCA}, got no {missing[0]}")
    for name, line in described.items():
        if line["service"] not in SERVICES or not {line["inverted"], line["ended"]} <= {"yes", "no"}:
            raise VindimaError(
                f"{figures_dir / SOURCES}, {name}: expected a service of {', '.join(SERVICES)}, and yes or no for "
                f"inverted and ended, got {line['service']}, {line['inverted']} and {line['ended']}"
            )
    return {
        name: Series(
            name, line["title"], line["unit"], line["publisher"], line["service"], line["code"],
            line["inverted"] == "yes", line["ended"] == "yes", line["retrieved_on"], figures[name],
        )
        for name, line in described.items()
    }  # fmt: skip


def annual(name: str, monthly: Mapping[str, float]) -> pd.DataFrame:
    """`year, <name>, months`: the mean of each year's months, and how many those are; `monthly` is month → figure.

    A year has a mean when its January, its December and at least `FEWEST_MONTHS` months are known: not before it has
    ended, and not in the middle of which a series begins.
    """
    years: dict[int, dict[str, float]] = {}
    for month in sorted(monthly):
        years.setdefault(int(month[:4]), {})[month[5:]] = monthly[month]
    rows = [
        (year, fmean(months.values()), len(months))
        for year, months in years.items()
        if len(months) >= FEWEST_MONTHS and {"01", "12"} <= months.keys()
    ]
    return pd.DataFrame(rows, columns=["year", name, "months"]).astype({"year": "int16", "months": "int16"})


def chained(changes_pct: Mapping[str, float], base: str = IPCA_BASE) -> dict[str, float]:
    """Levels, 100 in the month `base`, from monthly changes in per cent.

    As the changes have two decimals, a year's change can differ by 0.01 from the one that IBGE publishes (2022: 5.78
    for 5.79). Raises VindimaError for a month without a change, after which no level is known, or an unknown base.
    """
    months = sorted(changes_pct)
    every = [str(month) for month in pd.period_range(months[0], months[-1], freq="M")]
    if missing := [month for month in every if month not in changes_pct]:
        raise VindimaError(f"{IPCA}: expected a change for every month to chain them, got none for {missing[0]}")
    if base not in changes_pct:
        raise VindimaError(f"{IPCA}: expected changes that begin before {base} (= 100), got the first in {months[0]}")
    level, levels = 1.0, {}
    for month in months:
        level *= 1 + changes_pct[month] / 100
        levels[month] = level
    return {month: 100 * level / levels[base] for month, level in levels.items()}


def exchange_rates(series: Mapping[str, Series], last_year: int) -> pd.DataFrame:
    """Annual averages to `last_year`: `country, year, currency, source_currency, currency_per_usd, months`.

    `currency` is the money that a country has today, so that the ratio of two years is the change of its exchange
    rate: what was quoted in `source_currency` (French francs before 1999) is converted at the fixed rate of the euro.
    A year without an average has no row; nor has a country whose money is not among the figures (Chile, Argentina).
    The dollar is 1. Raises VindimaError for a country with an unknown currency, for a series that ends early, and for
    a year from 1995 on in which the real has no average: prices in reais want every one.
    """
    spells = [(country, code, code, 0, last_year) for country, code in OTHER_COUNTRIES.items()]
    for country, (joined, before) in EURO_COUNTRIES.items():
        spells.append((country, "EUR", "EUR", joined, last_year))
        if before:
            spells.append((country, "EUR", before, 0, joined - 1))
    averages: dict[str, pd.DataFrame] = {}
    for country, _, source, _, _ in spells:
        if source not in averages:
            averages[source] = _annual_rate(series, source, country, last_year)
    _refuse_gap(series["BRL"], averages["BRL"], range(FIRST_YEAR_IN_REAIS, last_year + 1))
    frames = []
    for country, currency, source, first, last in spells:
        rows = averages[source]
        rows = rows[rows["year"].between(first, min(last, last_year))]
        rows = rows.assign(country=country, currency=currency, source_currency=source)
        frames.append(rows.assign(currency_per_usd=rows["currency_per_usd"] / EURO.get(source, 1.0)))
    return schemas.validate(pd.concat(frames, ignore_index=True), schemas.EXCHANGE_RATES)


def price_levels(series: Mapping[str, Series], last_year: int) -> pd.DataFrame:
    """Annual averages to `last_year`: `year, us_cpi, us_cpi_months, ipca, ipca_months`.

    US CPI-U, all items, not seasonally adjusted, 1982–84 = 100; IPCA chained from its monthly changes, December
    1993 = 100; null, and 0 months, before the IPCA begins. Raises VindimaError for a series that ends early, and for
    a year from 1970 on in which US CPI has no average: real prices want every one.
    """
    us_cpi = annual("us_cpi", _numbers(series[US_CPI])).rename(columns={"months": "us_cpi_months"})
    ipca = annual("ipca", chained(_numbers(series[IPCA]))).rename(columns={"months": "ipca_months"})
    _refuse_early_end(series[US_CPI], us_cpi, last_year)
    _refuse_early_end(series[IPCA], ipca, last_year)
    _refuse_gap(series[US_CPI], us_cpi, range(int(FIRST_MONTH[:4]), last_year + 1))
    both = us_cpi.merge(ipca, on="year", how="outer").fillna({"us_cpi_months": 0, "ipca_months": 0})
    both = both.astype({"us_cpi_months": "int16", "ipca_months": "int16"})
    return schemas.validate(both[both["year"] <= last_year], schemas.PRICE_LEVELS)


def conversion(series: Mapping[str, Series]) -> pd.DataFrame:
    """Annual averages of every year that has one, to the newest: `year, brl_per_usd, us_cpi, ipca`; null for none.

    They convert a forecast into reais or money of one year and nothing else, so they may be later than what prices
    and forecasts know.
    """
    averages = {
        "brl_per_usd": annual("brl_per_usd", _numbers(series["BRL"])),
        US_CPI: annual(US_CPI, _numbers(series[US_CPI])),
        "ipca": annual("ipca", chained(_numbers(series[IPCA]))),
    }
    columns = [table.set_index("year")[name] for name, table in averages.items()]
    known = pd.concat(columns, axis=1).reset_index()
    known.loc[known["year"] < FIRST_YEAR_IN_REAIS, ["brl_per_usd", "ipca"]] = None
    return schemas.validate(known, schemas.CONVERSION)


def short_years(levels: pd.DataFrame) -> list[int]:
    """Years of the price levels that are averages over fewer than 12 months: US CPI, and IPCA from 1995 on."""
    short = (levels["us_cpi_months"] < 12) | ((levels["ipca_months"] < 12) & (levels["year"] >= FIRST_YEAR_IN_REAIS))
    return levels.loc[short, "year"].tolist()


def sources(series: Mapping[str, Series], last_year: int) -> pd.DataFrame:
    """One row for each series: what it is, who publishes it, where and when it was read, and what of it is used.

    `first_month`, `last_month` and `gaps` are those of the months to `last_year`; `retrieved_on` is null where that
    was not recorded. A series that begins later has no row.
    """
    rows = []
    for one in series.values():
        months = [month for month in one.months if month <= f"{last_year}-12"]
        if months:
            gaps = " ".join(month for month in months if month not in one.figures)
            address = f"{SERVICES[one.service]}/{_address(one)}"
            known = (one.retrieved_on or None, months[0], months[-1], gaps)
            rows.append((one.name, one.title, one.unit, one.publisher, address, *known))
    return schemas.validate(schemas.frame(rows, schemas.ENRICHMENT_SOURCES), schemas.ENRICHMENT_SOURCES)


def refresh(
    figures_dir: Path,
    services: Mapping[str, str] = SERVICES,
    requests_per_second: float | None = REQUESTS_PER_SECOND,
    now: Callable[[], str] = utc_now,
) -> pd.DataFrame:
    """Fetch every series that has not ended from the official services into `figures_dir`; writes all or nothing.

    Returns `series, last_month, months_added, figures_changed`. Raises VindimaError where a service cannot be read,
    or no longer has a month that is on hand; then nothing is changed.
    """
    on_hand = read(figures_dir)
    fetched = {}
    for service, base in services.items():
        wanted = [one for one in on_hand.values() if one.service == service and not one.ended]
        with Session(base, _NothingOnHand(), requests_per_second) as session:
            replies = session.read_all((_address(one), _reader(one)) for one in wanted)
            for one, (_, figures) in zip(wanted, replies, strict=True):
                fetched[one.name] = replace(one, figures=figures, retrieved_on=now()[:10])
    rows = []
    for name, new in fetched.items():
        old = on_hand[name]
        if lost := sorted(old.figures.keys() - new.figures.keys()):
            raise VindimaError(
                f"{name} ({new.code} of {services[new.service]}): expected every month on hand, to "
                f"{max(old.figures)}, got none for {', '.join(lost[:3])}; the tables stay as they are"
            )
        changed = sum(float(new.figures[month]) != float(figure) for month, figure in old.figures.items())
        rows.append((name, max(new.figures), len(new.figures) - len(old.figures), changed))
    write(on_hand | fetched, figures_dir)
    return pd.DataFrame(rows, columns=["series", "last_month", "months_added", "figures_changed"])


def write(series: Mapping[str, Series], figures_dir: Path) -> None:
    """Write the three bundled tables of `series`, all or none."""
    rates = {name: one for name, one in series.items() if name not in (US_CPI, IPCA)}
    levels = {name: series[name] for name in (US_CPI, IPCA)}
    descriptions = [
        [
            name, one.title, one.unit, one.publisher, one.service, one.code,
            "yes" if one.inverted else "no", "yes" if one.ended else "no", one.retrieved_on,
        ]
        for name, one in series.items()
    ]  # fmt: skip
    tables = {
        RATES: _monthly_lines(rates),
        LEVELS: _monthly_lines(levels),
        SOURCES: [list(SOURCE_COLUMNS), *descriptions],
    }
    files.write_all({figures_dir / name: files.csv_text(lines) for name, lines in tables.items()})


def read_fred(data: bytes, code: str) -> dict[str, str]:
    """A CSV download of FRED, `observation_date,<code>`, as month → text; `.` and nothing are gaps.

    Raises WrongReply for anything else: the pages of an overloaded site come with status 200 too.
    """
    lines = list(csv.reader(io.StringIO(data.decode("utf-8-sig", "replace"))))
    # FRED called its first column DATE until December 2024.
    if not lines or lines[0] not in (["observation_date", code], ["DATE", code]):
        raise WrongReply(f"{code}: expected a table observation_date,{code}, got {_beginning(data)}")
    if odd := next((line for line in lines if len(line) != 2), None):
        raise WrongReply(f"{code}: expected a date and a figure, got {odd}")
    return _by_month(((date, "" if figure == "." else figure) for date, figure in lines[1:]), code)


def read_sgs(data: bytes, code: str) -> dict[str, str]:
    """The JSON of the Banco Central's SGS, `[{"data": "01/01/1995", "valor": "1.70"}, …]`, as month → text.

    Raises WrongReply for anything else: refusals and broken pages come with status 200 too.
    """
    try:
        cells = [("-".join(reversed(one["data"].split("/"))), one["valor"] or "") for one in json.loads(data)]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise WrongReply(f"{code}: expected a list of data and valor, got {_beginning(data)}") from None
    return _by_month(cells, code)


class _NothingOnHand:
    """A stock for a session that asks for everything anew."""

    def fresh(self, address: str) -> Reply | None:
        return None

    def earlier(self, address: str) -> Reply | None:
        return None

    def keep(self, reply: Reply) -> None:
        pass


def _address(one: Series) -> str:
    return ADDRESSES[one.service].format(code=one.code)


def _reader(one: Series) -> Callable[[bytes], dict[str, str]]:
    """From a service's reply to the figures as they are kept: from `FIRST_MONTH` on, units per US$."""

    def reader(data: bytes) -> dict[str, str]:
        published = (read_fred if one.service == "fred" else read_sgs)(data, one.code)
        figures = {month: text for month, text in published.items() if month >= FIRST_MONTH}
        if not figures:
            raise WrongReply(f"{one.code}: expected figures from {FIRST_MONTH} on, got none")
        _check(one.code, one.name, figures)
        if one.inverted:
            return {month: str(round(1 / float(text), DECIMALS)) for month, text in figures.items()}
        return figures

    return reader


def _by_month(cells: Iterable[tuple[str, str]], code: str) -> dict[str, str]:
    figures: dict[str, str] = {}
    for day, figure in cells:
        month = day.removesuffix("-01")
        if not re.fullmatch(MONTH, month) or month in figures:
            raise WrongReply(f"{code}: expected each month once, as its first day, got {day!r}")
        figures[month] = figure
    return {month: figure for month, figure in figures.items() if figure}


def _annual_rate(series: Mapping[str, Series], currency: str, country: str, last_year: int) -> pd.DataFrame:
    if currency == "USD":
        years = range(int(FIRST_MONTH[:4]), last_year + 1)
        return pd.DataFrame({"year": years, "currency_per_usd": 1.0, "months": 12}).astype({"months": "int16"})
    if currency not in series:
        known = ", ".join(sorted(series.keys() - {US_CPI, IPCA}))
        raise VindimaError(f"unknown currency {currency} (the money of {country}): expected USD or one of {known}")
    rates = annual("currency_per_usd", _numbers(series[currency]))
    _refuse_early_end(series[currency], rates, last_year)
    return rates


def _refuse_early_end(one: Series, averages: pd.DataFrame, last_year: int) -> None:
    newest = int(averages["year"].max()) if len(averages) else None
    if not one.ended and (newest is None or newest < last_year):
        raise VindimaError(
            f"the series {one.name} ({one.title}) ends in {max(one.figures)}: expected an annual average for "
            f"{last_year}, the newest is of {newest}; fetch newer figures (`vindima enrich`) or set data.last_year"
        )


def _refuse_gap(one: Series, averages: pd.DataFrame, years: range) -> None:
    if missing := sorted(set(years) - set(averages["year"])):
        known = [month for month in one.figures if month.startswith(f"{missing[0]}-")]
        raise VindimaError(
            f"the series {one.name} ({one.title}) has no annual average for {missing[0]}: expected January, December "
            f"and at least {FEWEST_MONTHS} months of every year from {years[0]} on, got {len(known)} months of it"
        )


def _numbers(one: Series) -> dict[str, float]:
    return {month: float(figure) for month, figure in one.figures.items()}


def _columns(path: Path) -> dict[str, dict[str, str]]:
    """The columns of a bundled monthly table by name, each as month → text; an empty cell is no figure."""
    lines = files.read_csv(path, ["month"], others=True)
    months = [line.pop("month") for line in lines]
    if not months or not all(re.fullmatch(MONTH, month) for month in months):
        raise VindimaError(f"{path}: expected months such as {FIRST_MONTH} in the column month")
    for month, expected in zip(months, pd.period_range(months[0], periods=len(months), freq="M"), strict=True):
        if month != str(expected):
            raise VindimaError(f"{path}: expected one line for each month, in order: {expected}, got {month}")
    columns = {
        name: {month: line[name] for month, line in zip(months, lines, strict=True) if line[name]}
        for name in lines[0]
    }
    for name, figures in columns.items():
        if not figures:
            raise VindimaError(f"{path}: expected figures for {name}, got none")
        _check(str(path), name, figures)
    return columns


def _check(where: str, name: str, figures: Mapping[str, str]) -> None:
    """Raise WrongReply for a figure that is no decimal number, or not above 0 though its kind is."""
    for month, figure in figures.items():
        if not re.fullmatch(r"-?\d+(\.\d+)?", figure) or (name != IPCA and float(figure) <= 0):
            kind = "a number" if name == IPCA else "a number above 0"
            raise WrongReply(f"{where}, {name} {month}: expected {kind}, got {figure!r}")


def _monthly_lines(series: Mapping[str, Series]) -> list[list[str]]:
    first = min(min(one.figures) for one in series.values())
    last = max(max(one.figures) for one in series.values())
    months = [str(month) for month in pd.period_range(first, last, freq="M")]
    return [
        ["month", *series],
        *([month, *(one.figures.get(month, "") for one in series.values())] for month in months),
    ]


def _beginning(data: bytes) -> str:
    return repr(data[:60].decode("utf-8", "replace"))
