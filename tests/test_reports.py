"""The outlook report: only what exists can be chosen, the sentence is computed, everything is in one page."""

import base64
import dataclasses
import html
import io
import re
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from vindima.etl import price_index
from vindima.serving import reports, sentences, store


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
    assert "In 2023 a kilogram cost US$ 2.50." in reports.outlook_page(served, "imports.table_wine", "en")


def record(**counts: tuple[int, int, int]) -> pd.DataFrame:
    """One year ahead, for each series of imports: how many forecasts, and how many an interval of 80 and 95 held."""
    rows = [(f"imports.{name}", 1, *of) for name, of in counts.items()]
    far = [(f"imports.{name}", 2, 50, 0, 0) for name in counts]
    return pd.DataFrame(rows + far, columns=["series", "horizon", "n_forecasts", "held_80", "held_95"])


def test_sentence_says_the_series_own_record_one_year_ahead_beside_that_of_all():
    kept = record(table_wine=(16, 16, 16), raisins=(16, 8, 12), grape_juice=(8, 4, 6))
    assert reports.record_sentence(kept, "imports.table_wine", "en") == (
        "In past forecasts of this series one year ahead, made only with what was known then, that interval held the "
        "price in 16 of 16; over all 3 series, in 70 of 100."
    )
    assert "conteve o preço em 8 de 16; no conjunto das 3 séries, em 70 de 100." in (
        reports.record_sentence(kept, "imports.raisins", "pt")
    )


@pytest.mark.parametrize(
    ("forecasts", "english", "portuguese"),
    [
        (9, "there are 9 past forecasts one year", "há 9 previsões passadas para um ano"),
        (1, "there are 1 past forecast one year", "há 1 previsão passada para um ano"),
        (0, "there are 0 past forecasts one year", "há 0 previsão passada para um ano"),
    ],
)
def test_short_record_is_said_to_be_too_short(forecasts: int, english: str, portuguese: str):
    kept = record(table_wine=(16, 12, 16), **({"raisins": (forecasts, 1, 1)} if forecasts else {}))
    said = reports.record_sentence(kept, "imports.raisins", "en")
    assert f"Of this series {english} ahead, too few to judge by" in said
    assert portuguese in reports.record_sentence(kept, "imports.raisins", "pt")


def test_page_tells_the_record_of_the_series_that_it_shows(served):
    kept = record(table_wine=(16, 9, 16), **{"table_wine.CHL": (16, 13, 16)})
    other = dataclasses.replace(served, record=kept)
    assert "held the price in 9 of 16" in reports.outlook_page(other, "imports.table_wine", "en")
    assert "held the price in 13 of 16" in reports.outlook_page(other, "imports.table_wine.CHL", "en")


def test_age_counts_whole_months_since_the_newest_year_ended():
    newest = {"trade": 2024, "production": 2023}
    assert reports.age(newest, "en", date(2026, 3, 10)) == (
        "Newest figures: trade 2024, production 2023; 2024 ended 14 months ago."
    )
    assert reports.age({"comércio": 2024}, "pt", date(2025, 2, 1)).endswith("comércio 2024; 2024 terminou há 1 mês.")
    assert reports.age({"trade": 2024}, "en", date(2024, 12, 31)).endswith("2024 ended 0 months ago.")


def test_page_says_how_old_its_newest_figure_is(served):
    page = html.unescape(reports.outlook_page(served, "imports.table_wine", "en"))
    assert re.search(r"Newest figures: foreign trade 2023; 2023 ended \d+ months ago\.", page)


@pytest.mark.parametrize("price", reports.MONEY)
def test_open_circles_are_named_exactly_where_the_chart_has_one(served, price: str):
    prices = served.prices
    old = (prices["series"] == "imports.table_wine") & (prices["year"] == 1993)
    other = dataclasses.replace(served, prices=prices.assign(corrected=old))
    page = reports.outlook_page(other, "imports.table_wine", "en", price)
    chart = page[page.index("<svg") : page.index("</svg>")]
    assert ("Open circles" in page) == ("fill: #ffffff; stroke: #7b1e3a" in chart) == ("brl" not in price)
    assert "Open circles" not in reports.outlook_page(served, "imports.table_wine", "en", price)


def test_choices_answer_again_after_one_that_failed(served, monkeypatch):
    panel = reports.Outlook(served)
    with monkeypatch.context() as patch:
        patch.setattr(reports, "outlook_page", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            panel._language.value = "en"
    panel._country.value = "imports.table_wine.CHL"
    assert "In 2023 a kilogram cost" in panel._page.value


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
        assert html.escape(sentences.split(change, language)) in page
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
