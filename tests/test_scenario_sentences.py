import itertools

import pytest

from vindima.errors import VindimaError
from vindima.etl.schemas import INPUTS
from vindima.forecasting.scenario import Caution
from vindima.labels import TRADE_PRODUCTS
from vindima.serving.scenario_sentences import input_name, sentence

LEVELS = {"level": 300e6, "lowest": 100e6, "highest": 270e6, "baseline": 187e6}
RATES = {"level": 12.0, "lowest": 0.92, "highest": 5.39, "baseline": 5.0}


NOT_PUBLISHED = [(name, product) for name in ("harvest", "sales") for product in ("fresh_grapes", "raisins")]
NOT_PUBLISHED += [("exports", "raisins")]


def test_every_input_that_is_published_has_a_name_in_both_languages():
    for pair in itertools.product(INPUTS, TRADE_PRODUCTS):
        if pair not in NOT_PUBLISHED:
            assert input_name(*pair, "en") != input_name(*pair, "pt")


@pytest.mark.parametrize(("name", "product"), NOT_PUBLISHED)
def test_input_that_is_not_published_has_no_name_but_a_reason(name: str, product: str):
    with pytest.raises(VindimaError, match=f"{name} of {product}: Embrapa publishes"):
        input_name(name, product, "en")


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
    assert sentence(warning, "en") == english
    assert sentence(warning, "pt") == portuguese
