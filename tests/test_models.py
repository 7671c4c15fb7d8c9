import numpy as np
import pandas as pd
import pytest

from vindima.errors import VindimaError
from vindima.forecasting import joint
from vindima.forecasting.level import LocalLevel
from vindima.forecasting.models import MODELS, POOLED, fit_panel, log_quantiles, model, panel
from vindima.quantiles import QUANTILES

GIVEN = {
    "level": {"level_sd": 0.1, "noise_sd": 0.3, "volume_power": 0.3, "scale_df": 5.0},
    "joint": {name: start for name, (start, _) in joint.SEARCH.items()},
}
"""Parameters of the pooled models for tests that need none estimated."""
COUNTRIES = ("ARG", "CHL", "FRA", "ITA", "PRT", "URY")


def simulated(
    countries: tuple[str, ...] = COUNTRIES, first: int = 1980, last: int = 2015, seed: int = 1
) -> pd.DataFrame:
    """A price table of one product: local levels with noise that falls with volume, and their total."""
    random = np.random.default_rng(seed)
    years = np.arange(first, last + 1)
    frames = []
    for country in countries:
        tonnes = np.exp(random.normal(random.uniform(1, 7), 0.3, len(years)))
        level = np.cumsum(random.normal(0, 0.1, len(years))) + random.uniform(0, 1)
        noise = random.normal(0, 0.5, len(years)) * np.exp(np.log(tonnes).mean()) ** -0.25
        frames.append(
            pd.DataFrame({"country": country, "year": years, "quantity_kg": 1000 * tonnes}).assign(
                value_usd=1000 * tonnes * np.exp(level + noise)
            )
        )
    parts = pd.concat(frames)
    total = parts.groupby("year", as_index=False)[["quantity_kg", "value_usd"]].sum().assign(country=None)
    table = pd.concat([parts, total.astype({"country": object})], ignore_index=True)
    table["series"] = "imports.table_wine" + ("." + table["country"]).fillna("")
    table["price_usd_kg"] = table["value_usd"] / table["quantity_kg"]
    table["price_usd_kg_real"] = table["price_usd_kg"] * 1.03 ** (last - table["year"])
    table["corrected"] = False
    return table.sort_values(["series", "year"], ignore_index=True)


def log_panel(log_prices: dict[str, list[float]], kilograms: dict[str, float]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Panels as `fit_panel` makes them, from log prices by series and one quantity for each series."""
    years = pd.period_range("1990", periods=len(next(iter(log_prices.values()))), freq="Y-DEC", name="year")
    index = pd.MultiIndex.from_product([list(log_prices), years], names=["series", "year"])
    y = pd.DataFrame({"log_price": np.concatenate(list(log_prices.values()))}, index=index)
    x = pd.DataFrame({"quantity_kg": np.repeat([kilograms[name] for name in log_prices], len(years))}, index=index)
    return y, x.where(y["log_price"].notna().to_numpy()[:, None])


def test_panel_runs_from_first_price_to_cutoff_with_gaps_kept():
    prices = simulated(("CHL", "ITA"), 2000, 2010)
    prices = prices[~((prices["country"] == "CHL") & prices["year"].isin([2000, 2004]))]
    log_prices, beside = panel(prices, ["imports.table_wine.CHL"], 2008)
    chile = log_prices["log_price"].droplevel("series")
    years = pd.PeriodIndex(chile.index)
    assert [years[0].year, years[-1].year] == [2001, 2008]
    assert years.freqstr == "Y-DEC"
    assert years[chile.isna()].year.tolist() == [2004]
    assert beside.index.equals(log_prices.index)
    assert beside["deflator"].groupby(level="year").nunique().max() == 1


@pytest.mark.parametrize("name", MODELS)
def test_model_gives_ordered_quantiles_around_its_point_for_each_series_and_horizon(name: str):
    prices = simulated()
    series = sorted(prices["series"].unique())
    fitted = fit_panel(name, model(name), prices, series, 2012)
    made = log_quantiles(fitted, [1, 3])
    assert made[["series", "horizon"]].to_numpy().tolist() == [[one, step] for one in series for step in (1, 3)]
    assert (made[list(QUANTILES)].diff(axis=1).iloc[:, 1:] > 0).all(axis=None)
    point = fitted.predict(fh=[1, 3])
    assert np.allclose(made["q50"], point.iloc[:, 0])


@pytest.mark.parametrize("name", MODELS)
def test_constant_series_is_forecast_at_its_constant(name: str):
    prices = simulated(("CHL",), 1990, 2010).query("country == 'CHL'")
    prices = prices.assign(price_usd_kg=2.0, price_usd_kg_real=2.0)
    made = log_quantiles(fit_panel(name, model(name), prices, ["imports.table_wine.CHL"], 2010), [1, 2])
    assert np.allclose(made["q50"], np.log(2), atol=1e-9)
    assert np.isfinite(made[list(QUANTILES)]).all(axis=None)
    assert (made[list(QUANTILES)].diff(axis=1).iloc[:, 1:] > 5e-5).all(axis=None)


@pytest.mark.parametrize("name", MODELS)
def test_constant_series_among_others_has_finite_quantiles_that_do_not_meet(name: str):
    prices = simulated(("ARG", "CHL"), 1990, 2010)
    chile = prices["country"] == "CHL"
    prices["price_usd_kg"] = prices["price_usd_kg"].mask(chile, 2.0)
    made = log_quantiles(fit_panel(name, model(name), prices, sorted(prices["series"].unique()), 2010), [1, 5])
    assert np.isfinite(made[list(QUANTILES)]).all(axis=None)
    assert (made[list(QUANTILES)].diff(axis=1).iloc[:, 1:] > 5e-5).all(axis=None)


@pytest.mark.parametrize("name", MODELS)
def test_gaps_before_the_cutoff_and_at_it_give_finite_quantiles(name: str):
    prices = simulated(("ARG", "CHL"), 1990, 2010)
    gap = (prices["country"] == "CHL") & prices["year"].isin([2000, 2001, 2010])
    nobody = prices["year"] == 2005
    made = log_quantiles(
        fit_panel(name, model(name), prices[~(gap | nobody)], sorted(prices["series"].unique()), 2010), [1, 5]
    )
    assert made["series"].nunique() == 3
    assert np.isfinite(made[list(QUANTILES)]).all(axis=None)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("horizons", [[0], [1, 50], []])
def test_horizon_that_no_model_is_asked_for_is_refused(name: str, horizons: list[int]):
    prices = simulated(("CHL",), 1990, 2010)
    fitted = fit_panel(name, model(name).set_params(**GIVEN.get(name, {})), prices, ["imports.table_wine"], 2010)
    with pytest.raises(VindimaError, match=r"horizons: expected different whole years from 1 to 10, got \["):
        log_quantiles(fitted, horizons)


@pytest.mark.parametrize("column", ["price_usd_kg", "price_usd_kg_real", "quantity_kg"])
@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -1.0])
def test_number_that_can_be_no_price_or_quantity_is_refused_by_series_and_year(column: str, value: float):
    prices = simulated(("CHL",), 1990, 2010)
    prices.loc[(prices["country"] == "CHL") & (prices["year"] == 2003), column] = value
    with pytest.raises(
        VindimaError, match=rf"prices of imports.table_wine.CHL, 2003: .* {column} above 0, got {value}"
    ):
        panel(prices, ["imports.table_wine.CHL"], 2010)
    assert panel(prices, ["imports.table_wine.CHL"], 2002)[0].notna().all(axis=None)


def test_two_prices_of_one_year_are_refused():
    prices = simulated(("CHL",), 1990, 2010)
    with pytest.raises(VindimaError, match=r"prices of imports.table_wine: expected one row for 2005, got more"):
        panel(pd.concat([prices, prices[prices["year"] == 2005]]), ["imports.table_wine"], 2010)


@pytest.mark.parametrize(
    ("series", "cutoff", "years"),
    [
        ("imports.table_wine.XXX", 2010, 0),
        ("imports.table_wine.CHL", 1996, 7),
        ("imports.table_wine.CHL", 1989, 0),
        ("imports.table_wine", 1970, 0),
    ],
)
@pytest.mark.parametrize("name", MODELS)
def test_series_that_is_absent_or_too_short_is_named(name: str, series: str, cutoff: int, years: int):
    prices = simulated(("CHL",), 1980, 2010)
    prices = prices[prices["country"].isna() | (prices["year"] >= 1990)]
    sentence = f"^{series}: expected a first price at least 8 years before the end of {cutoff}, got {years}$"
    with pytest.raises(VindimaError, match=sentence):
        fit_panel(name, model(name), prices, ["imports.table_wine", series], cutoff)


def test_panel_of_no_series_is_refused():
    with pytest.raises(VindimaError, match="expected at least one series to forecast, got none"):
        panel(simulated(("CHL",), 1990, 2010), [], 2010)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_reads_a_series_of_eight_years(name: str):
    prices = simulated(("CHL",), 2003, 2010)
    made = log_quantiles(fit_panel(name, model(name), prices, ["imports.table_wine.CHL"], 2010), [1, 2])
    assert np.isfinite(made[list(QUANTILES)]).all(axis=None)


@pytest.mark.parametrize("name", [name for name in MODELS if name not in POOLED])
def test_ready_made_method_sees_the_last_price_carried_through_a_gap(name: str):
    prices = simulated(("CHL",), 1985, 2010).query("country == 'CHL'")
    gap = prices[~prices["year"].isin([2003, 2004])]
    carried = prices.assign(price_usd_kg=prices["price_usd_kg"].mask(prices["year"].isin([2003, 2004])).ffill())
    series = ["imports.table_wine.CHL"]
    with_gap = log_quantiles(fit_panel(name, model(name), gap, series, 2010), [1])
    filled = log_quantiles(fit_panel(name, model(name), carried, series, 2010), [1])
    pd.testing.assert_frame_equal(with_gap, filled)


def test_unknown_model_lists_the_known_ones():
    with pytest.raises(VindimaError, match=r"'prophet' is not known: expected one of naive, .*level"):
        model("prophet")


def test_level_recovers_the_parameters_that_made_the_data():
    random = np.random.default_rng(7)
    n_series, n_years = 150, 60
    tonnes = np.exp(random.uniform(0, 8, n_series))
    noise = 0.6 * tonnes**-0.3
    levels = np.cumsum(random.normal(0, 0.15, (n_series, n_years)), axis=1)
    observed = levels + noise[:, None] * random.normal(0, 1, (n_series, n_years))
    names = [f"s{number:03}" for number in range(n_series)]
    y, x = log_panel(
        {name: row.tolist() for name, row in zip(names, observed, strict=True)},
        dict(zip(names, 1000 * tonnes, strict=True)),
    )
    fitted = LocalLevel().fit(y, X=x)
    assert fitted.level_sd_ == pytest.approx(0.15, rel=0.1)
    assert fitted.noise_sd_ == pytest.approx(0.6, rel=0.15)
    assert fitted.volume_power_ == pytest.approx(0.6, rel=0.15)
    assert fitted.scale_df_ > 30


def test_level_intervals_hold_their_share_of_simulated_prices():
    random = np.random.default_rng(3)
    scale = random.lognormal(0, 0.5, 400)
    steps = np.cumsum(scale[:, None] * random.normal(0, 0.1, (400, 42)), axis=1)
    observed = steps + scale[:, None] * random.normal(0, 0.2, (400, 42))
    names = [f"s{number:03}" for number in range(400)]
    y, x = log_panel(
        {name: row[:40].tolist() for name, row in zip(names, observed, strict=True)}, dict.fromkeys(names, 1e3)
    )
    made = log_quantiles(LocalLevel().fit(y, X=x), [2])
    came = pd.Series(observed[:, 41])
    assert came.between(made["q10"], made["q90"]).mean() == pytest.approx(0.80, abs=0.05)
    assert came.between(made["q025"], made["q975"]).mean() == pytest.approx(0.95, abs=0.03)


def test_level_follows_a_large_trader_more_than_a_small_one():
    path = [0.0] * 20 + [1.0]
    y, x = log_panel({"large": path, "small": path}, {"large": 1e8, "small": 2e3})
    fitted = LocalLevel(level_sd=0.1, noise_sd=0.5, volume_power=0.5, scale_df=5).fit(y, X=x)
    assert fitted.states_.loc["large", "level"] > 0.9
    assert fitted.states_.loc["small", "level"] < 0.4


def test_level_keeps_the_parameters_it_is_given():
    prices = simulated()
    series = sorted(prices["series"].unique())
    free = fit_panel("level", LocalLevel(), prices, series, 2012)
    found = {name: value for name, value in free.get_fitted_params().items() if name in free.get_params()}
    again = fit_panel("level", LocalLevel(**found), prices, series, 2012)
    pd.testing.assert_frame_equal(log_quantiles(again, [1, 5]), log_quantiles(free, [1, 5]))
    unweighted = fit_panel("level", LocalLevel(volume_power=0.0), prices, series, 2012)
    assert unweighted.volume_power_ == 0
    assert unweighted.states_["noise_variance"].nunique() == 1


def test_level_is_less_sure_after_a_gap():
    whole = list(np.sin(np.arange(20)))
    gap = [*whole[:16], np.nan, np.nan, np.nan, np.nan]
    y, x = log_panel({"gap": gap, "whole": whole}, {"gap": 1e5, "whole": 1e5})
    fitted = LocalLevel(level_sd=0.2, noise_sd=0.5, volume_power=0.5, scale_df=5).fit(y, X=x)
    variance = fitted.states_["level_variance"]
    assert variance["gap"] == pytest.approx(variance["whole"] + 4 * 0.2**2, rel=1e-3)


def test_level_without_volumes_gives_every_series_the_same_noise():
    y, _ = log_panel({"one": [0.0, 0.2, 0.1, 0.3], "two": [1.0, 1.2, 1.3, 1.1]}, {"one": 1, "two": 1})
    assert LocalLevel().fit(y).states_["noise_variance"].nunique() == 1


def test_level_stays_finite_on_a_single_short_series():
    y, x = log_panel({"one": [0.0, 0.2]}, {"one": 5e3})
    assert np.isfinite(log_quantiles(LocalLevel().fit(y, X=x), [1, 10])[list(QUANTILES)]).all(axis=None)


@pytest.mark.parametrize(
    ("prices", "kilograms", "sentence"),
    [
        ([np.nan] * 4, 1e3, "bad: expected a price in at least one year, got none"),
        ([0.0, np.inf, 0.2, 0.1], 1e3, "bad: expected finite log prices"),
        ([0.0, 0.1, 0.2, 0.1], 0.0, "bad: expected finite quantities above 0"),
        ([0.0, 0.1, 0.2, 0.1], np.inf, "bad: expected finite quantities above 0"),
        ([0.0, 0.1, 0.2, 0.1], np.nan, "bad: expected finite quantities above 0"),
    ],
)
@pytest.mark.parametrize("name", POOLED)
def test_pooled_model_refuses_a_series_that_it_cannot_read_by_its_name(
    name: str, prices: list[float], kilograms: float, sentence: str
):
    y, x = log_panel({"bad": prices, "good": [0.0, 0.2, 0.1, 0.3]}, {"bad": kilograms, "good": 1e3})
    with pytest.raises(VindimaError, match=sentence):
        model(name).fit(y, X=x)
