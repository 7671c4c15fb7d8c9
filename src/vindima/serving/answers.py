"""What the service answers, from the tables of one set: bodies as bytes of JSON, and tables as CSV.

Everything is in memory. This module and what it imports read no parquet and no pandas, so that a worker is small.
"""

import csv
import hashlib
import io
import json
import sqlite3
import threading
import weakref
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

from vindima.errors import VindimaError
from vindima.etl import price_index
from vindima.forecasting import scenario
from vindima.forecasting.scenario import Impossible, six
from vindima.labels import Language
from vindima.quantiles import SIDES
from vindima.series import NEVER_FORECAST, REAIS, parts
from vindima.serving import sentences
from vindima.serving.money import Averages, Money
from vindima.serving.questions import LEVELS, Prediction

TABLES: Mapping[str, Mapping[str, str]] = {
    "production": {"year": "year", "product_group": "product_group", "product": "product"},
    "sales": {"year": "year", "product_group": "product_group", "product": "product"},
    "processing": {"year": "year", "grape_class": "grape_class", "colour": "colour", "product": "cultivar"},
    "trade": {"year": "year", "flow": "flow", "product": "product", "country": "country"},
    "totals": {"year": "year", "table": "table", "group": "group"},
}
"""The collected tables → what they can be filtered by, and the column that it is."""
REACHES = tuple(f"reach_{level}" for level in SIDES)
LANGUAGES: tuple[Language, ...] = ("en", "pt")
KEPT = 4096
"""Bodies that are kept once they were made."""
ROWS_AT_ONCE = 500

_HISTORY = (
    "year", "quantity_kg", "value_usd", "price_usd_kg", "price_usd_kg_real", "price_brl_kg", "price_brl_kg_real",
    "corrected",
)  # fmt: skip


class Unknown(VindimaError):
    """A series that there is no answer about, and why."""


class Answers:
    """The answers from one set.

    `data` is the SQLite file of the set, `identity` names the set. `provenance` is `{vintage, cutoff, model,
    model_sha256, source}`; `horizon` the longest that is forecast; `columns` and `known_values` what each collected
    table has; `collected` when the figures came (`retrieved_at`), the `revisions` of them, and when the second source
    was extracted (`comexstat`). Raises VindimaError where `data` is not the tables that are expected.
    """

    def __init__(self, data: bytes, identity: str) -> None:
        self.identity = identity
        self._lock = threading.Lock()
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        weakref.finalize(self, self._database.close)
        try:
            if not data.startswith(b"SQLite format 3\0"):
                raise ValueError("the file is no database")
            self._database.deserialize(data)
            about = {name: json.loads(content) for name, content in self.rows("select * from about", raw=True)}
            self.provenance: dict[str, Any] = about["provenance"]
            self.base_year: int = about["base_year"]
            self.horizon: int = about["horizon"]
            self.collected: dict[str, Any] = about["collected"]
            self._known = about.get("known_prediction")
            self._read_small_tables()
        except (sqlite3.Error, ValueError, KeyError, IndexError) as error:
            raise VindimaError(f"the tables that the service answers from are not as expected: {error}") from error
        self.listing = _json({"items": list(self._described.values()), "provenance": self.provenance})
        self._remembered: dict[Hashable, bytes] = {}

    def _read_small_tables(self) -> None:
        self._forecasts: dict[str, list[dict]] = {}
        for row in self.rows("select * from forecasts order by series, horizon"):
            self._forecasts.setdefault(row["series"], []).append(row)
        self._described = {
            row["series"]: row | {"forecast": row["series"] in self._forecasts}
            for row in self.rows(
                "select series, flow, product, country, min(year) as first_year, max(year) as last_year "
                "from prices group by series order by series"
            )
        }
        self._levels: dict[str, dict[int, dict]] = {}
        for row in self.rows("select * from price_index order by flow, product, year"):
            levels = {name: row[name] for name in ("year", *price_index.LEVELS)}
            self._levels.setdefault(f"{row['flow']}.{row['product']}", {})[row["year"]] = levels
        self._in_reais: dict[tuple[str, str], list[dict]] = {}
        for row in self.rows("select * from forecasts_reais order by series, terms, horizon"):
            self._in_reais.setdefault((row["series"], row["terms"]), []).append(row)
        self._records: dict[tuple[str, str], list[dict]] = {}
        for row in self.rows("select * from record order by series, money, horizon"):
            self._records.setdefault((row["series"], row["money"]), []).append(row)
        self._moves = scenario.by_key(self.rows("select * from moves"))
        years = {row["year"]: row for row in self.rows("select * from conversion order by year")}
        publishers = {row["measure"]: row["publisher"] for row in self.rows("select * from sources")}
        self._averages = Averages(self.base_year, years, publishers)
        self.columns = {
            name: {row["name"]: row["type"] for row in self.rows(f"pragma table_info({name})")} for name in TABLES
        }
        self.known_values = {
            name: {
                asked: [row[0] for row in self.rows(f'select distinct "{column}" from {name} order by 1', raw=True)]  # noqa: S608
                for asked, column in filters.items()
            }
            for name, filters in TABLES.items()
        }

    def rows(self, query: str, values: Sequence[object] = (), raw: bool = False) -> list[Any]:
        """All rows of a query, as dicts or, `raw`, as tuples."""
        with self._lock:
            cursor = self._database.execute(query, values)
            found = cursor.fetchall()
        if raw:
            return found
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in found]

    # ---- series

    @property
    def newest_year(self) -> int:
        """The newest year that a series has a price of."""
        return max(row["last_year"] for row in self._described.values())

    @property
    def series(self) -> Mapping[str, Mapping[str, Any]]:
        """Each series with its flow, product, country, first and last year, and whether it is forecast."""
        return self._described

    def inputs_of(self, series: str) -> dict[str, Mapping[str, Any]]:
        """The inputs that a scenario of `series` takes, each with its row of the effects table."""
        flow, product, _ = parts(series)
        return {name: row for (name, *of), row in self._moves.items() if of == [flow, product]}

    def why_not(self, series: str) -> str:
        """Why there is no forecast of `series`, in a sentence."""
        if series not in self._described:
            return f"There is no series {series}; GET /v1/series lists them."
        if parts(series)[2] in NEVER_FORECAST:
            return f"{series} has prices but is not forecast: it is not one foreign country."
        cutoff, last = self.provenance["cutoff"], self._described[series]["last_year"]
        [(count,)] = self.rows("select count(*) from prices where series = ?", (series,), raw=True)
        return (
            f"{series} has prices but is not forecast: at the cutoff, {cutoff}, it had too few years with "
            f"enough trade, or no trade in {cutoff} (years with a price: {count}, the last {last})."
        )

    def years(self, series: str) -> tuple[dict[str, list[int]], dict[str, str]]:
        """The years that a history may begin (`from`) and end (`to`) with, and both in words.

        Of a total they have trade, and two at least, for its change is split between them. Raises Unknown.
        """
        if series not in self._described:
            raise Unknown(self.why_not(series))
        described = self._described[series]
        if described["country"] is not None:
            known = list(range(described["first_year"], described["last_year"] + 1))
            return {"from": known, "to": known}, dict.fromkeys(
                ("from", "to"), f"a year from {known[0]} to {known[-1]}"
            )
        known = sorted(self._levels[series])
        if len(known) < 2:
            why = "no years: only a total with trade in two years or more is split into price and mix"
            return {"from": [], "to": []}, dict.fromkeys(("from", "to"), why)
        by_end = {"from": known[:-1], "to": known[1:]}
        return by_end, {end: f"a year with trade from {years[0]} to {years[-1]}" for end, years in by_end.items()}

    def history(self, series: str, first: int | None = None, last: int | None = None) -> bytes:
        """One series with its history, cut to `first` … `last` where they are given, each one of its `years`.

        A total also with its price index, and its change from the first to the last of these years, by default over
        the last ten, split into price and mix. Raises Unknown, and Impossible where `first` is after `last`.
        """
        known, _ = self.years(series)
        total = self._described[series]["country"] is None
        if (first or last) and total:
            years = sorted({*known["from"], *known["to"]})
            last = last or years[-1]
            usual = price_index.usual_span([year for year in years if year <= last])
            assert usual is not None  # the first year of all is no last one
            first = first or usual[0]
        if first and last and (first > last or (total and first == last)):
            raise Impossible("from", f"a year {'before' if total else 'up to'} {last}", first)
        return self.remembered((series, first, last), lambda: self._make_history(series, first, last))

    def _make_history(self, series: str, first: int | None, last: int | None) -> bytes:
        begin, end = first or 0, last or 9999
        columns = ", ".join(_HISTORY)
        rows = self.rows(
            f"select {columns} from prices where series = ? and year between ? and ? order by year",  # noqa: S608
            (series, begin, end),
        )
        levels = self._levels.get(series)
        item = {
            **self._described[series],
            "base_year": self.base_year,
            "history": [row | {"corrected": bool(row["corrected"])} for row in rows],
            "index": [row for year, row in levels.items() if begin <= year <= end] if levels else None,
            "price_and_mix": self._split(series, (first, last) if first and last else None) if levels else None,
        }
        return _json({"items": [item], "provenance": self.provenance})

    def _split(self, series: str, span: tuple[int, int] | None) -> dict | None:
        levels = self._levels[series]
        if (span := span or price_index.usual_span(sorted(levels))) is None:
            return None
        first, last = span
        change = price_index.split_between(series, (first, levels[first]), (last, levels[last]))
        countries = self.rows(
            "select year, country, quantity_kg, value_usd from prices "
            "where flow = ? and product = ? and country is not null and year between ? and ? order by year",
            (*series.split("."), first, last),
            raw=True,
        )
        notes = price_index.notes_on(countries, change)
        return {
            "from": first,
            "to": last,
            "unit_value": change.unit_value,
            "price": change.price,
            "mix": change.mix,
            "sentence": {language: sentences.split(change, language) for language in LANGUAGES},
            "notes": {language: [sentences.note(one, language) for one in notes] for language in LANGUAGES},
        }

    def totals(self) -> list[dict]:
        """What is known of each total: flow, product, its prices (`history`), its forecast (`path`), its `record`.

        `path` is empty where there is no forecast; `record` is of one year ahead, None where none came due.
        """
        return [
            described
            | {
                "history": self.rows(
                    "select year, price_usd_kg from prices "
                    "where series = ? and price_usd_kg is not null order by year",
                    (series,),
                ),
                "path": self._forecasts.get(series, []),
                "record": next((row for row in self._records.get((series, "usd"), []) if row["horizon"] == 1), None),
            }
            for series, described in self._described.items()
            if described["country"] is None
        ]

    # ---- forecasts

    def forecast(self, asked: Prediction, language: Language = "en") -> bytes:
        """The forecast F of one question; sentences in `language`.

        Raises Unknown for a series that is not forecast, Impossible for a scenario or a money that it cannot be in.
        """
        if asked.series not in self._forecasts:
            raise Unknown(self.why_not(asked.series))
        if asked.scenario is not None or asked.exchange_rate is not None:
            return _json(self._forecast(asked, language))
        money = asked.currency, asked.terms, asked.per
        question = asked.series, asked.horizon or self.horizon, asked.level, *money, language
        return self.remembered(question, lambda: _json(self._forecast(asked, language)))

    def remembered(self, question: Hashable, make: Callable[[], bytes]) -> bytes:
        """The answer to a question that was asked before in the same words, else what `make` makes."""
        if (found := self._remembered.get(question)) is None:
            found = make()
            if len(self._remembered) >= KEPT:
                self._remembered.clear()
            self._remembered[question] = found
        return found

    def _forecast(self, asked: Prediction, language: Language) -> dict:
        inputs = asked.inputs()
        rows, expected = self._rows_in_money(asked, inputs)
        outcome = scenario.apply(self._moves, rows, inputs) if inputs else None
        assumed = [self._assumed(name, given, rows, language) for name, given in inputs.items()]
        money = Money(self._averages, asked, assumed, language, self.provenance["cutoff"], expected)
        warnings = [sentences.UNIT_VALUE[language]]
        answer: dict[str, Any] = {
            "series": asked.series,
            "currency": asked.currency,
            "terms": asked.terms,
            "unit": money.unit,
            "path": money.path(outcome.path if outcome else rows, scenario=True),
            "record": self._record(asked, len(rows)) if not money.converted else [],
        }
        if outcome:
            unmoved, expected = self._rows_in_money(asked, {})
            as_it_is = Money(self._averages, asked, [], language, self.provenance["cutoff"], expected)
            answer["baseline"] = as_it_is.path(unmoved, scenario=False)
            if "exchange_rate" in inputs and expected:
                money.assumptions["exchange_rate"]["expected"] = as_it_is.assumptions["exchange_rate"]["expected"]
                money.warnings += as_it_is.warnings
            answer["effects"] = outcome.effects
            warnings += [sentences.warning(caution, language) for caution in outcome.warnings]
            money.assumptions["scenario"] = assumed
        answer["assumptions"] = money.assumptions
        answer["warnings"] = warnings + money.warnings
        return answer | {"provenance": self.provenance}

    def _rows_in_money(self, asked: Prediction, inputs: Mapping[str, Mapping]) -> tuple[list[dict], dict[int, float]]:
        """The forecasts to answer from, and the rates that they expect by year where they are in reais.

        They are in dollars, with no rates, where dollars or a given rate are asked for, and where reais were not
        forecast.
        """
        horizon = asked.horizon or self.horizon
        dollars = self._forecasts[asked.series][:horizon]
        given = asked.exchange_rate is not None or "exchange_rate" in inputs
        nominal = self._in_reais.get((asked.series, "nominal"), [])[:horizon]
        if asked.currency == "usd" or given or not nominal:
            return dollars, {}
        expected = {row["year"]: six(row["q50"] / one["q50"]) for row, one in zip(nominal, dollars, strict=True)}
        return self._in_reais[asked.series, asked.terms][:horizon], expected

    def _record(self, asked: Prediction, horizon: int) -> list[dict]:
        """How many of the series' own past forecasts in this money lay in the interval, by horizon and level."""
        money = "usd" if asked.currency == "usd" else REAIS[asked.terms]
        return [
            {"horizon": row["horizon"], "level": level, "held": row[f"held_{level}"], "of": row["n_forecasts"]}
            for row in self._records.get((asked.series, money), [])
            if row["horizon"] <= horizon
            for level in asked.level
        ]

    def _assumed(self, name: str, given: Mapping, rows: list[dict], language: Language) -> dict:
        """What an input of a scenario is, its last published level, and the level that is assumed for each year."""
        flow, product, _ = parts(rows[0]["series"])
        known = self._moves[name, flow, product]
        levels = {
            str(row["year"]): known["baseline"] * (1 + given["pct"] / 100)
            if "pct" in given
            else given["level"].get(str(row["year"]), known["baseline"])
            for row in rows
        }
        return {
            "input": name,
            "meaning": sentences.input_name(name, product, language),
            "unit": known["unit"],
            "baseline": known["baseline"],
            "baseline_year": known["baseline_year"],
            "level": {year: six(level) for year, level in levels.items()},
        }

    def known_prediction(self) -> dict:
        """A question and its answer in numbers: the first series one year ahead, moved by the first input."""
        series = next(iter(self._forecasts))
        flow, product, _ = parts(series)
        inputs = [name for name, *market in self._moves if market == [flow, product]][:1]
        moved = {name: {"pct": 10.0} for name in inputs} or None
        asked = Prediction.model_validate({"series": series, "horizon": 1, "scenario": moved}, context=self.context)
        [step] = self._forecast(asked, "en")["path"]
        return {"series": series, "scenario": moved, "forecast": step["forecast"], "intervals": step["intervals"]}

    def check(self) -> None:
        """Make the known prediction again; raises VindimaError where it is another than the set says."""
        if (made := self.known_prediction()) != self._known:
            raise VindimaError(f"a known prediction came out as {made}, expected {self._known}: run `make`")

    @property
    def context(self) -> dict[str, Any]:
        """What a question is held against besides its own form, and the words for it."""
        return {"horizon": self.horizon, "words": {"horizon": f"an integer from 1 to {self.horizon}"}}

    # ---- tables

    def table(self, name: str, filters: Mapping[str, Sequence], page: int, per_page: int) -> dict:
        """One page of a collected table as `{items, page, pages, total, provenance}`.

        `filters`: what of `TABLES` → the values of which each row has one. Raises Impossible for a value that no
        row of the table has, and for a page that there is not.
        """
        where, values = self._where(name, filters)
        [(total,)] = self.rows(f"select count(*) from {name}{where}", values, raw=True)  # noqa: S608
        pages = max(1, -(-total // per_page))
        if page > pages:
            raise Impossible("page", f"a page from 1 to {pages}", page)
        items = self.rows(
            f"select * from {name}{where} order by rowid limit ? offset ?",  # noqa: S608
            (*values, per_page, (page - 1) * per_page),
        )
        return {"items": items, "page": page, "pages": pages, "total": total, "provenance": self.provenance}

    def csv(self, name: str, filters: Mapping[str, Sequence]) -> Iterator[bytes]:
        """The rows of a collected table as CSV (RFC 4180, UTF-8, null is empty), a few hundred at a time.

        Raises Impossible as `table` does, before the first row.
        """
        where, values = self._where(name, filters)
        return self._csv_lines(name, where, values)

    def _csv_lines(self, name: str, where: str, values: Sequence[object]) -> Iterator[bytes]:
        rows: list[Sequence[object]] = [list(self.columns[name])]
        last = 0
        while rows:
            text = io.StringIO()
            csv.writer(text).writerows(rows)
            yield text.getvalue().encode()
            condition = f"{where} and rowid > ?" if where else " where rowid > ?"
            query = f"select rowid, * from {name}{condition} order by rowid limit {ROWS_AT_ONCE}"  # noqa: S608
            found = self.rows(query, (*values, last), raw=True)
            last = found[-1][0] if found else last
            rows = [row[1:] for row in found]

    def _where(self, name: str, filters: Mapping[str, Sequence]) -> tuple[str, list[object]]:
        conditions: list[str] = []
        values: list[object] = []
        for asked, wanted in filters.items():
            known = self.known_values[name][asked]
            for value in wanted:
                if value not in known:
                    raise Impossible(asked, _one_of(known), value)
            marks = ", ".join("?" * len(wanted))
            conditions.append(f'"{TABLES[name][asked]}" in ({marks})')
            values += wanted
        return (f" where {' and '.join(conditions)}" if conditions else ""), values

    def etag(self, question: str) -> str:
        """Names an answer of this set to a question, for ETag: the same set gives the same answer."""
        return hashlib.sha256(f"{self.identity} {question}".encode()).hexdigest()[:32]


def _one_of(known: Sequence[object]) -> str:
    if known and isinstance(known[0], int):
        return f"a year from {known[0]} to {known[-1]}"
    words = [str(value) for value in known if value is not None]
    return f"one of {', '.join(words)}" if len(words) <= 40 else "a value that the table has in this column"


_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def _json(content: object) -> bytes:
    return _encode(content).encode()


assert set(LEVELS) == set(SIDES)
