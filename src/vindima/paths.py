"""Where things are kept. Importing this module touches nothing."""

import os
from pathlib import Path


def find_root() -> Path:
    """Folder of the project: `VINDIMA_ROOT`, or the nearest folder upwards that holds `dvc.yaml`, or here.

    A notebook may run in its own folder (nbmake, JupyterLab) or in the project's (Papermill).
    """
    if named := os.environ.get("VINDIMA_ROOT"):
        return Path(named).resolve()
    here = Path.cwd().resolve()
    return next((folder for folder in (here, *here.parents) if (folder / "dvc.yaml").is_file()), here)


ROOT = find_root()
NOTEBOOKS = ROOT / "notebooks"
FIGURES = ROOT / "data" / "figures"
RAW = ROOT / "data" / "raw"
TIDY = ROOT / "data" / "tidy"
PRICES = ROOT / "data" / "prices"
BACKTEST = ROOT / "data" / "backtest"
BENCHMARK = ROOT / "data" / "benchmark"
FORECASTS = ROOT / "data" / "forecasts"
PUBLISHED = ROOT / "data" / "published"
MICRODATA = ROOT / "data" / "microdata"
COMEXSTAT = ROOT / "data" / "comexstat"
MODELS = ROOT / "models"
REPORTS = ROOT / "reports"
SITE = ROOT / "site"
SERVED = Path(os.environ.get("VINDIMA_SERVED") or ROOT / "data" / "served")
USERS = Path(os.environ.get("VINDIMA_USERS") or ROOT / "users.sqlite")
