"""The outlook report: only what exists can be chosen, the sentence is computed, everything is in one page."""

import base64
import dataclasses
import html
import io
import re
from pathlib import Path

import pandas as pd
import pytest

from vindima.etl import price_index
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


# Price or mix


def test_total_shows_price_against_mix_with_the_computed_sentence_in_the_readers_language(served):
    change = price_index.split(served.index, "imports.table_wine", 2014, 2023)
    for language, heading in (("pt", "Preço ou composição?"), ("en", "Price or mix?")):
        page = reports.outlook_page(served, "imports.table_wine", language)
        assert heading in page
        assert html.escape(price_index.sentence(change, language)) in page
        assert page.count("<svg") == 2
    assert "granel contra engarrafado" in reports.outlook_page(served, "imports.table_wine", "pt")
    assert "bulk against bottled" in page


def test_split_that_is_less_certain_says_to_read_with_care(served):
    note = "Leia com cuidado:</b> De 2014 a 2015, só 43% do valor é de países com comércio nos dois anos"
    assert note in reports.outlook_page(served, "imports.table_wine", "pt")
    only_chile = served.prices[served.prices["country"] != "OTHER"]
    at_one_price = served.index.assign(fisher=1.0, mix=served.index["unit_value_relative"])
    certain = dataclasses.replace(served, prices=only_chile, index=at_one_price)
    assert "Read with care" in reports.outlook_page(served, "imports.table_wine", "en")
    assert "Read with care" not in reports.outlook_page(certain, "imports.table_wine", "en")


def test_index_can_be_downloaded_as_table_and_as_picture(served):
    page = reports.outlook_page(served, "imports.table_wine", "pt")
    names = re.findall(r'download="([^"]+)"', page)
    assert names == [f"imports.table_wine{end}" for end in (".csv", ".png", ".index.csv", ".index.png")]
    split = page[page.index("<h2>") :]
    table = pd.read_csv(io.BytesIO(download(split, "text/csv")))
    pd.testing.assert_frame_equal(table, served.index, check_dtype=False)
    assert download(split, "image/png").startswith(b"\x89PNG")


@pytest.mark.parametrize("series", ["imports.table_wine.CHL", "exports.fresh_grapes.NLD"])
def test_country_has_no_index_and_so_no_split(served, series):
    assert "Preço ou composição?" not in reports.outlook_page(served, series, "pt")


# Money


@pytest.mark.parametrize(
    ("price", "said", "unit"),
    [
        ("price_usd_kg", "Em 2023, um quilograma custou US$ 2,50.", "em dólares correntes"),
        ("price_usd_kg_real", "Em 2023, um quilograma custou US$ 2,50; em 1993, US$ 2,75, tudo em dólares de 2023.",
         "em dólares de 2023"),
        ("price_brl_kg", "Em 2023, um quilograma custou R$ 12,50.", "em reais correntes"),
        ("price_brl_kg_real", "Em 2023, um quilograma custou R$ 15,00; em 1995, R$ 15,00, tudo em reais de 2023.",
         "em reais de 2023"),
    ],
)  # fmt: skip
def test_history_is_shown_in_the_money_that_the_reader_chooses(served, price, said, unit):
    page = reports.outlook_page(served, "imports.table_wine", "pt", price)
    assert said in page
    assert f"FOB por quilograma, {unit}; não é preço de prateleira" in page
    nominal = price == "price_usd_kg"
    assert ("A previsão é feita em dólares correntes." in page) == (not nominal)
    assert ("<table>" in page) == ("Para 2024, a previsão" in page) == ("modelo naive" in page) == nominal
    assert ("não há preço em reais antes de 1995" in page) == ("brl" in price)


def test_series_that_ended_before_the_real_has_no_chart_in_reais_but_says_why(served):
    early = served.prices.assign(
        **{name: float("nan") for name in ("price_brl_kg", "price_brl_kg_real")}, year=served.prices["year"] - 30
    )
    page = reports.outlook_page(
        dataclasses.replace(served, prices=early), "exports.fresh_grapes.NLD", "en", "price_brl_kg"
    )
    assert "there is no price in reais before 1995" in page
    assert "<svg" not in page


def test_download_holds_the_price_in_every_money(served):
    page = reports.outlook_page(served, "imports.table_wine", "pt", "price_brl_kg")
    table = pd.read_csv(io.BytesIO(download(page, "text/csv"))).set_index("year")
    money = ["price_usd_kg", "price_usd_kg_real", "price_brl_kg", "price_brl_kg_real"]
    assert table.loc[2000, money].tolist() == [2.5, 2.75, 12.5, 15.0]
    assert table.loc[1994, money].isna().tolist() == [False, False, True, True]


def test_money_that_was_chosen_stays_chosen_in_another_series_and_language(served):
    panel = reports.Outlook(served)
    assert [name for name, _ in panel._money.options] == [
        "US$ correntes",
        "US$ de 2023",
        "R$ correntes",
        "R$ de 2023",
    ]
    panel._money.value = "price_brl_kg_real"
    assert "custou R$ 15,00" in panel._page.value
    panel._flow.value = "exports"
    panel._language.value = "en"
    assert panel._money.value == "price_brl_kg_real"
    assert "all in reais of 2023" in panel._page.value
    assert [name for name, _ in panel._money.options] == ["US$, nominal", "US$ of 2023", "R$, nominal", "R$ of 2023"]
