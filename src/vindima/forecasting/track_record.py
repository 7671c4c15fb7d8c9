"""The forecasts as they were published, one file for each vintage, and how they did once the prices came."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from vindima.errors import VindimaError
from vindima.etl import schemas
from vindima.forecasting import scores


def write(forecasts: pd.DataFrame, vintage: str, folder: Path) -> bool:
    """Whether `forecasts` (the forecasts table) were written to `folder` as `<vintage>.parquet`.

    Only where no file of that vintage is there: what was published stays as it was, whatever the model says today.
    """
    path = folder / f"{vintage}.parquet"
    if path.exists():
        return False
    schemas.write(forecasts, schemas.FORECASTS, path)
    return True


def read(folder: Path) -> dict[str, pd.DataFrame]:
    """Vintage → forecasts table, oldest cutoff first; empty where nothing was published.

    Raises VindimaError that names the file for one that is damaged, breaks the contract, holds more than one cutoff
    or is not named after a vintage.
    """
    found = {}
    for path in sorted(folder.glob("*.parquet")):
        name = f"{folder.name}/{path.name}"
        if not re.fullmatch("[0-9a-f]{12}", path.stem):
            raise VindimaError(f"{name}: expected a vintage of 12 hexadecimal digits for a name, got {path.stem!r}")
        try:
            table = schemas.validate(schemas.read(path), schemas.FORECASTS)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise VindimaError(f"{name} is damaged ({error}): restore it from Git") from error
        except VindimaError as error:
            raise VindimaError(f"{name}: {error}") from None
        if table["cutoff"].nunique() != 1:
            raise VindimaError(f"{name}: expected one cutoff, got {sorted(table['cutoff'].unique().tolist())}")
        found[path.stem] = table
    return dict(sorted(found.items(), key=lambda item: (int(item[1]["cutoff"].iloc[0]), item[0])))


def against_actual(
    published: Mapping[str, pd.DataFrame], prices: pd.DataFrame, confirmed: pd.DataFrame
) -> pd.DataFrame:
    """Each published forecast whose target year has a price by now, beside that price.

    Columns `vintage`, those of the forecasts table, `naive` and `actual`, in US$/kg; vintages in the order of
    `published`. `actual` is null where it rests on a likely correction, as in the backtest: where `prices` (the price
    table) and `confirmed` (`series, year, price_usd_kg` without likely corrections) differ. `naive` is the last price
    up to the cutoff, as it stands today; null where the source took all of them back. Two vintages with the same
    cutoff are two publications, each with its own rows.
    """
    key = ["series", "year"]
    frames = [pd.DataFrame(columns=["vintage", *schemas.FORECASTS.columns, "naive"])]
    for vintage, table in published.items():
        known = prices[prices["year"] <= table["cutoff"].iloc[0]].sort_values("year")
        last = known.groupby("series")["price_usd_kg"].last()
        frames.append(table.assign(vintage=vintage, naive=table["series"].map(last))[frames[0].columns])
    made = pd.concat(frames[1:] or frames, ignore_index=True)
    made = made.merge(prices[[*key, "price_usd_kg"]].rename(columns={"price_usd_kg": "actual"}), on=key)
    sure = made[key].merge(confirmed, on=key, how="left")["price_usd_kg"]
    return made.assign(actual=made["actual"].where(np.isclose(made["actual"], sure, rtol=1e-12)))


def summary(published: Mapping[str, pd.DataFrame], prices: pd.DataFrame, confirmed: pd.DataFrame) -> pd.DataFrame:
    """How each publication did at each horizon, all series together; its arguments are those of `against_actual`.

    Columns `vintage, model, cutoff, horizon, year, n_forecasts, mae, mae_rel_naive, coverage_80, coverage_95`: errors
    of the log price, the ratio of means over the same forecasts, shares inside the interval. Where no price has come
    that can be scored, `n_forecasts` is 0 and the scores are null. Publications of a cutoff after the newest price
    are left out: an earlier `data.last_year` does not know them.
    """
    against = against_actual(published, prices, confirmed)
    against = against[against["naive"].notna()]
    errors = scores.log_errors(against).assign(
        vintage=against["vintage"], naive=(np.log(against["actual"]) - np.log(against["naive"])).abs()
    )
    by = errors.groupby(["vintage", "horizon"])
    did = pd.DataFrame(
        {
            "n_forecasts": by.size(),
            "mae": by["absolute"].mean(),
            "mae_rel_naive": by["absolute"].mean() / by["naive"].mean(),
            "coverage_80": by["inside_80"].mean(),
            "coverage_95": by["inside_95"].mean(),
        }
    )
    keys = ["vintage", "model", "cutoff", "horizon", "year"]
    rows = [table.assign(vintage=vintage).drop_duplicates("horizon")[keys] for vintage, table in published.items()]
    known = [row for row in rows if row["cutoff"].iloc[0] <= prices["year"].max()]
    made = pd.concat(known or [pd.DataFrame(columns=keys)], ignore_index=True)
    made = made.merge(did, left_on=["vintage", "horizon"], right_index=True, how="left")
    return made.assign(n_forecasts=made["n_forecasts"].fillna(0).astype(int))
