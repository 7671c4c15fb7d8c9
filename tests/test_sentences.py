"""What numbers say in words, as each reader writes numbers."""

import itertools

import pytest

from vindima.errors import VindimaError
from vindima.etl.price_index import Drift, FewMatched, Split
from vindima.forecasting.scenario import Caution
from vindima.inputs import INPUTS
from vindima.labels import TRADE_PRODUCTS
from vindima.serving import sentences

LEVELS = {"level": 300e6, "lowest": 100e6, "highest": 270e6, "baseline": 187e6}
RATES = {"level": 12.0, "lowest": 0.92, "highest": 5.39, "baseline": 5.0}


NOT_PUBLISHED = [(name, product) for name in ("harvest", "sales") for product in ("fresh_grapes", "raisins")]
NOT_PUBLISHED += [("exports", "raisins")]


def test_sentence_says_per_cent_and_log_points_of_price_and_mix():
    assert sentences.split(Split("imports.table_wine", 2014, 2023, 0.9, 1.2, 0.75), "en") == (
        "From 2014 to 2023 the unit value of imports of table wine (nominal US$ FOB a kilogram) changed by −10.0%: "
        "+20.0% by price within countries, bulk against bottled included, and −25.0% by the mix between countries "
        "(in log points −10.5, of which +18.2 price and −28.8 mix)."
    )


def test_portuguese_sentence_writes_numbers_as_a_brazilian_does():
    assert sentences.split(Split("exports.fresh_grapes", 2014, 2023, 1.2, 1.2, 0.99999), "pt") == (
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
    assert f"within countries, {english} included, and" in sentences.split(change, "en")
    assert f"dentro dos países, inclusive {portuguese}, e" in sentences.split(change, "pt")


def test_note_says_between_which_years_too_little_could_be_compared():
    found = FewMatched(2000, 2002, 75 / 101)
    assert sentences.note(found, "en") == (
        "From 2000 to 2002 only 74% of the value traded is with countries that trade in both years; what the others "
        "did counts as mix."
    )
    assert "De 2000 a 2002, só 74% do valor é de países com comércio nos dois anos" in sentences.note(found, "pt")


def test_note_of_a_chain_that_strays_says_both_changes_of_the_prices():
    found = Drift(2000, 2002, 1.0, 1.234)
    assert "comparing 2000 with 2002 directly, countries that trade in both changed their prices by 0.0%" in (
        sentences.note(found, "en")
    )
    assert sentences.note(found, "en").endswith("where the chain of yearly links says +23.4%.")
    assert sentences.note(found, "pt").endswith(
        "mudaram seus preços em 0,0%, enquanto o encadeamento ano a ano dá +23,4%."
    )


def test_every_input_that_is_published_has_a_name_in_both_languages():
    for pair in itertools.product(INPUTS, TRADE_PRODUCTS):
        if pair not in NOT_PUBLISHED:
            assert sentences.input_name(*pair, "en") != sentences.input_name(*pair, "pt")


@pytest.mark.parametrize(("name", "product"), NOT_PUBLISHED)
def test_input_that_is_not_published_has_no_name_but_a_reason(name: str, product: str):
    with pytest.raises(VindimaError, match=f"{name} of {product}: Embrapa publishes"):
        sentences.input_name(name, product, "en")


@pytest.mark.parametrize(
    ("warning", "english", "portuguese"),
    [
        (
            Caution("association"),
            "The effect of an input is an association in past years, not a cause: what moved the input then may have "
            "moved the price too.",
            "O efeito de uma variável é uma associação em anos passados, não uma causa: o que moveu a variável então "
            "pode ter movido também o preço.",
        ),
        (
            Caution("together"),
            "Each input's effect is estimated on its own: inputs that used to move together may count the same thing "
            "twice.",
            "O efeito de cada variável é estimado à parte: variáveis que se moviam juntas podem contar a mesma coisa "
            "duas vezes.",
        ),
        (
            Caution("nothing", "imports", "raisins"),
            "The effect of this input cannot be told from nothing: Imports of raisins · all countries. The forecast "
            "moves by the best guess of it, and the intervals hold the doubt.",
            "O efeito desta variável não se distingue de nenhum: Importação de uvas passas · todos os países. A "
            "previsão move-se pela melhor estimativa dele, e os intervalos guardam a dúvida.",
        ),
        (
            Caution("outside", "sales", "sparkling_wine", 2025, LEVELS),
            "Far outside history: the sale of sparkling wine by Rio Grande do Sul would be 300,000,000 L in 2025; "
            "the published years lie between 100,000,000 and 270,000,000.",
            "Muito fora da história: a venda de espumantes pelo Rio Grande do Sul seria 300.000.000 L em 2025; os "
            "anos publicados ficam entre 100.000.000 e 270.000.000.",
        ),
        (
            Caution("outside", "exchange_rate", "raisins", 2025, RATES),
            "Far outside history: the exchange rate, reais per US dollar, yearly average would be 12.00 R$/US$ in "
            "2025; the published years lie between 0.92 and 5.39.",
            "Muito fora da história: o câmbio, reais por dólar, média do ano seria 12,00 R$/US$ em 2025; os anos "
            "publicados ficam entre 0,92 e 5,39.",
        ),
        (
            Caution("leap", "harvest", "table_wine", 2024, {"factor": 2.5, "largest": 1.75}),
            "Far outside history: the production of still wine, common and fine, in Rio Grande do Sul would change "
            "by a factor of 2.50 in 2024; the largest of one year was 1.75.",
            "Muito fora da história: a produção de vinhos de mesa, comuns e finos, no Rio Grande do Sul mudaria por "
            "um fator de 2,50 em 2024; o maior de um ano foi 1,75.",
        ),
    ],
)
def test_warning_is_said_in_both_languages(warning: Caution, english: str, portuguese: str):
    assert sentences.warning(warning, "en") == english
    assert sentences.warning(warning, "pt") == portuguese
