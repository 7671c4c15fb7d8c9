"""The split into price and mix in words, as each reader writes numbers."""

import pytest

from vindima.etl.price_index import Drift, FewMatched, Split
from vindima.serving.price_sentences import note, sentence


def test_sentence_says_per_cent_and_log_points_of_price_and_mix():
    assert sentence(Split("imports.table_wine", 2014, 2023, 0.9, 1.2, 0.75), "en") == (
        "From 2014 to 2023 the unit value of imports of table wine (nominal US$ FOB a kilogram) changed by −10.0%: "
        "+20.0% by price within countries, bulk against bottled included, and −25.0% by the mix between countries "
        "(in log points −10.5, of which +18.2 price and −28.8 mix)."
    )


def test_portuguese_sentence_writes_numbers_as_a_brazilian_does():
    assert sentence(Split("exports.fresh_grapes", 2014, 2023, 1.2, 1.2, 0.99999), "pt") == (
        "De 2014 a 2023, o valor unitário da exportação de uvas frescas (US$ FOB nominais por kg) variou +20,0%: "
        "+20,0% por preço dentro dos países, inclusive tipos e qualidades, e 0,0% pela composição entre "
        "países (em pontos logarítmicos +18,2, dos quais +18,2 de preço e 0,0 de composição)."
    )


@pytest.mark.parametrize(
    ("product", "english", "portuguese"),
    [
        ("table_wine", "bulk against bottled", "granel contra engarrafado"),
        ("grape_juice", "concentrated against ready to drink", "concentrado contra pronto para beber"),
        ("raisins", "kinds and qualities", "tipos e qualidades"),
    ],
)
def test_sentence_says_what_of_the_product_stays_inside_the_price(product: str, english: str, portuguese: str):
    change = Split(f"imports.{product}", 2014, 2023, 0.9, 1.2, 0.75)
    assert f"within countries, {english} included, and" in sentence(change, "en")
    assert f"dentro dos países, inclusive {portuguese}, e" in sentence(change, "pt")


def test_note_says_between_which_years_too_little_could_be_compared():
    found = FewMatched(2000, 2002, 75 / 101)
    assert note(found, "en") == (
        "From 2000 to 2002 only 74% of the value traded is with countries that trade in both years; what the others "
        "did counts as mix."
    )
    assert "De 2000 a 2002, só 74% do valor é de países com comércio nos dois anos" in note(found, "pt")


def test_note_of_a_chain_that_strays_says_both_changes_of_the_prices():
    found = Drift(2000, 2002, 1.0, 1.234)
    assert "comparing 2000 with 2002 directly, countries that trade in both changed their prices by 0.0%" in (
        note(found, "en")
    )
    assert note(found, "en").endswith("where the chain of yearly links says +23.4%.")
    assert note(found, "pt").endswith("mudaram seus preços em 0,0%, enquanto o encadeamento ano a ano dá +23,4%.")
