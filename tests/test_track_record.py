"""What was published stays as published, and is held against the prices that came after it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.test_forecaster import LOCK
from tests.test_models import simulated
from vindima.errors import VindimaError
from vindima.etl import schemas
from vindima.forecasting import track_record
from vindima.forecasting.backtest import backtest
from vindima.forecasting.forecaster import Forecaster
from vindima.forecasting.models import CANDIDATES

TOTAL = "imports.table_wine"
CHILE = "imports.table_wine.CHL"
OLD, NEW = "aaaaaaaaaaaa", "0123456789ab"


def table(cutoff: int, forecasts: dict[str, float], horizons: tuple[int, ...] = (1, 2)) -> pd.DataFrame:
    """A forecasts table: the same median at each horizon, 80 per cent within a tenth of it, 95 within a half."""
    rows = [
        (
            series,
            cutoff,
            step,
            cutoff + step,
            "level",
            value,
            value / 1.5,
            value / 1.1,
            value,
            value * 1.1,
            value * 1.5,
        )
        for series, value in forecasts.items()
        for step in horizons
    ]
    return schemas.validate(schemas.frame(rows, schemas.FORECASTS), schemas.FORECASTS)


def priced(rows: dict[tuple[str, int], float]) -> pd.DataFrame:
    """`series, year, price_usd_kg` of these."""
    return pd.DataFrame([(*key, price) for key, price in rows.items()], columns=["series", "year", "price_usd_kg"])


def test_what_was_published_stays_whatever_the_model_says_later(tmp_path: Path):
    first = table(2022, {TOTAL: 2.0})
    assert track_record.write(first, OLD, tmp_path)
    assert not track_record.write(table(2022, {TOTAL: 3.0}), OLD, tmp_path)
    pd.testing.assert_frame_equal(track_record.read(tmp_path)[OLD], first)
    assert [path.name for path in tmp_path.iterdir()] == [f"{OLD}.parquet"]


def test_publications_come_by_cutoff_and_none_is_no_error(tmp_path: Path):
    assert track_record.read(tmp_path / "absent") == {}
    for vintage, cutoff in {"0" * 12: 2023, "f" * 12: 2021, "e" * 12: 2021}.items():
        track_record.write(table(cutoff, {TOTAL: 2.0}), vintage, tmp_path)
    assert list(track_record.read(tmp_path)) == ["e" * 12, "f" * 12, "0" * 12]


def test_damaged_file_is_named(tmp_path: Path):
    (tmp_path / f"{OLD}.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(VindimaError, match=rf"{tmp_path.name}/{OLD}\.parquet is damaged"):
        track_record.read(tmp_path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda made: made.assign(forecast=made["forecast"] + 1), "the forecast is the median"),
        (lambda made: made.assign(q10=np.nan), "q10: expected not_nullable"),
        (lambda made: made.drop(columns="horizon"), "got horizon"),
        (lambda made: made.assign(horizon="one"), "horizon: expected a whole number .* got one"),
        (lambda made: pd.concat([made, table(2021, {CHILE: 2.0})]), r"expected one cutoff, got \[2021, 2022\]"),
    ],
)
def test_file_that_breaks_the_contract_is_named(tmp_path: Path, change, sentence: str):
    change(table(2022, {TOTAL: 2.0})).to_parquet(tmp_path / f"{OLD}.parquet", index=False)
    with pytest.raises(VindimaError, match=rf"^{tmp_path.name}/{OLD}\.parquet.*(?s:.*){sentence}"):
        track_record.read(tmp_path)


def test_file_that_is_not_named_after_a_vintage_is_refused(tmp_path: Path):
    track_record.write(table(2022, {TOTAL: 2.0}), "newest", tmp_path)
    with pytest.raises(VindimaError, match=r"newest\.parquet: expected a vintage of 12 hexadecimal digits"):
        track_record.read(tmp_path)


def test_forecast_stands_beside_the_price_that_came_and_the_last_one_known_at_its_cutoff():
    prices = priced({(TOTAL, 2022): 1.9, (TOTAL, 2023): 2.1, (CHILE, 2020): 4.0, (CHILE, 2023): 5.0})
    against = track_record.against_actual({OLD: table(2022, {TOTAL: 2.0, CHILE: 3.0})}, prices, prices)
    assert against[["vintage", "series", "horizon", "naive", "actual"]].to_numpy().tolist() == [
        [OLD, TOTAL, 1, 1.9, 2.1],
        [OLD, CHILE, 1, 4.0, 5.0],
    ]


def test_price_that_rests_on_a_likely_correction_stands_there_and_is_not_scored():
    prices = priced({(series, year): 2.0 + year - 2022 for series in (TOTAL, CHILE) for year in (2022, 2023)})
    confirmed = prices.assign(price_usd_kg=prices["price_usd_kg"].where(prices["series"] != CHILE, 9.0))
    publications = {OLD: table(2022, {TOTAL: 2.5, CHILE: 2.5})}
    against = track_record.against_actual(publications, prices, confirmed).set_index("series")
    assert against["actual"].isna().to_dict() == {TOTAL: False, CHILE: True}
    assert track_record.summary(publications, prices, confirmed)["n_forecasts"].tolist() == [1, 0]


def test_series_whose_past_the_source_took_back_is_not_scored():
    prices = priced({(TOTAL, 2022): 2.0, (TOTAL, 2023): 2.5, (CHILE, 2023): 3.0})
    publications = {OLD: table(2022, {TOTAL: 2.5, CHILE: 2.5})}
    against = track_record.against_actual(publications, prices, prices).set_index("series")
    assert against["naive"].isna().to_dict() == {TOTAL: False, CHILE: True}
    assert track_record.summary(publications, prices, prices)["n_forecasts"].tolist() == [1, 0]


def test_errors_are_those_of_the_log_price_relative_to_naive():
    prices = priced({(TOTAL, 2022): 2.0, (TOTAL, 2023): 4.0, (CHILE, 2022): 2.0, (CHILE, 2023): 2.5})
    did = track_record.summary({OLD: table(2022, {TOTAL: 3.0, CHILE: 2.5})}, prices, prices).iloc[0]
    assert did["mae"] == pytest.approx(np.log(4 / 3) / 2)
    assert did["mae_rel_naive"] == pytest.approx(np.log(4 / 3) / (np.log(2) + np.log(1.25)))
    assert (did["coverage_80"], did["coverage_95"]) == (0.5, 1.0)


def test_two_vintages_with_one_cutoff_are_two_publications():
    prices = priced({(TOTAL, 2022): 2.0, (TOTAL, 2023): 4.0})
    publications = {OLD: table(2022, {TOTAL: 4.0}), NEW: table(2022, {TOTAL: 2.0})}
    did = track_record.summary(publications, prices, prices).query("n_forecasts > 0").set_index("vintage")
    assert did["mae_rel_naive"].to_dict() == {OLD: pytest.approx(0), NEW: pytest.approx(1)}


def test_publication_waits_for_its_first_price_and_one_from_the_future_is_not_known():
    prices = priced({(TOTAL, 2021): 2.0, (TOTAL, 2022): 2.0})
    publications = {OLD: table(2022, {TOTAL: 4.0}), NEW: table(2023, {TOTAL: 2.0})}
    did = track_record.summary(publications, prices, prices)
    assert did[["vintage", "cutoff", "year", "n_forecasts"]].to_numpy().tolist() == [
        [OLD, 2022, 2023, 0],
        [OLD, 2022, 2024, 0],
    ]
    assert track_record.against_actual(publications, prices, prices).empty
    assert track_record.summary({}, prices, prices).empty


def test_forecasts_published_before_a_new_year_are_scored_against_it(tmp_path: Path):
    prices = simulated(first=1998)
    (tmp_path / "requirements.txt").write_text(LOCK)
    known = prices[prices["year"] <= 2014]
    scored = backtest(CANDIDATES, known, 2010, None, [1, 2, 3]).scored
    fitted = Forecaster.fit(known, scored, 3, OLD, tmp_path / "requirements.txt")
    track_record.write(fitted.predict(), OLD, tmp_path)
    (waiting,) = track_record.summary(track_record.read(tmp_path), known, known)["n_forecasts"].unique()
    assert waiting == 0
    did = track_record.summary(track_record.read(tmp_path), prices, prices).set_index("year")
    assert did["n_forecasts"].to_dict() == {2015: 7, 2016: 0, 2017: 0}
    came = prices[prices["year"] == 2015].set_index("series")["price_usd_kg"]
    said = fitted.predict(1).set_index("series")["forecast"]
    assert did.loc[2015, "mae"] == pytest.approx(np.log(came / said).abs().mean())
    assert 0 <= did.loc[2015, "coverage_80"] <= did.loc[2015, "coverage_95"] <= 1
