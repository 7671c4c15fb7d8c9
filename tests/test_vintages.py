import shutil
from pathlib import Path

import fsspec
import pytest

from tests.sites import DAY, FIGURES
from vindima.errors import VindimaError
from vindima.ingestion import figures, raw_zone, site, vintages
from vindima.ingestion.catalogue import TABLES


@pytest.fixture(scope="module")
def collected(tmp_path_factory) -> Path:
    """A folder with a raw zone and a lake that holds it, and some downloads."""
    folder = tmp_path_factory.mktemp("collected")
    site.collect("mirror", raw_dir=folder / "raw", figures_dir=FIGURES, lake=str(folder / "lake"))
    (folder / "downloads").mkdir()
    for name in ("ImpPassas.csv", "Comercio.csv"):
        shutil.copy(folder / "raw" / "files" / name, folder / "downloads" / name)
    (folder / "downloads" / "notes.csv").write_text("a,b\n", encoding="utf-8")
    return folder


def test_a_raw_zone_gives_its_tables_and_when_it_was_retrieved(collected):
    vintage = vintages.read(str(collected / "raw"))
    assert vintage.tables == raw_zone.read(collected / "raw")[1]
    assert str(vintage) == f"{collected / 'raw'} ({DAY})"


def test_a_lake_gives_its_newest_snapshot_under_the_snapshots_own_address(collected):
    (snapshot,) = (collected / "lake").iterdir()
    for address in (collected / "lake", snapshot):
        vintage = vintages.read(str(address))
        assert vintage.address == str(snapshot)
        assert vintage.tables == raw_zone.read(collected / "raw")[1]


def test_a_lake_in_a_store_is_fetched(collected):
    store = fsspec.filesystem("memory")
    (snapshot,) = (collected / "lake").iterdir()
    try:
        store.put(f"{collected / 'lake'}/", "/vintages", recursive=True)
        vintage = vintages.read("memory://vintages")
    finally:
        store.rm("/vintages", recursive=True)
    assert (vintage.address, vintage.retrieved_at) == (f"memory://vintages/{snapshot.name}", DAY)
    assert list(vintage.tables) == list(TABLES)


def test_bundled_figures_give_their_tables(collected):
    vintage = vintages.read(str(FIGURES))
    assert vintage.tables == figures.read(FIGURES).raw_tables
    assert vintage.retrieved_at == DAY


def test_downloads_give_the_tables_that_are_there_and_other_files_are_left_alone(collected):
    vintage = vintages.read(str(collected / "downloads"))
    assert list(vintage.tables) == ["sales", "imports_raisins"]
    whole = raw_zone.read(collected / "raw")[1]
    assert {slug: table.rows for slug, table in vintage.tables.items()} == {
        slug: whole[slug].rows for slug in vintage.tables
    }
    assert str(vintage) == str(collected / "downloads")


def test_what_is_none_of_these_is_an_error_that_names_what_was_expected(tmp_path):
    (tmp_path / "notes.csv").write_text("a,b\n", encoding="utf-8")
    expected = (
        r"expected a raw zone .* a snapshot or a lake, bundled figures .*downloads \(such as ImpVinhos\.csv\), "
    )
    with pytest.raises(VindimaError, match=expected + "got none of these"):
        vintages.read(str(tmp_path))
    with pytest.raises(VindimaError, match=expected + "got no folder"):
        vintages.read(str(tmp_path / "nowhere"))
    with pytest.raises(VindimaError, match="complete snapshot, got none"):
        vintages.read("memory://nowhere")


def test_what_is_incomplete_or_damaged_is_an_error(collected, tmp_path):
    bundled = shutil.copytree(FIGURES, tmp_path / "figures")
    (bundled / "tables.csv").unlink()
    with pytest.raises(VindimaError, match=r"there is no .*tables\.csv"):
        vintages.read(str(bundled))
    zone = shutil.copytree(collected / "raw", tmp_path / "raw")
    (zone / "tables" / "sales.json").unlink()
    with pytest.raises(VindimaError, match=r"incomplete, there is no .*sales\.json"):
        vintages.read(str(zone))
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "ImpPassas.csv").write_text("<html>", encoding="utf-8")
    with pytest.raises(VindimaError, match=r"imports_raisins .*got an HTML page"):
        vintages.read(str(tmp_path / "downloads"))
