"""Unit values of trade: what a kilogram cost on average, in US dollars FOB, in reais, and in money of one year.

Vitibrasil publishes no other price. The computation is one ibis expression over the trade table, the exchange rates
and the price levels, so that the same words run on DuckDB here and on Spark, PostgreSQL and BigQuery elsewhere.

Real US$ are deflated by US CPI-U, real reais by the IPCA, both to the average of the base year; reais are dollars at
the year's average exchange rate. Before 1995 there are none: the real exists since July 1994, after five changes of
currency in eight years (1986 to 1994), in the worst of which the IPCA rose by 2,477 per cent.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import ibis
import pandas as pd
from ibis import _

from vindima import files
from vindima.errors import VindimaError
from vindima.etl import enrichment, price_index, schemas, spark
from vindima.series import FIRST_YEAR_IN_REAIS, table_names

MEASURES = ("quantity_kg", "value_usd")


def unit_values(trade: ibis.Table, period: Sequence[str] = ("year",)) -> ibis.Table:
    """Unit values of every flow and product (a total, `country` null) and of each of their countries, by `period`.

    `trade` holds `flow, product, country`, the columns of the period, `quantity_kg, value_usd, quantity_status,
    value_status`; the result `series, flow, product, country`, the period, `quantity_kg, value_usd, price_usd_kg,
    corrected`. The price is Σ value / Σ quantity over rows where both are above 0, so a quantity without a value
    moves no price.
    """
    priced = trade.filter(_.quantity_kg > 0, _.value_usd > 0)
    measures = {
        "quantity_kg": _.quantity_kg.sum(),
        "value_usd": _.value_usd.sum(),
        "corrected": ((_.quantity_status == "corrected") | (_.value_status == "corrected")).any(),
    }
    by_country = priced.group_by("flow", "product", "country", *period).aggregate(**measures)
    totals = priced.group_by("flow", "product", *period).aggregate(**measures)
    named_totals = totals.mutate(series=_.flow + "." + _.product, country=ibis.null("string"))
    named = by_country.mutate(series=_.flow + "." + _.product + "." + _.country)
    both = named.union(named_totals.select(*named.columns))
    return both.mutate(price_usd_kg=_.value_usd / _.quantity_kg)


def prices_in_every_money(
    trade: ibis.Table, exchange_rates: ibis.Table, price_levels: ibis.Table, base_year: int
) -> ibis.Table:
    """`unit_values(trade)` with `price_usd_kg_real`, `price_brl_kg` and `price_brl_kg_real`, money of `base_year`.

    `exchange_rates` holds `country, year, currency_per_usd`; `price_levels` `year, us_cpi, ipca`, with the base year
    among them. A year without a level or a rate has null there.
    """
    reais = exchange_rates.filter(_.country == "BRA").select("year", brl_per_usd=_.currency_per_usd)
    base = price_levels.filter(_.year == base_year).select(us_cpi_base=_.us_cpi, ipca_base=_.ipca)
    levels = price_levels.select("year", "us_cpi", "ipca").cross_join(base)
    money = levels.left_join(reais, "year").select(
        "year",
        "brl_per_usd",
        us_inflation=_.us_cpi_base / _.us_cpi,
        brazilian_inflation=_.ipca_base / _.ipca,
    )
    nominal = unit_values(trade)
    return nominal.left_join(money, "year").select(
        *nominal.columns,
        price_usd_kg_real=_.price_usd_kg * _.us_inflation,
        price_brl_kg=_.price_usd_kg * _.brl_per_usd,
        price_brl_kg_real=_.price_usd_kg * _.brl_per_usd * _.brazilian_inflation,
    )


def prices(
    trade: pd.DataFrame,
    exchange_rates: pd.DataFrame,
    price_levels: pd.DataFrame,
    base_year: int | None,
    engine: str,
) -> pd.DataFrame:
    """The price table of the contracts from the tidy trade table and the annual tables of `enrichment`.

    `engine` is `duckdb` or `spark` (the master of `VINDIMA_SPARK`), which adds up in another order, so that the last
    digits may differ. Raises VindimaError for an unknown engine, where Spark cannot be had, or for a base year in
    which no real was paid or that is not over (None: the newest year of trade).
    """
    if engine not in ("duckdb", "spark"):
        raise VindimaError(f"prices.engine: expected duckdb or spark, got {engine!r}")
    last = int(trade["year"].max())
    first = min(FIRST_YEAR_IN_REAIS, last)
    if base_year is not None and not first <= base_year <= last:
        raise VindimaError(
            f"prices.base_year: expected a year from {first} (the first in reais) to {last} (the newest of trade), "
            f"got {base_year}"
        )
    tables = {"trade": trade, "exchange_rates": exchange_rates, "price_levels": price_levels}
    compute = spark.on_spark if engine == "spark" else on_duckdb
    return schemas.validate(compute(tables, prices_in_every_money, base_year or last), schemas.PRICES)


def index(trade: pd.DataFrame) -> pd.DataFrame:
    """The price index of every total from the tidy trade table: a row for each flow, product and year with trade.

    As in the prices, only rows whose quantity and value are both above 0 count; their order does not.
    """
    priced = trade[(trade["quantity_kg"] > 0) & (trade["value_usd"] > 0)]
    products: dict[tuple[str, str], dict[int, dict[str, tuple[float, float]]]] = {}
    columns = ["flow", "product", "year", "country", "quantity_kg", "value_usd"]
    for flow, product, year, country, quantity, value in priced[columns].itertuples(index=False):
        products.setdefault((flow, product), {}).setdefault(year, {})[country] = (quantity, value)
    rows = [(*key, *levels) for key, years in products.items() for levels in price_index.chain(years)]
    return schemas.validate(schemas.frame(rows, schemas.INDEX), schemas.INDEX)


def for_forecasts(tidy_dir: Path, prices_dir: Path) -> pd.DataFrame:
    """The price table in money of its newest year, whatever `prices.base_year` says: what forecasts are made from.

    So another base year changes no forecast, and no stage that makes forecasts runs again because of it.
    """
    trade = schemas.read(tidy_dir / "trade.parquet")
    exchange_rates = schemas.read(prices_dir / "exchange_rates.parquet")
    price_levels = schemas.read(prices_dir / "price_levels.parquet")
    return prices(trade, exchange_rates, price_levels, base_year=None, engine="duckdb")


def as_published(trade: pd.DataFrame) -> pd.DataFrame:
    """`series, year, price_usd_kg` from the figures as published, before any correction."""
    return _nominal(trade.assign(**{name: trade[f"{name}_published"] for name in MEASURES}))


def as_confirmed(trade: pd.DataFrame, corrections: pd.DataFrame) -> pd.DataFrame:
    """`series, year, price_usd_kg` without those of the applied `corrections` (the stored table) that are likely."""
    likely = corrections[corrections["applied"] & (corrections["certainty"] == "likely")]
    cells = pd.MultiIndex.from_frame(likely[["table", "country", "year"]])
    here = pd.MultiIndex.from_arrays([table_names(trade), trade["country"], trade["year"]]).isin(cells)
    figures = {name: trade[name].mask(here, trade[f"{name}_published"]) for name in MEASURES}
    return _nominal(trade.assign(**figures))


def _nominal(trade: pd.DataFrame) -> pd.DataFrame:
    frame = on_duckdb({"trade": trade}, unit_values)[["series", "year", "price_usd_kg"]]
    return frame.sort_values(["series", "year"], ignore_index=True)


def on_duckdb(
    tables: Mapping[str, pd.DataFrame], expression: Callable[..., ibis.Table], *arguments: object
) -> pd.DataFrame:
    """What `expression` makes of the tables (in their order) and the arguments."""
    connection = ibis.duckdb.connect()
    try:
        inputs = [connection.create_table(name, table) for name, table in tables.items()]
        return connection.to_pandas(expression(*inputs, *arguments))
    finally:
        connection.disconnect()


def run(tidy_dir: Path, figures_dir: Path, prices_dir: Path, base_year: int | None, engine: str) -> pd.DataFrame:
    """Compute `prices_dir/prices.parquet` from the trade table in `tidy_dir` and the bundled enrichment; return it.

    Beside it stand the price index (`index.parquet`), what prices were computed with (`exchange_rates.parquet`,
    `price_levels.parquet`), where that is from (`enrichment_sources.parquet`), and the year in whose money real
    prices are (`base_year.json`). Nothing later than the newest year of trade is in them; the newest averages, which
    convert forecasts, stand apart (`conversion.parquet`).
    """
    trade = schemas.read(tidy_dir / "trade.parquet")
    last_year = int(trade["year"].max())
    series = enrichment.read(figures_dir)
    exchange_rates = enrichment.exchange_rates(series, last_year)
    price_levels = enrichment.price_levels(series, last_year)
    frame = prices(trade, exchange_rates, price_levels, base_year, engine)
    sources = enrichment.sources(series, last_year)
    written = [
        (frame, schemas.PRICES),
        (exchange_rates, schemas.EXCHANGE_RATES),
        (price_levels, schemas.PRICE_LEVELS),
        (sources, schemas.ENRICHMENT_SOURCES),
        (enrichment.conversion(series), schemas.CONVERSION),
        (index(trade), schemas.INDEX),
    ]
    prices_table, *_ = schemas.write_all(
        (table, contract, prices_dir / f"{contract.name}.parquet") for table, contract in written
    )
    files.write(prices_dir / "base_year.json", json.dumps({"base_year": base_year or last_year}) + "\n")
    return prices_table
