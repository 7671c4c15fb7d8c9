"""A correction is visible, switchable, and stops the run when the source has changed under it."""

import dataclasses

import pandas as pd
import pytest

from vindima.errors import VindimaError
from vindima.etl.corrections import CORRECTIONS, Correction, apply

SWAP = Correction("exports_table_wine", "RUS", 2013, (6.0, 15.0), (15.0, 6.0), "exchanged", "confirmed")
GUESS = dataclasses.replace(SWAP, country="ESP", certainty="likely")


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


def test_correction_replaces_the_figure_and_keeps_the_published_one(trade: pd.DataFrame):
    row = apply(trade, "all", (SWAP,)).iloc[0]
    assert (row["quantity_kg"], row["value_usd"]) == (15, 6)
    assert (row["quantity_kg_published"], row["value_usd_published"]) == (6, 15)
    assert row["quantity_status"] == row["value_status"] == "corrected"


@pytest.mark.parametrize("figure", [0.0, None])
def test_correction_of_a_published_zero_fits_a_blank_too(trade: pd.DataFrame, figure: float | None):
    trade.loc[0, ["quantity_kg", "value_usd", "quantity_kg_published", "value_usd_published"]] = figure
    row = apply(trade, "all", (dataclasses.replace(SWAP, published=(0, 0)),)).iloc[0]
    assert (row["quantity_kg"], row["value_usd"]) == (15, 6)
    assert (row["quantity_kg_published"] == 0) if figure == 0 else pd.isna(row["quantity_kg_published"])
    assert row["quantity_status"] == "corrected"


def test_correction_of_a_figure_does_not_fit_a_blank(trade: pd.DataFrame):
    trade.loc[0, "value_usd_published"] = None
    with pytest.raises(VindimaError, match=r"exports_table_wine 2013, RUS was reviewed for .* now publishes"):
        apply(trade, "all", (SWAP,))


@pytest.mark.parametrize(("scope", "corrected"), [("all", 2), ("confirmed", 1), ("none", 0)])
def test_scope_says_which_corrections_apply(trade: pd.DataFrame, scope, corrected: int):
    assert (apply(trade, scope, (SWAP, GUESS))["value_status"] == "corrected").sum() == corrected


def test_changed_source_stops_the_run_and_names_the_entry(trade: pd.DataFrame):
    trade.loc[0, "value_usd_published"] = 16.0
    with pytest.raises(VindimaError, match=r"exports_table_wine 2013, RUS was reviewed for .* now publishes"):
        apply(trade, "all", (SWAP,))


def test_correction_that_fits_no_row_is_refused(trade: pd.DataFrame):
    with pytest.raises(VindimaError, match="fits 0 rows, expected one"):
        apply(trade, "all", (dataclasses.replace(SWAP, country="CHL"),))


def test_correction_of_a_year_after_the_data_waits(trade: pd.DataFrame):
    assert (apply(trade[trade["year"] > 2013], "all", (dataclasses.replace(SWAP, year=2015),))["year"] == 2014).all()


def test_unknown_scope_is_refused(trade: pd.DataFrame):
    with pytest.raises(VindimaError, match="expected all, confirmed or none, got 'some'"):
        apply(trade, "some", (SWAP,))  # type: ignore[arg-type]


def test_register_names_evidence_and_certainty_for_every_entry():
    assert all(entry.evidence and entry.certainty in ("confirmed", "likely") for entry in CORRECTIONS)
    assert len({(entry.table, entry.country, entry.year) for entry in CORRECTIONS}) == len(CORRECTIONS)
