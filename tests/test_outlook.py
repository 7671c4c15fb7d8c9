"""The outlook: only what exists can be chosen, every sentence is computed, everything is in one page."""

import base64
import csv
import html
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from lxml import etree

from vindima.serving import chance, outlook, sentences
from vindima.serving.answers import Answers
from vindima.serving.current import Current


@pytest.fixture
def answers(served_set: Path) -> Answers:
    answers = Current(served_set).answers
    assert answers
    return answers


def changed(answers: Answers, *statements: str) -> Answers:
    """The same set, after these statements of SQL."""
    for statement in statements:
        answers._database.execute(statement)
    answers._database.commit()
    return Answers(answers._database.serialize(), "changed")


def text(page: str) -> str:
    """The words of a page as they are read, hard spaces as spaces."""
    words = html.unescape(re.sub(r"<svg.*?</svg>|<template.*?</template>|<[^>]+>", " ", page, flags=re.DOTALL))
    return re.sub(r"\s+", " ", words)


def download(page: str) -> list[dict[str, str]]:
    [data] = re.findall(r'download="[^"]+\.csv" href="data:text/csv;charset=utf-8;base64,([^"]+)"', page)
    return list(csv.DictReader(io.StringIO(base64.b64decode(data).decode())))


def options(page: str, name: str) -> dict[str, str]:
    """The values that can be chosen → their words."""
    [select] = re.findall(rf'<select name="{name}".*?</select>', page, re.DOTALL)
    return {
        value: html.unescape(words) for value, words in re.findall(r'<option value="([^"]*)"[^>]*>([^<]*)', select)
    }


# What is asked


@pytest.mark.parametrize(
    ("asked", "series"),
    [
        ({}, "imports.table_wine"),
        ({"series": "imports.table_wine.CHL"}, "imports.table_wine.CHL"),
        ({"flow": "imports", "product": "table_wine", "country": "CHL"}, "imports.table_wine.CHL"),
        ({"flow": "exports", "product": "table_wine", "country": "CHL"}, "exports.fresh_grapes.NLD"),
        ({"flow": "imports", "product": "fresh_grapes", "country": "NLD"}, "imports.table_wine"),
    ],
)
def test_choices_that_do_not_go_together_give_way_to_what_there_is(answers, asked, series):
    assert outlook.read(answers, asked).series == series


@pytest.mark.parametrize(
    "asked",
    [{"series": "imports.table_wine.CHI"}, {"flow": "imports", "product": "table_wine", "country": "CHI"},
     {"compare": "imports.table_wine.CHI"}],
)  # fmt: skip
def test_unknown_series_offers_those_most_like_it(answers, asked):
    page = outlook.page(answers, asked, "en")
    assert "There is no series imports.table_wine.CHI." in page
    assert 'href="#series=imports.table_wine.CHL"' in page


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ({"money": "eur", "per": "litre", "horizon": "9", "since": "1500"}, ("usd", "kg", 1, "2000")),
        ({"money": "brl_real", "per": "bottle", "horizon": "2", "since": "all"}, ("brl_real", "bottle", 2, "all")),
        ({"series": "exports.fresh_grapes.NLD", "per": "bottle"}, ("usd", "kg", 1, "2000")),
    ],
)
def test_what_cannot_be_shown_gives_way_to_what_is_shown_first(answers, asked, kept):
    view = outlook.read(answers, asked)
    assert (view.money, view.per, view.horizon, view.since) == kept


def test_scenario_takes_numbers_alone_and_inputs_alone(answers):
    view = outlook.read(answers, {"exchange_rate": "6.0", "harvest": "nan", "sales": "x", "rain": "5"})
    assert view.scenario == {"exchange_rate": 6.0}


def test_only_what_exists_is_offered(answers):
    page = outlook.page(answers, {}, "en")
    assert options(page, "flow") == {"imports": "Imports", "exports": "Exports"}
    assert options(page, "product") == {"table_wine": "Table wine"}
    assert options(page, "country") == {"": "All countries", "CHL": "Chile", "OTHER": "Other"}
    assert options(page, "money") == {
        "usd": "US$ nominal",
        "brl": "R$ nominal",
        "usd_real": "US$ of 2023",
        "brl_real": "R$ of 2023",
    }
    assert options(page, "horizon") == {"1": "2024", "2": "2025", "3": "2026"}
    exports = outlook.page(answers, {"series": "exports.fresh_grapes.NLD"}, "en")
    assert options(exports, "country") == {"NLD": "Netherlands"}
    assert 'name="per"' in page
    assert 'name="per"' not in exports


# What is said


def test_title_and_sentence_are_computed_and_written_as_the_reader_writes(answers):
    page = text(outlook.page(answers, {}, "pt"))
    assert "O vinho de mesa importado deve custar US$ 2,50 por quilo em 2024, quase o mesmo que em 2023" in page
    assert "Em 80 de cada 100 casos assim, o preço fica entre US$ 1,25 e US$ 3,75. Em 2023 custou US$ 2,50." in page
    page = text(outlook.page(answers, {"series": "imports.table_wine.CHL", "horizon": "2"}, "en"))
    assert (
        "Chile: imported table wine is likely to cost US$ 2.50 a kilogram in 2025, about as much as in 2023" in page
    )
    assert "between US$ 0.83 and US$ 4.75" in page


@pytest.mark.parametrize(
    ("forecast", "title", "deck"),
    [
        (2.6, "US$ 2.60 a kilogram in 2024, 4% more than in 2023", "In 2023 it cost US$ 2.50; so it may fall, too."),
        (2.4, "US$ 2.40 a kilogram in 2024, 4% less than in 2023", "In 2023 it cost US$ 2.50; so it may rise, too."),
    ],
)
def test_change_is_said_and_that_it_may_go_the_other_way(answers, forecast, title, deck):
    answers._forecasts["imports.table_wine"][0]["forecast"] = forecast
    page = text(outlook.page(answers, {}, "en"))
    assert title in page
    assert deck in page


def test_series_that_is_not_forecast_says_so_and_shows_its_history(answers):
    page = outlook.page(answers, {"series": "exports.fresh_grapes.NLD"}, "pt")
    assert "custou US$ 2,50 por quilo em 2004" in text(page)
    assert "Sem previsão: em 2023 a série tinha poucos anos" in text(page)
    assert 'id="what-if"' not in page
    assert "não se trata de um país" in text(outlook.page(answers, {"series": "imports.table_wine.OTHER"}, "pt"))


def test_reais_have_a_forecast_with_a_band_and_say_how_often_it_held(answers):
    page = outlook.page(answers, {"money": "brl"}, "en")
    assert "is likely to cost R$ 13.75 a kilogram in 2024, 10% more than in 2023" in text(page)
    assert "Of 1 past forecasts of this series in reais, 1 held in the band." in text(page)
    assert "<polygon" in page.split('id="price"')[1].split("<template")[0]


def test_real_dollars_have_a_forecast_without_a_band_and_the_reason(answers):
    page = outlook.page(answers, {"money": "usd_real"}, "en")
    assert sentences.CONVERTED["usd"]["en"] in text(page)
    assert "there is no price in reais before 1995" in text(outlook.page(answers, {"money": "brl"}, "en"))
    chart = page[page.index('id="price"') : page.index("<template")]
    assert "<polygon" not in chart
    assert "<polygon" in outlook.page(answers, {}, "en").split('id="price"')[1].split("<template")[0]


def test_bottle_of_wine_holds_less_than_a_kilogram(answers):
    page = text(outlook.page(answers, {"per": "bottle"}, "pt"))
    assert "deve custar US$ 1,86 por garrafa" in page  # 2.50 × 0.75 × 0.99
    assert "Garrafa de 750 ml: 0,74 kg de vinho." in page


@pytest.mark.parametrize(("money", "said"), [("usd", False), ("usd_real", True), ("brl_real", True)])
def test_key_figures_say_that_they_are_nominal_beside_a_real_chart(answers, money: str, said: bool):
    for language, words in (
        ("en", "for 2024, a kilogram, nominal"),
        ("pt", "para 2024, por quilo, em valor corrente"),
    ):
        assert (words in text(outlook.page(answers, {"money": money}, language))) == said


def test_key_figures_are_in_every_money_and_say_at_which_rate(answers):
    page = text(outlook.page(answers, {}, "en"))
    for figure in ("US$ 2.50", "US$ 1.86", "R$ 13.75", "R$ 10.21"):
        assert figure in page
    assert "80 in 100: 6.88 to 20.62 with the dollar expected at 5.50" in page


def test_source_line_names_vintage_model_and_last_year(answers):
    page = text(outlook.page(answers, {}, "en"))
    assert "vintage 0123456789ab, data to 2023" in page
    assert "model naive" in page


def test_page_says_its_language(answers):
    assert outlook.page(answers, {}, "pt").startswith('<div class="vindima" lang="pt-BR"')
    assert outlook.page(answers, {}, "en").startswith('<div class="vindima" lang="en"')


# How sure


def recorded(answers: Answers, count: int, held: int) -> Answers:
    """The set with past forecasts of imports of table wine one year ahead, of which the interval held some."""
    columns = "series, cutoff, horizon, year, actual, forecast, q025, q10, q50, q90, q975"
    rows = [
        f"('imports.table_wine', {2000 + place}, 1, {2001 + place}, {2.5 if place < held else 4.0}, 2.5, 1, 2, "
        f"2.5, 3, 5)"
        for place in range(count)
    ]
    return changed(
        answers,
        "delete from past where series = 'imports.table_wine'",
        f"insert into past ({columns}) values {', '.join(rows)}",  # noqa: S608
    )


@pytest.mark.parametrize(
    ("count", "held", "title", "said"),
    [
        (
            16,
            13,
            "Of 16 past forecasts of this series the range held the price in 13",
            "here it held 81, which may be chance",
        ),
        (
            20,
            20,
            "Of 20 past forecasts of this series the range held the price in 20",
            "here it held 100: wider than needed",
        ),
        (
            16,
            8,
            "Of 16 past forecasts of this series the range held the price in 8",
            "here it held only 50: too narrow",
        ),
        (9, 9, "This series has 9 past forecasts: too few to judge by", "the forecasts are too few to judge by"),
        (1, 1, "This series has 1 past forecast: too few to judge by", "the forecasts are too few to judge by"),
    ],
)
def test_page_tells_the_record_of_the_series_that_it_shows(answers, count, held, title, said):
    page = text(outlook.page(recorded(answers, count, held), {}, "en"))
    assert title in page
    assert said in page


@pytest.mark.parametrize(("count", "least", "most"), [(16, 9, 16), (17, 10, 16), (48, 33, 43), (10, 5, 10)])
def test_chance_is_the_exact_binomial(count, least, most):
    assert chance.explains(count) == (least, most)


def test_published_forecast_that_came_due_is_told(answers):
    row = "'imports.table_wine' as series, 2022 as cutoff, 2023 as year, 2.45 as forecast, 2.5 as actual"
    due = changed(recorded(answers, 16, 13), "drop table came_due", f"create table came_due as select {row}")
    said = "Published in 2022: the model said US$ 2.45 for 2023, and it was US$ 2.50."
    assert said in text(outlook.page(due, {}, "en"))


# Price or mix, countries


@pytest.mark.parametrize("language", ["pt", "en"])
def test_total_shows_price_against_mix_with_the_computed_sentence(answers, language):
    item = json.loads(answers.history("imports.table_wine"))["items"][0]["price_and_mix"]
    page = text(outlook.page(answers, {}, language))
    assert item["sentence"][language] in page
    assert all(note in page for note in item["notes"][language])
    assert item["notes"][language]


def test_country_has_no_index_and_so_no_split(answers):
    assert 'id="mix"' not in outlook.page(answers, {"series": "imports.table_wine.CHL"}, "en")


def test_countries_stand_with_share_price_and_forecast_and_lead_to_their_series(answers):
    again = changed(
        answers,
        "insert into prices (series, flow, product, country, year, quantity_kg, value_usd, price_usd_kg, corrected) "
        "select 'imports.table_wine.ARG', flow, product, 'ARG', year, 3000, 4500, 1.5, 0 from prices "
        "where series = 'imports.table_wine.CHL'",
    )
    page = outlook.page(again, {}, "en")
    said = text(page)
    assert "Largest supplier: Chile, with" in said
    assert "Lowest price: Argentina, US$ 1.50" in said
    rows = re.findall(r'<tr><th class="word" scope="row"><a href="#series=([^"]+)">([^<]+)</a>', page)
    assert rows == [("imports.table_wine.CHL", "Chile"), ("imports.table_wine.ARG", "Argentina")]


# Compare, what if


def test_up_to_four_series_are_compared(answers):
    asked = {"compare": "imports.table_wine.CHL,imports.table_wine.OTHER,exports.fresh_grapes.NLD,imports.table_wine"}
    page = outlook.page(answers, asked, "en")
    part = page[page.index('id="compare"') :]
    assert "Prices side by side: Imports of table wine · all countries; Imports of table wine · Chile; " in part
    assert len(re.findall('type="hidden" name="compare"', part)) == 3
    assert '<select name="compare"' not in part
    assert '<select name="compare"' in outlook.page(answers, {}, "en")


def test_scenario_stands_beside_the_baseline_in_both_currencies(answers):
    page = text(outlook.page(answers, {"exchange_rate": "6"}, "en"))
    assert "In this scenario a kilogram would go from US$ 2.50 to US$ 2.39 (−4.5%)" in page  # 1.2 ** -0.25
    assert "In reais, from R$ 13.75 to R$ 14.33 (+4.2%)." in page
    assert "is an association in past years" in page
    assert "Back to the baseline" in page


def test_input_that_cannot_be_told_from_nothing_is_shown_as_such(answers):
    page = outlook.page(answers, {}, "en")
    sliders = dict(re.findall(r'<div class="slider([^"]*)">\s*<label for="input-(\w+)"', page))
    assert sliders == {"": "exchange_rate", " uncertain": "harvest"}
    part = text(page[page.index("effect-harvest") :])
    assert "Cannot be told from zero." in part


def test_slider_beyond_history_warns_and_one_beyond_its_end_stops_there(answers):
    page = outlook.page(answers, {"exchange_rate": "6.9"}, "en")
    assert "Far outside history" in text(page)
    assert 'value="7.0"' in outlook.page(answers, {"exchange_rate": "99"}, "en")


def test_series_without_known_effects_has_no_panel(answers):
    answers._moves = {}
    assert 'id="what-if"' not in outlook.page(answers, {}, "en")


# Tables and downloads


def test_download_holds_what_is_on_screen_unrounded(answers):
    rows = download(outlook.page(answers, {"series": "imports.table_wine.CHL", "since": "all"}, "pt"))
    assert [int(row["year"]) for row in rows] == [*range(2000, 2024), 2024, 2025, 2026]
    stored = answers.rows(
        "select year, price_usd_kg from prices where series = 'imports.table_wine.CHL' order by year"
    )
    assert [float(row["price"]) for row in rows if row["price"]] == [row["price_usd_kg"] for row in stored]
    ahead = answers.rows("select * from forecasts where series = 'imports.table_wine.CHL' order by horizon")
    for name in ("forecast", "q025", "q10", "q90", "q975"):
        assert [float(row[name]) for row in rows if row["forecast"]] == [row[name] for row in ahead]
    assert {row["unit"] for row in rows} == {"US$ FOB/kg"}
    assert {row["vintage"] for row in rows} == {"0123456789ab"}


def test_download_in_another_money_is_in_it(answers):
    rows = download(outlook.page(answers, {"money": "brl_real", "per": "bottle", "since": "all"}, "pt"))
    known = {row["year"]: row["price"] for row in rows}
    assert known["1994"] == ""
    assert float(known["2000"]) == pytest.approx(15 * 0.7425)
    assert {row["unit"] for row in rows} == {"R$ of 2023 FOB/bottle of 750 ml"}


def test_tables_behind_the_chart_are_folded(answers):
    page = outlook.page(answers, {}, "en")
    tables = page[page.index('id="tables"') :]
    assert re.findall(r"<details><summary>([^<]+) <", tables) == ["Table of the forecast", "Table of the history"]
    assert "1.25 – 3.75" in tables


def test_every_chart_says_in_words_what_it_says(answers):
    page = outlook.page(recorded(answers, 16, 13), {"compare": "imports.table_wine.CHL"}, "pt")
    labels = re.findall(r'role="(?:img|slider)"[^>]* aria-label="([^"]+)"', page)
    assert len(labels) == 6
    assert all(len(label) > 30 for label in labels)


@pytest.mark.parametrize("language", ["pt", "en"])
@pytest.mark.parametrize(
    "asked", [{}, {"money": "brl"}, {"series": "exports.fresh_grapes.NLD"}, {"exchange_rate": "6"}]
)
def test_page_is_well_formed_and_loads_nothing_from_elsewhere(answers, language, asked):
    page = outlook.page(answers, asked, language)
    parser = etree.HTMLParser(recover=False)
    etree.fromstring(page, parser)
    assert not [error for error in parser.error_log if "invalid" not in error.message]
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)


def test_page_needs_neither_pandas_nor_matplotlib():
    code = (
        "import sys, vindima.serving.outlook, vindima.serving.widget; "
        "print({'pandas', 'numpy', 'matplotlib'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "set()\n"
