"""The accuracy report: what it says is what the tables say, in both languages, with many forecasts and with few."""

import html
import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lxml import etree
from scipy import stats

from vindima.forecasting import scores
from vindima.labels import Language, number, percent
from vindima.quantiles import QUANTILES
from vindima.serving import accuracy, chance, sets
from vindima.serving.answers import Answers
from vindima.serving.current import Current

TOTAL, CHILE, DUTCH = "imports.table_wine", "imports.table_wine.CHL", "exports.fresh_grapes.NLD"
OTHER = "imports.table_wine.OTHER"
NARROW, MIDDLE, WIDE = 0.05, 0.3, 5.0
BOTH: tuple[Language, ...] = ("pt", "en")


def ranged(rows: pd.DataFrame, width: float | pd.Series) -> pd.DataFrame:
    """`rows` with quantiles around their forecast: those of 80 `width` away in the log price, those of 95 twice."""
    away = {"q025": -2.0, "q10": -1.0, "q50": 0.0, "q90": 1.0, "q975": 2.0}
    return rows.assign(**{name: rows["forecast"] * np.exp(away[name] * width) for name in QUANTILES})


def backtested(naive: float = 1.25, far: float = 2.0, auto_ets: float = 1.5) -> pd.DataFrame:
    """Forecasts by three methods for four series; errors of naive and AutoETS are so many times those of joint.

    From the horizon 4 on those of naive are `far` times. The ranges of the total are much too narrow, those of Chile
    and the other countries much too wide.
    """
    random = np.random.default_rng(7)
    rows = pd.DataFrame(
        [
            {"series": series, "cutoff": cutoff, "horizon": horizon, "year": cutoff + horizon, "actual": 2.5}
            | {"width": width, "error": random.normal(0, 0.25)}
            for series, width in ((TOTAL, NARROW), (CHILE, WIDE), (OTHER, WIDE), (DUTCH, MIDDLE))
            for cutoff in range(2004, 2019)
            for horizon in range(1, 6)
        ]
    )
    beside_naive = np.where(rows["horizon"] > 3, far, naive)
    times = {"joint": np.ones(len(rows)), "naive": beside_naive, "auto_ets": np.full(len(rows), auto_ets)}
    made = [rows.assign(model=model, forecast=2.5 * np.exp(of * rows["error"])) for model, of in times.items()]
    table = pd.concat(made, ignore_index=True).assign(actual_published=2.5)
    return ranged(table, table["width"]).drop(columns=["width", "error"])


def due() -> pd.DataFrame:
    """Two publications: one forecast for 2022, three for 2023: within 80, outside it, outside 95 too."""
    rows = [
        ("a" * 12, DUTCH, 2021, 2022, 2.0, 2.1, 2.0),
        ("b" * 12, TOTAL, 2022, 2023, 2.0, 2.0, 2.1),
        ("b" * 12, CHILE, 2022, 2023, 2.0, 2.0, 2.0 * np.exp(0.45)),
        ("b" * 12, DUTCH, 2022, 2023, 2.0, 2.2, 2.0 * np.exp(-0.7)),
    ]
    columns = ["vintage", "series", "cutoff", "year", "forecast", "naive", "actual"]
    return ranged(pd.DataFrame(rows, columns=columns).assign(model="joint", horizon=1), MIDDLE)


def changed(served: Path, tables: dict[str, pd.DataFrame], model: str = "joint") -> Answers:
    """What answers from the set in `served` with other `tables` and another published model."""
    path = served / sets.SERVICE
    with closing(sqlite3.connect(path)) as database, database:
        for name, table in tables.items():
            table.to_sql(name, database, index=False, if_exists="replace")
        [(about,)] = database.execute("select content from about where name = 'provenance'").fetchall()
        content = json.dumps(json.loads(about) | {"model": model})
        database.execute("update about set content = ? where name = 'provenance'", (content,))
    return Answers(path.read_bytes(), "")


def with_forecasts(served: Path, scored: pd.DataFrame, published: pd.DataFrame | None = None) -> Answers:
    """What answers with the forecasts of `scored`, whose published model is joint, and those `published`."""
    past = scored[scored["model"] == "joint"].drop(columns="model")
    tables = {
        "scores": scores.stand(scored, "joint"),
        "record": scores.record(scored, "joint").assign(money="usd"),
        "past": past,
    }
    return changed(served, tables | ({} if published is None else {"came_due": published}))


def small(served: Path) -> Answers:
    answers = Current(served).answers
    assert answers
    return answers


def text(page: str) -> str:
    """What a person reads, without the drawings."""
    bare = re.sub(r"<[^>]+>", " ", re.sub(r"<svg.*?</svg>", "", page, flags=re.S))
    return re.sub(r"[ \n]+", " ", html.unescape(bare)).replace("\N{NO-BREAK SPACE}", " ")


def tips(page: str, heading: str) -> list[str]:
    """The tips of the first chart that has one which begins with `heading`."""
    charts = [json.loads(html.unescape(found)) for found in re.findall(r'data-tips="([^"]*)"', page)]
    return next(chart for chart in charts if any(tip.startswith(heading) for tip in chart))


def absolute(scored: pd.DataFrame) -> pd.Series:
    return (np.log(scored["actual"]) - np.log(scored["forecast"])).abs()


@pytest.mark.parametrize("language", BOTH)
def test_title_and_deck_say_the_error_beside_naive_near_and_far(served_set: Path, language: Language):
    scored = backtested()
    page = text(accuracy.page(with_forecasts(served_set, scored), {}, language))
    errors = scored.assign(error=absolute(scored))
    near = errors[errors["horizon"] <= 3].groupby("model")["error"].mean()
    far = errors[errors["horizon"] == 5].groupby("model")["error"].mean()
    shares = [percent(1 - of["joint"] / of["naive"], 0, language) for of in (near, far)]
    assert shares == ["20%", "50%"]
    count = (errors["horizon"] <= 3).sum() // 3
    expected = {
        "pt": f"As previsões erram {shares[0]} menos que repetir o último preço; a 5 anos, {shares[1]} menos "
        f"Medido em {count} previsões de 4 séries, de 1 a 3 anos à frente, refeitas com cortes de 2004 a 2018",
        "en": f"The forecasts err {shares[0]} less than repeating the last price; at 5 years, {shares[1]} less "
        f"Measured on {count} forecasts of 4 series, 1 to 3 years ahead, made anew at cutoffs from 2004 to 2018",
    }
    assert expected[language] in page
    none = {"pt": "Nenhum método pronto (AutoETS) errou menos", "en": "No ready-made method (AutoETS) erred less"}
    assert none[language] in page


def test_forecasts_that_are_worse_are_said_to_be_worse(served_set: Path):
    page = text(accuracy.page(with_forecasts(served_set, backtested(naive=0.8, far=1.0, auto_ets=0.4)), {}, "en"))
    assert "The forecasts err 25% more than repeating the last price; at 5 years, as much" in page
    assert "Of the ready-made methods only these erred less than repeating the last price: AutoETS." in page


@pytest.mark.parametrize(
    ("times", "portuguese", "english"),
    [(0.9, "errou 10% menos que", "erred 10% less than"), (1.0, "errou tanto quanto", "erred as much as")],
)
def test_machine_learning_is_said_and_shown_beside_the_last_price(
    served_set: Path, times: float, portuguese: str, english: str
):
    scored = backtested()
    naive = scored[scored["model"] == "naive"]
    learned = naive.assign(model="boosting", **{name: 2.5 * (naive[name] / 2.5) ** times for name in QUANTILES})
    answers = with_forecasts(served_set, pd.concat([scored, learned]))
    page = accuracy.page(answers, {}, "en")
    assert f"Machine learning (gradient boosting) {english} repeating the last price." in text(page)
    assert "No ready-made method (AutoETS) erred less" in text(page)
    assert "Gradient boosting: decision trees of scikit-learn" in text(page)
    assert all("gradient boosting: " in tip for tip in tips(page, "1\N{NO-BREAK SPACE}year ahead"))
    assert f"aprendizado de máquina (gradient boosting) {portuguese} repetir" in text(
        accuracy.page(answers, {}, "pt")
    )


def test_report_without_machine_learning_says_nothing_of_it(served_set: Path):
    page = text(accuracy.page(with_forecasts(served_set, backtested()), {}, "en"))
    assert "oosting" not in page
    assert "Machine" not in page


def test_chart_and_table_of_errors_have_the_scores_of_each_horizon(served_set: Path):
    scored = backtested()
    page = accuracy.page(with_forecasts(served_set, scored), {}, "en")
    stand = scores.stand(scored, "joint")
    ours = stand[(stand["actuals"] == "corrected") & (stand["by"] == "horizon") & (stand["model"] == "joint")]
    told = tips(page, "1\N{NO-BREAK SPACE}year ahead")
    assert len(told) == 5
    for tip, row in zip(told, ours.sort_values("group").to_dict("records"), strict=True):
        numbers = [percent(row[f"mae_rel_naive{side}"] - 1, 0, "en", True) for side in ("", "_low", "_high")]
        assert f"ours: {numbers[0]} ({numbers[1]} to {numbers[2]})" in tip.replace("\N{NO-BREAK SPACE}", " ")
        assert f"{row['n_forecasts']} forecasts of {row['n_series']} series" in tip
    assert re.search(r"ours \(joint levels\) −20% \(−20% to −20%\)", text(page))


@pytest.mark.parametrize("due", [1, 5, 30, 45, 48, 120])
def test_what_chance_explains_is_the_binomial_interval(due: int):
    assert chance.explains(due) == tuple(stats.binom.ppf([0.025, 0.975], due, 0.8))


@pytest.mark.parametrize("language", BOTH)
def test_series_outside_chance_are_counted_and_named(served_set: Path, language: Language):
    scored = backtested()
    page = accuracy.page(with_forecasts(served_set, scored), {}, language)
    ours = scored[(scored["model"] == "joint") & (scored["horizon"] <= 3)]
    inside = ours["actual"].between(ours["q10"], ours["q90"])
    held = inside.groupby(ours["series"]).sum()
    low, high = stats.binom.ppf([0.025, 0.975], 45, 0.8)
    assert held[TOTAL] < low <= held[DUTCH] <= high < held[CHILE] == 45
    share = percent(inside.mean(), 0, language)
    words = {
        "pt": f"No conjunto, não: conteve só {share} dos preços. Em 1 de 4 séries, menos do que o acaso explica; em "
        "2, mais",
        "en": f"On the whole, no: it held only {share} of the prices. In 1 of 4 series, fewer than chance explains; "
        "in 2, more",
    }
    assert words[language] in text(page)
    below = {
        "pt": f"Abaixo: Importação de vinhos de mesa · todos os países ({held[TOTAL]} de 45).",
        "en": f"Below: Imports of table wine · all countries ({held[TOTAL]} of 45).",
    }
    assert below[language] in text(page)
    narrow = {
        "pt": "A faixa foi estreita demais em 1 de 1 total: importação de vinhos de mesa",
        "en": "The range was too narrow for 1 of 1 total: imports of table wine",
    }
    assert narrow[language] in text(page)


def test_every_series_stands_in_the_table_with_what_its_ranges_held(served_set: Path):
    scored = backtested()
    page = text(accuracy.page(with_forecasts(served_set, scored), {}, "en"))
    ours = scored[(scored["model"] == "joint") & (scored["horizon"] <= 3)]
    for series, name in ((TOTAL, "Imports of table wine · all countries"), (DUTCH, "Exports of fresh grapes")):
        rows = ours[ours["series"] == series]
        held, wide = (
            rows["actual"].between(rows[low], rows[high]).sum() for low, high in (("q10", "q90"), ("q025", "q975"))
        )
        assert re.search(
            rf"{name}[^%]* 45 {held} {percent(held / 45, 0, 'en')} {wide} {percent(wide / 45, 0, 'en')}", page
        )


def test_coverage_is_that_of_the_published_model(served_set: Path):
    scored = backtested()
    page = accuracy.page(with_forecasts(served_set, scored), {}, "en")
    ours = scored[(scored["model"] == "joint") & (scored["horizon"] <= 3)]
    wine = ours[ours["series"].str.contains("table_wine")]
    held = [
        int(wine["actual"].between(wine[low], wine[high]).sum()) for low, high in (("q10", "q90"), ("q025", "q975"))
    ]
    tip = next(tip for tip in tips(page, "fresh grapes\nrange") if tip.startswith("table wine\n"))
    for level, of in zip((80, 95), held, strict=True):
        share = percent(of / len(wine), 1, "en")
        assert f"range of {level}: held {of} of {len(wine)} ({share})" in tip.split("\n")


def test_chance_explains_more_where_forecasts_err_together():
    apart = {2000 + place: (100, 80 + (-1) ** place) for place in range(20)}
    together = {2000 + place: (100, 80 + 15 * (-1) ** place) for place in range(20)}
    in_a_row = {2000 + place: (100, 80 + 15 * (-1) ** (place // 4)) for place in range(20)}
    freedom = stats.t.ppf(0.975, 19)
    assert chance.spread(apart, 0.8, 0) == pytest.approx(freedom * np.sqrt(0.8 * 0.2 / 2000), rel=1e-3)
    assert chance.spread(together, 0.8, 0) == pytest.approx(freedom * 15 / 100 / np.sqrt(20), rel=1e-3)
    wide, wider = chance.spread(in_a_row, 0.8, 0), chance.spread(in_a_row, 0.8, 2)
    assert wide
    assert wider
    assert wider > 1.3 * wide
    assert chance.spread(dict(list(apart.items())[:5]), 0.8, 0) is None


def test_spread_of_chance_is_that_of_driscoll_and_kraay():
    """Against statsmodels' sandwich of panel data grouped by time, which carries a small-sample factor."""
    from statsmodels.regression.linear_model import OLS

    random = np.random.default_rng(3)
    rows = pd.DataFrame(
        [
            {"cutoff": cutoff, "hit": hit}
            for cutoff in range(2000, 2017)
            for hit in random.random(random.integers(30, 60)) < random.uniform(0.6, 1)
        ]
    )
    counts = {int(cutoff): (len(hits), int(hits.sum())) for cutoff, hits in rows.groupby("cutoff")["hit"]}
    fitted = OLS(rows["hit"].astype(float), np.ones(len(rows))).fit(
        cov_type="hac-groupsum",
        cov_kwds={"time": (rows["cutoff"] - 2000).to_numpy(), "maxlags": 2, "use_correction": False},
    )
    found = chance.spread(counts, 0.8, 2)
    assert found == pytest.approx(stats.t.ppf(0.975, 16) * fitted.bse.iloc[0], rel=1e-3)


@pytest.mark.parametrize("language", BOTH)
def test_coverage_by_horizon_is_judged_against_what_chance_explains(served_set: Path, language: Language):
    scored = backtested()
    scored["q90"] = scored["q90"].mask(scored["horizon"] > 3, 100.0)
    scored["q10"] = scored["q10"].mask(scored["horizon"] > 3, 0.01)
    page = accuracy.page(with_forecasts(served_set, scored), {}, language)
    words = {"en": "more than chance explains", "pt": "mais do que o acaso explica"}[language]
    [heading] = re.findall(r"<h2>([^<]*(?:at 1|a 1)\xa0[^<]*)</h2>", html.unescape(page))
    past = scored.query("model == 'joint'")
    assert {"en": f"{words} from 4\xa0years on", "pt": f"{words} a partir de 4\xa0anos"}[language] in heading
    for horizon, rows in past.groupby("horizon"):
        hits = rows["actual"].between(rows["q10"], rows["q90"])
        counts = {cutoff: (len(of), int(of.sum())) for cutoff, of in hits.groupby(rows["cutoff"])}
        spread = chance.spread(counts, 0.8, horizon - 1)
        assert spread is not None
        assert (hits.mean() - 0.8 > spread) == (horizon > 3)
    assert words in heading


def test_one_year_ahead_ranges_of_totals_stand_over_what_came(served_set: Path):
    scored = backtested()
    page = accuracy.page(with_forecasts(served_set, scored), {}, "en")
    ours = scored[(scored["model"] == "joint") & (scored["horizon"] == 1) & (scored["series"] == TOTAL)]
    held = ours["actual"].between(ours["q10"], ours["q90"]).sum()
    assert 0 < held < 15
    assert (
        f"One year ahead, the range held {held} of 15 prices of the totals; it failed most for imports of table wine "
        f"({15 - held} of 15)"
    ) in text(page)
    told = tips(page, "Imports, table wine, 2005")
    assert len(told) == 15
    first = ours.sort_values("year").iloc[0]
    low, middle, high = (number(first[name], 2, "en") for name in ("q10", "forecast", "q90"))
    assert f"forecast in 2004: US$\N{NO-BREAK SPACE}{middle} ({low} to {high})" in told[0]


@pytest.mark.parametrize("language", BOTH)
def test_published_forecasts_of_the_newest_year_are_held_against_what_came(served_set: Path, language: Language):
    page = text(accuracy.page(with_forecasts(served_set, backtested(), due()), {}, language))
    newest = due()[due()["year"] == 2023]
    naive = (np.log(newest["actual"]) - np.log(newest["naive"])).abs().sum()
    smaller = percent(1 - absolute(newest).sum() / naive, 0, language)
    expected = {
        "pt": "De 3 previsões publicadas antes de se conhecer 2023, a faixa de 80 conteve o preço em 1, e a de 95 em "
        f"2 Foram feitas com dados até 2022 (edição {'b' * 12}) e estão aqui como saíram. O erro foi {smaller} menor "
        "que o de repetir o último preço.",
        "en": "Of 3 forecasts published before 2023 was known, the range of 80 held the price for 1, and that of 95 "
        f"for 2 They were made with data to 2022 (vintage {'b' * 12}) and stand here as they came out. The error was "
        f"{smaller} smaller than that of repeating the last price.",
    }
    assert not smaller.startswith("−")
    assert expected[language] in page
    missed = {
        "pt": "Fora até da faixa de 95: exportação de uvas frescas (Países Baixos).",
        "en": "Outside even the range of 95: exports of fresh grapes (Netherlands).",
    }
    assert missed[language] in page
    assert {"pt": "vencidas 4 previsões", "en": "came due 4 forecasts"}[language] in page


def test_price_that_cannot_be_scored_is_not_counted(served_set: Path):
    published = due()
    published.loc[published["series"] == CHILE, "actual"] = None
    published.loc[published["series"] == TOTAL, "naive"] = None
    page = text(accuracy.page(with_forecasts(served_set, backtested(), published), {}, "en"))
    assert "Of 2 forecasts published before 2023 was known, the range of 80 held the price for 1," in page
    last = published[(published["series"] == DUTCH) & (published["year"] == 2023)].iloc[0]
    ratio = np.log(last["actual"] / last["forecast"]) / np.log(last["actual"] / last["naive"])
    assert f"The error was {percent(1 - ratio, 0, 'en')} smaller than that of repeating" in page


def test_largest_errors_come_first_with_the_trade_of_their_years(served_set: Path):
    scored = backtested()
    with closing(sqlite3.connect(served_set / sets.SERVICE)) as database:
        prices = pd.read_sql("select * from prices", database)
    ours = scored[(scored["model"] == "joint") & (scored["horizon"] == 1)]
    ranked = ours.assign(error=absolute(ours)).sort_values("error", ascending=False).head(accuracy.WORST)
    worst, next_one = ranked.iloc[0], ranked[ranked["series"] != ranked["series"].iloc[0]].iloc[0]
    prices = prices.set_index(["series", "year"])
    for row, before, after in ((worst, 40_500.0, 81.0), (next_one, 30_000.0, 20_000.0)):
        prices.loc[(row["series"], row["cutoff"]), "quantity_kg"] = before
        prices.loc[(row["series"], row["year"]), "quantity_kg"] = after
    prices.loc[(worst["series"], worst["cutoff"]), "corrected"] = 1
    with_forecasts(served_set, scored)
    page = text(accuracy.page(changed(served_set, {"prices": prices.reset_index()}), {}, "en"))
    trade = pd.DataFrame(
        {
            when: prices["quantity_kg"].reindex(pd.MultiIndex.from_frame(ranked[["series", when]])).to_numpy()
            for when in ("cutoff", "year")
        }
    )
    both, known = len(trade.dropna()), trade["year"].notna().sum()
    fell, small = (trade["year"] < trade["cutoff"] / 2).sum(), (trade["year"] < 10_000).sum()
    low, middle, high = (number(worst[name], 2, "en") for name in ("q10", "forecast", "q90"))
    first = page.split("How much was traded")[1]
    assert f"In {fell} of {both} cases, the quantity fell to less than half" in first
    assert f"In {small} of {known} cases, the year that was forecast had less than 10 t of trade." in first
    went = re.search(r"US\$ [\d.]+ .*?%\)\.(?: The price of \d+ is a corrected figure\.)?", first)
    assert went
    assert went[0].startswith(f"US$ {middle} ({low} to {high}), came US$ 2.50: ")
    assert went[0].endswith(
        f"Trade: 40.5 t in {worst['cutoff']}, 81 kg in {worst['year']} (−99.8%). "
        f"The price of {worst['cutoff']} is a corrected figure."
    )


@pytest.mark.parametrize("language", BOTH)
def test_small_set_stands_and_says_what_there_is_not(served_set: Path, language: Language):
    page = text(accuracy.page(small(served_set), {}, language))
    said = {
        "pt": [
            "As previsões são o próprio último preço, repetido",
            "Medido em 6 previsões de 2 séries, de 1 a 3 anos à frente, refeitas com o corte de 2020",
            "Nenhuma série tem ainda 30 previsões vencidas",
            "Nenhuma previsão publicada venceu ainda Quando saírem os preços de 2024",
            "(edição 0123456789ab, dados até 2023); previsão: modelo naive.",
        ],
        "en": [
            "The forecasts are the last price itself, repeated",
            "Measured on 6 forecasts of 2 series, 1 to 3 years ahead, made anew at the cutoff 2020",
            "No series has 30 forecasts that came due yet",
            "No published forecast has come due yet When the prices of 2024 come",
            "(vintage 0123456789ab, data to 2023); forecast: model naive.",
        ],
    }
    for sentence in said[language]:
        assert sentence in page
    assert not re.search(r"None|nan|[{}]", page)


@pytest.mark.parametrize("language", BOTH)
def test_page_is_well_formed_and_its_figures_fit(served_set: Path, language: Language):
    for answers in (small(served_set), with_forecasts(served_set, backtested(), due())):
        page = accuracy.page(answers, {}, language)
        for drawing in re.findall(r"<svg.*?</svg>", page, re.S):
            root = etree.fromstring(drawing)
            width, height = (float(root.get(side) or 0) for side in ("width", "height"))
            for x, y in (map(float, stop.split(",")) for stop in (root.get("data-stops") or "").split()):
                assert 0 <= x <= width
                assert 0 <= y <= height
            sizes = [float(node.get("font-size") or 14) for node in root.iter("{*}text")]
            assert min(sizes) >= 12
        assert len(re.findall(r'role="slider"[^>]*aria-label="[^"]+', page)) == page.count('role="slider"')


def test_every_sentence_is_there_in_both_languages_with_the_same_numbers():
    for name, words in accuracy.WORDS.items():
        portuguese, english = (sorted(re.findall(r"\{(\w+)\}", words[language])) for language in BOTH)
        assert set(portuguese) == set(english), name


def test_report_needs_no_pandas():
    check = (
        "import sys, vindima.serving.accuracy; sys.exit(bool({'pandas', 'numpy', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


@pytest.mark.parametrize(
    ("language", "said", "line"),
    [
        ("en", "In reais the range of 80 in 100 held 100 of 100 prices, and 100 in reais of one year", "all series"),
        ("pt", "Em reais, a faixa de 80 em 100 conteve 100 de cada 100 preços", "todas as séries"),
    ],
)
def test_forecasts_in_reais_stand_with_their_error_and_what_their_ranges_held(
    served_set: Path, language: Language, said: str, line: str
):
    page = text(accuracy.page(small(served_set), {}, language))
    assert said in page
    terms = {"en": ("nominal reais", "reais of the cutoff year"), "pt": ("reais correntes", "reais do ano do corte")}
    # 13 came, 12.5 was the last price, 13.75, 15 and 16.25 were forecast; and 12.5 in reais of the cutoff year
    naive = 3 * np.log(13 / 12.5)
    nominal = sum(abs(np.log(13 / value)) for value in (13.75, 15, 16.25)) / naive - 1
    for name, change in zip(terms[language], (nominal, 0.0), strict=True):
        assert f"{line} {name} 6 {percent(change, 0, language, plus=True)} 6 100% 6 100%" in page


def test_set_without_forecasts_in_reais_says_nothing_of_them(served_set: Path):
    answers = changed(served_set, {"scores_reais": pd.DataFrame(columns=scores.IN_REAIS)}, "naive")
    assert "In reais" not in text(accuracy.page(answers, {}, "en"))


def test_last_cutoffs_stand_by_themselves_with_what_came(served_set: Path):
    rows = [
        (TOTAL, 2019, 2, 2021, 2.0), (TOTAL, 2020, 1, 2021, 2.0), (TOTAL, 2021, 1, 2022, 2.0),
        (TOTAL, 2021, 2, 2023, 3.0), (CHILE, 2021, 1, 2022, 9.0), (CHILE, 2022, 1, 2023, 2.5),
    ]  # fmt: skip
    past = pd.DataFrame(rows, columns=["series", "cutoff", "horizon", "year", "actual"]).assign(
        forecast=2.0, q025=1.0, q10=1.5, q50=2.0, q90=2.6, q975=4.0, actual_published=2.0
    )
    page = text(accuracy.page(changed(served_set, {"past": past}, "naive"), {}, "en"))
    assert "all forecasts up to 2023, one cutoff a line" in page
    # the last price is 2.5 in every year
    one = percent(abs(np.log(3 / 2)) / (np.log(2.5 / 2) + np.log(3 / 2.5)) - 1, 0, "en", plus=True)
    assert f"2021 2022–2023 totals 2 {one} 1 50% 2 100%" in page
    assert "2022 2023 all series 1 – 1 100% 1 100%" in page
    assert "2020 2021 all series 1 −100% 1 100% 1 100%" in page
    assert "2019 2021" not in page
