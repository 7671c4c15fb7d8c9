"""What a series is called, what of the codes in its name is no foreign country, and from when it has prices in reais.

`imports.table_wine` is a total, of all countries; `imports.table_wine.CHL` is what came from one of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

FLOWS = ("imports", "exports")
NOT_COUNTRIES = ("OTHER", "UNDECLARED", "SHIP_SUPPLIES")
"""Codes of what is no country, and stands for other countries every year."""
NEVER_FORECAST = (*NOT_COUNTRIES, "BRA")
"""Brazil as an origin is what came back: re-imports."""
FIRST_YEAR_IN_REAIS = 1995
REAIS = {"nominal": "brl", "real": "brl_real"}
"""Terms of a forecast in reais → the name of that money: of the target year, or of the cutoff year by the IPCA."""
"""The real exists since July 1994: 1995 is its first whole year. Before it the currency changed several times."""


def parts(series: str) -> tuple[str, str, str | None]:
    """'imports.table_wine.CHL' → ('imports', 'table_wine', 'CHL'); the country of a total is None."""
    flow, product, *country = series.split(".")
    return flow, product, country[0] if country else None


def is_total(series: pd.Series) -> pd.Series:
    """Which of the names are totals."""
    return series.str.count(r"\.") == 1


def total_names(rows: pd.DataFrame) -> pd.Series:
    """The total that each row of a table with `flow` and `product` belongs to: `imports.table_wine`."""
    return rows["flow"] + "." + rows["product"]


def table_names(rows: pd.DataFrame) -> pd.Series:
    """The table of the source that each row of a table with `flow` and `product` is from: `imports_table_wine`."""
    return rows["flow"] + "_" + rows["product"]
