"""Stored tables obey their contract; what breaks it is listed whole, and nothing is half-written."""

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from vindima.errors import VindimaError
from vindima.etl import schemas


def production(**changes: object) -> pd.DataFrame:
    columns = {
        "year": [2001, 2000],
        "product_group": "juice",
        "product": "whole_grape_juice",
        "product_pt": "Suco de uva integral",
        "quantity_l": [5.0, float("nan")],
        "status": ["reported", "not_available"],
    }
    return pd.DataFrame(columns | changes)


def test_written_table_is_typed_sorted_by_key_and_without_nan(tmp_path: Path):
    path = tmp_path / "tidy" / "production.parquet"
    schemas.write(production(), schemas.PRODUCTION, path)
    stored = pq.read_table(path)
    assert stored.schema.names == schemas.PRODUCTION.columns
    assert [str(stored.schema.field(name).type) for name in ("year", "product", "quantity_l")] == [
        "int16",
        "string",
        "double",
    ]
    assert stored["year"].to_pylist() == [2000, 2001]
    assert stored["quantity_l"].to_pylist() == [None, 5.0]


def test_same_rows_in_another_order_give_the_same_bytes(tmp_path: Path):
    first, second = tmp_path / "a.parquet", tmp_path / "b.parquet"
    schemas.write(production(), schemas.PRODUCTION, first)
    schemas.write(production().iloc[::-1], schemas.PRODUCTION, second)
    assert first.read_bytes() == second.read_bytes()


def test_every_defect_is_listed_with_its_column_and_key():
    broken = production(quantity_l=[-5.0, float("nan")], status=["guessed", "not_available"])
    with pytest.raises(VindimaError) as raised:
        schemas.validate(broken, schemas.PRODUCTION)
    message = str(raised.value)
    assert "table production breaks its contract" in message
    assert "quantity_l: expected" in message
    assert "status: expected" in message
    assert "juice whole_grape_juice 2001" in message


@pytest.mark.parametrize(("year", "text"), [(67506, "67506"), (2000.5, "2000.5"), (None, "nan"), ("2000", "2000")])
def test_year_that_does_not_fit_is_refused_and_never_cut_to_fit(year: object, text: str):
    broken = production(year=[2001, year], quantity_l=[-5.0, float("nan")])
    with pytest.raises(VindimaError) as raised:
        schemas.validate(broken, schemas.PRODUCTION)
    assert f"year: expected a whole number from -32,768 to 32,767, got {text} at juice whole" in str(raised.value)
    assert "quantity_l: expected" in str(raised.value)


def test_whole_numbers_may_come_as_floats():
    assert schemas.validate(production(year=[2001.0, 2000.0]), schemas.PRODUCTION)["year"].tolist() == [2000, 2001]


def test_missing_key_column_is_listed_beside_the_other_defects():
    broken = production(status=["guessed", "not_available"]).drop(columns="product")
    with pytest.raises(VindimaError) as raised:
        schemas.validate(broken, schemas.PRODUCTION)
    assert "got product" in str(raised.value)
    assert "status: expected" in str(raised.value)
    assert "juice 2001" in str(raised.value)


def test_infinite_quantity_is_refused():
    with pytest.raises(VindimaError, match=r"quantity_l: expected .*, got inf at juice whole_grape_juice 2001"):
        schemas.validate(production(quantity_l=[float("inf"), float("nan")]), schemas.PRODUCTION)


def test_number_without_a_reason_to_be_missing_is_refused():
    with pytest.raises(VindimaError, match="quantity_l is a number exactly where status is"):
        schemas.validate(production(status="reported"), schemas.PRODUCTION)


def test_key_that_occurs_twice_is_refused():
    with pytest.raises(VindimaError, match="production"):
        schemas.validate(production(year=2000), schemas.PRODUCTION)


def test_unknown_column_is_refused():
    with pytest.raises(VindimaError, match="quantity_hl"):
        schemas.validate(production(quantity_hl=1.0), schemas.PRODUCTION)


def test_refused_table_leaves_the_stored_one_as_it_was(tmp_path: Path):
    path = tmp_path / "production.parquet"
    schemas.write(production(), schemas.PRODUCTION, path)
    before = path.read_bytes()
    with pytest.raises(VindimaError):
        schemas.write(production(status="guessed"), schemas.PRODUCTION, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_where_one_of_several_tables_is_refused_none_is_written(tmp_path: Path):
    one, other = tmp_path / "production.parquet", tmp_path / "sales.parquet"
    refused = production(status="guessed")
    with pytest.raises(VindimaError, match="table sales breaks its contract"):
        schemas.write_all([(production(), schemas.PRODUCTION, one), (refused, schemas.SALES, other)])
    assert not any(tmp_path.iterdir())


def test_table_that_is_not_there_says_what_to_run(tmp_path: Path):
    with pytest.raises(VindimaError, match=r"tidy/trade.parquet is not there: run `make`"):
        schemas.read(tmp_path / "tidy" / "trade.parquet")


def test_crossing_quantiles_are_refused():
    row = {"series": "imports.table_wine", "cutoff": 2023, "horizon": 1, "year": 2024, "model": "naive"}
    quantiles = {"forecast": 2.0, "q025": 1.0, "q10": 3.0, "q50": 2.0, "q90": 4.0, "q975": 5.0}
    with pytest.raises(VindimaError, match="quantiles never cross"):
        schemas.validate(pd.DataFrame([row | quantiles]), schemas.FORECASTS)
