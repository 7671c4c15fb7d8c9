"""The reviewed register of errors in the source: what is corrected, why, and what was looked at and left.

The register is data: `data/figures/findings.csv` says what was found and decided, in words, and
`data/figures/corrections.csv` the cells that a finding corrects. A correction replaces a published figure of trade;
the published one is kept beside it (`*_published`) and the status of the figure in use becomes `corrected`.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from vindima import files
from vindima.errors import VindimaError
from vindima.etl import schemas
from vindima.ingestion.catalogue import TABLES
from vindima.series import table_names

Scope = Literal["all", "confirmed", "none"]

FINDINGS, CORRECTIONS = "findings.csv", "corrections.csv"
CELL = ["table", "country", "year"]
PUBLISHED = ["quantity_kg_published", "value_usd_published"]
USED = ["quantity_kg", "value_usd"]


def read_csv(path: Path, columns: list[str]) -> pd.DataFrame:
    """The lines of a reviewed table as text; VindimaError where `files.read_csv` has one."""
    return pd.DataFrame(files.read_csv(path, columns), columns=columns)


def findings(figures_dir: Path) -> pd.DataFrame:
    """What the review found: `finding, decision, tables, first_year, last_year, en, pt`, one row for each.

    `decision` is `confirmed` (another official source shows the right figures), `likely` (internal evidence only) or
    `left` (as published). `tables` are names of the catalogue with spaces between them; the years are the first and
    the last of which something is said. Raises VindimaError for an unknown table, a year that is none, years in the
    wrong order, and a finding that stands twice or lacks a word.
    """
    path = figures_dir / FINDINGS
    frame = read_csv(path, schemas.FINDINGS.columns)
    for row in frame.to_dict("records"):
        tables = row["tables"].split()
        if not tables or not set(tables) <= set(TABLES):
            raise VindimaError(f"{path}, {row['finding']}: expected tables of the catalogue, got {row['tables']!r}")
        if not is_span(row["first_year"], row["last_year"]):
            raise VindimaError(
                f"{path}, {row['finding']}: expected two years, got {row['first_year']!r} and {row['last_year']!r}"
            )
    return schemas.validate(frame.astype({"first_year": int, "last_year": int}), schemas.FINDINGS)


def is_span(first_year: str, last_year: str) -> bool:
    """'2004', '2013' → True: two years, the first not after the last."""
    years = (first_year, last_year)
    return all(year.isdecimal() and len(year) == 4 for year in years) and first_year <= last_year


def check_place(where: str, table: str, first_year: int, last_year: int, finding: Mapping[Any, Any]) -> None:
    """Raises VindimaError that names `where` for an entry of another table or of other years than its finding's."""
    known = finding["tables"].split()
    if table not in known or not finding["first_year"] <= first_year <= last_year <= finding["last_year"]:
        raise VindimaError(
            f"{where}: expected a table and years of the finding {finding['finding']} ({', '.join(known)}, "
            f"{finding['first_year']} to {finding['last_year']}), got {table}, {first_year} to {last_year}"
        )


def register(figures_dir: Path) -> pd.DataFrame:
    """The corrections: `table, country, year`, figures published and used (kg, nominal US$), `certainty, finding`.

    Raises VindimaError for a year that is none, a figure that is no number above or equal to 0, a table that is not
    of trade, two entries for one cell, and an entry without a finding that decides for it or beyond its place.
    """
    path = figures_dir / CORRECTIONS
    frame = read_csv(path, ["finding", *CELL, *PUBLISHED, *USED])
    entries = [f"{path}, {entry.table} {entry.year}, {entry.country}" for entry in frame.itertuples()]
    for column in ("year", *PUBLISHED, *USED):
        numbers = pd.to_numeric(frame[column], errors="coerce")
        for where, text, number in zip(entries, frame[column], numbers, strict=True):
            if not (is_span(text, text) if column == "year" else 0 <= number < math.inf):
                expected = "a year" if column == "year" else "a number"
                raise VindimaError(f"{where}: expected {expected} in {column}, got {text!r}")
        frame[column] = numbers.astype("int16" if column == "year" else float)
    found = {row["finding"]: row for row in findings(figures_dir).to_dict("records")}
    decisions = {finding: row["decision"] for finding, row in found.items()}
    for where, table, year, finding in zip(entries, frame["table"], frame["year"], frame["finding"], strict=True):
        if table not in TABLES or not TABLES[table].is_trade:
            raise VindimaError(f"{where}: expected a table of imports or exports")
        if decisions.get(finding) not in ("confirmed", "likely"):
            raise VindimaError(
                f"{where}: expected a finding of {FINDINGS} whose decision is confirmed or likely, got {finding!r} "
                f"({decisions.get(finding, 'not there')})"
            )
        check_place(where, table, year, year, found[finding])
    if (twice := frame.duplicated(CELL)).any():
        raise VindimaError(f"{entries[int(twice.to_numpy().argmax())]}: two entries correct this one cell")
    return frame.assign(certainty=frame["finding"].map(decisions))[[*CELL, *PUBLISHED, *USED, "certainty", "finding"]]


def applying(register: pd.DataFrame, trade: pd.DataFrame, scope: Scope) -> pd.Series:
    """True for each entry of `register` that `scope` lets apply and whose year `trade` reaches."""
    if scope not in ("all", "confirmed", "none"):
        raise VindimaError(f"tidy.corrections: expected all, confirmed or none, got {scope!r}")
    wanted = {"all": ("confirmed", "likely"), "confirmed": ("confirmed",), "none": ()}[scope]
    return register["certainty"].isin(wanted) & (register["year"] <= trade["year"].max())


def apply(trade: pd.DataFrame, register: pd.DataFrame, scope: Scope) -> pd.DataFrame:
    """`trade` with the corrections of `scope` in `quantity_kg` and `value_usd` and their statuses.

    Entries of years after the newest in `trade` are left out. An entry that corrects a published 0 fits a blank as
    well: a page shows both alike. Raises VindimaError for an entry that fits no row or several, and where the
    published figure is no longer the one that it corrects: the source has changed and the entry wants a new review.
    """
    corrected = trade.copy()
    table = table_names(corrected)
    for entry in register[applying(register, trade, scope)].to_dict("records"):
        here = (table == entry["table"]) & (corrected["country"] == entry["country"])
        here &= corrected["year"] == entry["year"]
        where = f"{entry['table']} {entry['year']}, {entry['country']}"
        if here.sum() != 1:
            raise VindimaError(f"the correction of {where} fits {here.sum()} rows, expected one")
        reviewed = [entry[column] for column in PUBLISHED]
        published = corrected.loc[here, PUBLISHED].iloc[0].tolist()
        if [0.0 if pd.isna(figure) else figure for figure in published] != reviewed:
            raise VindimaError(
                f"the correction of {where} was reviewed for {_figures(reviewed)}, but the source now publishes "
                f"{_figures(published)}: review the entry in data/figures/{CORRECTIONS}"
            )
        corrected.loc[here, USED] = [entry[column] for column in USED]
        corrected.loc[here, ["quantity_status", "value_status"]] = "corrected"
    return corrected


def _figures(pair: list[float]) -> str:
    return " and ".join(
        "no figure" if pd.isna(figure) else f"{figure:,.0f} {unit}"
        for figure, unit in zip(pair, ("kg", "US$"), strict=True)
    )
