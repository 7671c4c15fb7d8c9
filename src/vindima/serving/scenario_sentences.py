"""What a scenario has to say in words, in English and Portuguese: its inputs, and the warnings of its outcome."""

from vindima.forecasting.effects import quantity
from vindima.forecasting.scenario import Caution
from vindima.labels import FLOWS, Language, number, series_name

_EXCHANGE_RATE: dict[Language, str] = {
    "en": "the exchange rate, reais per US dollar, yearly average",
    "pt": "o câmbio, reais por dólar, média do ano",
}
_OF_PRODUCT: dict[tuple[str, str], dict[Language, str]] = {
    ("harvest", "table_wine"): {
        "en": "the production of still wine, common and fine, in Rio Grande do Sul",
        "pt": "a produção de vinhos de mesa, comuns e finos, no Rio Grande do Sul",
    },
    ("harvest", "sparkling_wine"): {
        "en": "the production of sparkling wine and its base wines in Rio Grande do Sul",
        "pt": "a produção de espumantes e seus vinhos-base no Rio Grande do Sul",
    },
    ("harvest", "grape_juice"): {
        "en": "the production of grape juice in Rio Grande do Sul, concentrate by its own litres",
        "pt": "a produção de suco de uva no Rio Grande do Sul, o concentrado por seus próprios litros",
    },
    ("sales", "table_wine"): {
        "en": "the sale of still wine, common, fine, special and organic, by Rio Grande do Sul",
        "pt": "a venda de vinhos de mesa, comuns, finos, especiais e orgânicos, pelo Rio Grande do Sul",
    },
    ("sales", "sparkling_wine"): {
        "en": "the sale of sparkling wine by Rio Grande do Sul",
        "pt": "a venda de espumantes pelo Rio Grande do Sul",
    },
    ("sales", "grape_juice"): {
        "en": "the sale of grape juice by Rio Grande do Sul, concentrate by its own litres",
        "pt": "a venda de suco de uva pelo Rio Grande do Sul, o concentrado por seus próprios litros",
    },
}
_WARNINGS: dict[str, dict[Language, str]] = {
    "association": {
        "en": "The effect of an input is an association in past years, not a cause: what moved the input then may "
        "have moved the price too.",
        "pt": "O efeito de uma variável é uma associação em anos passados, não uma causa: o que moveu a variável "
        "então pode ter movido também o preço.",
    },
    "nothing": {
        "en": "The effect of this input cannot be told from nothing: {input}. The forecast moves by the best guess "
        "of it, and the intervals hold the doubt.",
        "pt": "O efeito desta variável não se distingue de nenhum: {input}. A previsão move-se pela melhor "
        "estimativa dele, e os intervalos guardam a dúvida.",
    },
    "outside": {
        "en": "Far outside history: {input} would be {level} {unit} in {year}; the published years lie between "
        "{lowest} and {highest}.",
        "pt": "Muito fora da história: {input} seria {level} {unit} em {year}; os anos publicados ficam entre "
        "{lowest} e {highest}.",
    },
    "leap": {
        "en": "Far outside history: {input} would change by a factor of {factor} in {year}; the largest of one year "
        "was {largest}.",
        "pt": "Muito fora da história: {input} mudaria por um fator de {factor} em {year}; o maior de um ano foi "
        "{largest}.",
    },
    "together": {
        "en": "Each input's effect is estimated on its own: inputs that used to move together may count the same "
        "thing twice.",
        "pt": "O efeito de cada variável é estimado à parte: variáveis que se moviam juntas podem contar a mesma "
        "coisa duas vezes.",
    },
}


def input_name(name: str, product: str, language: Language) -> str:
    """What an input means for a product: 'sales', 'sparkling_wine', 'en' → 'the sale of sparkling wine by …'.

    Raises VindimaError with the reason where nothing is published.
    """
    quantity(name, product)
    if name in FLOWS:
        return series_name(f"{name}.{product}", language)
    return _EXCHANGE_RATE[language] if name == "exchange_rate" else _OF_PRODUCT[name, product][language]


def sentence(warning: Caution, language: Language) -> str:
    """A warning in words; amounts in whole units, or with two decimals where the last is under 100."""
    text = _WARNINGS[warning.code][language]
    if not warning.input:
        return text
    decimals = 0 if warning.numbers.get("baseline", 0) >= 100 else 2
    return text.format(
        input=input_name(warning.input, warning.product, language),
        unit=quantity(warning.input, warning.product).unit,
        year=warning.year,
        **{name: number(value, decimals, language) for name, value in warning.numbers.items()},
    )
