"""The outlook report: only what exists can be chosen, the sentence is computed, everything is in one page."""

import base64
import io
import re
from pathlib import Path

import pandas as pd
import pytest

from vindima.serving import reports, store


@pytest.fixture
def served(served_set: Path) -> store.ServedSet:
    return store.load(served_set)


def download(page: str, kind: str) -> bytes:
    found = re.search(rf'href="data:{kind};base64,([^"]+)"', page)
    assert found
    return base64.b64decode(found[1])


def test_sentence_is_computed_and_written_as_the_reader_writes(served):
    page = reports.outlook_page(served, "imports.table_wine", "pt")
    assert "Em 2023, um quilograma custou US$ 2,50." in page
    assert "Para 2024, a previsão é de US$ 2,50; em 80 de cada 100 casos assim o preço deve ficar" in page
    assert "entre US$ 1,25 e US$ 3,75" in page
    assert "conteve o preço em 84 de cada 100 casos" in page
    assert "In 2023 a kilogram cost US$ 2.50." in reports.outlook_page(served, "imports.table_wine", "en")


def test_source_line_names_vintage_model_and_last_year(served):
    page = reports.outlook_page(served, "imports.table_wine", "en")
    assert "vintage 0123456789ab, data to 2023" in page
    assert "model naive" in page


def test_series_that_is_not_forecast_says_so_and_shows_its_history(served):
    page = reports.outlook_page(served, "exports.fresh_grapes.NLD", "pt")
    assert "Sem previsão" in page
    assert "<svg" in page
    assert "<table>" not in page


def test_downloads_hold_what_is_on_screen(served):
    page = reports.outlook_page(served, "imports.table_wine.CHL", "pt")
    table = pd.read_csv(io.BytesIO(download(page, "text/csv")))
    assert list(table["year"]) == [*range(2000, 2024), 2024, 2025, 2026]
    assert table["forecast"].notna().sum() == 3
    assert download(page, "image/png").startswith(b"\x89PNG")


def test_only_what_exists_can_be_chosen_and_what_still_fits_is_kept(served):
    panel = reports.Outlook(served)
    assert [value for _, value in panel._country.options] == [
        "imports.table_wine",
        "imports.table_wine.CHL",
        "imports.table_wine.OTHER",
    ]
    panel._country.value = "imports.table_wine.CHL"
    panel._language.value = "en"
    assert panel._country.value == "imports.table_wine.CHL"
    assert "In 2023 a kilogram cost" in panel._page.value
    panel._flow.value = "exports"
    assert (panel._product.value, panel._country.value) == ("fresh_grapes", "exports.fresh_grapes.NLD")


def test_page_loads_nothing_from_elsewhere(served):
    page = reports.outlook_page(served, "imports.table_wine", "pt")
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
