"""The stored tables by name, for people who explore them; the stages read them by path."""

from difflib import SequenceMatcher

import pandas as pd

from vindima import paths
from vindima.errors import VindimaError
from vindima.etl import schemas
from vindima.series import parts

NAMED = {contract.name: contract for contract in schemas.CONTRACTS}
"""Name of each stored table → its contract."""


def load(name: str) -> pd.DataFrame:
    """The stored table of this name, with `flow`, `product` and `country` beside `series`; see `vindima.load`."""
    if name not in NAMED:
        known = ", ".join(sorted(NAMED, key=lambda other: -SequenceMatcher(None, name, other).ratio()))
        raise VindimaError(f"tables: expected one of {known}, got {name!r}")
    contract = NAMED[name]
    path = paths.ROOT / contract.path
    if path.suffix == ".csv" and path.is_file():
        table = pd.read_csv(path, dtype={name: str(column.dtype) for name, column in contract.schema.columns.items()})
    else:
        table = schemas.read(path)
    return with_parts(table) if "series" in table and "flow" not in table else table


def with_parts(table: pd.DataFrame) -> pd.DataFrame:
    """The table with columns `flow`, `product` and `country` after `series`, which it has; a total has no country."""
    at = list(table).index("series") + 1
    words = [parts(series) for series in table["series"]]
    split = pd.DataFrame(words, columns=["flow", "product", "country"], index=table.index, dtype=object)
    return pd.concat([table.iloc[:, :at], split, table.iloc[:, at:]], axis=1)
