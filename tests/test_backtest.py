from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.test_models import simulated
from vindima.errors import VindimaError
from vindima.etl import schemas
from vindima.forecasting import intervals
from vindima.forecasting.backtest import backtest, check_cutoff, past_errors, rolling, taught
from vindima.forecasting.eligibility import eligible
from vindima.forecasting.intervals import calibrate, corrected
from vindima.forecasting.level import LocalLevel
from vindima.forecasting.models import MODELS, POOLED
from vindima.quantiles import QUANTILES

CHILE = "imports.table_wine.CHL"
TOTAL = "imports.table_wine"


def test_total_is_eligible_with_eight_years_and_without_trade_at_the_cutoff():
    prices = simulated(("CHL",), 2000, 2010)
    assert eligible(prices, 2006) == []
    assert eligible(prices, 2007) == [TOTAL]
    assert TOTAL in eligible(prices[prices["year"] != 2010], 2010)


def test_country_is_eligible_with_twelve_years_of_a_tonne_one_of_them_the_cutoff():
    prices = simulated(("CHL",), 1990, 2010)
    assert CHILE not in eligible(prices, 2000)
    assert CHILE in eligible(prices, 2001)
    absent = prices[~((prices["series"] == CHILE) & (prices["year"] == 2001))]
    assert CHILE not in eligible(absent, 2001)
    small = prices.assign(quantity_kg=prices["quantity_kg"].mask(prices["year"] == 2001, 999.0))
    assert CHILE not in eligible(small, 2001)
    assert CHILE in eligible(small, 2002)


@pytest.mark.parametrize("code", ["OTHER", "UNDECLARED", "SHIP_SUPPLIES", "BRA"])
def test_what_is_no_foreign_country_is_never_forecast(code: str):
    prices = simulated(("CHL", code), 1980, 2010)
    assert eligible(prices, 2010) == [TOTAL, CHILE]


@pytest.mark.parametrize("name", MODELS)
def test_nothing_after_a_cutoff_moves_a_forecast_made_at_it(name: str, monkeypatch: pytest.MonkeyPatch):
    """Every price, quantity, value and deflator of every series changes, and one series trades no more."""
    prices = simulated(("ARG", "CHL", "ITA", "PRT"), 1990)
    cutoff = 2013
    later = prices["year"] > cutoff
    random = np.random.default_rng(5)
    changed = prices.assign(corrected=later)
    for column in ("price_usd_kg", "price_usd_kg_real", "quantity_kg", "value_usd"):
        factor = np.exp(random.uniform(0.1, 2, len(prices)) * random.choice([-1, 1], len(prices)))
        changed[column] = prices[column].where(~later, prices[column] * factor)
        assert (changed[column] != prices[column]).equals(later)
    stopped = changed[~((changed["series"] == CHILE) & (changed["year"] > cutoff + 1))]
    learned = []
    monkeypatch.setattr(intervals, "calibrate", lambda past: learned.append(calibrate(past)) or learned[-1])
    made, again = (
        backtest([name], table, cutoff - 1, cutoff, [1, 2]).scored.query("cutoff == @cutoff")
        for table in (prices, stopped)
    )
    assert (len(learned), None in learned) == (4 if name in POOLED else 0, False)
    assert learned[:2] == learned[2:]
    assert all(one.factors for one in learned)
    both = made.merge(again, on=["series", "horizon"], suffixes=("", "_again"))
    assert len(both) == len(again) == len(made) - 1 == 9
    assert (both["actual"] != both["actual_again"]).all()
    for column in ("forecast", *QUANTILES):
        assert both[column].equals(both[f"{column}_again"].rename(column))


def test_rows_are_the_target_years_with_a_price_and_keep_the_contract():
    prices = simulated(("CHL",), 1995, 2012)
    prices = prices[~((prices["series"] == CHILE) & (prices["year"] == 2011))]
    made = backtest(["naive", "drift", "level"], prices, 2009, None, [1, 2, 3]).scored
    schemas.validate(made, schemas.BACKTEST)
    naive = made[(made["model"] == "naive") & (made["series"] == CHILE)]
    assert naive[["cutoff", "year"]].to_numpy().tolist() == [[2009, 2010], [2009, 2012], [2010, 2012]]
    assert made.groupby("model").size().nunique() == 1
    price = prices.set_index(["series", "year"])["price_usd_kg"]
    assert naive["actual"].tolist() == [price[CHILE, year] for year in naive["year"]]
    assert naive["forecast"].tolist() == [pytest.approx(price[CHILE, 2009], rel=1e-5)] * 2 + [
        pytest.approx(price[CHILE, 2010], rel=1e-5)
    ]


def test_published_price_stands_beside_the_corrected_one():
    prices = simulated(("CHL",), 1985, 2012)
    published = pd.DataFrame({"series": [TOTAL], "year": [2012], "price_usd_kg": [9.0]})
    made = backtest(["naive"], prices, 2011, None, [1], published).scored.set_index("series")
    assert made["actual_published"][TOTAL] == 9.0
    assert made["actual"][TOTAL] != 9.0
    assert made["actual_published"][CHILE] == made["actual"][CHILE]


def test_price_that_rests_on_a_likely_correction_is_no_actual():
    prices = simulated(("CHL", "ARG"), 1985, 2012)
    confirmed = prices[["series", "year", "price_usd_kg"]].copy()
    confirmed.loc[(confirmed["series"] == CHILE) & (confirmed["year"] == 2011), "price_usd_kg"] *= 2
    absent = (confirmed["series"] == TOTAL) & (confirmed["year"] == 2012)
    made = backtest(["naive"], prices, 2010, None, [1], confirmed=confirmed[~absent]).scored.set_index(
        ["series", "year"]
    )
    schemas.validate(made.reset_index(), schemas.BACKTEST)
    assert made.index[made["actual"].isna()].tolist() == [(TOTAL, 2012), (CHILE, 2011)]
    known = made["actual"].notna()
    assert (made["actual"] == made["actual_published"])[known].all()


def test_pooled_forecasts_are_corrected_by_errors_before_the_first_scored_cutoff():
    prices = simulated(first=1990)
    own = rolling("level", prices, [2010], [1])
    made = backtest(["level"], prices, 2010, 2010, [1]).scored
    learned = calibrate(past_errors(rolling("level", prices, range(1995, 2011), [1]), 2010))
    assert learned is not None
    expected = corrected(own, learned).sort_values("series")
    for name in QUANTILES:
        assert np.allclose(np.log(made[name]), expected[name], atol=1e-5)


def test_pooled_model_keeps_its_parameters_for_five_cutoffs(monkeypatch: pytest.MonkeyPatch):
    estimations = []
    fit = LocalLevel._fit

    def counted(self: LocalLevel, *arguments: Any, **named: Any) -> LocalLevel:
        estimations.append(self.level_sd is None)
        return fit(self, *arguments, **named)

    monkeypatch.setattr(LocalLevel, "_fit", counted)
    rolling("level", simulated(first=1990), range(2003, 2012), [1])
    assert estimations == [True, False, True, False, False, False, False, True, False]


@pytest.mark.parametrize("name", POOLED)
def test_what_the_errors_up_to_the_newest_year_teach_is_what_they_teach_when_made_anew(name: str):
    prices = simulated(("CHL", "ARG", "ITA"), 1990, 2006)
    given = schemas.validate(backtest(POOLED, prices, 2004, None, [1, 2]).calibrations, schemas.CALIBRATIONS)
    anew = taught(name, prices, [1, 2])
    assert set(anew) == {"usd"}
    assert taught(name, prices, [1, 2], given) == anew
    of_others = given.assign(value=given["value"] + 1)
    assert taught(name, prices, [1, 2], of_others) != anew
    assert taught(name, prices, [1], of_others) == taught(name, prices, [1])


def test_cutoffs_that_end_early_teach_nothing_of_the_newest_year():
    assert backtest(["level"], simulated(("CHL",), 1990, 2006), 2003, 2004, [1]).calibrations.empty


def test_single_series_can_be_backtested():
    made = backtest(MODELS, simulated(("CHL",), 1990, 2008).query("country == 'CHL'"), 2006, None, [1, 2]).scored
    assert made.groupby("model").size().tolist() == [3] * len(MODELS)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((1960, None, [1]), "expected a year of the data, 1980 to 2015, got 1960"),
        ((2030, None, [1]), "expected a year of the data, 1980 to 2015, got 2030"),
        ((2010, 2015, [1]), "last_cutoff < 2015"),
        ((2012, 2010, [1]), "got 2012 and 2010"),
        ((1982, None, [1]), "cutoff 1982: .*no series has that"),
        ((2010, None, [0, 1]), r"whole years from 1 to 10, got \[0, 1\]"),
        ((2010, None, [50]), r"got \[50\]"),
        ((2010, None, [1, 1]), "different whole years"),
        ((2010, None, [1.5]), r"got \[1.5\]"),
        ((2010, None, []), r"got \[\]"),
    ],
)
def test_impossible_request_says_what_was_expected(arguments: tuple, sentence: str):
    with pytest.raises(VindimaError, match=sentence):
        backtest(["naive"], simulated(), *arguments)


def test_prices_without_rows_are_refused():
    with pytest.raises(VindimaError, match="there is no price to forecast from"):
        check_cutoff(simulated().iloc[:0], 2010)


@pytest.mark.parametrize("which", ["every", "one"])
def test_prices_that_never_moved_are_forecast_with_finite_intervals(which: str):
    prices = simulated(("CHL", "ARG"), 1985, 2010)
    constant = np.full(len(prices), True) if which == "every" else prices["series"] == CHILE
    prices = prices.assign(
        **{name: prices[name].mask(constant, 2.0) for name in ("price_usd_kg", "price_usd_kg_real")}
    )
    made = schemas.validate(backtest(MODELS, prices, 2008, None, [1, 2]).scored, schemas.BACKTEST)
    assert (made["q90"] > made["q50"] * 1.00005).all()
    assert (made["q10"] < made["q50"] * 0.99995).all()
    if which == "every":
        assert np.allclose(made["forecast"], 2.0)


def test_country_without_trade_at_a_cutoff_has_no_forecast_from_there_and_later_ones_see_the_gap():
    prices = simulated(("CHL",), 1985, 2010).query("country == 'CHL' and year != 2007")
    made = schemas.validate(backtest(MODELS, prices, 2006, None, [1, 2]).scored, schemas.BACKTEST)
    for _, rows in made.groupby("model"):
        assert rows[["cutoff", "year"]].to_numpy().tolist() == [
            [2006, 2008],
            [2008, 2009],
            [2008, 2010],
            [2009, 2010],
        ]


def test_cutoff_whose_target_years_have_no_price_has_no_rows():
    prices = simulated(("CHL",), 1985, 2010)
    made = backtest(MODELS, prices[~prices["year"].isin([2007, 2008])], 2006, 2006, [1, 2]).scored
    assert schemas.validate(made, schemas.BACKTEST).empty


@pytest.mark.parametrize("year", [2003, 2015])
def test_price_that_is_none_is_refused_by_series_and_year_wherever_it_stands(year: int):
    prices = simulated()
    prices.loc[(prices["series"] == CHILE) & (prices["year"] == year), "price_usd_kg"] = np.inf
    with pytest.raises(VindimaError, match=rf"prices of {CHILE}, {year}: expected a finite price_usd_kg above 0"):
        backtest(["naive"], prices, 2010, None, [1])


def test_unknown_model_is_refused():
    with pytest.raises(VindimaError, match="'prophet' is not known"):
        backtest(["naive", "prophet"], simulated(("CHL",), 2000), 2013, None, [1])
