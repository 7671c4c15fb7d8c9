"""The data-quality report: every number is computed, both languages say the same, labels lie on no line."""

import html
import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import date
from itertools import combinations, pairwise
from pathlib import Path

import pytest
from lxml import etree
from lxml import html as parser

from vindima.etl import crosscheck, schemas
from vindima.ingestion import revisions
from vindima.labels import Language, day, number
from vindima.serving import drawing, quality, quality_charts, sentences, sets, store
from vindima.serving.answers import Answers


def answers(folder: Path, *changes: str) -> Answers:
    """The answers of the set in `folder`, after some changes to its tables."""
    path = folder / sets.SERVICE
    with closing(sqlite3.connect(path)) as database, database:
        for change in changes:
            database.execute(change)
    return Answers(path.read_bytes(), "changed")


def text(page: str) -> str:
    """What a person reads, without the drawings."""
    plain = re.sub(r"<[^>]+>", " ", re.sub(r"<svg.*?</svg>", " ", page, flags=re.S))
    return " ".join(html.unescape(plain).split())


def said(folder: Path, language: Language, *changes: str) -> str:
    return text(quality.page(answers(folder, *changes), {}, language))


def charts(page: str) -> list[parser.HtmlElement]:
    return parser.fromstring(page).xpath("//*[contains(@class, 'chart')]/*[@role]")


def tips(chart: parser.HtmlElement) -> list[str]:
    return json.loads(chart.get("data-tips"))


def test_headline_is_the_price_that_the_corrections_move_most(served_set: Path):
    prices = crosscheck.unit_values(store.load(served_set).review.crosscheck)
    used, published = (number(prices.loc[2013, name], 2, "pt") for name in ("in use", "as published"))
    title = (
        f"Com 2 de 8 células corrigidas, o quilo de vinho exportado em 2013 custou US$ {used}, e não US$ {published}"
    )
    page = quality.page(answers(served_set), {}, "pt")
    assert text(re.findall(r"<h1>.*?</h1>", page)[0]) == title
    assert "US$ 0,40, e não US$ 2,47" in title
    same = "update crosscheck set quantity_kg_published = quantity_kg, value_usd_published = value_usd"
    unmoved = said(served_set, "en", same)
    assert "Cells corrected: 2 of 8" in unmoved
    assert "The corrections change the price of a year by at most 0.0%" in unmoved


def test_page_says_how_much_is_corrected_withheld_and_missing(served_set: Path):
    english, portuguese = said(served_set, "en"), said(served_set, "pt")
    assert "publishes 8 figures and marks in 1 table, from 2012 to 2013." in english
    assert "Corrected cells, all of foreign trade: 2; withheld by the source: 0; without" in english
    assert "publica 8 números e marcas em 1 tabela, de 2012 a 2013." in portuguese
    both = said(served_set, "en", "update counts set \"table\" = 'sales' where year = 2013")
    assert "marks in 2 tables, from" in both


def test_page_says_which_tables_lack_years_and_why(served_set: Path):
    assert "From 2012 to 2013, no year is missing in 1 of 1 table" in said(served_set, "en")
    gone = "update counts set withheld = 4, above_zero = 0, blank = 0 where year = 2012"
    page = said(served_set, "en", gone, "insert into counts values ('sales', 2012, 2, 4, 4, 0, 0, 0, 0, 0, 0)")
    assert "no year is missing in 0 of 2 tables" in page
    assert "Figures are missing in: exports, 2012 (withheld); sales, 2013 (not published)." in page


def test_coverage_tells_each_table_and_year_and_steps_by_rows(served_set: Path):
    added = "insert into counts values ('sales', 2012, 2, 4, 1, 0, 0, 3, 0, 0, 0)"
    [chart] = [
        chart
        for chart in charts(quality.page(answers(served_set, added), {}, "en"))
        if chart.get("data-across") == "2"
    ]
    assert tips(chart) == [
        "Exports of table wine, 2012\nfigures above zero: 3\nthe table's most: 3",
        "Exports of table wine, 2013\nfigures above zero: 3\nthe table's most: 3\ncells corrected: 2",
        "Domestic sales of wine and derivatives, 2012\nnot available (nd)",
        "Domestic sales of wine and derivatives, 2013\nnot published",
    ]
    assert "sales, 2012 (not available) and 2013 (not published)" in chart.get("aria-label")


def test_page_says_what_the_corrections_change_and_how_sure_they_are(served_set: Path):
    english = said(served_set, "en")
    assert "The corrections change the price of 2013 (−84%); that of other years by at most 0.0%" in english
    assert "In 2013 exports of wine cost 2.47 US$/kg as published and 0.40 with the figures of Comex Stat." in english
    assert "2 of 2 corrections are applied: 1 confirmed by another official source, 1 likely" in english
    assert "Em 2013, a exportação de vinhos custou 2,47 US$/kg" in said(served_set, "pt")
    unapplied = said(served_set, "en", "update corrections set applied = 0 where certainty = 'likely'")
    assert "1 of 2 corrections are applied: 1 confirmed by another official source, 0 likely" in unapplied


def test_price_of_each_year_is_told_with_what_the_register_says(served_set: Path):
    chart = charts(quality.page(answers(served_set), {}, "en"))[0]
    prices = crosscheck.unit_values(store.load(served_set).review.crosscheck)
    first, last = tips(chart)
    assert first == f"2012\nUS$\u00a0{prices.loc[2012, 'in use']:.2f} as published"
    assert last == "\n".join(
        [
            "2013",
            f"US$\u00a0{prices.loc[2013, 'as published']:.2f} as published",
            f"US$\u00a0{prices.loc[2013, 'in use']:.2f} corrected",
            "−83.7%",
            "Kilograms and dollars are exchanged",
        ]
    )
    assert "In 2013, US$\u00a02.47 as published and US$\u00a00.40 corrected." in chart.get("aria-label")


def test_page_counts_agreement_with_the_second_source_before_and_after(served_set: Path):
    page = quality.page(answers(served_set), {}, "en")
    assert "Comex Stat confirms 2 of 3 country-years; the rest differ by at most 1 kg" in text(page)
    assert "Of 3 country-years of wine exports (2012 to 2013), 1 equal Comex Stat as published and 2" in text(page)
    assert "differs by at most 1 kg a year" in text(page)
    assert tips(charts(page)[1]) == [
        "2012\nequal as published: 1",
        "2013\nequal once corrected: 1\nsmall difference, left: 1",
    ]


def test_page_tells_totals_flags_and_findings_in_the_readers_language(served_set: Path):
    english, portuguese = said(served_set, "en"), said(served_set, "pt")
    assert "Printed totals: 2. Equal to the sum of their parts: 1; different: 1, 1 of them by 20 units" in english
    assert "1 of 2 totals are not the sum of their parts, 0 by more than 20 units" in english
    assert "Flags of the checks on published figures: 3; explained by the register below: 2." in english
    assert "The register explains 2 of 3 flags" in english
    assert "The parts exceed the total." in english
    assert "As partes excedem o total." in portuguese
    assert "The parts exceed" not in portuguese
    assert re.search(r"Russa corrigido, confirmado 2013 6\.000 · 15\.000 15\.000 · 6\.000", portuguese)


def test_total_that_does_not_add_up_is_told_with_what_the_register_says(served_set: Path):
    larger = "update totals set published = 1000, computed = 1100, difference = -100 where verdict = 'differs'"
    page = quality.page(answers(served_set, larger), {}, "en")
    chart = charts(page)[-1]
    assert tips(chart) == [
        "other products, 2013\nprinted total: 1,000 L\nsum of the parts: 1,100 L\n−10.0%\nThe parts exceed the total"
    ]
    assert "other products, 2013, −10.0% of the total" in chart.get("aria-label")
    assert "1 by more than 20 units" in text(page)


def test_flags_name_what_they_are_about(served_set: Path):
    rows = [
        ("jump", "processing_viniferas", "red/ruby_cabernet", 1986, "quantity_kg", 21.0, 426.0, 700.0),
        ("jump", "sales", "other/double_vinegar", 2020, "quantity_l", 123.0, 4230.0, 271714.0),
        ("repeated_total", "processing_table_grapes", "all", 2022, "quantity_kg", 5.0, None, None),
    ]
    path = served_set / sets.SERVICE
    with closing(sqlite3.connect(path)) as database, database:
        database.executemany("insert into flags values (?, ?, ?, ?, ?, ?, ?, ?, null)", rows)
    english, portuguese = said(served_set, "en"), said(served_set, "pt")
    assert "Vinifera grapes processed Ruby Cabernet 1986 21 kg 426 to 700" in english
    assert "other products: double vinegar 2020 123 L 4,230 to 271,714" in english
    assert "outros produtos comercializados: vinagre duplo 2020 123 L 4.230 a 271.714" in portuguese
    assert "Table grapes processed whole table 2022 5 kg" in english
    assert "price outside the range of its series Exports of table wine Russia" in english


def test_page_counts_each_kind_of_revision_by_table(served_set: Path):
    changes = [revisions.Revision("imports_raisins", "row_added", row=1, label="Irã")] * 2
    changes.append(revisions.Revision("imports_raisins", "year_added", year=2023))
    assert "No change is on record." in said(served_set, "en")
    known = answers(served_set)
    known.collected["revisions"] = revisions.record(changes, "2024-05", "2025-01-19")
    english = text(quality.page(known, {}, "en"))
    assert "Changes: 3; comparisons of vintages: 1." in english
    assert "years added rows added 2024-05 → 2025-01-19 Imports of raisins 1 2" in english


def test_source_line_names_vintage_its_date_and_the_second_source(served_set: Path):
    page = said(served_set, "en")
    assert "vintage 0123456789ab, retrieved January 19, 2025, data to 2013" in page
    assert f"Comex Stat (MDIC), extracted {day(crosscheck.EXTRACTED, 'en')}" in page
    assert re.search(r"Newest figures: exports 2013; 2013 ended \d+ months ago\.", page)


def test_age_counts_whole_months_since_the_newest_year_ended():
    newest = {"trade": 2024, "production": 2023}
    assert sentences.age(newest, "en", date(2026, 3, 10)) == (
        "Newest figures: trade 2024, production 2023; 2024 ended 14 months ago."
    )
    assert sentences.age({"comércio": 2024}, "pt", date(2025, 2, 1)).endswith(
        "comércio 2024; 2024 terminou há 1 mês."
    )
    assert sentences.age({"trade": 2024}, "en", date(2024, 12, 31)).endswith("2024 ended 0 months ago.")


def test_every_finding_stands_beside_its_tables_and_years(served_set: Path):
    english = said(served_set, "en")
    assert "Exports of table wine, 2013 Kilograms and dollars are exchanged. corrected, confirmed 2" not in english
    assert "Exports of table wine, 2013 Kilograms and dollars are exchanged. corrected, confirmed 1" in english
    assert "Imports of table wine; Exports of table wine, 2012–2013 Two rows are exchanged." in english
    assert "Exportação de vinhos de mesa, 2013 Quilos e dólares trocados." in said(served_set, "pt")


def test_vintage_before_the_second_source_begins_has_no_cross_check(served_set: Path):
    english = said(served_set, "en", "delete from crosscheck")
    assert "What the second source says" not in english
    assert "What the corrections change" not in english
    assert "Cells corrected: 2 of 8" in english
    assert "Totals that do not add up" in english


def test_set_with_nothing_odd_says_so(served_set: Path):
    english = said(served_set, "en", "delete from flags", "update totals set verdict = 'equal', difference = 0")
    assert "The checks flag no figure" in english
    assert "0 of 2 totals are not the sum of their parts" in english


def test_every_check_decision_and_change_has_words():
    assert set(quality.CHECKS) == set(schemas.CHECKS)
    assert set(quality.CHANGES) == set(revisions.KINDS)
    words = (
        quality.WORDS, quality.DECISIONS, quality.CHECKS, quality.STATUSES, quality.CHANGES, quality.SECTIONS,
        quality.GROUP_NAMES, quality_charts.WORDS,
    )  # fmt: skip
    for entry in (entry for group in words for entry in group.values()):
        assert set(entry) == {"pt", "en"}
        fields = [set(re.findall(r"{(\w+)}", entry[language])) for language in ("pt", "en")]
        assert fields[0] == fields[1]


def test_whole_page_is_in_the_language_that_is_asked_for(served_set: Path):
    known = answers(served_set)
    english, portuguese = (quality.page(known, {}, language) for language in ("en", "pt"))
    assert "Quanto se pode confiar" in text(portuguese)
    assert "How far the data can be trusted" in text(english)
    for name in ("coverage", "totals", "flags", "register"):
        assert quality.WORDS[name]["en"] in english
        assert quality.WORDS[name]["pt"] not in english


@pytest.mark.parametrize("language", ["pt", "en"])
def test_long_tables_are_folded_and_searched_and_scroll_in_their_own_box(served_set: Path, language: Language):
    page = parser.fromstring(quality.page(answers(served_set), {}, language))
    tables = page.xpath("//table")
    assert len(tables) == len(page.xpath("//details")) - 1  # there are no revisions
    for table in tables:
        [fold] = table.xpath("ancestor::details[not(@open)]")
        [box] = table.xpath("parent::div[@class='wide' and @tabindex='0' and @role='region']")
        [search] = fold.xpath(".//input[@type='search' and @data-filter]")
        title = fold.xpath("string(summary/text())").strip()
        assert box.get("aria-label") == title
        assert title in search.get("aria-label")
        assert len(table.xpath("thead//th[@scope='col']")) == len(table.xpath("tbody/tr[1]/td"))


def test_page_loads_nothing_from_elsewhere(served_set: Path):
    page = quality.page(answers(served_set), {}, "pt")
    assert len(charts(page)) == 5
    assert not re.search(r'(?:src|href)="(?:\w+:)?//', page)


def test_report_is_made_without_the_libraries_of_the_pipeline():
    loaded = "import sys, vindima.serving.quality; print({'pandas', 'numpy', 'matplotlib'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"


# ---- labels

SPIKES = (0.55, 0.50, 0.48, 0.49, 0.57, 0.73, 0.78, 1.12, 0.69, 0.35, 2.03, 2.98, 0.96, 2.49, 3.22, 2.31, 1.56)
SPIKED = [
    {"year": 2000 + place, "published": price, "used": {10: 0.52, 13: 0.61}.get(place, price)}
    for place, price in enumerate(SPIKES)
]
"""Two prices, published too high, between which there is a peak."""
ZIGZAG = [
    {"year": 2000 + place, "published": 3.0 if place % 2 else 1.0, "used": 0.5 if place in (5, 9) else 2.0}
    for place in range(30)
]
"""Lines that leave hardly any room."""
CAUSES = {2010: ["Russia, the year's largest buyer, and Mexico are missing"], 2013: ["Kilograms are exchanged"]}


def boxes(svg: etree._Element) -> list[tuple[str, tuple[float, float, float, float]]]:
    """Each text and about where it lies, with letters as broad as those of a wide font."""
    found = []
    for element in svg.iter("{*}text"):
        words = element.text or ""
        size = float(element.get("font-size") or drawing.TEXT)
        broad = size * sum(0.33 if sign in " .,:;'()fijlt" else 0.62 for sign in words)
        x, y = float(element.get("x")), float(element.get("y"))
        left = x - broad * {"start": 0, "middle": 0.5, "end": 1}[element.get("text-anchor") or "start"]
        found.append((words, (left, y - 0.75 * size, left + broad, y + 0.1 * size)))
    return found


def on_the_way(begin: tuple[float, float], end: tuple[float, float]) -> list[tuple[float, float]]:
    return [tuple(b + (e - b) * step / 200 for b, e in zip(begin, end, strict=True)) for step in range(201)]


def drawings(chart: str) -> list[etree._Element]:
    return [etree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", chart)]


@pytest.mark.parametrize("prices", [SPIKED, ZIGZAG])
@pytest.mark.parametrize("language", ["pt", "en"])
def test_labels_lie_on_no_line_and_not_on_each_other(prices: list, language: Language):
    for svg in drawings(quality_charts.corrected_price(prices, CAUSES, language)):
        labels = boxes(svg)
        for (one, a), (other, b) in combinations(labels, 2):
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], (one, other)
        lines = [
            line.get("points")
            for line in svg.iter("{*}polyline")
            if line.get("stroke") in (drawing.WINE, drawing.BLUE)
        ]
        assert len(lines) == 2
        for line in lines:
            points = [tuple(map(float, point.split(","))) for point in line.split()]
            for x, y in (at for pair in pairwise(points) for at in on_the_way(*pair)):
                assert not [words for words, box in labels if box[0] < x < box[2] and box[1] < y < box[3]]


def test_largest_jumps_are_labelled_with_what_the_register_says_and_a_phone_keeps_it_for_the_tip():
    chart = quality_charts.corrected_price(SPIKED, CAUSES, "en")
    phone, *wider = (" ".join(words for words, _ in boxes(svg)) for svg in drawings(chart))
    for words in wider:
        assert "2010, as published: 2.03 Russia, the year's largest buyer, and Mexico are missing" in words
        assert "2013, as published: 2.49 Kilograms are exchanged" in words
    assert "2013, as published: 2.49" in phone
    assert "2010: 2.03" in phone
    assert "exchanged" not in phone
    assert "Kilograms are exchanged" in json.loads(html.unescape(re.findall('data-tips="(.*?)"', chart)[0]))[13]


DIFFERS = [
    {"table": "sales", "group": "other", "year": year, "published": 100.0, "computed": 125.0, "difference": -25.0,
     "cause": "The parts of other products sold add up to more than the total: nothing says why."}
    for year in range(2004, 2010)
] + [
    {"table": "sales", "group": "table_wine", "year": 2007, "published": 1e6, "computed": 9e5, "difference": 1e5,
     "cause": "The total holds wine of a programme."},
    {"table": "production", "group": "juice", "year": 2022, "published": 1e8, "computed": 1e8 + 2, "difference": -2.0,
     "cause": "Rounding."},
]  # fmt: skip


def test_totals_tell_more_from_less_and_from_rounding_by_form_and_the_largest_gap_by_its_cause():
    names = {(row["table"], row["group"]): (row["group"], "Table") for row in DIFFERS}
    chart = quality_charts.total_gaps(DIFFERS, names, (1970, 2024), "en")
    phone, *wider = drawings(chart)
    for svg in (phone, *wider):
        circles = [(circle.get("fill"), circle.get("stroke")) for circle in svg.iter("{*}circle")][3:]
        assert circles.count((drawing.WINE, "#fff")) == 6
        assert circles.count(("#fff", drawing.WINE)) == 1
        assert circles.count((drawing.GREY, "#fff")) == 1
        words = " ".join(words for words, _ in boxes(svg))
        assert "−25.0%" in words
        assert "+10.0%" in words
        assert ("The parts of other products sold" in words) == (svg is not phone)


@pytest.mark.parametrize("language", ["pt", "en"])
def test_nothing_is_cut_off_in_any_drawing(served_set: Path, language: Language):
    larger = "update totals set published = 1000, computed = 1100, difference = -100 where verdict = 'differs'"
    page = quality.page(answers(served_set, larger), {}, language)
    for svg in drawings(page):
        width, height = (float(side) for side in svg.get("viewBox").split()[2:])
        for words, (left, top, right, bottom) in boxes(svg):
            assert 0 <= left < right <= width, words
            assert 0 <= top < bottom <= height, words


def test_clause_is_what_a_text_of_the_register_begins_with():
    assert quality_charts.clause("Guyana and most of Bolivia are missing; others are short. As published.") == (
        "Guyana and most of Bolivia are missing"
    )
    assert quality_charts.clause("Chile in 2016: 14 kg for US$ 25,963, which cannot be. Unknown.") == (
        "Chile in 2016: 14 kg for US$ 25,963, which cannot be"
    )
    whole = "The same pair of figures for two countries (Malaysia: twice) or years."
    assert quality_charts.clause(whole) == whole[:-1]
