"""Vindima: Brazil's wine statistics as validated data, and price forecasts that say how sure they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__version__ = "0.1.0"


def load(name: str) -> pd.DataFrame:
    """A table that the pipeline left, by its name, as a pandas DataFrame, whatever folder of the project this is.

    >>> import vindima
    >>> prices = vindima.load("prices")
    >>> prices[prices["country"] == "CHL"]

    A name is that of the file: "prices" of data/prices/prices.parquet, "forecasts", "trade", "production", …; the
    README says what each table and each column holds. Where a table has a column `series` ("imports.table_wine.CHL")
    its parts stand beside it, as `flow` ("imports"), `product` ("table_wine") and `country` ("CHL", and None for a
    total of all countries). Raises VindimaError that lists the names, the nearest first, for one that is none of
    them, and one that says to run `make` where the pipeline has not left the table yet.
    """
    from vindima.etl import tables  # the service imports this package where there is no pandas

    return tables.load(name)
