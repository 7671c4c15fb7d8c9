"""The model card, in both languages, written from the numbers of the run."""

from pathlib import Path
from typing import Any

import pandas as pd

from vindima.forecasting.eligibility import COUNTRY_KG, COUNTRY_YEARS
from vindima.forecasting.stored import write_text
from vindima.labels import Language, number

FILES: dict[Language, str] = {"en": "card.md", "pt": "card.pt-BR.md"}

MODELS = {
    "naive": {"en": "the last price", "pt": "o último preço"},
    "drift": {"en": "the last price and the average change", "pt": "o último preço e a variação média"},
    "level": {
        "en": "a local level of each log price whose noise falls with volume, parameters shared by all series",
        "pt": "um nível local do log de cada preço, com ruído menor quanto maior o volume e parâmetros comuns a "
        "todas as séries",
    },
    "joint": {
        "en": "factors that all series share (world, product, market, country), a level of its own for each series "
        "and noise that falls with volume, in real dollars; with a little of the last price",
        "pt": "fatores comuns a todas as séries (mundo, produto, mercado, país), um nível próprio de cada série e "
        "ruído menor quanto maior o volume, em dólares reais; com um pouco do último preço",
    },
    "auto_ets": {"en": "exponential smoothing, chosen for each series", "pt": "suavização exponencial por série"},
    "auto_arima": {"en": "ARIMA, chosen for each series", "pt": "ARIMA escolhido por série"},
    "auto_theta": {"en": "Theta, chosen for each series", "pt": "Theta escolhido por série"},
}

_TEXT = {
    "en": """# Model card: prices of Brazilian wine, juice and grape trade

## What it predicts
The yearly unit value of Brazil's imports and exports of wine, juice and grapes, in nominal US$ FOB a kilogram:
{n_series} series ({n_totals} totals and {n_countries} of single countries), {first_target} to {last_target}. The
forecast is the median: the exponential of the median log price, without a mean correction. Intervals of 80 and 95 per
cent stand beside it.

## Model
`{model}`: {model_words}. It had the smallest mean absolute log error of {candidates} at horizons 1 to 3. {intervals}

## Data
Embrapa Uva e Vinho, Vitibrasil, vintage `{vintage}`; trade from {first_year} to {last_year}. A total is forecast
always, a country when it has traded at least {country_kg} kg in {country_years} years, the last one among them.

## How it did
Out of sample, {first_cutoff} to {last_cutoff} as cutoffs, horizons 1 to 3, every model on the same forecasts. Error:
mean absolute error of the log price relative to naive (below 1 is better). Pinball: mean loss over five quantiles
relative to AutoETS. Coverage: share of prices inside the interval.

{tables}

## Caveats
- A unit value is value divided by weight: what a kilogram cost on average at the border, not the price on a shelf.
  It moves when the mix of goods or countries does.
- Dollars are nominal: neither inflation nor the exchange rate is taken out.
- The source has known errors (weights and values exchanged, rows exchanged between countries, shipments missing in
  some years); {corrected} of the {rows} prices rest on a corrected figure.
- Scores are averages over series; one series can do much worse. Within a gap of a series the methods that look at
  one series see the last price carried forward.
- Nothing that happens after {last_year} is known to it.
""",
    "pt": """# Ficha do modelo: preços do comércio brasileiro de vinhos, sucos e uvas

## O que ele prevê
O valor unitário anual das importações e exportações brasileiras de vinhos, sucos e uvas, em US$ FOB nominais por
quilograma: {n_series} séries ({n_totals} totais e {n_countries} de países), de {first_target} a {last_target}. A
previsão é a mediana: a exponencial da mediana do log do preço, sem correção para a média. Ao lado vão os intervalos
de 80 e de 95 por cento.

## Modelo
`{model}`: {model_words}. Teve o menor erro absoluto médio do log entre {candidates}, nos horizontes de 1 a 3 anos.
{intervals}

## Dados
Embrapa Uva e Vinho, Vitibrasil, edição `{vintage}`; comércio de {first_year} a {last_year}. Um total é sempre
previsto; um país, quando comerciou ao menos {country_kg} kg em {country_years} anos, entre eles o último.

## Como se saiu
Fora da amostra, com cortes de {first_cutoff} a {last_cutoff}, horizontes de 1 a 3 anos, todos os modelos nas mesmas
previsões. Erro: erro absoluto médio do log do preço em relação ao ingênuo (menos de 1 é melhor). Pinball: perda média
em cinco quantis em relação ao AutoETS. Cobertura: parcela dos preços dentro do intervalo.

{tables}

## Ressalvas
- O valor unitário é o valor dividido pelo peso: o custo médio de um quilograma na fronteira, não o preço de
  prateleira. Ele muda quando muda a composição dos produtos ou dos países.
- Os dólares são nominais: nem a inflação nem o câmbio foram descontados.
- A fonte tem erros conhecidos (pesos e valores trocados, linhas trocadas entre países, embarques ausentes em alguns
  anos); {corrected} dos {rows} preços se apoiam em um número corrigido.
- As notas são médias entre séries; uma série isolada pode ir bem pior. Nas lacunas de uma série, os métodos que olham
  uma só série veem o último preço repetido.
- Ele nada sabe do que aconteceu depois de {last_year}.
""",
}
_INTERVALS = {
    "calibrated": {
        "en": "Its intervals are as wide as its errors at earlier cutoffs were, over all series, given how volatile "
        "and how large the series is and how far ahead one looks.",
        "pt": "Seus intervalos têm a largura dos erros em cortes anteriores, de todas as séries, conforme a "
        "volatilidade e o volume da série e a distância no tempo.",
    },
    "own": {"en": "Its intervals are the method's own.", "pt": "Seus intervalos são os do próprio método."},
}
_GROUPS = {"all": {"en": "All series", "pt": "Todas as séries"}, "totals": {"en": "Totals", "pt": "Totais"}}
_HEADINGS = {
    "en": ["model", "error", "pinball", "coverage of 80 %", "coverage of 95 %"],
    "pt": ["modelo", "erro", "pinball", "cobertura de 80 %", "cobertura de 95 %"],
}
_COUNTS = {"en": "{} series, {} forecasts", "pt": "{} séries, {} previsões"}


def score_table(comparison: pd.DataFrame, group: str, language: Language) -> str:
    """One group of `scores.compare` as a Markdown table under its name, numbers as `language` writes them."""
    rows = comparison.loc[group]
    first = rows.iloc[0]
    counts = _COUNTS[language].format(*(number(first[name], 0, language) for name in ("n_series", "n_forecasts")))
    lines = [f"**{_GROUPS[group][language]}** ({counts})", "", f"| {' | '.join(_HEADINGS[language])} |"]
    lines.append("|---|---:|---:|---:|---:|")
    for name, row in rows.iterrows():
        cells = [f"`{name}`"]
        cells += [number(row[column], 3, language) for column in ("mae_rel_naive", "pinball_rel_autoets")]
        cells += [f"{number(100 * row[column], 1, language)} %" for column in ("coverage_80", "coverage_95")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def card(
    record: dict[str, Any],
    forecasts: pd.DataFrame,
    comparison: pd.DataFrame,
    cutoffs: tuple[int, int],
    language: Language,
) -> str:
    """The card as Markdown. `record` is `model.json`, `comparison` the answer of `scores.compare`."""
    series = forecasts["series"].drop_duplicates()
    n_totals = int((series.str.count(r"\.") == 1).sum())
    data = record["data"]
    return _TEXT[language].format(
        n_series=number(len(series), 0, language),
        n_totals=n_totals,
        n_countries=len(series) - n_totals,
        first_target=forecasts["year"].min(),
        last_target=forecasts["year"].max(),
        model=record["model"],
        model_words=MODELS[record["model"]][language],
        candidates=", ".join(f"`{name}`" for name in record["choice"]["mean_absolute_log_error"]),
        intervals=_INTERVALS[record["intervals"]][language],
        vintage=record["vintage"],
        country_kg=number(COUNTRY_KG, 0, language),
        country_years=COUNTRY_YEARS,
        first_year=data["first_year"],
        last_year=data["last_year"],
        corrected=number(data["corrected"], 0, language),
        rows=number(data["rows"], 0, language),
        first_cutoff=cutoffs[0],
        last_cutoff=cutoffs[1],
        tables="\n\n".join(score_table(comparison, group, language) for group in ("all", "totals")),
    )


def write(
    record: dict[str, Any], forecasts: pd.DataFrame, scored: pd.DataFrame, comparison: pd.DataFrame, folder: Path
) -> None:
    """Write `card.md` and `card.pt-BR.md` to `folder`. `scored` holds the rows that `comparison` was made from."""
    cutoffs = (int(scored["cutoff"].min()), int(scored["cutoff"].max()))
    for language, name in FILES.items():
        write_text(card(record, forecasts, comparison, cutoffs, language), folder / name)
