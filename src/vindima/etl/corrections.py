"""The reviewed register of errors in the source, each with its evidence.

A correction replaces a published figure; the published one is kept beside it (`*_published`) and the
status of the figure in use becomes `corrected`.
"""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from vindima.errors import VindimaError

Scope = Literal["all", "confirmed", "none"]


@dataclass(frozen=True)
class Correction:
    """One country's year in one trade table: (kg, US$) as published, (kg, US$) in use, why, and how sure."""

    table: str
    country: str
    year: int
    published: tuple[float, float]
    used: tuple[float, float]
    evidence: str
    certainty: Literal["confirmed", "likely"]


_COMEX_STAT = "Comex Stat (MDIC), exports of CUCI 112.17 by country and year, extracted 2023-11-18"

CORRECTIONS = (
    Correction(
        "exports_table_wine", "RUS", 2010, (0, 0), (8_373_757, 2_292_162),
        f"the year's largest buyer is missing; {_COMEX_STAT}", "confirmed",
    ),
    Correction(
        "exports_table_wine", "RUS", 2013, (5_893_291, 14_795_694), (14_795_694, 5_893_291),
        f"kilograms and dollars exchanged; {_COMEX_STAT}", "confirmed",
    ),
    Correction(
        "exports_table_wine", "ESP", 2013, (1_972_980, 3_748_940), (3_745_162, 1_976_758),
        f"kilograms and dollars exchanged, and slightly revised; {_COMEX_STAT}", "confirmed",
    ),
)  # fmt: skip


def apply(trade: pd.DataFrame, scope: Scope, register: tuple[Correction, ...] = CORRECTIONS) -> pd.DataFrame:
    """`trade` with the corrections of `scope` in `quantity_kg` and `value_usd` and their statuses.

    Entries of years after the newest in `trade` are left out. An entry that corrects a published 0 fits a blank as
    well: a page shows both alike. Raises VindimaError where the published figure is no longer the one that an entry
    corrects: the source has changed and the entry wants a new review.
    """
    if scope not in ("all", "confirmed", "none"):
        raise VindimaError(f"tidy.corrections: expected all, confirmed or none, got {scope!r}")
    corrected = trade.copy()
    table = corrected["flow"] + "_" + corrected["product"]
    for entry in register:
        if scope == "none" or (scope == "confirmed" and entry.certainty != "confirmed"):
            continue
        if entry.year > trade["year"].max():
            continue
        here = (table == entry.table) & (corrected["country"] == entry.country) & (corrected["year"] == entry.year)
        where = f"{entry.table} {entry.year}, {entry.country}"
        if here.sum() != 1:
            raise VindimaError(f"the correction of {where} fits {here.sum()} rows, expected one")
        published = tuple(corrected.loc[here, ["quantity_kg_published", "value_usd_published"]].iloc[0])
        if tuple(0.0 if pd.isna(figure) else figure for figure in published) != entry.published:
            raise VindimaError(
                f"the correction of {where} was reviewed for {entry.published} (kg, US$), but the source now "
                f"publishes {published}: review the entry in vindima/etl/corrections.py"
            )
        corrected.loc[here, ["quantity_kg", "value_usd"]] = entry.used
        corrected.loc[here, ["quantity_status", "value_status"]] = "corrected"
    return corrected
