"""CSV is read strictly: what is no table of the expected columns is one sentence."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from vindima import files, paths
from vindima.errors import VindimaError
from vindima.etl import corrections, crosscheck, enrichment, quality
from vindima.ingestion import figures

COLUMNS = ["table", "row"]


def written(folder: Path, data: bytes) -> Path:
    path = folder / "cells.csv"
    path.write_bytes(data)
    return path


def test_lines_are_texts_by_column_name(tmp_path: Path):
    path = written(tmp_path, b'table,row\nsales," 1\n"\nsales,\n')
    assert files.read_csv(path, COLUMNS) == [{"table": "sales", "row": " 1\n"}, {"table": "sales", "row": ""}]


def test_other_columns_may_follow_where_they_are_expected(tmp_path: Path):
    path = written(tmp_path, b"table,row,1970\nsales,1,9\n")
    assert files.read_csv(path, COLUMNS, others=True) == [{"table": "sales", "row": "1", "1970": "9"}]
    with pytest.raises(VindimaError, match=r"line 1: expected the columns table, row, got table, row, 1970$"):
        files.read_csv(path, COLUMNS)


def test_byte_order_mark_and_windows_line_ends_are_read_over(tmp_path: Path):
    path = written(tmp_path, b"\xef\xbb\xbftable,row\r\nsales,1\r\n")
    assert files.read_csv(path, COLUMNS) == [{"table": "sales", "row": "1"}]


def test_header_alone_is_no_line(tmp_path: Path):
    assert files.read_csv(written(tmp_path, b"table,row\n"), COLUMNS) == []


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", r"cells\.csv, line 1: expected the columns table, row, got none$"),
        (b"\n", r"cells\.csv, line 1: expected the columns table, row, got none$"),
        (b"Table,row\n", r"cells\.csv, line 1: expected the columns table, row, got Table, row$"),
        (b"table,row\nx\n", r"cells\.csv, line 2: expected 2 columns, got 1$"),
        (b'table,row\nsales,"a\nb"\n\nsales,1\n', r"cells\.csv, line 4: expected 2 columns, got 0$"),
        (
            "table,row\nsales,1\nprodução,2\n".encode("latin-1"),
            r"cells\.csv, line 3: expected text in UTF-8, .* 0xe7$",
        ),
        (b'table,row\nsales,"1\n', r"cells\.csv, line 2: expected CSV, got a line that is none"),
        (b'table,row\nsales,"1"2\n', r"cells\.csv, line 2: expected CSV, got a line that is none"),
    ],
    ids=["empty", "blank", "other header", "x", "blank line", "Latin-1", "open quote", "text after a quote"],
)
def test_what_is_no_such_table_is_named_with_its_line(tmp_path: Path, data: bytes, complaint: str):
    with pytest.raises(VindimaError, match=complaint):
        files.read_csv(written(tmp_path, data), COLUMNS)


def test_column_that_stands_twice_is_refused(tmp_path: Path):
    with pytest.raises(VindimaError, match=r"line 1: expected each column once, got '1970' more than once"):
        files.read_csv(written(tmp_path, b"table,row,1970,1970\n"), COLUMNS, others=True)


def test_missing_file_and_a_folder_are_told_apart(tmp_path: Path):
    with pytest.raises(VindimaError, match=r"there is no .*cells\.csv: it comes with the project"):
        files.read_csv(tmp_path / "cells.csv", COLUMNS)
    with pytest.raises(VindimaError, match=r"expected a CSV file, got a folder"):
        files.read_csv(tmp_path, COLUMNS)


def _reviewed(folder: Path) -> object:
    return quality.reviewed(folder, corrections.findings(folder))


READERS: dict[str, Callable[[Path], object]] = {
    "cells.csv": figures.read,
    "comexstat_exports.csv": crosscheck.comexstat,
    "corrections.csv": corrections.register,
    "enrichment_sources.csv": enrichment.read,
    "exchange_rates.csv": enrichment.read,
    "findings.csv": corrections.findings,
    "footnotes.csv": figures.read,
    "price_levels.csv": enrichment.read,
    "reviewed.csv": _reviewed,
    "revisions.csv": figures.history,
    "tables.csv": figures.read,
}


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "a folder": _folder,
    "Latin-1": lambda path: path.write_bytes(path.read_bytes() + "é".encode("latin-1")),
    "a line x": lambda path: path.write_bytes(path.read_bytes() + b"x\n"),
    "no table at all": lambda path: path.write_bytes(b"x\n"),
}


def test_every_bundled_table_has_its_reader():
    assert sorted(READERS) == sorted(path.name for path in paths.FIGURES.glob("*.csv"))


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", READERS)
def test_damaged_bundled_table_is_one_sentence_that_names_it(tmp_path: Path, name: str, damage: str):
    copy = Path(shutil.copytree(paths.FIGURES, tmp_path / "figures"))
    DAMAGES[damage](copy / name)
    with pytest.raises(VindimaError, match=rf"{name}(:|, line \d+:) expected "):
        READERS[name](copy)


@pytest.mark.parametrize("name", READERS)
def test_bundled_table_without_lines_is_none_or_one_sentence(tmp_path: Path, name: str):
    copy = Path(shutil.copytree(paths.FIGURES, tmp_path / "figures"))
    header = (copy / name).read_text(encoding="utf-8").split("\n")[0]
    (copy / name).write_text(f"{header}\n", encoding="utf-8")
    if name in (
        "comexstat_exports.csv",
        "corrections.csv",
        "findings.csv",
        "footnotes.csv",
        "reviewed.csv",
        "revisions.csv",
    ):
        READERS[name](copy)
    else:
        with pytest.raises(VindimaError, match=r"expected|stands in"):
            READERS[name](copy)
