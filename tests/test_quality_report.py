"""The data-quality report: every sentence is computed, both languages say the same, nothing comes from elsewhere."""

import json
import re
from pathlib import Path

import pytest

from vindima.etl import schemas
from vindima.ingestion import revisions
from vindima.serving import quality, store


@pytest.fixture
def served(served_set: Path) -> store.ServedSet:
    return store.load(served_set)


def text(page: str) -> str:
    """What a person reads, without the drawings."""
    return re.sub(r"<[^>]+>", " ", re.sub(r"<svg.*?</svg>", " ", page, flags=re.S))


def test_page_says_how_much_is_corrected_withheld_and_missing(served: store.ServedSet):
    english, portuguese = (text(quality.data_quality_page(served, language)) for language in ("en", "pt"))
    assert "publishes 8 figures and marks in 1 table, from 2012 to 2013." in english
    assert "Corrected cells, all of foreign trade: 2; withheld by the source: 0; without" in english
    assert "publica 8 números e marcas em 1 tabela, de 2012 a 2013." in portuguese
    two = served.review.counts.assign(table=["exports_table_wine", "sales"])
    review = store.Review(**{**vars(served.review), "counts": two})
    both = store.ServedSet(**{**vars(served), "review": review})
    assert "marks in 2 tables, from" in text(quality.data_quality_page(both, "en"))


def test_page_says_what_the_corrections_change_and_how_sure_they_are(served: store.ServedSet):
    english = text(quality.data_quality_page(served, "en"))
    assert "In 2013 exports of wine cost 2.47 US$/kg as published and 0.40 with the figures of Comex Stat." in english
    assert "2 of 2 corrections are applied: 1 confirmed by another official source, 1 likely" in english
    assert "Em 2013, a exportação de vinhos custou 2,47 US$/kg" in text(quality.data_quality_page(served, "pt"))


def test_page_counts_agreement_with_the_second_source_before_and_after(served: store.ServedSet):
    english = text(quality.data_quality_page(served, "en"))
    assert "Of 3 country-years of wine exports (2012 to 2013), 1 equal Comex Stat as published and 2" in english
    assert "differs by at most 1 kg a year" in english


def test_page_tells_totals_flags_and_findings_in_the_readers_language(served: store.ServedSet):
    english, portuguese = (text(quality.data_quality_page(served, language)) for language in ("en", "pt"))
    assert "Printed totals: 2. Equal to the sum of their parts: 1; different: 1, 1 of them by 20 units" in english
    assert "Flags of the checks on published figures: 3; explained by the register below: 2." in english
    assert "The parts exceed the total." in english
    assert "As partes excedem o total." in portuguese
    assert "The parts" not in portuguese
    assert re.search(r"Russa\s+2013\s+6\.000 · 15\.000\s+15\.000 · 6\.000\s+corrigido, confirmado", portuguese)


def test_page_counts_each_kind_of_revision_by_table(served: store.ServedSet):
    changes = [revisions.Revision("imports_raisins", "row_added", row=1, label="Irã")] * 2
    changes.append(revisions.Revision("imports_raisins", "year_added", year=2023))
    served.manifest["revisions"] = revisions.record(changes, "2024-05", "2025-01-19")
    english = text(quality.data_quality_page(served, "en"))
    assert "Changes: 3; comparisons of vintages: 1." in english
    assert re.search(r"2024-05 → 2025-01-19\s+Imports of raisins\s+1\s+2 ", english)


def test_source_line_names_vintage_its_date_and_the_second_source(served: store.ServedSet):
    page = text(quality.data_quality_page(served, "en"))
    assert "vintage 0123456789ab, retrieved 2025-01-19, data to 2013" in page
    assert "Comex Stat (MDIC), extracted 2023-11-18" in page
    assert re.search(r"Newest figures: exports 2013; 2013 ended \d+ months ago\.", page)


def test_every_finding_stands_beside_its_tables_and_years(served: store.ServedSet):
    english, portuguese = (text(quality.data_quality_page(served, language)) for language in ("en", "pt"))
    assert re.search(r"Exports of table wine, 2013\s+Kilograms and dollars are exchanged\.", english)
    assert re.search(r"Imports of table wine; Exports of table wine, 2012–2013\s+Two rows are exchanged\.", english)
    assert re.search(r"Exportação de vinhos de mesa, 2013\s+Quilos e dólares trocados\.", portuguese)


def test_vintage_before_the_second_source_begins_has_no_cross_check(served: store.ServedSet):
    review = store.Review(**{**vars(served.review), "crosscheck": served.review.crosscheck.iloc[:0]})
    page = quality.data_quality_page(store.ServedSet(**{**vars(served), "review": review}), "en")
    assert "What the second source says" not in page
    assert "Totals that do not add up" in page


def test_every_check_decision_and_change_has_words():
    assert set(quality.CHECKS) == set(schemas.CHECKS)
    assert set(quality.CHANGES) == set(revisions.KINDS)
    words = (quality.WORDS, quality.DECISIONS, quality.CHECKS, quality.STATUSES, quality.CHANGES)
    for entry in (entry for group in words for entry in group.values()):
        assert set(entry) == {"pt", "en"}
        fields = [set(re.findall(r"{(\w+)}", entry[language])) for language in ("pt", "en")]
        assert fields[0] == fields[1]


def test_switch_changes_the_language_of_the_whole_page(served: store.ServedSet):
    report = quality.DataQuality(served)
    assert "Quanto se pode confiar" in report._page.value
    report._language.value = "en"
    assert "How far the data can be trusted" in report._page.value
    assert "O que existe" not in report._page.value


def test_page_loads_nothing_from_elsewhere(served: store.ServedSet):
    page = quality.data_quality_page(served, "pt")
    assert page.count("<svg") == 4
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    assert json.dumps(page)
