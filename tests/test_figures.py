import json
import shutil
from pathlib import Path

import pytest

from tests.sites import BUNDLED, FIGURES, of_downloads
from vindima.errors import VindimaError
from vindima.ingestion import figures, site
from vindima.ingestion.catalogue import TABLES

PARTS = ("cells.csv", "tables.csv", "footnotes.csv", "revisions.csv")


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    """A raw zone collected from the mirror."""
    folder = tmp_path_factory.mktemp("collected") / "raw"
    site.collect("mirror", raw_dir=folder, figures_dir=FIGURES)
    return folder


def columns(part: str) -> list[str]:
    """The columns of a file of the bundled figures, but for the years."""
    header = (BUNDLED / part).read_text(encoding="utf-8").split("\n")[0].split(",")
    return [name for name in header if not name.isdecimal()]


def edit(raw: Path, to: Path, slug: str, change) -> Path:
    """A copy of a raw zone in which one download's bytes went through `change`."""
    copy = Path(shutil.copytree(raw, to / "raw"))
    file = copy / "files" / f"{TABLES[slug].download}.csv"
    file.write_bytes(change(file.read_bytes()))
    return copy


def test_the_bundled_figures_give_back_a_real_download_of_every_table_byte_for_byte(shared_data):
    bundled = figures.read(BUNDLED)
    for slug, table in TABLES.items():
        real = [path.read_bytes() for path in shared_data.glob(f"vitibrasil/20*/{table.download}.csv")]
        assert figures.download(bundled.tables[slug]) in real, slug


def test_freezing_a_collection_from_the_mirror_gives_the_same_figures(raw, tmp_path):
    figures.write(raw, tmp_path / "figures")
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == sorted(PARTS)
    for part in PARTS:
        assert (tmp_path / "figures" / part).read_bytes() == (FIGURES / part).read_bytes(), part


def test_the_bundled_figures_stay_small_and_have_a_readme():
    assert sum(path.stat().st_size for path in BUNDLED.iterdir()) < 1_000_000
    readme = (BUNDLED / "README.md").read_text(encoding="utf-8")
    header = [name for part in (*PARTS, "findings.csv", "corrections.csv", "reviewed.csv") for name in columns(part)]
    assert [name for name in header if f"`{name}`" not in readme] == []
    dates = {bundled.retrieved_on for bundled in figures.read(BUNDLED).tables.values()}
    assert [day for day in dates if day not in readme] == []


def test_special_values_and_stray_spaces_survive(shared_data, tmp_path):
    downloads = shared_data / "vitibrasil" / "2025-01_to2023"
    tables = figures.read(of_downloads(downloads, tmp_path / "figures")).tables
    viniferas = tables["processing_viniferas"].table
    assert {row.cells[viniferas.years.index(2019)] for row in viniferas.rows} == {"nd"}
    assert {row.cells[viniferas.years.index(2022)] for row in viniferas.rows} == {"*"}
    assert viniferas.rows[0].cells[-1] == "35881118,23"
    assert [row.cells[-1] for row in viniferas.rows].count("") == 2
    assert tables["sales"].table.rows[1].label == "  Tinto"
    assert tables["sales"].table.rows[25].control == ""
    assert tables["imports_raisins"].table.rows[0].control is None
    american = tables["processing_american_hybrid"]
    assert [record[0] for record in american.layout.records[9:13]] == ["10", "29", "11", "12"]
    assert [row.row for row in american.table.rows] == list(range(1, 63))


def test_the_two_aggregates_of_2022_are_in_the_footnotes():
    footnotes = figures.read(FIGURES).footnotes
    assert {(note.year, note.label, note.figure) for note in footnotes} == {
        (2022, "Uvas viníferas", "99.738.086"),
        (2022, "Uvas americanas ou híbridas", "565.243.922"),
    }


def each_line(change):
    """A change of a download that changes each of its lines, given as fields and the line's position from 0."""
    return lambda data: b"".join(
        b";".join(change(line.split(b";"), position)) + b"\n" for position, line in enumerate(data.splitlines())
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: data.replace(b"\n", b"\r"),
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.removesuffix(b"\n"),
        lambda data: data.replace(b";", b"\t"),
        lambda data: data.replace(b";", b"|"),
        lambda data: data.decode().encode("latin-1"),
        lambda data: data.decode("latin-1").encode(),
        each_line(lambda fields, at: [*fields[:2], b"Nota" if at == 0 else b"" if at % 2 else b"a, b", *fields[2:]]),
        each_line(lambda fields, at: [b"Nr" if at == 0 else b"%d" % at, *fields, b"Fonte" if at == 0 else b"x"]),
        each_line(lambda fields, at: [*fields, b'"Nota; fonte"' if at == 0 else b'"a; b"']),
        each_line(lambda fields, at: [*fields, b""]),
        each_line(lambda fields, at: [*fields, *[b"", b""][: at % 3]]),
        each_line(lambda fields, at: fields[1:]),
        each_line(lambda fields, at: [*fields[-2:], *fields[2:-2], *reversed(fields[:2])]),
    ],
    ids=[
        "CRLF", "CR", "byte order mark", "no final newline", "tabs", "pipes", "Latin-1", "encoded twice",
        "an unknown column", "unknown columns around", "a separator in quotes", "an empty last column",
        "surplus empty fields", "no row numbers", "another order",
    ],
)  # fmt: skip
def test_however_a_download_is_written_it_says_the_same_and_is_given_back_so(raw, tmp_path, change):
    before = figures.read(FIGURES).tables["imports_raisins"].table
    copy = edit(raw, tmp_path, "imports_raisins", change)
    figures.write(copy, tmp_path / "figures")
    bundled = figures.read(tmp_path / "figures").tables["imports_raisins"]
    assert figures.download(bundled) == (copy / "files" / "ImpPassas.csv").read_bytes()
    assert (bundled.table.years, bundled.table.rows) == (before.years, before.rows)


def test_fields_that_no_known_column_explains_are_kept_beside_the_cells(raw, tmp_path):
    change = each_line(lambda fields, at: [*fields, b"Nota" if at == 0 else b"a, b"])
    figures.write(edit(raw, tmp_path, "imports_raisins", change), tmp_path / "figures")
    lines = (tmp_path / "figures" / "cells.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("table,row,id,control,label,measure,other,1970,")
    (first,) = [line for line in lines if line.startswith("imports_raisins,1,1,,Afeganistão,quantity_kg,")]
    assert first.split("quantity_kg,")[1].startswith('"""a, b""",')


def test_a_year_that_a_table_lacks_is_no_published_blank(raw, tmp_path):
    shorter = edit(
        raw,
        tmp_path,
        "imports_raisins",
        lambda data: b"".join(b";".join(line.split(b";")[:-2]) + b"\n" for line in data.splitlines()),
    )
    figures.write(shorter, tmp_path / "figures")
    tables = figures.read(tmp_path / "figures").tables
    assert tables["imports_raisins"].table.years[-1] == 2022
    assert len(tables["imports_raisins"].table.rows[0].cells) == 2 * 53
    assert tables["imports_grape_juice"].table.years[-1] == 2023


def test_a_download_without_control_column_or_with_a_wrong_header_is_given_back(raw, tmp_path, shared_data):
    older = shared_data / "vitibrasil" / "2024-05_to2022"
    copy = edit(raw, tmp_path, "production", lambda _: (older / "Producao.csv").read_bytes())
    (copy / "files" / "ImpSuco.csv").write_bytes((older / "ImpSuco.csv").read_bytes())
    figures.write(copy, tmp_path / "figures")
    tables = figures.read(tmp_path / "figures").tables
    assert {row.control for row in tables["production"].table.rows} == {None}
    assert figures.download(tables["production"]) == (older / "Producao.csv").read_bytes()
    assert figures.download(tables["imports_grape_juice"]) == (older / "ImpSuco.csv").read_bytes()


def test_a_download_that_could_not_be_given_back_is_refused_and_nothing_is_written(raw, tmp_path):
    copy = edit(raw, tmp_path, "imports_raisins", lambda data: data.replace(b"Argentina", b'"Argentina"'))
    with pytest.raises(VindimaError, match=r"imports_raisins: ImpPassas\.csv .* byte for byte"):
        figures.write(copy, tmp_path / "figures")
    assert not (tmp_path / "figures").exists()


def test_a_raw_zone_of_pages_cannot_be_frozen(raw, tmp_path):
    copy = Path(shutil.copytree(raw, tmp_path / "raw"))
    manifest = json.loads((copy / "manifest.json").read_text(encoding="utf-8"))
    for file in manifest["files"]:
        file["method"] = "pages"
    (copy / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(VindimaError, match=r"production: .*collect with the method csv"):
        figures.write(copy, tmp_path / "figures")


@pytest.mark.parametrize(
    ("part", "old", "new", "expected"),
    [
        ("cells.csv", "quantity_l", "quantity_kg", r"cells\.csv, production, row 1: expected a line for quantity_l"),
        ("cells.csv", "production,2,2,", "production,3,2,", r"cells\.csv, production: expected row 2, got 3"),
        ("cells.csv", "production,1,1,", "production,1,1,,", r"cells\.csv, line 2: expected 60 columns, got 61"),
        ("cells.csv", "production,1,1,", "production,x,1,", r"cells\.csv, production: expected row 1, got x"),
        ("cells.csv", "\nproduction,1,", "\nx\nproduction,1,", r"cells\.csv, line 2: expected 60 columns, got 1"),
        ("cells.csv", "\nsales,", "\nsale,", r"cells\.csv: expected a table of the catalogue, got 'sale'"),
        ("cells.csv", "measure,1970,", "measure,1969,", r"cells\.csv, production: expected a column 1970"),
        (
            "tables.csv",
            "L,1970,2023,51,",
            "L,1970,2023,x,",
            r"tables\.csv, production: .* whole number in rows, got 'x'",
        ),
        (
            "tables.csv",
            ",semicolon,LF,",
            ",semicolon,lf,",
            r"production: expected LF, CRLF or CR in line_ending, got 'lf'",
        ),
        ("tables.csv", ",semicolon,LF,", ",,LF,", r"production: expected .* or one sign in separator, got ''"),
        ("tables.csv", ",utf-8,", ",utf,", r"production: expected utf-8 or .* in encoding, got 'utf'"),
        (
            "tables.csv",
            "2025-01-19",
            "19/01/2025",
            r"production: expected a day .* in retrieved_on, got '19/01/2025'",
        ),
        ("footnotes.csv", ",2022,", ",last,", r"footnotes\.csv: expected .* and a year, got .* and 'last'"),
        ("tables.csv", "L,1970,2023,51,", "L,1970,2023,52,", r"production: expected 52 rows, got 51"),
        ("tables.csv", "\nproduction,", "\nprodução,", r"expected a table of the catalogue, got 'produção'"),
    ],
)
def test_damaged_figures_are_an_error_that_says_where_and_what(tmp_path, part, old, new, expected):
    copy = Path(shutil.copytree(FIGURES, tmp_path / "figures"))
    text = (copy / part).read_text(encoding="utf-8")
    assert old in text
    (copy / part).write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(VindimaError, match=expected):
        figures.read(copy)


@pytest.mark.parametrize("times", [0, 2])
def test_table_that_is_described_not_once_is_refused(tmp_path: Path, times: int):
    copy = Path(shutil.copytree(FIGURES, tmp_path / "figures"))
    lines = (copy / "tables.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (copy / "tables.csv").write_text("".join([lines[0], *lines[1:2] * times, *lines[2:]]), encoding="utf-8")
    with pytest.raises(VindimaError, match=r"tables\.csv: expected (all tables|one line for each table), got "):
        figures.read(copy)
