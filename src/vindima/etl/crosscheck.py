"""Exports of wine beside a second official source, Comex Stat, for each country and year.

`data/figures/comexstat_exports.csv` carries over what the Ministry of Development (MDIC) publishes in Comex Stat for
CUCI 112.17 (wine of fresh grapes but sparkling), by country and year: net kilograms and US$ FOB, the measures of
Vitibrasil. No such figures were at hand for imports or other products.
"""

import re
from pathlib import Path

import pandas as pd

from vindima.errors import VindimaError
from vindima.etl.corrections import read_csv
from vindima.etl.countries import country_code

COMEXSTAT = "comexstat_exports.csv"
EXTRACTED = "2023-11-18"
MEASURES = ["quantity_kg", "value_usd"]
NUMBERS = {"year": r"\d{4}"} | dict.fromkeys(MEASURES, r"\d+(\.\d+)?")
"""Column → how its numbers are written."""
LEAST_CHANGE = 0.1
"""US$/kg from which it is worth telling that corrections change the unit value of a year."""


def comexstat(figures_dir: Path) -> pd.DataFrame:
    """`country, year, quantity_kg, value_usd` of exports of wine by Comex Stat; a country's names are summed."""
    path = figures_dir / COMEXSTAT
    lines = read_csv(path, ["year", "country_pt", *MEASURES])
    for number, line in enumerate(lines.to_dict("records"), 2):
        if odd := [column for column, expected in NUMBERS.items() if not re.fullmatch(expected, line[column])]:
            raise VindimaError(f"{path}, line {number}: expected a number in {odd[0]}, got {line[odd[0]]!r}")
    codes = {}
    for name in lines["country_pt"].unique():
        try:
            codes[name] = country_code(name)
        except VindimaError as error:
            raise VindimaError(f"{path}: {error}") from None
    lines["country"] = lines["country_pt"].map(codes)
    typed = lines.astype({"year": "int16"} | dict.fromkeys(MEASURES, float))
    return typed.groupby(["country", "year"], as_index=False)[MEASURES].sum()


def crosscheck(trade: pd.DataFrame, comexstat: pd.DataFrame) -> pd.DataFrame:
    """Exports of wine in `trade` beside `comexstat`, for each country and year in which either has a figure above 0.

    Columns: `country, year`; kg and US$ published, used, and by Comex Stat (null where it has no line);
    `verdict_published` and `verdict`: `equal` (both measures to the unit), `differs`, `only_vitibrasil`,
    `only_comexstat`. Years are those that both have.
    """
    wine = trade[(trade["flow"] == "exports") & (trade["product"] == "table_wine")]
    years = sorted(set(wine["year"]) & set(comexstat["year"]))
    published = [f"{measure}_published" for measure in MEASURES]
    theirs = [f"{measure}_comexstat" for measure in MEASURES]
    both = wine[["country", "year", *published, *MEASURES]].merge(
        comexstat.rename(columns=dict(zip(MEASURES, theirs, strict=True))), on=["country", "year"], how="outer"
    )
    both = both[both["year"].isin(years)]
    both = both[(both[[*published, *MEASURES, *theirs]] > 0).any(axis=1)]
    return both.assign(
        verdict_published=_verdict(both[published], both[theirs]), verdict=_verdict(both[MEASURES], both[theirs])
    )


def unit_values(crosscheck: pd.DataFrame) -> pd.DataFrame:
    """What a kilogram of exported wine cost in each year, US$: `as published`, `in use` and by `Comex Stat`."""
    sums = crosscheck.groupby("year").sum(numeric_only=True)
    ends = {"as published": "_published", "in use": "", "Comex Stat": "_comexstat"}
    return pd.DataFrame({name: sums[f"value_usd{end}"] / sums[f"quantity_kg{end}"] for name, end in ends.items()})


def _verdict(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.Series:
    here, there = ((figures > 0).any(axis=1) for figures in (ours, theirs))
    same = (ours.fillna(0).to_numpy() == theirs.fillna(0).to_numpy()).all(axis=1)
    verdict = pd.Series("differs", index=ours.index)
    return verdict.mask(~there, "only_vitibrasil").mask(~here, "only_comexstat").mask(same, "equal")
