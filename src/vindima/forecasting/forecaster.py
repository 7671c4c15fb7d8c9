"""The published forecaster: chosen by backtest, fitted once, saved as numbers that anyone can read."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vindima import files, paths
from vindima.errors import VindimaError
from vindima.etl import schemas
from vindima.forecasting import backtest, intervals, reais, scores
from vindima.forecasting.models import CANDIDATES, POOLED, estimated, fit_panel, log_quantiles, model
from vindima.forecasting.reais import Rates
from vindima.forecasting.stored import six_digits
from vindima.quantiles import QUANTILES

PACKAGES = ("numpy", "pandas", "scipy", "sktime", "statsforecast")
"""Locked packages whose versions can move a forecast."""


_KEY = ["series", "cutoff", "horizon", "year", "model"]


class Forecaster:
    """One model for all series, its intervals calibrated, from a cutoff up to `horizon` years ahead.

    `fit` or `load` it, then `predict`. `record` holds what `model.json` says; `history` the prices and quantities it
    was fitted to; `calibration` what past errors teach (None for a model whose own quantiles are used).
    """

    def __init__(
        self, record: dict[str, Any], history: pd.DataFrame, calibration: intervals.Calibration | None
    ) -> None:
        self.record = record
        self.history = history
        self.calibration = calibration
        self.rates: Rates | None = None
        self.learned: reais.Learned | None = None
        fitted = model(record["model"]).set_params(**record["fitted"])
        series = sorted(history["series"].unique())
        self._fitted = fit_panel(record["model"], fitted, history, series, record["cutoff"])

    @classmethod
    def fit(
        cls,
        prices: pd.DataFrame,
        scored: pd.DataFrame,
        horizon: int,
        vintage: str,
        requirements: Path = paths.ROOT / "requirements.txt",
        calibrations: pd.DataFrame | None = None,
        rates: Rates | None = None,
    ) -> "Forecaster":
        """Fit the candidate that did best in `scored` (the backtest table) to all of `prices`.

        The cutoff is the newest year of the prices. What corrects a pooled model's intervals is taken from
        `calibrations` (the backtest's, if any) where the horizons there are 1 to `horizon`, else learned anew. Raises
        VindimaError for a horizon outside 1 to 10, no eligible series, or a candidate that the backtest lacks.
        """
        steps = _steps(horizon)
        cutoff = int(prices["year"].max()) if len(prices) else 0
        series = backtest.check_cutoff(prices, cutoff)
        name, errors = scores.choose(scored, CANDIDATES)
        fitted = fit_panel(name, model(name), prices, series, cutoff)
        taught = backtest.taught(name, prices, steps, calibrations, rates)
        calibration = intervals.Calibration.of(taught["usd"]) if "usd" in taught else None
        history = prices.loc[prices["series"].isin(series), schemas.HISTORY.columns]
        history = history.sort_values(["series", "year"], ignore_index=True)
        record = {
            "model": name,
            "vintage": vintage,
            "cutoff": cutoff,
            "horizon": len(steps),
            "n_series": len(series),
            "specification": type(fitted).__name__,
            "intervals": "calibrated" if name in POOLED else "own",
            "fitted": estimated(name, fitted),
            "choice": {"horizons": list(scores.SCORED_HORIZONS), "mean_absolute_log_error": errors},
            "data": {
                "sha256": data_hash(prices),
                "rows": len(prices),
                "corrected": int(prices["corrected"].sum()),
                "first_year": int(prices["year"].min()),
                "last_year": cutoff,
            },
            "packages": locked_versions(requirements),
        }
        made = cls(record, history, calibration)
        made.rates, made.learned = rates, reais.Learned.of(taught)
        return made

    def predict(self, horizon: int | None = None) -> pd.DataFrame:
        """Forecasts of every series for 1 to `horizon` years after the cutoff (None: all that were fitted).

        Columns `series, cutoff, horizon, year, model, forecast, q025, q10, q50, q90, q975`: nominal US$/kg, the
        forecast is the median, to 6 significant digits. Raises VindimaError beyond the fitted horizon.
        """
        steps = _steps(self.record["horizon"] if horizon is None else horizon)
        if steps[-1] > self.record["horizon"]:
            raise VindimaError(f"horizon: expected 1 to {self.record['horizon']}, as fitted, got {horizon}")
        made = self._in_dollars(steps)[[*_KEY, *QUANTILES]]
        return schemas.validate(backtest.prices_from_logs(made), schemas.FORECASTS)

    def predict_in_reais(self) -> pd.DataFrame:
        """The same in reais a kilogram, nominal and real (column `terms`): the contract `forecasts_reais`.

        No rows without the `rates` that `fit` takes, and for a model with too few errors to learn from.
        """
        if self.rates is None or self.learned is None:
            return schemas.frame([], schemas.FORECASTS_REAIS)
        dollars = self._in_dollars(_steps(self.record["horizon"]))
        made = reais.in_reais(reais.beside(dollars, self.rates), self.learned)
        made = backtest.prices_from_logs(made.assign(last=six_digits(np.exp(made["last"]))))
        return schemas.validate(made[schemas.FORECASTS_REAIS.columns], schemas.FORECASTS_REAIS)

    def _in_dollars(self, steps: list[int]) -> pd.DataFrame:
        """Calibrated quantiles of the log price and what calibrates, a row for each series and step."""
        cutoff, series = self.record["cutoff"], sorted(self.history["series"].unique())
        own = log_quantiles(self._fitted, steps).merge(intervals.features(self.history, series, cutoff), on="series")
        made = intervals.corrected(own, self.calibration)
        return made.assign(cutoff=cutoff, year=cutoff + made["horizon"], model=self.record["model"])

    def save(self, folder: Path, *beside: tuple[pd.DataFrame, schemas.Contract, Path]) -> None:
        """Write `model.json`, `history.parquet` and `calibration.parquet` to `folder`; the same bytes every time.

        With them go the tables `beside`, each with its contract and file. All are validated before any is written.
        """
        parts = self.calibration.parts if self.calibration else {}
        calibration = pd.DataFrame({"name": list(parts), "value": list(parts.values())}).astype({"value": float})
        own = [
            (self.history, schemas.HISTORY, folder / "history.parquet"),
            (calibration, schemas.CALIBRATION, folder / "calibration.parquet"),
        ]
        schemas.write_all([*own, *beside])
        files.write(folder / "model.json", json.dumps(self.record, indent=2, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "Forecaster":
        """The forecaster that `save` wrote to `folder`; it predicts what it predicted before.

        Raises VindimaError for a missing file.
        """
        record = load_record(folder)
        table = schemas.read(folder / "calibration.parquet")
        parts = dict(zip(table["name"].tolist(), table["value"].tolist(), strict=True))
        calibration = intervals.Calibration.of(parts) if parts else None
        return cls(record, schemas.read(folder / "history.parquet"), calibration)


def load_record(folder: Path) -> dict[str, Any]:
    """What `model.json` in `folder` says; a missing file is a VindimaError."""
    path = folder / "model.json"
    if not path.is_file():
        raise VindimaError(f"{folder.name}/model.json is not there: run `make` (or `dvc repro`) first")
    return json.loads(path.read_text(encoding="utf-8"))


def data_hash(prices: pd.DataFrame) -> str:
    """sha256 of what a forecast depends on, as CSV sorted by series and year, numbers with 17 digits."""
    columns = ["series", "country", "year", "quantity_kg", "value_usd", "price_usd_kg", "price_usd_kg_real"]
    ordered = prices[columns].sort_values(["series", "year"])
    text = ordered.to_csv(index=False, float_format="%.17g", lineterminator="\n")
    return hashlib.sha256(text.encode()).hexdigest()


def locked_versions(requirements: Path) -> dict[str, str]:
    """Versions of `PACKAGES` in the lock file; one that is not locked there is a VindimaError."""
    text = requirements.read_text(encoding="utf-8") if requirements.is_file() else ""
    locked = dict(re.findall(r"^([\w.-]+)==([^\s;\\]+)", text, flags=re.MULTILINE))
    if missing := [name for name in PACKAGES if name not in locked]:
        raise VindimaError(f"{requirements.name}: expected a locked version of {', '.join(missing)}, found none")
    return {name: locked[name] for name in PACKAGES}


def _steps(horizon: int) -> list[int]:
    """1 … horizon; a horizon outside 1 to 10 is a VindimaError."""
    backtest.check_horizons([horizon])
    return list(range(1, horizon + 1))
