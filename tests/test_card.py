from pathlib import Path

import pandas as pd
import pytest

from tests.test_scores import rows
from vindima.forecasting import card, scores

RECORD = {
    "model": "level",
    "intervals": "calibrated",
    "vintage": "0123456789ab",
    "choice": {"mean_absolute_log_error": {"naive": 0.3, "level": 0.2}},
    "data": {"first_year": 1970, "last_year": 2023, "rows": 7464, "corrected": 5},
}
FORECASTS = pd.DataFrame(
    {"series": ["imports.raisins", "imports.raisins", "imports.raisins.ARG"], "year": [2024, 2025, 2024]}
)

PUBLICATION = ["vintage", "model", "cutoff", "horizon", "year"]
PUBLICATIONS = pd.DataFrame(
    [
        ("aaaaaaaaaaaa", "level", 2022, 1, 2023, 96, 0.1, 0.876, 0.8123, 0.9583),
        ("aaaaaaaaaaaa", "level", 2022, 2, 2024, 0, None, None, None, None),
        ("0123456789ab", "joint", 2023, 1, 2024, 0, None, None, None, None),
        ("0123456789ab", "joint", 2023, 2, 2025, 0, None, None, None, None),
    ],
    columns=[*PUBLICATION, "n_forecasts", "mae", "mae_rel_naive", "coverage_80", "coverage_95"],
)
AGAINST = pd.DataFrame(
    [
        ("aaaaaaaaaaaa", "imports.raisins", 1, 2023, 1.5, 1.25, 1.75, 1.25, 2.0),
        ("aaaaaaaaaaaa", "imports.raisins", 2, 2024, 1.5, 1.0, 2.0, 1.25, 1.75),
        ("aaaaaaaaaaaa", "imports.table_wine", 2, 2024, 3.5, 3.0, 4.0, 3.25, 4.25),
        ("aaaaaaaaaaaa", "exports.raisins", 2, 2024, 3.5, 3.0, 4.0, 3.25, None),
        ("aaaaaaaaaaaa", "imports.raisins.ARG", 2, 2024, 1.5, 1.0, 2.0, 1.25, 1.75),
    ],
    columns=["vintage", "series", "horizon", "year", "forecast", "q10", "q90", "naive", "actual"],
)

REAIS = [
    {"terms": terms, "group": group, "n_series": 2, "n_forecasts": 20, "mae_rel_naive": 0.875}
    | {"coverage_80": 0.8, "coverage_95": 0.95, "held_80": 16, "held_95": 19}
    for terms in ("nominal", "real")
    for group in ("all", "imports.table_wine", "imports.raisins")
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    naive, auto_ets, level = [0.2, -0.6] * 4, [0.2, -0.5] * 4, [0.1, -1.1] * 4
    scored = pd.concat([rows("naive", naive), rows("auto_ets", auto_ets), rows("level", level)])
    card.write(RECORD, FORECASTS, scored, scores.stand(scored, "level"), PUBLICATIONS, AGAINST, REAIS, tmp_path)
    return tmp_path


def test_card_shows_ours_beside_naive_and_autoets_as_english_readers_write_numbers(folder: Path):
    text = (folder / "card.md").read_text(encoding="utf-8")
    assert "| `naive` | 1.000 |" in text
    assert "| `auto_ets` | 0.875 (0.861–0.893) | 1.714 (1.520–1.871) | 1.000 | 100.0% | 100.0% |" in text
    assert "| `level` | 1.500 (1.357–1.611) | 1.000 |" in text
    assert "| 50.0% | 100.0% |" in text
    assert "5 of the 7,464 prices" in text
    assert "2 series (1 total and 1 of single countries), 2024 to 2025" in text
    assert "2007 to 2014 as cutoffs" in text


def test_card_in_portuguese_uses_decimal_commas(folder: Path):
    text = (folder / "card.pt-BR.md").read_text(encoding="utf-8")
    assert "| `auto_ets` | 0,875 (0,861–0,893) | 1,714 (1,520–1,871) | 1,000 | 100,0% | 100,0% |" in text
    assert "5 dos 7.464 preços" in text
    assert "não o preço de\n  prateleira" in text
    assert "edição `0123456789ab`" in text


@pytest.mark.parametrize("name", card.FILES.values())
def test_card_leaves_no_placeholder(folder: Path, name: str):
    assert "{" not in (folder / name).read_text(encoding="utf-8")


def test_card_scores_what_was_published_and_says_when_the_rest_will_be(folder: Path):
    text = (folder / "card.md").read_text(encoding="utf-8")
    assert "| `aaaaaaaaaaaa` | `level` | 2023 | 1 | 96 | 0.876 | 81.2% | 95.8% |" in text
    waits = "Vintage `0123456789ab` (`joint`, data up to 2023): no price has come since it was published; its first "
    assert text.count(waits + "score comes with the prices of 2024.") == 1
    portuguese = (folder / "card.pt-BR.md").read_text(encoding="utf-8")
    assert "| 0,876 | 81,2% | 95,8% |" in portuguese
    assert "a primeira nota vem com os preços de 2024." in portuguese


def test_totals_of_the_newest_year_stand_beside_what_came(folder: Path):
    text = (folder / "card.md").read_text(encoding="utf-8")
    assert "as vintage `aaaaaaaaaaaa` forecast them:" in text
    lines = [line for line in text.splitlines() if line.endswith(("| inside |", "| outside |"))]
    assert lines == [
        "| Imports of raisins | 2024 | 1.50 | 1.00 – 2.00 | 1.25 | 1.75 | inside |",
        "| Imports of table wine | 2024 | 3.50 | 3.00 – 4.00 | 3.25 | 4.25 | outside |",
    ]
    assert "| Importação de uvas passas | 2024 | 1,50 |" in (folder / "card.pt-BR.md").read_text(encoding="utf-8")


def test_every_total_stands_with_its_error_and_the_prices_that_its_intervals_held():
    """Naive errs as much as ours on raisins, half as much on wine; the 80 per cent interval reaches 1 in logs."""
    ours, naive = [0.5, -1.5] * 5, [0.5, -1.5] * 5
    both = [
        *(rows(model, log) for model, log in (("level", ours), ("naive", naive), ("auto_ets", naive))),
        *(
            rows(model, log, series="imports.table_wine")
            for model, log in (("level", [0.2] * 10), ("naive", [0.4] * 10), ("auto_ets", [0.4] * 10))
        ),
    ]
    scored = pd.concat(both)
    far = scored[scored["series"] == "imports.raisins"].assign(horizon=2)
    scored = pd.concat([scored, far])
    stand = scores.stand(scored, "level")
    text = card.card(RECORD, FORECASTS, scored, stand, PUBLICATIONS, AGAINST, REAIS, "en")
    assert "| Imports of raisins | 20 | 1.000 | 172% | 10 of 20 | 20 of 20 | 5 of 10 |" in text
    assert "| Imports of table wine | 10 | 0.500 | 22% | 10 of 10 | 10 of 10 | 10 of 10 |" in text
    (failing,) = [line for line in text.splitlines() if line.startswith("No better than the last price")]
    assert "Imports of raisins 1.000" in failing
    assert "Imports of table wine" not in failing
    assert "2 years ahead 1.000" in failing


def test_card_without_any_publication_says_so():
    scored = pd.concat([rows(model, [0.2, -0.6] * 4) for model in ("naive", "auto_ets", "level")])
    given = (RECORD, FORECASTS, scored, scores.stand(scored, "level"))
    assert "\n\nNothing has been published yet.\n\n" in card.card(*given, PUBLICATIONS[:0], AGAINST[:0], [], "en")
    waits = card.card(*given, PUBLICATIONS[2:], AGAINST[:0], REAIS, "pt")
    assert "\n\nEdição `0123456789ab`" in waits
    assert "Nada foi publicado" not in waits


def test_forecasts_in_reais_stand_with_what_their_intervals_held(folder: Path):
    text = (folder / "card.md").read_text(encoding="utf-8")
    assert "| nominal | all series | 20 | 0.875 | 16 | 19 | 80.0% | 95.0% |" in text
    assert "| real | Imports of table wine | 20 | 0.875 | 16 | 19 | 80.0% | 95.0% |" in text
    assert "| Imports of raisins | 20 | 0.875 |" not in text
    portuguese = (folder / "card.pt-BR.md").read_text(encoding="utf-8")
    assert "| reais | todas as séries | 20 | 0,875 | 16 | 19 | 80,0% | 95,0% |" in portuguese
