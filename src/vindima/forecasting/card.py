"""The model card, in both languages, written from the numbers of the run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vindima.forecasting import scores
from vindima.forecasting.eligibility import COUNTRY_KG, COUNTRY_YEARS
from vindima.forecasting.scores import SCORED_HORIZONS
from vindima.forecasting.stored import write_text
from vindima.labels import FLOWS, TRADE_PRODUCTS, Language, counted, number, series_name

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
{n_series} ({n_totals} and {n_countries} of single countries), {first_target} to {last_target}. The
forecast is the median: the exponential of the median log price, without a mean correction. Intervals of 80 and 95 per
cent stand beside it.

## Model
`{model}`: {model_words}. It had the smallest mean absolute log error of {candidates} at horizons 1 to 3. {intervals}

## Data
Embrapa Uva e Vinho, Vitibrasil, vintage `{vintage}`; trade from {first_year} to {last_year}. A total is forecast
always, a country when it has traded at least {country_kg} kg in {country_years} years, the last one among them.

## How it did
Out of sample, {first_cutoff} to {last_cutoff} as cutoffs, horizons 1 to 3, every model on the same forecasts. Error:
mean absolute error of the log price relative to naive (below 1 is better). Ours: the error of `{model}` relative to
this one's. Pinball: mean loss over five quantiles relative to AutoETS. Coverage: share of prices inside the interval.
In parentheses the 95 per cent interval of a block bootstrap over cutoffs: a difference is one where it excludes 1.

{tables}

Against the prices as published, without today's corrections, it errs {published} of naive ({published_totals} for the
totals). Forecasts of a price that rests on a correction that is only likely are left out of every score: {unscored}
of {made} at horizons 1 to 3.

### Where it fails
{fails}

{parts}

### Total by total
{totals}

## Forecast against actual
The first forecasts of each vintage are kept as they were published and are scored when the prices come, whatever the
model has become since; two vintages with the same cutoff are two publications. Naive is the last price at the cutoff,
as it stands today.

{against_actual}

## Caveats
- A unit value is value divided by weight: what a kilogram cost on average at the border, not the price on a shelf.
  It moves when the mix of goods or countries does.
- Dollars are nominal: neither inflation nor the exchange rate is taken out.
- The source has known errors (weights and values exchanged, rows exchanged between countries, shipments missing in
  some years); {corrected} of the {rows} prices rest on a corrected figure.
- Scores are averages over series; one series can do much worse. Within a gap of a series the methods that look at
  one series see the last price carried forward, all alike; `level` and `joint` read a gap as a gap.
- Corrections known today were not known at old cutoffs: past forecasts are made from corrected figures.
- Nothing that happens after {last_year} is known to it.
""",
    "pt": """# Ficha do modelo: preços do comércio brasileiro de vinhos, sucos e uvas

## O que ele prevê
O valor unitário anual das importações e exportações brasileiras de vinhos, sucos e uvas, em US$ FOB nominais por
quilograma: {n_series} ({n_totals} e {n_countries} de países), de {first_target} a {last_target}. A
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
previsões. Erro: erro absoluto médio do log do preço em relação ao ingênuo (menos de 1 é melhor). Nosso: o erro de
`{model}` em relação ao do modelo da linha. Pinball: perda média em cinco quantis em relação ao AutoETS. Cobertura:
parcela dos preços dentro do intervalo. Entre parênteses, o intervalo de 95 por cento de um bootstrap em blocos de
cortes: só há diferença onde ele exclui o 1.

{tables}

Frente aos preços como publicados, sem as correções de hoje, erra {published} do ingênuo ({published_totals} nos
totais). As previsões de um preço que se apoia em uma correção apenas provável ficam fora de todas as notas:
{unscored} de {made} nos horizontes de 1 a 3 anos.

### Onde ele falha
{fails}

{parts}

### Total por total
{totals}

## Previsto e realizado
As primeiras previsões de cada edição ficam guardadas como foram publicadas e recebem nota quando os preços chegam,
por mais que o modelo tenha mudado desde então; duas edições com o mesmo corte são duas publicações. O ingênuo é o
último preço no corte, como consta hoje.

{against_actual}

## Ressalvas
- O valor unitário é o valor dividido pelo peso: o custo médio de um quilograma na fronteira, não o preço de
  prateleira. Ele muda quando muda a composição dos produtos ou dos países.
- Os dólares são nominais: nem a inflação nem o câmbio foram descontados.
- A fonte tem erros conhecidos (pesos e valores trocados, linhas trocadas entre países, embarques ausentes em alguns
  anos); {corrected} dos {rows} preços se apoiam em um número corrigido.
- As notas são médias entre séries; uma série isolada pode ir bem pior. Nas lacunas de uma série, os métodos que olham
  uma só série veem o último preço repetido, todos da mesma forma; `level` e `joint` leem a lacuna como lacuna.
- As correções de hoje não eram conhecidas nos cortes antigos: as previsões passadas partem dos números corrigidos.
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
    "en": ["model", "error", "ours", "pinball", "coverage of 80 %", "coverage of 95 %"],
    "pt": ["modelo", "erro", "nosso", "pinball", "cobertura de 80 %", "cobertura de 95 %"],
}
_PART_HEADINGS = {
    "en": ["", "forecasts", "error", "median error", "coverage of 80 %", "coverage of 95 %"],
    "pt": ["", "previsões", "erro", "erro mediano", "cobertura de 80 %", "cobertura de 95 %"],
}
_TOTAL_HEADINGS = {
    "en": ["", "forecasts", "error", "median error", "held by 80 %", "held by 95 %", "by 80 %, one year ahead"],
    "pt": ["", "previsões", "erro", "erro mediano", "nos 80 %", "nos 95 %", "nos 80 %, um ano à frente"],
}
_SERIES = {"en": ("series", "series"), "pt": ("série", "séries")}
_TOTALS = {"en": ("total", "totals"), "pt": ("total", "totais")}
_FORECASTS = {"en": ("forecast", "forecasts"), "pt": ("previsão", "previsões")}
_OF = {"en": "{} of {}", "pt": "{} de {}"}
_YEARS = {"en": ("year", "years"), "pt": ("ano", "anos")}
_AHEAD = {"en": "ahead", "pt": "à frente"}
_FAILS = {
    "some": {
        "en": "No better than the last price, as far as these years can tell: {parts}.",
        "pt": "Não é melhor que o último preço, pelo que estes anos permitem dizer: {parts}.",
    },
    "none": {
        "en": "In no flow, product, horizon or total is the last price as good, but single series do differ.",
        "pt": "Em nenhum fluxo, produto, horizonte ou total o último preço é tão bom, mas séries isoladas diferem.",
    },
}

_PUBLISHED_HEADINGS = {
    "en": ["vintage", "model", "year", "years ahead", "forecasts", "error", "coverage of 80 %", "coverage of 95 %"],
    "pt": ["edição", "modelo", "ano", "anos à frente", "previsões", "erro", "cobertura de 80 %", "cobertura de 95 %"],
}
_CAME_HEADINGS = {
    "en": ["", "year", "forecast", "80 in 100", "last price", "what came", ""],
    "pt": ["", "ano", "previsão", "80 em cada 100", "último preço", "o que veio", ""],
}
_CAME = {
    "en": "The totals in the newest year that has come, US$ FOB a kilogram, as vintage `{}` forecast them:",
    "pt": "Os totais no ano mais novo que chegou, em US$ FOB por quilograma, como a edição `{}` os previu:",
}
_INSIDE = {True: {"en": "inside", "pt": "dentro"}, False: {"en": "outside", "pt": "fora"}}
_WAITS = {
    "en": "Vintage `{vintage}` (`{model}`, data up to {cutoff}): no price has come since it was published; its first "
    "score comes with the prices of {year}.",
    "pt": "Edição `{vintage}` (`{model}`, dados até {cutoff}): nenhum preço chegou desde que foi publicada; a "
    "primeira nota vem com os preços de {year}.",
}
_NOTHING_PUBLISHED = {"en": "Nothing has been published yet.", "pt": "Nada foi publicado ainda."}


def score_table(stand: pd.DataFrame, group: str, language: Language) -> str:
    """One group of `scores.stand` as a Markdown table under its name, numbers as `language` writes them."""
    rows = _against(stand, "corrected", group)
    counts = ", ".join(
        counted(int(rows[name].iloc[0]), *words[language], language)
        for name, words in (("n_series", _SERIES), ("n_forecasts", _FORECASTS))
    )
    cells = [
        [
            f"`{row['model']}`",
            _ratio(row, "mae_rel_naive", language),
            _ratio(row, "ours_rel", language),
            number(row["pinball_rel_autoets"], 3, language),
            *_coverage(row, language),
        ]
        for row in rows.to_dict("records")
    ]
    return "\n".join([f"**{_GROUPS[group][language]}** ({counts})", "", _markdown(_HEADINGS[language], cells)])


def part_table(stand: pd.DataFrame, model: str, language: Language) -> str:
    """Scores of `model` by horizon, flow and product as a Markdown table."""
    cells = [
        [
            part_name(row["by"], row["group"], language),
            number(row["n_forecasts"], 0, language),
            _ratio(row, "mae_rel_naive", language),
            f"{number(100 * np.expm1(row['median_ae']), 0, language)} %",
            *_coverage(row, language),
        ]
        for row in _parts(stand, model, ["horizon", "flow", "product"]).to_dict("records")
    ]
    return _markdown(_PART_HEADINGS[language], cells)


def total_table(stand: pd.DataFrame, scored: pd.DataFrame, model: str, language: Language) -> str:
    """Scores of `model` for each total, with how many prices its intervals held, as a Markdown table."""
    own = scores.record(scored, model).set_index(["series", "horizon"])
    cells = []
    for row in _parts(stand, model, ["total"]).to_dict("records"):
        held = [round(row[name] * row["n_forecasts"]) for name in ("coverage_80", "coverage_95")]
        ahead = own.loc[(row["group"], 1), ["held_80", "n_forecasts"]] if (row["group"], 1) in own.index else (0, 0)
        cells.append(
            [
                part_name("total", row["group"], language),
                number(row["n_forecasts"], 0, language),
                _ratio(row, "mae_rel_naive", language),
                f"{number(100 * np.expm1(row['median_ae']), 0, language)} %",
                *(_OF[language].format(count, row["n_forecasts"]) for count in held),
                _OF[language].format(*ahead),
            ]
        )
    return _markdown(_TOTAL_HEADINGS[language], cells)


def fails(stand: pd.DataFrame, model: str, language: Language) -> str:
    """The horizons, flows, products and totals in which `model` cannot be told from naive, as a sentence."""
    rows = _parts(stand, model, ["horizon", "flow", "product", "total"])
    alike = rows[rows["mae_rel_naive_high"] >= 1].to_dict("records")
    named = [
        f"{part_name(row['by'], row['group'], language)} {_ratio(row, 'mae_rel_naive', language)}" for row in alike
    ]
    return _FAILS["some" if named else "none"][language].format(parts=", ".join(named))


def part_name(by: str, group: str, language: Language) -> str:
    """'product', 'table_wine' → 'table wine'; 'horizon', '2' → '2 years ahead'; of a total its flow and product."""
    if by == "horizon":
        return f"{counted(int(group), *_YEARS[language], language)} {_AHEAD[language]}"
    if by == "total":
        return series_name(group, language).partition(" · ")[0]
    return (FLOWS if by == "flow" else TRADE_PRODUCTS)[group][language].lower()


def against_actual(publications: pd.DataFrame, language: Language) -> str:
    """The scores of what was published (the answer of `published.summary`) as a Markdown table, and what waits."""
    cells = [
        [
            f"`{row['vintage']}`",
            f"`{row['model']}`",
            str(row["year"]),
            str(row["horizon"]),
            number(row["n_forecasts"], 0, language),
            number(row["mae_rel_naive"], 3, language),
            *_coverage(row, language),
        ]
        for row in publications[publications["n_forecasts"] > 0].to_dict("records")
    ]
    waiting = publications[publications.groupby("vintage")["n_forecasts"].transform("sum") == 0]
    parts = [_markdown(_PUBLISHED_HEADINGS[language], cells)] if cells else []
    parts += [_WAITS[language].format_map(row) for row in waiting.drop_duplicates("vintage").to_dict("records")]
    return "\n\n".join(parts) or _NOTHING_PUBLISHED[language]


def totals_that_came(against: pd.DataFrame, language: Language) -> str:
    """Each vintage's forecasts of the totals in the newest year that has come, beside what came, as Markdown tables.

    `against` is the answer of `published.against_actual`.
    """
    totals = against[(against["series"].str.count(r"\.") == 1) & against["actual"].notna()]
    tables = []
    for vintage, rows in totals[totals["year"] == totals["year"].max()].groupby("vintage", sort=False):
        cells = []
        for row in rows.to_dict("records"):
            forecast, low, high, last, came = (
                number(row[name], 2, language) for name in ("forecast", "q10", "q90", "naive", "actual")
            )
            inside = _INSIDE[bool(row["q10"] <= row["actual"] <= row["q90"])][language]
            name = part_name("total", row["series"], language)
            cells.append([name, str(row["year"]), forecast, f"{low} – {high}", last, came, inside])
        tables.append(f"{_CAME[language].format(vintage)}\n\n{_markdown(_CAME_HEADINGS[language], cells)}")
    return "\n\n".join(tables)


def _parts(stand: pd.DataFrame, model: str, by: list[str]) -> pd.DataFrame:
    return stand[(stand["actuals"] == "corrected") & (stand["model"] == model) & stand["by"].isin(by)]


def _against(stand: pd.DataFrame, actuals: str, group: str) -> pd.DataFrame:
    return stand[(stand["actuals"] == actuals) & (stand["by"] == group)]


def _ratio(row: Mapping[Any, Any], name: str, language: Language) -> str:
    """'0.899 (0.868–0.930)'; '1.000' where both are the same model, or no interval is known."""
    value, low, high = (number(row[f"{name}{side}"], 3, language) for side in ("", "_low", "_high"))
    return value if low == high or np.isnan(row[f"{name}_low"]) else f"{value} ({low}–{high})"


def _coverage(row: Mapping[Any, Any], language: Language) -> list[str]:
    return [f"{number(100 * row[name], 1, language)} %" for name in ("coverage_80", "coverage_95")]


def _markdown(headings: list[str], rows: list[list[str]]) -> str:
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def card(
    record: dict[str, Any],
    forecasts: pd.DataFrame,
    scored: pd.DataFrame,
    stand: pd.DataFrame,
    publications: pd.DataFrame,
    against: pd.DataFrame,
    language: Language,
) -> str:
    """The card as Markdown.

    `record` is `model.json`, `stand` the answer of `scores.stand` for `scored`, `publications` that of
    `published.summary` and `against` that of `published.against_actual`.
    """
    series = forecasts["series"].drop_duplicates()
    n_totals = int((series.str.count(r"\.") == 1).sum())
    data = record["data"]
    near = scored[(scored["model"] == record["model"]) & scored["horizon"].isin(SCORED_HORIZONS)]
    against_published = {
        group: _ratio(rows[rows["model"] == record["model"]].iloc[0], "mae_rel_naive", language)
        for group in ("all", "totals")
        for rows in [_against(stand, "published", group)]
    }
    return _TEXT[language].format(
        n_series=counted(len(series), *_SERIES[language], language),
        n_totals=counted(n_totals, *_TOTALS[language], language),
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
        first_cutoff=scored["cutoff"].min(),
        last_cutoff=scored["cutoff"].max(),
        tables="\n\n".join(score_table(stand, group, language) for group in ("all", "totals")),
        published=against_published["all"],
        published_totals=against_published["totals"],
        unscored=number(near["actual"].isna().sum(), 0, language),
        made=number(len(near), 0, language),
        fails=fails(stand, record["model"], language),
        parts=part_table(stand, record["model"], language),
        totals=total_table(stand, scored, record["model"], language),
        against_actual="\n\n".join(
            filter(None, [against_actual(publications, language), totals_that_came(against, language)])
        ),
    )


def write(
    record: dict[str, Any],
    forecasts: pd.DataFrame,
    scored: pd.DataFrame,
    stand: pd.DataFrame,
    publications: pd.DataFrame,
    against: pd.DataFrame,
    folder: Path,
) -> None:
    """Write `card.md` and `card.pt-BR.md` to `folder`. `scored` holds the rows that `stand` was made from."""
    for language, name in FILES.items():
        write_text(card(record, forecasts, scored, stand, publications, against, language), folder / name)
