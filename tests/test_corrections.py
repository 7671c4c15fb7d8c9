"""A correction is visible, switchable, and stops the run when the source has changed under it."""

from pathlib import Path

import pandas as pd
import pytest

from vindima import paths
from vindima.errors import VindimaError
from vindima.etl import corrections, schemas
from vindima.etl.corrections import apply, applying

FINDINGS = """\
finding,decision,tables,first_year,last_year,en,pt
swap,confirmed,exports_table_wine,2012,2013,Exchanged.,Trocados.
guess,likely,imports_table_wine exports_table_wine,2013,2013,Perhaps.,Talvez.
odd,left,sales,2013,2013,Odd.,Raro.
"""
ENTRIES = """\
finding,table,country,year,quantity_kg_published,value_usd_published,quantity_kg,value_usd
swap,exports_table_wine,RUS,2013,6,15,15,6
guess,exports_table_wine,ESP,2013,6,15,15,6
"""


def written(folder: Path, entries: str = ENTRIES, findings: str = FINDINGS) -> Path:
    (folder / "findings.csv").write_text(findings, encoding="utf-8")
    (folder / "corrections.csv").write_text(entries, encoding="utf-8")
    return folder


@pytest.fixture
def register(tmp_path: Path) -> pd.DataFrame:
    return corrections.register(written(tmp_path))


@pytest.fixture
def trade() -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "flow": "exports",
            "product": "table_wine",
            "country": ["RUS", "ESP", "RUS"],
            "year": [2013, 2013, 2014],
            "quantity_kg": [6.0, 6.0, 9.0],
            "value_usd": [15.0, 15.0, 9.0],
            "quantity_status": "reported",
            "value_status": "reported",
        }
    )
    return frame.assign(quantity_kg_published=frame["quantity_kg"], value_usd_published=frame["value_usd"])


def test_correction_replaces_the_figure_and_keeps_the_published_one(trade: pd.DataFrame, register: pd.DataFrame):
    row = apply(trade, register, "all").iloc[0]
    assert (row["quantity_kg"], row["value_usd"]) == (15, 6)
    assert (row["quantity_kg_published"], row["value_usd_published"]) == (6, 15)
    assert row["quantity_status"] == row["value_status"] == "corrected"


@pytest.mark.parametrize("figure", [0.0, None])
def test_correction_of_a_published_zero_fits_a_blank_too(
    trade: pd.DataFrame, register: pd.DataFrame, figure: float | None
):
    trade.loc[0, ["quantity_kg", "value_usd", "quantity_kg_published", "value_usd_published"]] = figure
    register.loc[0, ["quantity_kg_published", "value_usd_published"]] = 0.0
    row = apply(trade, register, "all").iloc[0]
    assert (row["quantity_kg"], row["value_usd"]) == (15, 6)
    assert (row["quantity_kg_published"] == 0) if figure == 0 else pd.isna(row["quantity_kg_published"])
    assert row["quantity_status"] == "corrected"


def test_correction_of_a_figure_does_not_fit_a_blank(trade: pd.DataFrame, register: pd.DataFrame):
    trade.loc[0, "value_usd_published"] = None
    expected = r"exports_table_wine 2013, RUS was reviewed for 6 kg and 15 US\$, .* publishes 6 kg and no figure"
    with pytest.raises(VindimaError, match=expected):
        apply(trade, register, "all")


@pytest.mark.parametrize(("scope", "corrected"), [("all", 2), ("confirmed", 1), ("none", 0)])
def test_scope_says_which_corrections_apply(trade: pd.DataFrame, register: pd.DataFrame, scope, corrected: int):
    assert (apply(trade, register, scope)["value_status"] == "corrected").sum() == corrected
    assert applying(register, trade, scope).sum() == corrected


def test_changed_source_stops_the_run_and_names_the_entry(trade: pd.DataFrame, register: pd.DataFrame):
    trade.loc[0, "value_usd_published"] = 16.0
    with pytest.raises(
        VindimaError, match=r"2013, RUS was reviewed for .* 15 US\$, .* now publishes .* 16 US\$: review"
    ):
        apply(trade, register, "all")


def test_correction_that_fits_no_row_is_refused(trade: pd.DataFrame, register: pd.DataFrame):
    with pytest.raises(VindimaError, match="exports_table_wine 2013, CHL fits 0 rows, expected one"):
        apply(trade, register.replace({"country": {"RUS": "CHL"}}), "all")


def test_correction_that_fits_two_rows_is_refused(trade: pd.DataFrame, register: pd.DataFrame):
    twice = pd.concat([trade, trade.iloc[:1]], ignore_index=True)
    with pytest.raises(VindimaError, match="exports_table_wine 2013, RUS fits 2 rows, expected one"):
        apply(twice, register, "all")


def test_correction_of_a_year_after_the_data_waits(trade: pd.DataFrame, register: pd.DataFrame):
    register.loc[0, "year"] = 2015
    assert apply(trade, register, "all")["value_status"].tolist() == ["reported", "corrected", "reported"]
    assert applying(register, trade, "all").tolist() == [False, True]


def test_unknown_scope_is_refused(trade: pd.DataFrame, register: pd.DataFrame):
    with pytest.raises(VindimaError, match="expected all, confirmed or none, got 'some'"):
        apply(trade, register, "some")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            "swap,exports_table_wine,RUS,2013,6,15,16,6",
            "exports_table_wine 2013, RUS: two entries correct this one cell",
        ),
        (
            "swap,exports_table_wine,CHL,2013,6,many,16,6",
            "2013, CHL: expected a number in value_usd_published, got 'many'",
        ),
        ("swap,exports_table_wine,CHL,2013,6,5,-1,6", "2013, CHL: expected a number in quantity_kg, got '-1'"),
        ("swap,exports_table_wine,CHL,2013,6,5,inf,6", "2013, CHL: expected a number in quantity_kg, got 'inf'"),
        ("swap,exports_table_wine,CHL,2000.5,6,5,1,6", "CHL: expected a year in year, got '2000.5'"),
        ("swap,exports_table_wine,CHL,70000,6,5,1,6", "CHL: expected a year in year, got '70000'"),
        ("swap,production,CHL,2013,6,5,1,6", "production 2013, CHL: expected a table of imports or exports"),
        (
            "swap,imports_table_wine,CHL,2013,6,5,1,6",
            r"2013, CHL: .* of the finding swap \(exports_table_wine, 2012 to 2013\), got imports_table_wine, 2013",
        ),
        ("swap,exports_table_wine,CHL,2014,6,5,1,6", "CHL: expected a table and years of the finding swap .* 2014"),
        ("swop,exports_table_wine,CHL,2013,6,5,1,6", r"2013, CHL: .* confirmed or likely, got 'swop' \(not there\)"),
        ("odd,exports_table_wine,CHL,2013,6,5,1,6", r"2013, CHL: .* confirmed or likely, got 'odd' \(left\)"),
    ],
)
def test_bad_entry_of_the_register_is_refused_by_name(tmp_path: Path, entry: str, message: str):
    with pytest.raises(VindimaError, match=message):
        corrections.register(written(tmp_path, ENTRIES + entry + "\n"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("swap,left,sales,2013,2013,Again.,De novo.", "finding: .*swap"),
        ("new,perhaps,sales,2013,2013,New.,Novo.", "decision: expected .*got perhaps"),
        ("new,left,sales,2013,2013,New.,", "pt: expected"),
        ("new,left,sales wine,2013,2013,New.,Novo.", "new: expected tables of the catalogue, got 'sales wine'"),
        ("new,left,,2013,2013,New.,Novo.", "new: expected tables of the catalogue, got ''"),
        ("new,left,sales,2013,2012,New.,Novo.", "new: expected two years, got '2013' and '2012'"),
        ("new,left,sales,13,2012,New.,Novo.", "new: expected two years, got '13' and '2012'"),
    ],
)
def test_bad_finding_is_refused_by_name(tmp_path: Path, line: str, message: str):
    with pytest.raises(VindimaError, match=message):
        corrections.findings(written(tmp_path, findings=FINDINGS + line + "\n"))


def test_register_with_other_columns_is_refused(tmp_path: Path):
    with pytest.raises(
        VindimaError, match=r"corrections.csv, line 1: expected the columns finding, table, country, .* got table"
    ):
        corrections.register(written(tmp_path, "table,year\n"))


def test_missing_register_is_refused(tmp_path: Path):
    with pytest.raises(VindimaError, match=r"there is no .*corrections.csv"):
        corrections.register(tmp_path)


def test_every_correction_of_the_project_follows_from_a_finding_that_tells_why():
    register = corrections.register(paths.FIGURES)
    findings = corrections.findings(paths.FIGURES).set_index("finding")
    assert set(register["finding"]) == set(findings.index[findings["decision"] != "left"])
    confirmed = findings[findings["decision"] == "confirmed"]
    assert confirmed["en"].str.contains("Comex Stat").all()
    assert confirmed["pt"].str.contains("Comex Stat").all()


def test_rows_that_were_exchanged_on_internal_evidence_are_only_likely():
    """What a likely correction takes from one country it gives to the other."""
    register = corrections.register(paths.FIGURES)
    likely = register[register["certainty"] == "likely"]
    assert {"AUS", "AUT"} <= set(likely["country"])
    sums = likely.groupby(["table", "year"])[[*corrections.PUBLISHED, *corrections.USED]].sum()
    assert (sums[corrections.PUBLISHED].to_numpy() == sums[corrections.USED].to_numpy()).all()
    schemas.validate(register.assign(applied=True), schemas.CORRECTIONS)
