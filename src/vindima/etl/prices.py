"""Unit values of trade: what a kilogram cost on average, in US dollars FOB.

Vitibrasil publishes no other price. The computation is one ibis expression, so that the same words run on
DuckDB here and on other engines elsewhere.
"""

from pathlib import Path

import ibis
import pandas as pd
from ibis import _

from vindima.errors import VindimaError
from vindima.etl import schemas

NOT_YET_COMPUTED = ("price_usd_kg_real", "price_brl_kg", "price_brl_kg_real")
"""Columns of the stored table that stay null in this version."""


def unit_values(trade: ibis.Table) -> ibis.Table:
    """Yearly unit values of every flow and product (a total, `country` null) and of each of their countries.

    `trade` holds `flow, product, country, year, quantity_kg, value_usd, quantity_status, value_status`; the result
    `series, flow, product, country, year, quantity_kg, value_usd, price_usd_kg, corrected`. The price is
    Σ value / Σ quantity over rows where both are above 0, so a quantity without a value moves no price.
    """
    priced = trade.filter(_.quantity_kg > 0, _.value_usd > 0)
    measures = {
        "quantity_kg": _.quantity_kg.sum(),
        "value_usd": _.value_usd.sum(),
        "corrected": ((_.quantity_status == "corrected") | (_.value_status == "corrected")).any(),
    }
    by_country = priced.group_by("flow", "product", "country", "year").aggregate(**measures)
    totals = priced.group_by("flow", "product", "year").aggregate(**measures)
    named_totals = totals.mutate(series=_.flow + "." + _.product, country=ibis.null("string"))
    named = by_country.mutate(series=_.flow + "." + _.product + "." + _.country)
    both = named.union(named_totals.select(*named.columns))
    return both.mutate(price_usd_kg=_.value_usd / _.quantity_kg)


def prices(trade: pd.DataFrame, base_year: int | None, engine: str) -> pd.DataFrame:
    """The price table of the contracts from the tidy trade table; real prices and reais are null in this version.

    Raises VindimaError for an unknown engine, or a base year outside the data (None: the newest year).
    """
    if engine != "duckdb":
        raise VindimaError(f"prices.engine: expected duckdb (the one that this version runs on), got {engine!r}")
    first, last = int(trade["year"].min()), int(trade["year"].max())
    if base_year is not None and not first <= base_year <= last:
        raise VindimaError(f"prices.base_year: expected a year from {first} to {last}, got {base_year}")
    frame = _on_duckdb(trade)
    for column in NOT_YET_COMPUTED:
        frame[column] = float("nan")
    return schemas.validate(frame, schemas.PRICES)


def as_published(trade: pd.DataFrame) -> pd.DataFrame:
    """`series, year, price_usd_kg` from the figures as published, before any correction."""
    measures = ["quantity_kg", "value_usd"]
    published = trade.drop(columns=measures).rename(columns={f"{name}_published": name for name in measures})
    frame = _on_duckdb(published)[["series", "year", "price_usd_kg"]]
    return frame.sort_values(["series", "year"], ignore_index=True)


def _on_duckdb(trade: pd.DataFrame) -> pd.DataFrame:
    connection = ibis.duckdb.connect()
    try:
        return connection.to_pandas(unit_values(connection.create_table("trade", trade)))
    finally:
        connection.disconnect()


def run(tidy_dir: Path, prices_dir: Path, base_year: int | None, engine: str) -> pd.DataFrame:
    """Compute the prices of the trade table in `tidy_dir` into `prices_dir/prices.parquet` and return them."""
    trade = schemas.read(tidy_dir / "trade.parquet")
    return schemas.write(prices(trade, base_year, engine), schemas.PRICES, prices_dir / "prices.parquet")
