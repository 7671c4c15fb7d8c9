"""Fixtures that several test files share."""

import json
import os
from pathlib import Path

import pandas as pd
import pytest

from tests.emulators import emulator, gs_emulator, s3_emulator  # noqa: F401
from vindima.serving import store

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real downloads and saved pages beside the project; tests that read it skip without it."""
    folder = Path(os.environ.get("VINDIMA_SHARED_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("the folder of real downloads (../shared/data) is not beside the project")
    return folder


@pytest.fixture
def project_outputs(tmp_path: Path) -> Path:
    """A project root with all that the pipeline leaves: four series to 2023, two of them forecast."""
    root = tmp_path / "project"
    years = {
        "imports.table_wine": range(2000, 2024),
        "imports.table_wine.CHL": range(2000, 2024),
        "imports.table_wine.OTHER": range(2000, 2024),
        "exports.fresh_grapes.NLD": range(2000, 2005),
    }
    words = {series: [*series.split("."), None][:3] for series in years}
    prices = pd.DataFrame(
        [
            dict(zip(("flow", "product", "country"), words[series], strict=True))
            | {"series": series, "year": year, "quantity_kg": 1000.0 * i, "value_usd": 2500.0 * i}
            | {"price_usd_kg": 2.5, "price_usd_kg_real": 2.75, "price_brl_kg": None, "corrected": False}
            for i, series in enumerate(sorted(years), start=1)
            for year in years[series]
        ]
    ).astype({"year": "int16", "price_brl_kg": "float64"})
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
            | {"q025": 2.0 - h, "q10": 2.25 - h, "q50": 2.5, "q90": 2.75 + h, "q975": 3.0 + h}
            for series in ("imports.table_wine", "imports.table_wine.CHL")
            for h in (1, 2, 3)
        ]
    ).astype({"cutoff": "int16", "horizon": "int16", "year": "int16"})
    tested = path.assign(cutoff=2020, year=2020 + path["horizon"], actual=2.5, actual_published=2.5)
    tables = {
        "data/tidy/production": pd.DataFrame({"year": [2023], "quantity_l": [1.0]}),
        "data/tidy/sales": pd.DataFrame({"year": [2023], "quantity_l": [1.0]}),
        "data/tidy/processing": pd.DataFrame({"year": [2023], "quantity_kg": [1.0]}),
        "data/tidy/trade": pd.DataFrame({"year": [2023], "quantity_kg": [1.0], "value_usd": [2.5]}),
        "data/tidy/totals": pd.DataFrame({"year": [2023], "published": [1.0], "computed": [1.0]}),
        "data/prices/prices": prices,
        "data/backtest/backtest": tested,
        "data/benchmark/benchmark": tested.assign(model="auto_ets"),
        "data/forecasts/forecasts": path,
        "models/levels": pd.DataFrame({"series": ["imports.table_wine"], "level": [2.5]}),
    }
    documents: dict[str, dict] = {
        "data/raw/manifest.json": {"vintage": "0123456789ab", "source": "mirror", "files": []},
        "models/model.json": {"model": "naive", "vintage": "0123456789ab", "cutoff": 2023, "horizon": 3},
        "reports/metrics.json": {name: {"n_series": 2, "coverage_80": 0.84} for name in ("all", "totals")},
    }
    for name in (*tables, *documents):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.to_parquet(root / f"{name}.parquet", index=False)
    for name, document in documents.items():
        (root / name).write_text(json.dumps(document), encoding="utf-8")
    for card in ("card.md", "card.pt-BR.md"):
        (root / "models" / card).write_text("# naive\n", encoding="utf-8")
    return root


@pytest.fixture
def served_set(project_outputs: Path, tmp_path: Path) -> Path:
    """The folder of a small published set."""
    return store.publish(project_outputs, tmp_path / "served")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """In continuous integration everything that a test needs is there: a skip is a failure."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped in CI: {report.longrepr}"
    return report
