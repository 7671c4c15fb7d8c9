import hashlib
import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.zones import DAY, snapshot, write_zone
from vindima.errors import VindimaError
from vindima.ingestion import raw_zone
from vindima.ingestion.catalogue import TABLES
from vindima.ingestion.parse import Note, RawTable, Row
from vindima.ingestion.raw_zone import Draft
from vindima.ingestion.reply import Reply

SITE = "http://127.0.0.1:1"
PAGE = "index.php?opcao=opt_04&ano=2022"


def a_zone(label: str = " Chile ") -> tuple[list[tuple[str, Reply]], dict[str, RawTable]]:
    """A file and a small table for each slug; the page of one year stands first, out of order."""
    files = [("sales", Reply(PAGE, b"<p>", DAY))]
    files += [(slug, Reply(table.download_path, f"Id;País {slug}\n".encode(), DAY)) for slug, table in TABLES.items()]
    row = Row(1, None, label, ["1", "nd"])
    tables = {
        slug: RawTable(slug, "Título", "L", [2022, 2023], [row], f"download/{slug}", [Note(2022, "*: nada")])
        for slug in TABLES
    }
    return files, tables


def an_answer(data: bytes = b"x", address: str = PAGE, age: timedelta = timedelta(0), **validators: str) -> Reply:
    return Reply(address, data, (datetime.now(UTC) - age).isoformat(timespec="seconds"), **validators)


def test_what_is_written_is_read_back(tmp_path):
    files, tables = a_zone()
    written = write_zone(tmp_path / "raw", files, tables)
    manifest, read = raw_zone.read(tmp_path / "raw")
    assert manifest == written
    assert read == tables
    assert list(read) == list(TABLES)


def test_files_are_kept_as_received_under_their_own_names(tmp_path):
    write_zone(tmp_path / "raw", *a_zone())
    names = {path.name for path in (tmp_path / "raw" / "files").iterdir()}
    assert names == {f"{table.download}.csv" for table in TABLES.values()} | {"opt_04_2022.html"}
    assert (tmp_path / "raw" / "files" / "Comercio.csv").read_bytes() == "Id;País sales\n".encode()


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("download/ImpVinhos.csv", "ImpVinhos.csv"),
        ("index.php?opcao=opt_05&subopcao=subopt_01&ano=1970", "opt_05_subopt_01_1970.html"),
        ("index.php", "index.php"),
        ("download/..", "_"),
        ("download/.htaccess", "_htaccess"),
        ("download/Imp Vinhos%2f.csv", "Imp_Vinhos_2f.csv"),
        ("index.php?opcao=../../opt_05", "__.._opt_05.html"),
    ],
)
def test_a_name_stays_in_its_folder(address, name):
    assert raw_zone.file_name(address) == name


def test_two_files_of_one_name_are_refused(tmp_path):
    files, tables = a_zone()
    files.append(("sales", Reply("downloads/Comercio.csv", b"x", DAY)))
    with pytest.raises(VindimaError, match=r"more than one Comercio\.csv"):
        write_zone(tmp_path / "raw", files, tables)


def test_the_manifest_says_what_each_file_is(tmp_path):
    files, tables = a_zone()
    manifest = write_zone(tmp_path / "raw", files, tables)
    assert list(manifest) == ["vintage", "source", "retrieved_at", "files", "disagreements", "revisions"]
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
    assert list(sales[0])[-3:] == ["cells", "method", "notes"]


def test_validators_stand_in_the_manifest_where_the_source_gave_some():
    entry = raw_zone.entry("sales", Reply(PAGE, b"x", DAY, etag='"a"'), [], "pages", "a note")
    assert entry["etag"] == '"a"'
    assert "last_modified" not in entry
    assert entry["notes"] == ["a note"]


def test_a_table_is_json_that_people_can_read(tmp_path):
    write_zone(tmp_path / "raw", *a_zone("  Não declarados"))
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
    assert raw_zone.vintage(files) == raw_zone.vintage(files[::-1]) == expected


def test_the_same_files_in_another_order_write_the_same_bytes(tmp_path):
    files, tables = a_zone()
    write_zone(tmp_path / "a", files, tables)
    write_zone(tmp_path / "b", files[::-1], dict(reversed(tables.items())))
    assert snapshot(tmp_path / "a") == snapshot(tmp_path / "b")


def test_a_new_zone_replaces_the_old_one_whole(tmp_path):
    files, tables = a_zone()
    write_zone(tmp_path / "raw", files, tables)
    write_zone(tmp_path / "raw", files[1:], tables)
    assert not (tmp_path / "raw" / "files" / "opt_04_2022.html").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"raw", ".raw.lock"}


def test_what_no_table_came_from_is_not_in_the_zone(tmp_path):
    files, tables = a_zone()
    files.append(("of no table", Reply("index.php", b"<p>", DAY)))
    write_zone(tmp_path / "raw", files, tables)
    assert not (tmp_path / "raw" / "files" / "index.php").exists()


def test_the_old_zone_survives_a_table_that_cannot_be_written(tmp_path):
    files, tables = a_zone()
    write_zone(tmp_path / "raw", files, tables)
    before = snapshot(tmp_path / "raw")
    tables["sales"] = replace(tables["sales"], years=[object()])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        write_zone(tmp_path / "raw", files, tables)
    assert snapshot(tmp_path / "raw") == before


def test_the_old_zone_survives_a_failure_of_the_switch_itself(tmp_path, monkeypatch):
    files, tables = a_zone()
    write_zone(tmp_path / "raw", files, tables)
    before = snapshot(tmp_path / "raw")
    rename = Path.rename

    def fail_for_the_new_one(self, target):
        if self.name == ".raw-draft":
            raise OSError("disk full")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_the_new_one)
    with pytest.raises(OSError, match="disk full"):
        write_zone(tmp_path / "raw", files[1:], tables)
    assert snapshot(tmp_path / "raw") == before


def test_a_kill_in_the_middle_of_the_switch_loses_nothing(tmp_path):
    write_zone(tmp_path / "raw", *a_zone())
    before = snapshot(tmp_path / "raw")
    (tmp_path / "raw").rename(tmp_path / ".raw-replaced")
    with Draft(tmp_path / "raw", "mirror", resume=False):
        assert snapshot(tmp_path / "raw") == before
    shutil.copytree(tmp_path / "raw", tmp_path / ".raw-replaced")
    with Draft(tmp_path / "raw", "mirror", resume=False):
        assert not (tmp_path / ".raw-replaced").exists()
    assert snapshot(tmp_path / "raw") == before


def test_two_collections_at_once_are_one_too_many(tmp_path):
    with Draft(tmp_path / "raw", SITE, resume=True) as first:
        with (
            pytest.raises(VindimaError, match="another collection is writing"),
            Draft(tmp_path / "raw", SITE, resume=True),
        ):
            pass
        assert first.folder.is_dir()


def test_a_stopped_run_is_gone_on_with(tmp_path):
    answer = an_answer()
    with Draft(tmp_path / "raw", SITE, resume=True) as stopped:
        stopped.keep(answer)
    with Draft(tmp_path / "raw", SITE, resume=True) as next_:
        assert next_.fresh(PAGE) == answer
        assert next_.fresh("index.php") is None


@pytest.mark.parametrize(("source", "resume"), [(SITE, False), ("live", True)])
def test_what_a_run_from_elsewhere_left_is_not_taken(tmp_path, source, resume):
    with Draft(tmp_path / "raw", SITE, resume=True) as stopped:
        stopped.keep(an_answer())
    with Draft(tmp_path / "raw", source, resume) as next_:
        assert next_.fresh(PAGE) is None
    assert not (stopped.folder / "files" / "opt_04_2022.html").exists()


def test_a_journal_that_a_kill_cut_off_is_good_up_to_there(tmp_path):
    with Draft(tmp_path / "raw", SITE, resume=True) as stopped:
        stopped.keep(an_answer())
        stopped.keep(an_answer(address="index.php"))
    journal = stopped.folder / "received.jsonl"
    journal.write_text(journal.read_text()[:-30])
    for _ in range(2):
        with Draft(tmp_path / "raw", SITE, resume=True) as next_:
            assert next_.fresh(PAGE)
            assert not next_.fresh("index.php")
            next_.keep(an_answer(address="download/x.csv"))
    with Draft(tmp_path / "raw", SITE, resume=True) as last:
        assert last.fresh("download/x.csv")


def test_bytes_that_a_kill_cut_off_are_not_taken(tmp_path):
    with Draft(tmp_path / "raw", SITE, resume=True) as stopped:
        stopped.keep(an_answer(b"whole", etag='"a"'))
    (stopped.folder / "files" / "opt_04_2022.html").write_bytes(b"who")
    with Draft(tmp_path / "raw", SITE, resume=True) as next_:
        assert next_.fresh(PAGE) is None
        assert next_.earlier(PAGE) is None


def test_what_is_forgotten_is_asked_for_again(tmp_path):
    answer = an_answer()
    with Draft(tmp_path / "raw", SITE, resume=True) as draft:
        draft.keep(answer)
        draft.forget([answer])
        assert draft.fresh(PAGE) is None


def test_what_is_a_day_old_is_only_a_reason_to_ask_whether_it_changed(tmp_path):
    old = an_answer(b"old", age=timedelta(hours=25), last_modified="then")
    unknown = an_answer(b"old", "index.php", timedelta(hours=25))
    with Draft(tmp_path / "raw", SITE, resume=True) as draft:
        draft.keep(old)
        draft.keep(unknown)
    with Draft(tmp_path / "raw", SITE, resume=True) as draft:
        assert draft.fresh(PAGE) is None
        assert draft.earlier(PAGE) == old
        assert draft.earlier("index.php") is None


def test_the_zone_on_hand_is_a_reason_to_ask_whether_it_changed(tmp_path):
    files, tables = a_zone()
    page = replace(files[0][1], etag='"a"')
    write_zone(tmp_path / "raw", [("sales", page), *files[1:]], tables, source=SITE)
    with Draft(tmp_path / "raw", SITE, resume=True) as draft:
        assert draft.fresh(PAGE) is None
        assert draft.earlier(PAGE) == page
        assert draft.earlier("download/Comercio.csv") is None
    with Draft(tmp_path / "raw", "live", resume=True) as draft:
        assert draft.earlier(PAGE) is None


def test_a_draft_that_is_not_accepted_is_kept_aside(tmp_path):
    files, tables = a_zone()
    write_zone(tmp_path / "raw", files, tables)
    before = snapshot(tmp_path / "raw")
    for _ in range(2):
        with Draft(tmp_path / "raw", "mirror", resume=False) as draft:
            for slug, answer in files[1:]:
                draft.keep(answer)
                draft.add(tables[slug], [raw_zone.entry(slug, answer, tables[slug].rows, "csv")])
            manifest = draft.complete(DAY)
            assert draft.put_aside() == tmp_path / "raw-refused"
    assert snapshot(tmp_path / "raw") == before
    assert raw_zone.read(tmp_path / "raw-refused") == (manifest, tables)
    assert "received.jsonl" not in snapshot(tmp_path / "raw-refused")


def test_a_missing_or_damaged_zone_is_one_clear_sentence(tmp_path):
    with pytest.raises(VindimaError, match=r"there is no raw zone in .*vindima collect"):
        raw_zone.read(tmp_path / "raw")
    write_zone(tmp_path / "raw", *a_zone())
    (tmp_path / "raw" / "tables" / "sales.json").write_text("{")
    with pytest.raises(VindimaError, match=r"sales\.json: expected JSON"):
        raw_zone.read(tmp_path / "raw")
    (tmp_path / "raw" / "tables" / "sales.json").write_text("{}")
    with pytest.raises(VindimaError, match=r"sales\.json: expected a table"):
        raw_zone.read(tmp_path / "raw")
    (tmp_path / "raw" / "tables" / "sales.json").unlink()
    with pytest.raises(VindimaError, match=r"incomplete, there is no .*sales\.json"):
        raw_zone.read(tmp_path / "raw")
