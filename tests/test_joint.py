"""The joint model: likelihood, score and forecasts against Gaussian formulas and a dense filter; what it learns."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from threadpoolctl import threadpool_limits

from tests import dense_filter
from vindima import paths
from vindima.errors import VindimaError
from vindima.etl.prices import for_forecasts
from vindima.forecasting import joint, models
from vindima.forecasting.eligibility import eligible
from vindima.forecasting.joint import JointLevels
from vindima.forecasting.level import known
from vindima.forecasting.models import log_quantiles
from vindima.quantiles import QUANTILES

SERIES = ("exports.table_wine", "imports.raisins.ARG", "imports.table_wine", "imports.table_wine.ARG")
VALUES = {
    "own_sd": 0.2, "world_sd": 0.1, "product_sd": 0.15, "market_sd": 0.12, "country_sd": 0.3, "noise_sd": 0.4,
    "mean_sd": 0.9, "own_phi": 0.8, "factor_phi": 0.95, "country_phi": 0.9, "noise_power": 0.3, "own_power": 0.2,
}  # fmt: skip


Given = tuple[tuple[str, ...], np.ndarray, np.ndarray]
"""Names of series, what is observed (years × series) and log tonnes."""


@pytest.fixture
def given() -> Given:
    """Four series of seven years with gaps."""
    random = np.random.default_rng(4)
    observed = random.normal(0.5, 0.5, (7, 4))
    observed[0, 1] = observed[3, 1] = observed[4, 2] = observed[6, 3] = np.nan
    return SERIES, observed, np.array([3.0, 0.5, 5.0, 1.0])


def spaces(given: Given) -> tuple[joint._Space, dense_filter.Space]:
    series, observed, log_tonnes = given
    return tuple(kind.of(pd.Index(series), observed, log_tonnes) for kind in (joint._Space, dense_filter.Space))


def weights_of(observed: np.ndarray) -> np.ndarray:
    return np.random.default_rng(5).uniform(0.3, 1.2, observed.shape)


def dense(space: dense_filter.Space, values: dict[str, float], weights: np.ndarray) -> tuple[np.ndarray, ...]:
    """Covariance of all true log prices (years × series, flattened), and the variance of the noise beside it."""
    volume = np.exp(-values["own_power"] * space.log_tonnes)
    years = len(weights)
    lag = np.abs(np.subtract.outer(np.arange(years), np.arange(years)))

    def stationary(sd: np.ndarray | float, phi: float) -> np.ndarray:
        return np.asarray(sd) ** 2 * phi**lag / (1 - phi**2)

    def share(name: str) -> np.ndarray:
        part = space.loading.toarray()[:, space.blocks[name]]
        return part @ part.T

    def spread(over_time: np.ndarray, over_series: np.ndarray) -> np.ndarray:
        return np.kron(over_time, over_series)

    covariance = spread(np.ones((years, years)), values["mean_sd"] ** 2 * np.eye(len(volume)))
    covariance += spread(stationary(values["own_sd"], values["own_phi"]), np.diag(volume))
    for block, phi in dense_filter.FACTORS.items():
        covariance += spread(stationary(values[f"{block}_sd"], values[phi]), share(block))
    noise = values["noise_sd"] ** 2 * np.exp(-values["noise_power"] * space.log_tonnes)
    return covariance, (noise / weights).ravel()


def test_likelihood_is_that_of_the_joint_gaussian(given: Given):
    ours, theirs = spaces(given)
    weights = weights_of(given[1])
    covariance, noise = dense(theirs, VALUES, weights)
    seen = ~np.isnan(theirs.observed.ravel())
    whole = (covariance + np.diag(noise))[np.ix_(seen, seen)]
    expected = stats.multivariate_normal(cov=whole).logpdf(theirs.observed.ravel()[seen])
    assert joint._solve(ours, VALUES, weights.T[ours.order]).likelihood == pytest.approx(expected, abs=1e-9)


def test_score_of_a_series_is_its_block_of_the_derivative_by_the_covariance(given: Given):
    ours, theirs = spaces(given)
    weights = weights_of(given[1])
    covariance, noise = dense(theirs, VALUES, weights)
    unseen = np.isnan(theirs.observed.ravel())
    inverse = np.linalg.inv(covariance + np.diag(np.where(unseen, 1e12, noise)))
    scaled = inverse @ np.nan_to_num(theirs.observed.ravel())
    whole = (np.outer(scaled, scaled) - inverse).reshape(7, 4, 7, 4)
    ((_, scores),) = joint._scores(ours, joint._solve(ours, VALUES, weights.T[ours.order]))
    for place, score in zip(ours.order, scores, strict=True):
        assert score == pytest.approx(whole[:, place, :, place], abs=1e-9)


@pytest.mark.parametrize("name", VALUES)
def test_gradient_is_the_slope_of_the_likelihood(given: Given, name: str):
    space, _ = spaces(given)
    weights = weights_of(given[1]).T[space.order]
    slope = joint._gradient(space, VALUES, weights, joint._solve(space, VALUES, weights))[name]
    sides = [
        joint._solve(
            space, VALUES | {name: joint._from_line(name, joint._to_line(name, VALUES[name]) + step)}, weights
        ).likelihood
        for step in (-1e-5, 1e-5)
    ]
    assert slope == pytest.approx((sides[1] - sides[0]) / 2e-5, rel=1e-4, abs=1e-5)


def of_names(*names: str, years: int = 30) -> Given:
    """Prices that move, with a third of them missing, of series with these names."""
    random = np.random.default_rng(len(names))
    observed = np.cumsum(random.normal(0, 0.2, (years, len(names))), axis=0) + random.normal(1, 1, len(names))
    observed[random.random(observed.shape) < 1 / 3] = np.nan
    return names, observed, random.normal(3, 2, len(names))


def of_real_prices() -> Given:
    """The series and years that forecasts start from."""
    if not (paths.PRICES / "prices.parquet").is_file():
        pytest.skip("the pipeline has not run here")
    prices = for_forecasts(paths.TIDY, paths.PRICES)
    cutoff = int(prices["year"].max())
    wide, log_tonnes = known(*models.panel(prices, eligible(prices, cutoff), cutoff))
    return tuple(wide.columns), wide.to_numpy(), log_tonnes


MARKETS = [f"{flow}.{product}" for flow in ("imports", "exports") for product in ("raisins", "table_wine", "juice")]
PANELS = {
    "many countries": lambda: of_names(*(f"{m}.{c}" for m in MARKETS for c in ("ARG", "CHL", "PRT")), *MARKETS),
    "names in no order": lambda: of_names(
        "imports.b.USA", "imports.a", "exports.b.ARG", "imports.a.USA", "imports.b"
    ),
    "two series of one market and country": lambda: of_names("imports.a.USA.red", "imports.a.USA.white", "imports.a"),
    "no country": lambda: of_names(*MARKETS),
    "one country": lambda: of_names(*(f"{market}.ARG" for market in MARKETS)),
    "one series": lambda: of_names("imports.raisins"),
    "names of one word": lambda: of_names("b", "a", years=8),
    "constant": lambda: (SERIES, np.ones((12, 4)), np.zeros(4)),
    "two years": lambda: (SERIES, np.array([[1.0, 2.0, np.nan, 1.5], [np.nan, 2.2, 0.3, 1.4]]), np.ones(4)),
    "real": of_real_prices,
}
OTHERS = {
    "as they are": {},
    "factors that do not move": {"market_sd": 0.0, "country_sd": 0.0},
    "no mean, and levels that do not return": {"mean_sd": 0.0, "own_phi": 1.0},
    "hardly any noise": {"noise_sd": 1e-3, "factor_phi": 0.997, "country_sd": 3.0},
}


@pytest.mark.parametrize("values", [VALUES | other for other in OTHERS.values()], ids=OTHERS)
@pytest.mark.parametrize("name", PANELS)
def test_elimination_equals_the_dense_filter(name: str, values: dict[str, float]):
    given = PANELS[name]()
    ours, theirs = spaces(given)
    weights = weights_of(given[1])
    rows = weights.T[ours.order]
    with threadpool_limits(1):
        solved, filtered = joint._solve(ours, values, rows), dense_filter.filtered_by(theirs, values, weights)
        assert solved.likelihood == pytest.approx(filtered.likelihood, rel=1e-9, abs=1e-6)
        expected = dense_filter.gradient(theirs, values, weights, filtered)
        found = joint._gradient(ours, values, rows, solved)
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)
        score = dense_filter.smooth(theirs, values, weights, filtered)
        noise = dense_filter.system_of(theirs, values).noise
        squares = (score.smoothed**2 + score.smoothed_variance) / noise
        weights = (joint.NOISE_DF + 1) / (joint.NOISE_DF + squares)
        seen = (~np.isnan(squares)).sum(axis=0)
        scale = (joint.AS_ALL + np.nansum(weights * squares, axis=0)) / (joint.AS_ALL + seen)
        weights = (joint.NOISE_DF + 1) / (joint.NOISE_DF + squares / scale) / scale
        again = joint._reweighted(ours, values, joint._Noise(rows, np.ones(len(rows))), 1)
        expected = np.where(np.isnan(squares), 1.0, weights).T[ours.order]
        assert again.precision == pytest.approx(expected, rel=1e-6, abs=1e-6)
        assert again.scale == pytest.approx(scale[ours.order], rel=1e-6)


@pytest.mark.parametrize("name", PANELS)
def test_forecasts_are_those_of_the_dense_filter(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(joint, "REWEIGHTINGS", 0)
    series, observed, log_tonnes = PANELS[name]()
    y, x = panel(observed, series, np.exp(log_tonnes))
    fitted = JointLevels(**VALUES).fit(y, X=x)
    made = log_quantiles(fitted, [5, 1]).set_index(["horizon", "series"])
    space = dense_filter.Space.of(pd.Index(series), observed, log_tonnes)
    filtered = dense_filter.filtered_by(space, VALUES, np.ones(observed.shape))
    for horizon in (1, 5):
        median, scale = dense_filter.ahead(space, VALUES, filtered, horizon)
        found = made.loc[horizon].loc[list(series)]
        assert found["q50"].to_numpy() == pytest.approx(median, abs=1e-6)
        width = stats.t.ppf(0.9, joint.NOISE_DF) * scale
        assert (found["q90"] - found["q50"]).to_numpy() == pytest.approx(width, abs=1e-6)


def test_order_of_the_series_changes_no_bit_of_any():
    series, observed, log_tonnes = of_names(
        *(f"imports.a.{c}.{n}" for c in ("USA", "ARG") for n in range(6)), *MARKETS
    )
    places = np.random.default_rng(3).permutation(len(series))
    found = []
    for order in (np.arange(len(series)), places):
        space = joint._Space.of(pd.Index(series)[order], observed[:, order], log_tonnes[order])
        weights = joint._reweighted(space, VALUES, joint._Noise.of_all(space), 2).precision
        solved = joint._solve(space, VALUES, weights)
        states = np.hstack([joint._last_states(space, VALUES, solved)[0], space.prior_mean[:, None], weights])
        found.append((solved.likelihood, pd.DataFrame(states, index=np.array(series)[order][space.order])))
    assert found[0][0] == found[1][0]
    pd.testing.assert_frame_equal(found[0][1], found[1][1], check_exact=True)


def test_order_of_the_rows_changes_no_bit_of_a_forecast():
    series, observed, log_tonnes = PANELS["names in no order"]()
    made = []
    for order in ([0, 1, 2, 3, 4], [3, 1, 4, 0, 2]):
        y, x = panel(observed[:, order], tuple(np.array(series)[order]), np.exp(log_tonnes[order]))
        made.append(log_quantiles(JointLevels(**VALUES).fit(y, X=x), [1, 3]).sort_values(["series", "horizon"]))
    pd.testing.assert_frame_equal(*(one.reset_index(drop=True) for one in made), check_exact=True)


def test_many_series_are_worked_on_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch):
    ours, _ = spaces(PANELS["many countries"]())
    weights = np.ones(ours.seen.shape)
    gradients = []
    for at_once in (1000, 5):
        monkeypatch.setattr(joint, "SERIES_AT_ONCE", at_once)
        gradients.append(joint._gradient(ours, VALUES, weights, joint._solve(ours, VALUES, weights)))
    assert gradients[0] == pytest.approx(gradients[1], rel=1e-9)


def panel(observed: np.ndarray, series: tuple[str, ...], tonnes: np.ndarray | None = None) -> tuple:
    """Panels as `fit_panel` makes them: years × series of log prices, one quantity for each series, no inflation."""
    years = pd.period_range("1990", periods=len(observed), freq="Y-DEC", name="year")
    index = pd.MultiIndex.from_product([series, years], names=["series", "year"])
    y = pd.DataFrame({"log_price": observed.T.ravel()}, index=index)
    kilograms = 1000 * np.repeat(np.ones(len(series)) if tonnes is None else tonnes, len(years))
    x = pd.DataFrame({"quantity_kg": kilograms, "deflator": 1.0}, index=index)
    return y, x[y["log_price"].notna()].reindex(index)


def test_forecast_is_the_conditional_mean(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(joint, "REWEIGHTINGS", 0)
    random = np.random.default_rng(6)
    observed = random.normal(0.5, 0.5, (7, 4))
    observed[6, 1] = np.nan
    tonnes = np.array([20.0, 2.0, 150.0, 3.0])
    y, x = panel(observed, SERIES, tonnes)
    fitted = JointLevels(**VALUES).fit(y, X=x)
    space = dense_filter.Space.of(pd.Index(SERIES), observed, np.log(tonnes))
    covariance, noise = dense(space, VALUES, np.ones((9, 4)))
    seen = np.append(~np.isnan(space.observed.ravel()), np.zeros(8, dtype=bool))
    before = covariance[np.ix_(seen, seen)] + np.diag(noise[seen])
    ahead = covariance[32:, seen]
    mean = space.prior_mean + ahead @ np.linalg.solve(before, space.observed.ravel()[seen[:28]])
    assert fitted.predict(fh=[2]).iloc[:, 0].to_numpy() == pytest.approx(mean, abs=1e-6)
    variance = covariance[32:, 32:] - ahead @ np.linalg.solve(before, ahead.T)
    made = log_quantiles(fitted, [2])
    scale = np.sqrt(np.diag(variance) + noise[32:])
    assert (made["q90"] - made["q50"]).to_numpy() == pytest.approx(scale * stats.t.ppf(0.9, joint.NOISE_DF), abs=1e-6)


def test_series_without_a_new_price_follows_the_others_of_its_market():
    observed = np.zeros((20, 3))
    observed[-1] = [0.5, 0.5, np.nan]
    series = ("imports.table_wine", "imports.table_wine.ARG", "imports.table_wine.CHL")
    y, x = panel(observed, series, np.array([1e4, 5e3, 5e3]))
    made = JointLevels(**(VALUES | {"noise_sd": 0.1})).fit(y, X=x).predict(fh=[1])
    assert 0.1 < made.loc["imports.table_wine.CHL"].iloc[0, 0] < 0.5


def test_one_outlier_moves_the_forecast_less_than_gaussian_noise_would(monkeypatch: pytest.MonkeyPatch):
    observed = np.zeros((20, 2))
    observed[-2, 0] = 3.0
    y, x = panel(observed, ("imports.raisins.ARG", "imports.raisins.TUR"))
    robust = JointLevels(**VALUES).fit(y, X=x).predict(fh=[1]).iloc[0, 0]
    monkeypatch.setattr(joint, "REWEIGHTINGS", 0)
    gaussian = JointLevels(**VALUES).fit(y, X=x).predict(fh=[1]).iloc[0, 0]
    assert 0 < robust < gaussian / 2


def test_large_trader_is_followed_more_than_a_small_one():
    observed = np.zeros((21, 2))
    observed[-1] = 1.0
    y, x = panel(observed, ("imports.raisins.ARG", "exports.table_wine.USA"), np.array([1e5, 2.0]))
    made = JointLevels(**(VALUES | {"own_power": 0.0, "world_sd": 1e-3})).fit(y, X=x).predict(fh=[1]).iloc[:, 0]
    assert made.xs("imports.raisins.ARG").item() > 1.25 * made.xs("exports.table_wine.USA").item()


def simulated(
    n_series: int, n_years: int, seed: int, df: float = joint.NOISE_DF
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Own levels with phi 0.9 and sd 0.12, a world factor with sd 0.08 and phi 0.95, Student-t noise of scale 0.3."""
    random = np.random.default_rng(seed)
    own, world, rows = np.zeros(n_series), 0.0, []
    for _ in range(n_years + 30):
        own = 0.9 * own + random.normal(0, 0.12, n_series)
        world = 0.95 * world + random.normal(0, 0.08)
        rows.append(own + world + 0.3 * random.standard_t(df, n_series))
    flows = ("exports", "imports")
    names = tuple(f"{flow}.table_wine.{number:03}" for flow in flows for number in range(n_series // 2))
    return np.array(rows[30:]) + random.normal(0, 0.5, n_series), names


def test_parameters_that_made_the_data_are_recovered(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(joint, "NOISE_DF", 1e9)
    monkeypatch.setattr(joint, "AS_ALL", 1e9)
    observed, names = simulated(60, 50, seed=8, df=1e9)
    y, x = panel(observed, names)
    fitted = JointLevels().fit(y, X=x)
    assert fitted.noise_sd_ == pytest.approx(0.3, rel=0.15)
    assert fitted.own_sd_ == pytest.approx(0.12, rel=0.3)
    shared = np.sqrt(fitted.world_sd_**2 + fitted.product_sd_**2 + fitted.market_sd_**2)
    assert shared == pytest.approx(0.08, rel=0.4)
    assert fitted.country_sd_ < 0.06


def test_intervals_hold_their_share_of_simulated_prices():
    inside = {80: [], 95: []}
    for seed in range(3):
        observed, names = simulated(60, 42, seed)
        y, x = panel(observed[:40], names)
        made = log_quantiles(JointLevels().fit(y, X=x), [2])
        came = pd.Series(observed[41])
        inside[80] += came.between(made["q10"], made["q90"]).tolist()
        inside[95] += came.between(made["q025"], made["q975"]).tolist()
    assert np.mean(inside[80]) == pytest.approx(0.80, abs=0.07)
    assert np.mean(inside[95]) == pytest.approx(0.95, abs=0.04)


def test_series_whose_prices_are_noisier_than_others_of_their_volume_have_wider_intervals_that_hold():
    calm, noisy = [], []
    for seed in range(3):
        observed, names = simulated(60, 42, seed)
        random = np.random.default_rng(seed)
        observed[:, ::2] += 0.9 * random.standard_t(4, observed[:, ::2].shape)
        y, x = panel(observed[:40], names)
        made = log_quantiles(JointLevels().fit(y, X=x), [2])
        inside = pd.Series(observed[41]).between(made["q10"], made["q90"])
        width = made["q90"] - made["q10"]
        assert width[::2].median() > 1.6 * width[1::2].median()
        noisy += inside[::2].tolist()
        calm += inside[1::2].tolist()
    assert np.mean(noisy) == pytest.approx(0.80, abs=0.1)
    assert np.mean(calm) == pytest.approx(0.80, abs=0.1)


def test_inflation_is_taken_out_and_the_last_price_level_stays():
    observed = np.tile(0.03 * np.arange(20.0)[:, None], (1, 2))
    y, x = panel(observed, ("imports.raisins.ARG", "imports.raisins.TUR"))
    x["deflator"] = np.tile(np.exp(-0.03 * (np.arange(20.0) - 5)), 2)
    made = JointLevels(**VALUES).fit(y, X=x).predict(fh=[1, 5]).iloc[:, 0]
    assert made.to_numpy() == pytest.approx(0.57, abs=1e-6)


def test_given_parameters_are_kept_and_give_the_same_forecast_again():
    observed, names = simulated(6, 25, seed=3)
    y, x = panel(observed, names)
    free = JointLevels().fit(y, X=x)
    found = {name: free.get_fitted_params()[name] for name in free.get_params()}
    assert set(found) == set(joint.SEARCH)
    again = JointLevels(**found).fit(y, X=x)
    pd.testing.assert_frame_equal(log_quantiles(again, [1, 5]), log_quantiles(free, [1, 5]), check_exact=True)


def test_number_of_threads_changes_no_bit():
    observed, names = simulated(12, 30, seed=2)
    y, x = panel(observed, names)
    made = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            made.append(log_quantiles(JointLevels().fit(y, X=x), [1, 3]))
    pd.testing.assert_frame_equal(*made, check_exact=True)


def test_single_short_series_without_volumes_gives_finite_quantiles():
    y, _ = panel(np.array([[0.0], [0.2], [0.1]]), ("imports.raisins.ARG",))
    made = log_quantiles(JointLevels().fit(y), [1, 10])
    assert np.isfinite(made[list(QUANTILES)]).all(axis=None)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -1.0])
def test_deflator_that_is_none_is_refused(value: float):
    y, x = panel(np.zeros((5, 2)), ("imports.raisins.ARG", "imports.raisins.TUR"))
    with pytest.raises(VindimaError, match="deflator: expected finite numbers above 0"):
        JointLevels(**VALUES).fit(y, X=x.assign(deflator=value))


def test_series_with_one_price_borrows_the_rest_from_the_others():
    observed, names = simulated(6, 25, seed=3)
    observed[:, 0] = np.nan
    observed[12, 0] = 0.4
    made = log_quantiles(JointLevels().fit(*panel(observed, names)), [1, 10])
    widths = (made["q90"] - made["q10"])[made["horizon"] == 1]
    assert np.isfinite(made[list(QUANTILES)]).all(axis=None)
    assert widths.iloc[0] > widths.iloc[1:].median()
