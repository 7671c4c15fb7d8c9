"""The storage of a project without a disk of its own, in a folder and, emulated, in buckets."""

import json
import shutil
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.conftest import ROOT
from tests.emulators import BUCKET, Emulator
from vindima import paths, runs, storage
from vindima.cli import main
from vindima.errors import VindimaError
from vindima.serving import auth, sets

PLACES = [
    "folder",
    pytest.param("s3_emulator", marks=pytest.mark.services),
    pytest.param("gs_emulator", marks=pytest.mark.services),
]


@pytest.fixture(params=PLACES)
def kept(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> storage.Storage:
    if request.param == "folder":
        return storage.Storage(str(tmp_path / "storage"))
    emulator: Emulator = request.getfixturevalue(request.param)
    for name, value in emulator.environment.items():
        monkeypatch.setenv(name, value)
    return storage.Storage(f"{emulator.protocol}://{BUCKET}/{tmp_path.name}/storage/")


def project(folder: Path, says: str) -> Path:
    """A folder with what Git would keep of a run."""
    (folder / "data" / "backtest").mkdir(parents=True)
    shutil.copyfile(ROOT / "dvc.yaml", folder / "dvc.yaml")
    (folder / "dvc.lock").write_text(says, encoding="utf-8")
    (folder / "data" / "backtest" / "backtest.parquet").write_text(says, encoding="utf-8")
    return folder


def test_project_that_was_kept_takes_the_place_of_what_an_image_brought(kept: storage.Storage, tmp_path: Path):
    there, here = project(tmp_path / "there", "kept"), project(tmp_path / "here", "of the image")
    (here / "data" / "backtest" / "old.parquet").touch()
    assert kept.restore(here) is False
    kept.keep(there)
    assert kept.restore(here) is True
    assert (here / "dvc.lock").read_text(encoding="utf-8") == "kept"
    assert [path.name for path in (here / "data" / "backtest").iterdir()] == ["backtest.parquet"]
    assert not list(here.glob(".storage-*"))


def test_all_that_git_keeps_of_a_run_is_kept():
    kept = storage.kept_by_git(ROOT)
    assert {"data/backtest", "data/benchmark", "data/published", "reports/scores.csv", "reports/metrics.json"} <= {
        *kept
    }
    assert not {"data/raw", "models/model.json", "site"} & {*kept}


def test_newer_set_is_taken_and_the_same_one_left(kept: storage.Storage, served_set: Path, tmp_path: Path):
    here = tmp_path / "here" / "served"
    with pytest.raises(VindimaError, match=r"there is no model\.tar\.gz yet: a `vindima run` leaves one"):
        kept.fetch_set(here)
    kept.keep_set(served_set)
    assert kept.has_set()
    assert kept.fetch_set(here) is True
    before = sets.identity(here)
    assert kept.fetch_set(here) is False
    assert sets.identity(here) == before
    assert sets.service_tables(here, here) == sets.service_tables(served_set, served_set)
    assert [path.name for path in here.parent.iterdir()] == ["served"]


def test_damaged_set_here_makes_room_for_the_one_that_is_kept(served_set: Path, tmp_path: Path):
    kept, here = storage.Storage(str(tmp_path / "storage")), tmp_path / "here" / "served"
    kept.keep_set(served_set)
    kept.fetch_set(here)
    (here / sets.SERVICE).write_bytes(b"damaged")
    assert kept.fetch_set(here) is True
    assert sets.service_tables(here, here) == sets.service_tables(served_set, served_set)


def test_users_are_kept_and_taken(
    kept: storage.Storage, users: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def said(*arguments: str) -> str:
        return CliRunner().invoke(main, ["users", "copy", *arguments]).output.splitlines()[-1]

    monkeypatch.setattr(storage, "Storage", lambda address: kept)
    here = tmp_path / "here.sqlite"
    monkeypatch.setattr(paths, "USERS", here)
    assert said("--from", "there") == "no users are kept there"
    assert not here.exists()
    monkeypatch.setattr(paths, "USERS", users)
    assert said("--to", "there") == "the users are kept"
    monkeypatch.setattr(paths, "USERS", here)
    assert said("--from", "there") == f"{here} holds what the storage keeps"
    assert auth.list_users(here) == auth.list_users(users) != []
    assert said() == "Error: expected --from STORAGE or --to STORAGE"


@pytest.mark.parametrize("damage", ["cut", "other", "half a set"])
def test_half_written_model_is_refused_and_the_last_good_one_stays(damage: str, served_set: Path, tmp_path: Path):
    kept, here = storage.Storage(str(tmp_path / "storage")), tmp_path / "here" / "served"
    kept.keep_set(served_set)
    kept.fetch_set(here)
    before = sets.identity(here)
    model = tmp_path / "storage" / "model.tar.gz"
    if damage == "cut":
        model.write_bytes(model.read_bytes()[:-2000])
    elif damage == "other":
        model.write_bytes(b"no archive")
    else:
        (served_set / "models" / "model.json").unlink()
        kept.keep_set(served_set)
    with pytest.raises(VindimaError, match=r"damaged|missing"):
        kept.fetch_set(here)
    assert sets.identity(here) == before
    assert [path.name for path in here.parent.iterdir()] == ["served"]


def test_archive_that_leads_out_of_its_folder_is_refused(tmp_path: Path):
    here = project(tmp_path / "here", "of the image")
    (tmp_path / "storage").mkdir()
    with tarfile.open(tmp_path / "storage" / "project.tar.gz", "w:gz") as archive:
        archive.add(ROOT / "params.yaml", "../../dvc.lock")
    with pytest.raises(VindimaError, match=r"project\.tar\.gz: it is damaged"):
        storage.Storage(str(tmp_path / "storage")).restore(here)
    assert (here / "dvc.lock").read_text(encoding="utf-8") == "of the image"


def test_second_run_meets_the_first_ones_lock(kept: storage.Storage):
    busy = r"another run holds the lock, process \d+ on .+: this one did nothing"
    with kept.held(10), pytest.raises(runs.Busy, match=busy):
        kept.held(10).__enter__()
    with kept.held(10):
        pass


def test_lock_that_a_lost_machine_left_is_taken_after_its_time(tmp_path: Path):
    kept, lock = storage.Storage(str(tmp_path)), tmp_path / "run.lock"
    left = {"process": 1, "host": "gone", "state": "running", "stage": None, "started_at": runs.now()}
    for hours, free in ((1, False), (-1, True)):
        until = datetime.now(UTC) + timedelta(hours=hours)
        lock.write_text(json.dumps(left | {"until": until.isoformat()}), encoding="utf-8")
        if free:
            with kept.held(10):
                assert json.loads(lock.read_text(encoding="utf-8"))["host"] != "gone"
            assert not lock.exists()
        else:
            with pytest.raises(runs.Busy, match="process 1 on gone"):
                kept.held(10).__enter__()


def test_storage_that_cannot_be_written_is_said(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(VindimaError, match=r"the storage cannot be used: .*Not a directory"):
        storage.Storage(str(tmp_path / "file")).held(10).__enter__()
