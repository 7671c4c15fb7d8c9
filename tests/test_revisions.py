import json
import shutil
from collections import Counter
from itertools import combinations, pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.wrappers import Request, Response

from tests.sites import BUNDLED, DAY, FIGURES, Copy, replace, without_downloads
from tests.zones import snapshot
from vindima import paths
from vindima.cli import main
from vindima.errors import VindimaError
from vindima.ingestion import figures, mirror, raw_zone, revisions, site, vintages
from vindima.ingestion.catalogue import TABLES
from vindima.ingestion.parse import RawTable, Row
from vindima.ingestion.revisions import Revision, compare

RAISINS = "imports_raisins"


def a_table(slug: str, years: tuple[int, ...], *rows: tuple[str, ...], source: str = "download/x.csv") -> RawTable:
    """A made-up table; a row is its label and its cells, and `vm_` before a label makes it one of a group's parts."""
    table = TABLES[slug]
    read = [
        Row(position, None if table.is_trade else label, label.removeprefix("vm_"), list(cells))
        for position, (label, *cells) in enumerate(rows, 1)
    ]
    return RawTable(slug, table.title_pt, table.unit, list(years), read, source)


def trade(*rows: tuple[str, ...], years: tuple[int, ...] = (2022,), source: str = "download/x.csv") -> RawTable:
    return a_table(RAISINS, years, *rows, source=source)


def sales(*rows: tuple[str, ...], years: tuple[int, ...] = (2022,), source: str = "download/x.csv") -> RawTable:
    return a_table("sales", years, *rows, source=source)


def changes(before: RawTable, after: RawTable) -> list[Revision]:
    return compare({before.slug: before}, {after.slug: after})


def words(before: RawTable, after: RawTable) -> list[str]:
    return [str(revision) for revision in changes(before, after)]


def test_years_that_came_and_went_are_told_and_their_cells_are_not():
    before = trade(("Chile", "1", "2", "3", "4"), years=(2021, 2022))
    after = trade(("Chile", "3", "4", "5", "6", "7", "8"), years=(2022, 2023, 2024))
    assert changes(before, after) == [
        Revision(RAISINS, "year_removed", year=2021),
        Revision(RAISINS, "year_added", year=2023),
        Revision(RAISINS, "year_added", year=2024),
    ]


def test_a_cell_that_changed_is_named_with_its_place_and_both_texts():
    before = trade(("Chile", "1", "2", "3", "4"), ("Peru", "1", "1", "1", "1"), years=(2021, 2022))
    after = trade(("Chile", "1", "2", "3", "5"), ("Peru", "1", "1", "1", "1"), years=(2021, 2022))
    (changed,) = changes(before, after)
    assert changed == Revision(RAISINS, "cell_changed", 1, "Chile", 2022, "value_usd", "4", "5")
    assert str(changed) == "2022, row 1 (Chile), value_usd: 4 → 5"


@pytest.mark.parametrize(
    ("before", "after"),
    [("35881118,23", "35.881.118,23"), ("7", " 7 "), ("7", "7,00"), ("0", "0,0"), ("nd", " nd"), ("", " ")],
)
def test_a_number_in_another_dress_did_not_change(before, after):
    assert words(sales(("VINHO", before)), sales(("VINHO", after))) == []


@pytest.mark.parametrize(
    ("before", "after"), [("", "0"), ("0", "nd"), ("nd", "*"), ("*", "+"), ("+", ""), ("7", "7,01"), ("0", "-")]
)
def test_blank_zero_and_the_marks_are_different_things(before, after):
    (changed,) = changes(sales(("VINHO", before)), sales(("VINHO", after)))
    assert (changed.kind, changed.before, changed.after) == ("cell_changed", before, after)
    (back,) = changes(sales(("VINHO", after)), sales(("VINHO", before)))
    assert (back.before, back.after) == (after, before)


def test_a_blank_cell_is_said_in_words():
    assert words(sales(("VINHO", "")), sales(("VINHO", "0"))) == ["2022, row 1 (VINHO), quantity_l: blank → 0"]


def test_rows_that_came_and_went_are_told_and_those_that_they_shift_are_not():
    before = trade(("Chile", "1", "2"), ("Irã", "3", "4"), ("Peru", "5", "6"), ("Síria", "7", "8"))
    after = trade(("Cuba", "9", "9"), ("Chile", "1", "2"), ("Omã", "0", "0"), ("Peru", "5", "6"), ("Síria", "7", "8"))
    assert changes(before, after) == [
        Revision(RAISINS, "row_removed", 2, "Irã"),
        Revision(RAISINS, "row_added", 1, "Cuba"),
        Revision(RAISINS, "row_added", 3, "Omã"),
    ]


def test_labels_that_repeat_are_paired_within_their_group():
    before = sales(("MESA", "9"), ("vm_Tinto", "1"), ("vm_Branco", "2"), ("FINO", "8"), ("vm_Tinto", "3"))
    after = sales(
        ("MESA", "9"), ("vm_Tinto", "1"), ("FINO", "8"), ("vm_Rosado", "6"), ("vm_Tinto", "4"), ("vm_Branco", "5")
    )
    assert words(before, after) == [
        "row 3 (Branco) removed",
        "row 4 (Rosado) added",
        "row 6 (Branco) added",
        "2022, row 5 (Tinto), quantity_l: 3 → 4",
    ]


def test_labels_that_repeat_in_one_group_are_paired_by_their_cells_then_by_their_order():
    before = sales(("MESA", "9"), ("vm_Mistura", "1"), ("vm_Mistura", "2"))
    assert words(before, sales(("MESA", "9"), ("vm_Mistura", "2"))) == ["row 2 (Mistura) removed"]
    after = sales(("MESA", "9"), ("vm_Mistura", "3"), ("vm_Mistura", "4"))
    assert words(before, after) == [
        "2022, row 2 (Mistura), quantity_l: 1 → 3",
        "2022, row 3 (Mistura), quantity_l: 2 → 4",
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Mexico", "México"),
        ("Grêcia", "Grécia"),
        ("Taiwan (FORMOSA)", "Taiwan (Formosa)"),
        ("itália", "Itália"),
        ("Guine Bissau", "Guiné-Bissau"),
    ],
)
def test_a_label_written_otherwise_is_a_renamed_row_whatever_its_cells(before, after):
    old = trade(("Chile", "1", "2"), (before, "0", "0"), ("Peru", "5", "6"))
    new = trade(("Chile", "1", "2"), (after, "0", "7"), ("Peru", "5", "6"))
    renamed, changed = changes(old, new)
    assert renamed == Revision(RAISINS, "row_renamed", 2, after, before=before, after=after)
    assert str(renamed) == f"row 2 ({after}) renamed: {before} → {after}"
    assert (changed.kind, changed.row, changed.before, changed.after) == ("cell_changed", 2, "0", "7")


def test_spaces_are_no_other_label():
    assert words(trade(("  Chile ", "1", "2")), trade(("Chile", "1", "2"))) == []
    assert words(sales(("VINHO  FINO", "1")), sales(("VINHO FINO ", "1"))) == []


def test_the_same_label_is_preferred_to_one_that_differs_in_accents():
    before = trade(("Mexico", "1", "2"), ("México", "3", "4"))
    after = trade(("México", "5", "6"), ("Peru", "0", "0"))
    assert [revision.kind for revision in changes(before, after)] == [
        "row_removed", "row_added", "cell_changed", "cell_changed",
    ]  # fmt: skip
    assert changes(before, after)[0].label == "Mexico"


def test_of_labels_that_differ_in_accents_the_one_with_the_same_figures_is_preferred():
    before = trade(("Indonesia", "1", "2"), ("Indonêsia", "3", "4"))
    assert words(before, trade(("Indonésia", "3", "4"))) == [
        "row 1 (Indonesia) removed",
        "row 1 (Indonésia) renamed: Indonêsia → Indonésia",
    ]


def test_a_row_with_another_name_and_the_same_figures_is_renamed():
    before = trade(("Holanda", "1", "2", "0", ""), ("Omã", "0", "0", "0", "0"), years=(2021, 2022))
    after = trade(("Omã e Mascate", "0", "0", "0", "0"), ("Países Baixos", "1", "2,0", "0", ""), years=(2021, 2022))
    assert words(before, after) == [
        "row 2 (Omã) removed",
        "row 1 (Omã e Mascate) added",
        "row 2 (Países Baixos) renamed: Holanda → Países Baixos",
    ]


def test_figures_that_two_rows_share_tell_nothing():
    before = trade(("Holanda", "1", "2"))
    after = trade(("Países Baixos", "1", "2"), ("Bélgica", "1", "2"))
    assert Counter(revision.kind for revision in changes(before, after)) == {"row_removed": 1, "row_added": 2}


def test_figures_of_years_that_one_table_lacks_tell_nothing():
    before, after = trade(("Holanda", "1", "2"), years=(2021,)), trade(("Bélgica", "1", "2"), years=(2022,))
    assert Counter(revision.kind for revision in changes(before, after))["row_renamed"] == 0


def test_a_renamed_group_keeps_its_parts():
    before = sales(("BRANCAS", "9"), ("vm_Tinto", "0"), ("TINTAS", "8"), ("vm_Tinto", "0"))
    after = sales(("BRANCAS E ROSADAS", "9"), ("vm_Tinto", "0"), ("TINTAS", "8"), ("vm_Tinto", "5"))
    assert words(before, after) == [
        "row 1 (BRANCAS E ROSADAS) renamed: BRANCAS → BRANCAS E ROSADAS",
        "2022, row 4 (Tinto), quantity_l: 0 → 5",
    ]


def test_a_row_whose_order_changed_was_moved_and_no_other():
    before = trade(*((label, "1", "2") for label in ("Irã", "Chile", "Cuba", "Peru")))
    after = trade(*((label, "1", "2") for label in ("Angola", "Chile", "Cuba", "Irã", "Peru")))
    assert changes(before, after) == [
        Revision(RAISINS, "row_added", 1, "Angola"),
        Revision(RAISINS, "row_moved", 4, "Irã", before="1", after="4"),
    ]
    assert words(before, after)[1] == "row 4 (Irã) moved: 1 → 4"


def test_a_part_whose_order_changed_within_its_group_was_moved():
    before = sales(("MESA", "9"), ("vm_Tinto", "1"), ("vm_Branco", "2"), ("vm_Rosado", "3"))
    after = sales(("MESA", "9"), ("vm_Branco", "2"), ("vm_Rosado", "3"), ("vm_Tinto", "1"))
    assert words(before, after) == ["row 4 (Tinto) moved: 2 → 4"]


def test_a_group_that_was_moved_takes_its_parts_along():
    before = sales(("MESA", "9"), ("vm_Tinto", "1"), ("FINO", "8"), ("vm_Tinto", "2"), ("SUCO", "7"))
    after = sales(("FINO", "8"), ("vm_Tinto", "2"), ("SUCO", "7"), ("MESA", "9"), ("vm_Tinto", "1"))
    assert words(before, after) == ["row 4 (MESA) moved: 1 → 4"]


def test_a_part_that_stands_under_another_group_with_the_same_figures_was_moved():
    before = sales(("MESA", "9"), ("vm_Tinto", "1"), ("vm_Moscatel", "3"), ("FINO", "8"), ("vm_Tinto", "2"))
    after = sales(("MESA", "9"), ("vm_Tinto", "1"), ("FINO", "8"), ("vm_Tinto", "2"), ("vm_Moscatel", "3"))
    assert words(before, after) == ["row 5 (Moscatel) moved: 3 → 5"]


@given(st.permutations(range(6)))
def test_moved_rows_are_the_fewest_that_leave_the_others_in_order(order):
    before = trade(*((f"País {n}", "1", "2") for n in range(6)))
    after = trade(*((f"País {n}", "1", "2") for n in order))
    in_order = max(
        length
        for length in range(1, 7)
        for kept in combinations(order, length)
        if all(first < second for first, second in pairwise(kept))
    )
    moved = changes(before, after)
    assert {revision.kind for revision in moved} <= {"row_moved"}
    assert len(moved) == 6 - in_order
    left = [n for n in order if f"País {n}" not in {revision.label for revision in moved}]
    assert left == sorted(left)


def test_tables_that_one_side_lacks_are_not_compared_and_named():
    old, new = {RAISINS: trade(("Chile", "1", "2"))}, {"sales": sales(("VINHO", "1"))}
    assert compare(old, new) == compare(new, old) == []
    assert set(revisions.not_compared(old, new)) == set(TABLES)
    assert revisions.not_compared(old, old | new) == [slug for slug in TABLES if slug != RAISINS]


def test_a_table_read_from_pages_is_compared_as_pages_show_it():
    download = sales(("VINHO  ", "1234567,5"), ("SUCO", "0"), ("OUTROS", ""), ("FRISANTE", "5"))
    page = sales(
        ("VINHO", "1.234.568"), ("SUCO", "-"), ("OUTROS", "-"), ("FRISANTE", "6"), source="index.php?opcao=opt_04"
    )
    assert words(download, page) == ["2022, row 4 (FRISANTE), quantity_l: 5 → 6"]
    assert words(page, download) == ["2022, row 4 (FRISANTE), quantity_l: 6 → 5"]


CELLS = st.sampled_from(["", "0", "nd", "5", "5,0", "1.234,5", "77"])
LABELS = st.sampled_from(["Tinto", "tinto", "Branco", "Rosádo", "Rosado", "MESA", "FINO"])


@st.composite
def tables(draw) -> RawTable:
    """A table of sales: groups and parts under labels that repeat, one to three years."""
    years = tuple(sorted(draw(st.sets(st.sampled_from([2020, 2021, 2022, 2023]), min_size=1, max_size=3))))
    row = st.tuples(
        st.builds(str.__add__, st.sampled_from(["", "vm_"]), LABELS),
        st.lists(CELLS, min_size=len(years), max_size=len(years)),
    )
    return sales(*((label, *cells) for label, cells in draw(st.lists(row, max_size=9))), years=years)


@given(tables())
def test_a_table_compared_with_itself_has_no_revisions(table):
    assert changes(table, table) == []


@given(tables(), tables())
def test_the_other_way_round_everything_is_the_other_way_round(old, new):
    there, back = changes(old, new), changes(new, old)

    def told(found: list[Revision], kind: str, *names: str) -> Counter:
        return Counter(tuple(getattr(one, name) for name in names) for one in found if one.kind == kind)

    for kind, opposite in (("row_added", "row_removed"), ("row_removed", "row_added")):
        assert told(there, kind, "row", "label") == told(back, opposite, "row", "label")
    assert told(there, "year_added", "year") == told(back, "year_removed", "year")
    assert told(there, "year_removed", "year") == told(back, "year_added", "year")
    assert told(there, "row_renamed", "before", "after") == told(back, "row_renamed", "after", "before")
    names = ("year", "measure", "before", "after")
    assert told(there, "cell_changed", *names) == told(back, "cell_changed", *names[:2], "after", "before")
    assert told(there, "row_moved").total() == told(back, "row_moved").total()


@given(tables(), tables())
def test_every_row_is_paired_once_or_added_or_removed(old, new):
    kinds = Counter(revision.kind for revision in changes(old, new))
    assert len(old.rows) - kinds["row_removed"] == len(new.rows) - kinds["row_added"]


VINTAGES = {"2023-07": "2023-07_to2021", "2024-05": "2024-05_to2022", "2025-01-19": "2025-01_to2023"}

LATER = {"2025-05-27": "2025-05_to2024", "2026-03-12": "2026-03_to2024"}
"""The second of these has production, processing and sales alone."""


@pytest.fixture(scope="module")
def real(shared_data) -> dict[str, dict[str, RawTable]]:
    """The tables of the three oldest vintages that are known: 4, 11 and 15."""
    return {name: vintages.read(str(shared_data / "vitibrasil" / folder)).tables for name, folder in VINTAGES.items()}


@pytest.mark.parametrize(
    ("before", "after", "compared", "expected"),
    [
        ("2023-07", "2024-05", 3, {"year_added": 3, "row_added": 5}),
        ("2024-05", "2025-01-19", 11, {"year_added": 11, "row_added": 27, "row_renamed": 45, "cell_changed": 4}),
        ("2023-07", "2025-01-19", 4, {"year_added": 8, "row_added": 23, "row_renamed": 6}),
    ],
)
def test_what_changed_between_the_real_vintages(real, before, after, compared, expected):
    found = compare(real[before], real[after])
    assert Counter(revision.kind for revision in found) == expected
    absent = revisions.not_compared(real[before], real[after])
    assert len(TABLES) - len(absent) == compared
    assert not {revision.table for revision in found} & set(absent)


def test_revisions_known_from_reading_the_real_vintages_are_found(real):
    found = compare(real["2024-05"], real["2025-01-19"])
    renamed = {(revision.before, revision.after) for revision in found if revision.kind == "row_renamed"}
    assert renamed > {
        ("Mexico", "México"),
        ("Grêcia", "Grécia"),
        ("Taiwan (FORMOSA)", "Taiwan (Formosa)"),
        ("VINHO FINO DE MESA (VINÍFERA)", "VINHO FINO DE MESA (VINIFERA)"),
    }
    assert [str(revision) for revision in found if revision.kind == "cell_changed"] == [
        "2022, row 68 (Outros), quantity_kg: blank → 0",
        "2022, row 68 (Outros), value_usd: blank → 0",
        "2021, row 12 (Estados Unidos), quantity_kg: 25693 → 3870",
        "2021, row 12 (Estados Unidos), value_usd: 16742 → 3551",
    ]


def test_the_bundled_history_is_what_the_comparison_of_the_real_vintages_gives(real, shared_data):
    oldest, middle, newest = VINTAGES
    only = {slug: table for slug, table in real[oldest].items() if slug not in real[middle]}
    assert set(only) == {"processing_american_hybrid"}
    later, latest = (vintages.read(str(shared_data / "vitibrasil" / folder)).tables for folder in LATER.values())
    days = [newest, *LATER]
    told = [
        *revisions.record(compare(real[oldest], real[middle]), oldest, middle),
        *revisions.record(compare(only, real[newest]), oldest, newest),
        *revisions.record(compare(real[middle], real[newest]), middle, newest),
        *revisions.record(compare(real[newest], later), days[0], days[1]),
        *revisions.record(compare(later, later | latest), days[1], days[2]),
    ]
    assert figures.history(BUNDLED)[: len(told)] == told


def test_the_bundled_history_ends_with_the_bundled_vintage():
    assert max(line["to"] for line in figures.history(BUNDLED)) == figures.read(BUNDLED).retrieved_on
    readme = (BUNDLED / "README.md").read_text(encoding="utf-8")
    assert [word for word in (*revisions.COLUMNS, *revisions.KINDS) if f"`{word}`" not in readme] == []


def test_the_newest_revisions_in_a_sentence():
    assert revisions.newest([]) == "No revision of the source is recorded."
    one = revisions.record([Revision(RAISINS, "year_added", year=2024)], "2025-01-19", "2026-02-03")
    assert revisions.newest(figures.history(FIGURES) + one) == (
        "From 2025-01-19 to 2026-02-03 the source changed 1 table: 1 year added."
    )
    assert revisions.newest(figures.history(FIGURES)) == (
        "From 2023-07 and 2024-05 to 2025-01-19 the source changed 12 tables: "
        "13 years added, 29 rows added, 45 rows renamed, 4 cells changed."
    )


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    """A raw zone collected from the mirror; copied before it is changed."""
    folder = tmp_path_factory.mktemp("good") / "raw"
    site.collect("mirror", raw_dir=folder, figures_dir=FIGURES)
    return folder


def revised(request: Request, answer: Response) -> None:
    """The site after a revision of its raisins: a row renamed, one inserted, a year added, and a cell changed."""
    if request.path == "/download/ImpPassas.csv":
        header, *lines = answer.get_data(as_text=True).splitlines()
        lines = [line.replace("Argentina;1530058;", "Argentina;1530059;").replace("Irã", "Iran") for line in lines]
        lines = [f"{header};2024;2024", *(f"{line};7;8" for line in [*lines[:5], "6;Aruba" + 108 * ";0", *lines[5:]])]
        answer.set_data("".join(f"{line}\n" for line in lines))
    else:
        replace(answer, "1.530.058", "1.530.059")


IRAN = next(row.row for row in figures.read(FIGURES).tables[RAISINS].table.rows if row.label == "Irã")
REVISED = [
    Revision(RAISINS, "year_added", year=2024),
    Revision(RAISINS, "row_added", 6, "Aruba"),
    Revision(RAISINS, "row_renamed", IRAN + 1, "Iran", before="Irã", after="Iran"),
    Revision(RAISINS, "cell_changed", 5, "Argentina", 1970, "quantity_kg", "1530058", "1530059"),
]


def collect_from(copy: Copy, raw_dir: Path) -> dict:
    with mirror.running(copy) as base:
        return site.collect(base, raw_dir=raw_dir, figures_dir=FIGURES, requests_per_second=None)


@pytest.fixture(scope="module")
def changed(tmp_path_factory, good) -> Path:
    """A raw zone collected from the site after its revision, in place of the good one."""
    raw = shutil.copytree(good, tmp_path_factory.mktemp("changed") / "raw")
    collect_from(Copy(revised), raw)
    return raw


def test_the_mirrors_manifest_has_the_history_whatever_was_on_hand(tmp_path, good, changed):
    assert raw_zone.read_manifest(good)["revisions"] == figures.history(FIGURES)
    raw = shutil.copytree(changed, tmp_path / "raw")
    site.collect("mirror", accept="any", raw_dir=raw, figures_dir=FIGURES)
    assert snapshot(raw) == snapshot(good)


def test_a_live_collection_also_records_what_changed_since_the_zone_on_hand(changed):
    manifest = raw_zone.read_manifest(changed)
    recorded = figures.history(FIGURES) + revisions.record(REVISED, DAY, manifest["retrieved_at"])
    assert manifest["revisions"] == recorded
    assert manifest["vintage"] == raw_zone.vintage(manifest["files"])


def test_a_first_live_collection_records_the_history_alone(tmp_path):
    assert collect_from(Copy(), tmp_path / "raw")["revisions"] == figures.history(FIGURES)


def test_pages_in_place_of_downloads_are_no_revision(tmp_path, good, monkeypatch):
    monkeypatch.setattr(
        site, "TABLES", {slug: TABLES[slug] for slug in ("processing_unclassified", "imports_raisins")}
    )
    raw = shutil.copytree(good, tmp_path / "raw")
    manifest = collect_from(without_downloads(), raw)
    assert {file["method"] for file in manifest["files"]} == {"pages"}
    assert manifest["revisions"] == figures.history(FIGURES)


def test_a_damaged_table_on_hand_is_not_compared_and_the_others_are(tmp_path, good, caplog):
    raw = shutil.copytree(good, tmp_path / "raw")
    (raw / "tables" / "sales.json").write_text("{", encoding="utf-8")
    (raw / "manifest.json").unlink()
    manifest = collect_from(Copy(revised), raw)
    told = manifest["revisions"][len(figures.history(FIGURES)) :]
    assert told == revisions.record(REVISED, "unknown", manifest["retrieved_at"])
    assert "sales is not compared with the raw zone on hand" in caplog.text


def test_freezing_adds_what_changed_to_the_history_once(tmp_path, changed):
    bundled = shutil.copytree(FIGURES, tmp_path / "figures")
    before = (bundled / "revisions.csv").read_bytes()
    for _ in range(2):
        answer = CliRunner().invoke(main, ["freeze", "--raw", str(changed), "--figures", str(bundled)])
        assert answer.exit_code == 0, answer.output
        day = raw_zone.read_manifest(changed)["retrieved_at"][:10]
        assert figures.history(bundled) == figures.history(FIGURES) + revisions.record(REVISED, DAY, day)
        assert (bundled / "revisions.csv").read_bytes().startswith(before)


def test_freezing_the_mirrors_collection_leaves_the_history_as_it_is(tmp_path, good):
    bundled = shutil.copytree(FIGURES, tmp_path / "figures")
    figures.write(good, bundled)
    assert snapshot(bundled) == snapshot(FIGURES)


def test_a_first_freeze_takes_the_history_from_the_manifest(tmp_path, changed):
    raw = shutil.copytree(changed, tmp_path / "raw")
    manifest = raw_zone.read_manifest(raw)
    figures.write(raw, tmp_path / "figures")
    assert figures.history(tmp_path / "figures") == manifest.pop("revisions")
    (raw / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    figures.write(raw, tmp_path / "other")
    assert figures.history(tmp_path / "other") == []


def test_a_blank_cell_and_a_field_that_says_nothing_survive_the_history(tmp_path):
    found = [
        Revision(RAISINS, "cell_changed", 1, "Chile", 2022, "value_usd", "", "0"),
        Revision(RAISINS, "row_added", 2, 'Cocos (Keeling), "Ilhas"'),
    ]
    bundled = shutil.copytree(FIGURES, tmp_path / "figures")
    recorded = revisions.record(found, "2024-05", "2025-01-19")
    figures.save(figures.read(FIGURES), recorded, bundled)
    assert figures.history(bundled) == recorded


@pytest.mark.parametrize(
    ("old", "new"),
    [("row_added,6,", "row_added,six,"), ("row_added,", "row_doubled,"), (",measure,", ",unit,"), (",,,\n", ",,\n")],
)
def test_a_damaged_history_is_one_sentence_with_its_line(tmp_path, old, new):
    path = shutil.copytree(FIGURES, tmp_path / "figures") / "revisions.csv"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(VindimaError, match=r"revisions\.csv, line \d+: expected "):
        figures.history(path.parent)


def revise(*arguments: str) -> str:
    answer = CliRunner().invoke(main, ["revisions", *arguments])
    assert answer.exit_code == 0, answer.output
    return answer.stdout


def test_the_command_tells_each_table_and_its_changes(good, changed):
    lines = revise(str(good), str(changed)).splitlines()
    moment = raw_zone.read_manifest(changed)["retrieved_at"]
    assert lines[0] == f"from {good} ({DAY}) to {changed} ({moment})"
    assert lines[1] == "production: nothing changed"
    at = lines.index("imports_raisins: 1 year added, 1 row added, 1 row renamed, 1 cell changed")
    assert lines[at + 1 : at + 5] == [f"  {revision}" for revision in REVISED]
    assert len(lines) == 1 + len(TABLES) + len(REVISED)


def test_without_arguments_the_command_compares_the_bundled_figures_with_the_raw_zone(good, monkeypatch):
    monkeypatch.setattr(paths, "FIGURES", FIGURES)
    monkeypatch.setattr(paths, "RAW", good)
    lines = revise().splitlines()
    assert lines[0] == f"from {FIGURES} ({DAY}) to {good} ({DAY})"
    assert lines[1:] == [f"{slug}: nothing changed" for slug in TABLES]


def test_many_changes_are_told_in_part_unless_all_are_asked_for(tmp_path, good):
    data = (good / "files" / "ImpPassas.csv").read_text(encoding="utf-8")
    for name, text in (("old", data), ("new", data.replace(";0\n", ";1\n"))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ImpPassas.csv").write_text(text, encoding="utf-8")
    many = data.count(";0\n")
    assert many > 10
    some, everything = (
        revise(str(tmp_path / "old"), str(tmp_path / "new")),
        revise(str(tmp_path / "old"), str(tmp_path / "new"), "--all"),
    )
    assert len(some.splitlines()) == 1 + 1 + 10 + 1 + 1
    assert f"  … and {many - 10} more" in some
    assert everything.count("value_usd: 0 → 1") == many
    assert "more" not in everything
    assert some.splitlines()[-1].startswith("not compared, because not in both: production, ")


def test_json_has_every_change_and_what_is_not_compared(good, changed):
    found = json.loads(revise(str(good), str(changed), "--json"))
    moment = raw_zone.read_manifest(changed)["retrieved_at"]
    assert found["revisions"] == revisions.record(REVISED, DAY, moment)
    assert found["not_compared"] == []


def test_an_address_that_is_no_vintage_is_one_sentence_and_exit_1(tmp_path):
    answer = CliRunner().invoke(main, ["revisions", str(tmp_path)])
    assert answer.exit_code == 1
    assert answer.stderr.startswith(f"vindima: {tmp_path}: expected a raw zone (manifest.json), ")
    assert len(answer.stderr.splitlines()) == 1
