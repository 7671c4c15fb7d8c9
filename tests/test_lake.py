import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from vindima.errors import VindimaError
from vindima.ingestion import lake
from vindima.ingestion.catalogue import TABLES
from vindima.ingestion.lake import Received
from vindima.ingestion.parse import Note, RawTable, Row

DAY = "2025-01-19"


def a_zone(label: str = " Chile ") -> tuple[list[Received], dict[str, RawTable]]:
    """A file and a small table for each slug; the page of one year stands first, out of order."""
    files = [
        Received("sales", "index.php?opcao=opt_04&ano=2022", b"<p>", DAY, 200, "pages", 1, 2, ["footnotes of 2022"])
    ]
    files += [
        Received(slug, table.download_path, f"Id;País {slug}\n".encode(), DAY, 200, "csv", 1, 2)
        for slug, table in TABLES.items()
    ]
    row = Row(1, None, label, ["1", "nd"])
    tables = {
        slug: RawTable(slug, "Título", "L", [2022, 2023], [row], f"download/{slug}", [Note(2022, "*: nada")])
        for slug in TABLES
    }
    return files, tables


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_written_is_read_back(tmp_path):
    files, tables = a_zone()
    written = lake.write(tmp_path / "raw", "mirror", DAY, files, tables)
    manifest, read = lake.read(tmp_path / "raw")
    assert manifest == written
    assert read == tables
    assert list(read) == list(TABLES)


def test_files_are_kept_as_received_under_their_own_names(tmp_path):
    files, tables = a_zone()
    lake.write(tmp_path / "raw", "mirror", DAY, files, tables)
    names = {path.name for path in (tmp_path / "raw" / "files").iterdir()}
    assert names == {f"{table.download}.csv" for table in TABLES.values()} | {"opt_04_2022.html"}
    assert (tmp_path / "raw" / "files" / "Comercio.csv").read_bytes() == "Id;País sales\n".encode()


def test_the_manifest_says_what_each_file_is(tmp_path):
    files, tables = a_zone()
    manifest = lake.write(tmp_path / "raw", "mirror", DAY, files, tables)
    assert list(manifest) == ["vintage", "source", "retrieved_at", "files"]
    keys = [(file["slug"], file["address"]) for file in manifest["files"]]
    assert keys == sorted(keys)
    sales = [file for file in manifest["files"] if file["slug"] == "sales"]
    assert sales[0] == {
        "slug": "sales",
        "address": "download/Comercio.csv",
        "retrieved_at": DAY,
        "status": 200,
        "sha256": hashlib.sha256("Id;País sales\n".encode()).hexdigest(),
        "bytes": 15,
        "rows": 1,
        "cells": 2,
        "method": "csv",
        "notes": [],
    }
    assert sales[1]["notes"] == ["footnotes of 2022"]


def test_a_table_is_json_that_people_can_read(tmp_path):
    files, tables = a_zone("  Não declarados")
    lake.write(tmp_path / "raw", "mirror", DAY, files, tables)
    text = (tmp_path / "raw" / "tables" / "sales.json").read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert '"label": "  Não declarados"' in text
    assert json.loads(text) == {
        "table": "sales",
        "title": "Título",
        "unit": "L",
        "years": [2022, 2023],
        "source": "download/sales",
        "rows": [{"row": 1, "control": None, "label": "  Não declarados", "cells": ["1", "nd"]}],
        "notes": [{"year": 2022, "text": "*: nada"}],
    }


def test_the_vintage_is_that_of_the_contract():
    files = [{"slug": "sales", "sha256": "bb"}, {"slug": "production", "sha256": "aa"}]
    expected = hashlib.sha256(b"production aa\nsales bb\n").hexdigest()[:12]
    assert lake.vintage(files) == lake.vintage(files[::-1]) == expected


def test_the_same_files_in_another_order_write_the_same_bytes(tmp_path):
    files, tables = a_zone()
    lake.write(tmp_path / "a", "mirror", DAY, files, tables)
    lake.write(tmp_path / "b", "mirror", DAY, files[::-1], dict(reversed(tables.items())))
    assert snapshot(tmp_path / "a") == snapshot(tmp_path / "b")


def test_a_new_zone_replaces_the_old_one_whole(tmp_path):
    files, tables = a_zone()
    lake.write(tmp_path / "raw", "mirror", DAY, files, tables)
    lake.write(tmp_path / "raw", "mirror", DAY, files[1:], tables)
    assert not (tmp_path / "raw" / "files" / "opt_04_2022.html").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_the_old_zone_survives_a_table_that_cannot_be_written(tmp_path):
    files, tables = a_zone()
    lake.write(tmp_path / "raw", "mirror", DAY, files, tables)
    before = snapshot(tmp_path)
    tables["sales"] = replace(tables["sales"], years=[object()])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        lake.write(tmp_path / "raw", "mirror", DAY, files, tables)
    assert snapshot(tmp_path) == before


def test_the_old_zone_survives_a_failure_of_the_switch_itself(tmp_path, monkeypatch):
    files, tables = a_zone()
    lake.write(tmp_path / "raw", "mirror", DAY, files, tables)
    before = snapshot(tmp_path)
    rename = Path.rename

    def fail_for_the_new_one(self, target):
        if self.name == "new":
            raise OSError("disk full")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_the_new_one)
    with pytest.raises(OSError, match="disk full"):
        lake.write(tmp_path / "raw", "mirror", DAY, files[1:], tables)
    assert snapshot(tmp_path) == before


def test_a_missing_or_damaged_zone_is_one_clear_sentence(tmp_path):
    with pytest.raises(VindimaError, match=r"there is no raw zone in .*vindima collect"):
        lake.read(tmp_path / "raw")
    files, tables = a_zone()
    lake.write(tmp_path / "raw", "mirror", DAY, files, tables)
    (tmp_path / "raw" / "tables" / "sales.json").write_text("{")
    with pytest.raises(VindimaError, match=r"sales\.json: expected JSON"):
        lake.read(tmp_path / "raw")
    (tmp_path / "raw" / "tables" / "sales.json").write_text("{}")
    with pytest.raises(VindimaError, match=r"sales\.json: expected a table"):
        lake.read(tmp_path / "raw")
    (tmp_path / "raw" / "tables" / "sales.json").unlink()
    with pytest.raises(VindimaError, match=r"incomplete, there is no .*sales\.json"):
        lake.read(tmp_path / "raw")
