"""Fixtures that several test files share."""

import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.emulators import emulator, gs_emulator, s3_emulator  # noqa: F401
from vindima.etl import schemas
from vindima.forecasting import scores
from vindima.quantiles import QUANTILES
from vindima.serving import auth, store

ROOT = Path(__file__).resolve().parent.parent

PARAMETERS = {
    "collect": {"source": "mirror", "method": "csv", "accept": "newer", "requests_per_second": 4, "lake": None},
    "data": {"last_year": None},
    "tidy": {"corrections": "all"},
    "prices": {"base_year": None, "engine": "duckdb"},
    "backtest": {"first_cutoff": 2007, "last_cutoff": None, "horizons": [1, 2, 3, 4, 5]},
    "forecast": {"horizon": 5},
}
"""The parameters that the project comes with, whatever was changed in its params.yaml since."""


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real downloads and saved pages beside the project; tests that read it skip without it."""
    folder = Path(os.environ.get("VINDIMA_SHARED_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("the folder of real downloads (../shared/data) is not beside the project")
    return folder


def collected_tables() -> dict[str, pd.DataFrame]:
    """A few rows of what is collected: a null, a zero, a word with a comma, more rows of trade than a page has."""
    rows: list[tuple[schemas.Contract, list[tuple]]] = [
        (schemas.PRODUCTION, [
            (2022, "table_wine", "white", "Branco", 100.0, "reported"),
            (2023, "table_wine", "white", "Branco", 0.0, "reported"),
            (2023, "juice", "grape_juice", "Suco, integral", None, "not_available"),
        ]),
        (schemas.SALES, [(2023, "table_wine", "white", "Branco", 80.0, "reported")]),
        (schemas.PROCESSING, [
            (2022, "viniferas", None, "all", "Total do grupo", 9.0, "aggregate_only"),
            (2023, "viniferas", "red", "merlot", "Merlot", 7.0, "reported"),
        ]),
        (schemas.TRADE, [
            (flow, product, country, year, name, 1.5, 3.0, 1.5, 3.0, "reported", "reported")
            for flow, product in (("exports", "fresh_grapes"), ("imports", "table_wine"))
            for country, name in (("CHL", "Chile"), ("NLD", "Países Baixos"), ("OTHER", "Outros"))
            for year in range(1970, 2024)
        ]),
    ]  # fmt: skip
    return {contract.name: schemas.frame(values, contract) for contract, values in rows}


def effects_of_two_inputs() -> pd.DataFrame:
    """What the exchange rate and the harvest went with in imports of table wine: the harvest with nothing."""
    numbers = {"elasticity_alone": -0.2, "se_alone": 0.1, "n_series": 30, "n_changes": 500, "n_years": 29}
    numbers |= {"first_year": 1995, "last_year": 2023, "baseline_year": 2023, "largest_change": 0.5}
    return pd.DataFrame(
        [
            {"input": "exchange_rate", "flow": "imports", "product": "table_wine", "elasticity": -0.25, "se": 0.05}
            | {"df": 9.0, "unit": "R$/US$", "baseline": 5.0, "lowest": 0.9, "highest": 5.4} | numbers,
            {"input": "harvest", "flow": "imports", "product": "table_wine", "elasticity": 0.01, "se": 0.05}
            | {"df": 16.0, "unit": "L", "baseline": 2e8, "lowest": 1e8, "highest": 3e8} | numbers,
        ]
    )[list(schemas.EFFECTS.columns)]  # fmt: skip


def reviewed_tables() -> dict[str, pd.DataFrame]:
    """What the review of a small source gives: one correction of each certainty, one finding that is left."""
    rows: list[tuple[schemas.Contract, list[tuple]]] = [
        (schemas.TOTALS, [
            ("production", "juice", 2013, 9.0, 9.0, 0.0, "equal"),
            ("sales", "other", 2013, 80.0, 100.0, -20.0, "differs"),
        ]),
        (schemas.CORRECTIONS, [
            ("exports_table_wine", "RUS", 2013, 6000.0, 15000.0, 15000.0, 6000.0, "confirmed", "exchanged", True),
            ("imports_table_wine", "AUS", 2013, 5.0, 9.0, 3.0, 9.0, "likely", "perhaps", True),
        ]),
        (schemas.FINDINGS, [
            (
                "exchanged", "confirmed", "exports_table_wine", 2013, 2013,
                "Kilograms and dollars are exchanged.", "Quilos e dólares trocados.",
            ),
            (
                "perhaps", "likely", "imports_table_wine exports_table_wine", 2012, 2013,
                "Two rows are exchanged.", "Duas linhas trocadas.",
            ),
            ("parts", "left", "sales", 2013, 2013, "The parts exceed the total.", "As partes excedem o total."),
        ]),
        (schemas.CROSSCHECK, [
            ("RUS", 2012, 5000.0, 4000.0, 5000.0, 4000.0, 5000.0, 4000.0, "equal", "equal"),
            ("RUS", 2013, 6000.0, 15000.0, 15000.0, 6000.0, 15000.0, 6000.0, "differs", "equal"),
            ("CHN", 2013, 100.0, 90.0, 100.0, 90.0, 101.0, 90.0, "differs", "differs"),
        ]),
        (schemas.FLAGS, [
            ("outside_range", "exports_table_wine", "RUS", 2013, "price_usd_kg", 2.5, 0.2, 1.2, "exchanged"),
            ("jump", "exports_table_wine", "CHN", 2013, "quantity_kg", 9.0, 1.0, 1.0, None),
            ("total_differs", "sales", "other", 2013, "quantity_l", 80.0, 100.0, 100.0, "parts"),
        ]),
    ]  # fmt: skip
    return {contract.name: pd.DataFrame(table, columns=contract.columns) for contract, table in rows}


@pytest.fixture(scope="session")
def outputs_made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project root with all that the pipeline leaves: four series to 2023, two of them forecast. Copied for use."""
    root = tmp_path_factory.mktemp("outputs") / "project"
    years = {
        "imports.table_wine": range(1993, 2024),
        "imports.table_wine.CHL": range(2000, 2024),
        "imports.table_wine.OTHER": range(1993, 2024),
        "exports.fresh_grapes.NLD": range(2000, 2005),
    }
    words = {series: [*series.split("."), None][:3] for series in years}
    prices = pd.DataFrame(
        [
            dict(zip(("flow", "product", "country"), words[series], strict=True))
            | {"series": series, "year": year, "quantity_kg": 1000.0 * i, "value_usd": 2500.0 * i}
            | {"price_usd_kg": 2.5, "price_usd_kg_real": 2.75 if year < 2023 else 2.5, "corrected": False}
            | {"price_brl_kg": 12.5 if year >= 1995 else None, "price_brl_kg_real": 15.0 if year >= 1995 else None}
            for i, series in enumerate(sorted(years), start=1)
            for year in years[series]
        ]
    ).astype({"year": "int16", "price_brl_kg": "float64", "price_brl_kg_real": "float64"})
    index = pd.DataFrame(
        [
            {"flow": "imports", "product": "table_wine", "year": year, "fisher": 1 + i / 10, "tornqvist": 1 + i / 9}
            | {"unit_value_relative": (1 + i / 10) * 1.05**i, "mix": 1.05**i}
            for i, year in enumerate(years["imports.table_wine"])
        ]
    ).astype({"year": "int16"})
    path = pd.DataFrame(
        [
            {
                "series": series,
                "cutoff": 2023,
                "horizon": h,
                "year": 2023 + h,
                "model": "naive",
                "forecast": 2.5,
            }
            | {"q025": 2.0 / (1 + h), "q10": 2.5 / (1 + h), "q50": 2.5, "q90": 2.75 + h, "q975": 3.0 + h}
            for series in ("imports.table_wine", "imports.table_wine.CHL")
            for h in (1, 2, 3)
        ]
    ).astype({"cutoff": "int16", "horizon": "int16", "year": "int16"})
    # A dollar is expected at 5.5, 6 and 6.5 reais, and in real terms at 5.
    in_reais = pd.concat(
        [
            path.assign(terms=terms, last=12.5, **{
                name: path[name] * (5 + by * path["horizon"]) for name in ("forecast", *QUANTILES)
            })
            for terms, by in (("nominal", 0.5), ("real", 0.0))
        ],
        ignore_index=True,
    )  # fmt: skip
    tested = path.assign(cutoff=2020, year=2020 + path["horizon"], actual=2.6, actual_published=2.6)
    tables = {
        **{f"data/tidy/{name}": table for name, table in collected_tables().items()},
        **{f"data/tidy/{name}": table for name, table in reviewed_tables().items()},
        "data/prices/prices": prices,
        "data/prices/index": index,
        "data/prices/conversion": pd.DataFrame(
            {"year": [2023, 2024, 2025], "brl_per_usd": [5.0, 5.4, 6.0], "us_cpi": [300.0, 309.0, 330.0]}
            | {"ipca": [6600.0, None, 7260.0]}
        ),
        "data/prices/exchange_rates": pd.DataFrame({"country": ["BRA"], "year": [2023], "currency_per_usd": [5.0]}),
        "data/prices/price_levels": pd.DataFrame({"year": [2023], "us_cpi": [304.7], "ipca": [600.0]}),
        "data/prices/enrichment_sources": pd.DataFrame(
            {"measure": ["BRL", "us_cpi", "ipca_change_pct"], "publisher": ["Federal Reserve", "BLS", "IBGE"]}
        ).reindex(columns=list(schemas.ENRICHMENT_SOURCES.columns)),
        "data/backtest/backtest": tested,
        "data/benchmark/benchmark": tested.assign(model="auto_ets"),
        "data/forecasts/forecasts": path,
        "data/forecasts/forecasts_reais": in_reais,
        "data/backtest/backtest_reais": in_reais.assign(cutoff=2020, year=2020 + in_reais["horizon"], actual=13.0),
        "data/backtest/calibrations": pd.DataFrame(columns=schemas.CALIBRATIONS.columns),
        "models/history": pd.DataFrame(columns=schemas.HISTORY.columns),
        "models/calibration": pd.DataFrame(columns=schemas.CALIBRATION.columns),
        "models/effects": effects_of_two_inputs(),
    }
    documents: dict[str, dict] = {
        "data/raw/manifest.json": {
            "vintage": "0123456789ab",
            "retrieved_at": "2025-01-19",
            "source": "mirror",
            "files": [],
        },
        "data/prices/base_year.json": {"base_year": 2023},
        "models/model.json": {"model": "naive", "vintage": "0123456789ab", "cutoff": 2023, "horizon": 3},
        "reports/metrics.json": {name: {"n_series": 2, "coverage_80": 0.84} for name in ("all", "totals")},
    }
    for name in (*tables, *documents):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.to_parquet(root / f"{name}.parquet", index=False)
    for name, document in documents.items():
        (root / name).write_text(json.dumps(document), encoding="utf-8")
    counts = pd.DataFrame({"table": "exports_table_wine", "year": [2012, 2013], "rows": 2, "cells": 4})
    kinds = {"above_zero": 3, "zero": 0, "blank": 1, "not_available": 0, "withheld": 0, "marked": 0}
    counts.assign(**kinds, corrected=[0, 2]).to_csv(root / "reports" / "counts.csv", index=False)
    stand = scores.stand(pd.concat([tested, tested.assign(model="auto_ets")]), "naive")
    scores.write_stand(stand, root / "reports" / "scores.csv")
    for card in ("card.md", "card.pt-BR.md"):
        (root / "models" / card).write_text("# naive\n", encoding="utf-8")
    return root


@pytest.fixture
def project_outputs(outputs_made_once: Path, tmp_path: Path) -> Path:
    """A project root of the test's own, with all that the pipeline leaves."""
    return Path(shutil.copytree(outputs_made_once, tmp_path / "project"))


@pytest.fixture(scope="session")
def set_made_once(outputs_made_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store.switch(outputs_made_once, tmp_path_factory.mktemp("published") / "served")


@pytest.fixture
def served_set(set_made_once: Path, tmp_path: Path) -> Path:
    """The folder of a small published set of the test's own."""
    return Path(shutil.copytree(set_made_once, tmp_path / "served"))


@pytest.fixture(scope="session")
def users_made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with one user, ana, a reader; a password is slow to hash."""
    path = tmp_path_factory.mktemp("users") / "users.sqlite"
    auth.add(path, "ana", "uva isabel de 1875")
    return path


@pytest.fixture
def users(users_made_once: Path, tmp_path: Path) -> Path:
    """A file of users of the test's own."""
    return Path(shutil.copy(users_made_once, tmp_path / "users.sqlite"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The two longest files come first: those who run files side by side are then done at the same time."""
    items.sort(key=lambda item: item.path.name not in ("test_pipeline.py", "test_site.py"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """In continuous integration everything that a test needs is there: a skip is a failure."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped in CI: {report.longrepr}"
    return report
