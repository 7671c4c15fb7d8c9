"""What the metrics say of the data, of the runs on this machine, and of forecasts that came due."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.servers import SECRET
from tests.states import write_state
from vindima import runs
from vindima.etl import schemas
from vindima.serving import api, store

Read = Callable[[], dict[str, float]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(runs, "FOLDER", tmp_path / "reports" / "runs")
    return tmp_path


def metrics_of(served: Path, users: Path) -> dict[str, float]:
    """Samples by name and labels: `vindima_run_last_outcome failed`."""
    app = api.create_app({"SERVED": served, "USERS": users, "JWT_SECRET": SECRET})
    text = app.test_client().get("/metrics", auth=("ana", "uva isabel de 1875")).text
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_newest_year_and_free_space_are_told_and_nothing_of_runs_that_never_were(
    folder: Path, served_set: Path, users: Path
):
    found = metrics_of(served_set, users)
    assert found["vindima_data_newest_year"] == 2023
    assert found["vindima_disk_free_bytes"] > 0
    assert not [name for name in found if name.startswith(("vindima_run_", "vindima_forecast_"))]


def test_runs_are_told_as_their_states_are(folder: Path, served_set: Path, users: Path):
    write_state(folder, refresh=True, outcome="nothing_new", ended_at="2026-11-01T03:00:00Z")
    write_state(folder, outcome="failed")
    runs.announce(folder=folder / "reports" / "runs")
    found = metrics_of(served_set, users)
    assert found["vindima_run_running"] == 0
    outcomes = {one: found[f"vindima_run_last_outcome {one}"] for one in runs.OUTCOMES}
    assert outcomes == dict.fromkeys(runs.OUTCOMES, 0) | {"failed": 1}
    assert found["vindima_run_last_success_timestamp_seconds true"] == 1793502000
    assert found["vindima_run_last_success_timestamp_seconds false"] == 0
    write_state(folder, state="running", ended_at=None, outcome=None, started_at="2026-11-02T03:00:00Z")
    found = metrics_of(served_set, users)
    assert (found["vindima_run_running"], found["vindima_run_last_outcome failed"]) == (1, 1)
    assert found["vindima_run_started_timestamp_seconds"] == 1793588400


def test_forecasts_that_came_due_are_told_with_what_chance_explains(folder: Path, project_outputs: Path, users: Path):
    """Two forecasts of 2021 for 2023: one holds what came, the other says 20 where 2 came."""
    prices = project_outputs / "data" / "prices" / "prices.parquet"
    came = schemas.read(prices)
    came.loc[came["year"] == 2023, "price_usd_kg"] = 2.0
    came.to_parquet(prices, index=False)
    table = schemas.read(project_outputs / "data" / "forecasts" / "forecasts.parquet")
    earlier = table.assign(cutoff=2021, year=table["year"] - 2).astype({"cutoff": "int16", "year": "int16"})
    wrong = earlier["series"] == "imports.table_wine"
    numbers = ["forecast", "q025", "q10", "q50", "q90", "q975"]
    earlier = pd.concat([earlier[~wrong], earlier[wrong].assign(**earlier.loc[wrong, numbers] * 8)])
    earlier = earlier.sort_values(["series", "horizon"])
    schemas.write(earlier, schemas.FORECASTS, project_outputs / "data" / "published" / "abcdef012345.parquet")
    found = metrics_of(store.switch(project_outputs, folder / "served"), users)
    assert found["vindima_forecast_came_due"] == 2
    assert found["vindima_forecast_coverage_80"] == 0.5
    assert found["vindima_forecast_coverage_80_fewest"] == 0
    assert found["vindima_forecast_error_to_naive"] == pytest.approx(5.66, abs=0.01)
