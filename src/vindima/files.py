"""Files: written whole, CSV read strictly."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vindima.errors import VindimaError


def write(path: Path, content: str | bytes) -> None:
    """Write one file whole; see `write_all`."""
    write_all({path: content})


def write_all(contents: Mapping[Path, str | bytes]) -> None:
    """Write each file, text in UTF-8 with the line ends that it has; folders are made.

    All are written aside before the first takes the place of the old one, so that no reader finds half a file, and
    where one cannot be written the old ones stay.
    """
    aside = {path: path.with_name(f".{path.name}.new") for path in contents}
    try:
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            aside[path].write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        for path, new in aside.items():
            new.replace(path)
    finally:
        for new in aside.values():
            new.unlink(missing_ok=True)


def csv_text(lines: Iterable[Iterable[object]]) -> str:
    """Lines of fields as CSV, each ended by LF."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def read_csv(path: Path, columns: Sequence[str], others: bool = False) -> list[dict[str, str]]:
    """The lines of a CSV file in UTF-8, as text by column name; [] where there is only a header.

    The header is `columns`, or with `others` begins with them. Raises VindimaError for whatever else there is: no
    file, no text, another header, a line of another width: `figures/cells.csv, line 3: expected 60 columns, got 1`.
    """
    if not path.is_file():
        if path.exists():
            raise VindimaError(f"{path}: expected a CSV file, got a folder")
        raise VindimaError(f"there is no {path}: it comes with the project")
    data = path.read_bytes()
    try:
        reader = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
    except UnicodeDecodeError as error:
        at = error.object.count(b"\n", 0, error.start) + 1
        raise VindimaError(
            f"{path}, line {at}: expected text in UTF-8, got the byte {error.object[error.start]:#04x}"
        ) from None
    try:
        numbered = [(reader.line_num, line) for line in reader]
    except csv.Error as error:
        raise VindimaError(
            f"{path}, line {reader.line_num}: expected CSV, got a line that is none ({error})"
        ) from None
    header = numbered[0][1] if numbered else []
    if header[: len(columns)] != list(columns) or (len(header) > len(columns) and not others):
        expected = f"the columns {', '.join(columns)}{' and then others' if others else ''}"
        raise VindimaError(f"{path}, line 1: expected {expected}, got {', '.join(header) or 'none'}")
    if twice := [name for name, times in Counter(header).items() if times > 1]:
        raise VindimaError(f"{path}, line 1: expected each column once, got {twice[0]!r} more than once")
    for number, line in numbered[1:]:
        if len(line) != len(header):
            raise VindimaError(f"{path}, line {number}: expected {len(header)} columns, got {len(line)}")
    return [dict(zip(header, line, strict=True)) for _, line in numbered[1:]]
