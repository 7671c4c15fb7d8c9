"""The stored tables by name, as one who explores them asks for them."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import vindima
from vindima import paths
from vindima.errors import VindimaError
from vindima.etl import schemas, tables

PARTS = ["series", "flow", "product", "country"]


@pytest.fixture
def project(project_outputs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with all that the pipeline leaves, seen from a folder of it."""
    monkeypatch.setattr(paths, "ROOT", project_outputs)
    monkeypatch.chdir(project_outputs / "models")
    return project_outputs


@pytest.mark.parametrize("contract", schemas.CONTRACTS, ids=lambda contract: contract.name)
def test_every_table_is_loaded_by_its_name_with_the_columns_that_are_stored(
    project: Path, contract: schemas.Contract
):
    path = project / contract.path
    if not path.exists():
        stored = pd.DataFrame({name: [] for name in contract.columns})
        stored.to_csv(path, index=False)
    stored = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    loaded = vindima.load(contract.name)
    assert len(loaded) == len(stored)
    assert set(stored) <= set(loaded)
    if "series" in contract.columns and "flow" not in contract.columns:
        at = list(loaded).index("series")
        assert list(loaded)[at : at + 4] == PARTS


def test_parts_of_a_series_stand_beside_it_and_a_total_has_no_country(project: Path):
    forecasts = vindima.load("forecasts")
    assert forecasts[PARTS].drop_duplicates().to_numpy().tolist() == [
        ["imports.table_wine", "imports", "table_wine", None],
        ["imports.table_wine.CHL", "imports", "table_wine", "CHL"],
    ]
    stored = pd.read_parquet(project / schemas.FORECASTS.path)
    pd.testing.assert_frame_equal(forecasts.drop(columns=PARTS[1:]), stored)


def test_totals_are_those_without_a_country_in_every_table(project: Path):
    for name in ("prices", "forecasts", "backtest", "benchmark"):
        table = vindima.load(name)
        assert table.loc[table["country"].isna(), "series"].unique().tolist() == ["imports.table_wine"], name


def test_table_with_its_parts_already_is_as_it_is_stored(project: Path):
    pd.testing.assert_frame_equal(vindima.load("prices"), pd.read_parquet(project / schemas.PRICES.path))


def test_parts_keep_the_rows_in_their_order():
    table = pd.DataFrame({"series": ["exports.raisins", "imports.raisins.TUR"], "year": [2, 1]}, index=[7, 3])
    found = tables.with_parts(table)
    assert list(found) == [*PARTS, "year"]
    assert found.loc[3].tolist() == ["imports.raisins.TUR", "imports", "raisins", "TUR", 1]


def test_table_in_text_has_the_types_of_its_contract(project: Path):
    counts = vindima.load("counts")
    assert {name: str(counts[name].dtype) for name in ("table", "year", "rows")} == {
        "table": "object",
        "year": "int16",
        "rows": "int16",
    }


def test_unknown_name_lists_those_that_there_are_the_nearest_first():
    with pytest.raises(VindimaError, match=r"expected one of prices, .*, got 'price'") as refused:
        vindima.load("price")
    assert all(contract.name in str(refused.value) for contract in schemas.CONTRACTS)


@pytest.mark.parametrize("name", ["prices", "counts"])
def test_table_that_is_not_there_says_to_run_make(project: Path, name: str):
    (project / tables.NAMED[name].path).unlink()
    with pytest.raises(VindimaError, match=rf"{name}\.\w+ is not there: run `make`"):
        vindima.load(name)


def test_package_is_imported_without_pandas():
    program = "import sys; sys.modules['pandas'] = None; import vindima; print(callable(vindima.load))"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed == "True\n"
