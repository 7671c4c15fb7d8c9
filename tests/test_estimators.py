import warnings

import numpy as np
import pandas as pd
import pytest
from sktime.forecasting.base import BaseForecaster
from sktime.utils.estimator_checks import check_estimator

from vindima.forecasting import joint
from vindima.forecasting.boosting import Boosting
from vindima.forecasting.joint import JointLevels
from vindima.forecasting.level import LocalLevel
from vindima.forecasting.seasonal import SeasonalLevel

ESTIMATORS = pytest.mark.parametrize("estimator", [LocalLevel, JointLevels, SeasonalLevel, Boosting])


@pytest.mark.services
@ESTIMATORS
def test_estimator_does_all_that_sktime_asks_of_a_forecaster(
    estimator: type[BaseForecaster], monkeypatch: pytest.MonkeyPatch
):
    # What is asked is the shape of answers: the weights of the noise cost most of the time and change none of it.
    monkeypatch.setattr(joint, "REWEIGHTINGS", 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sktime warns of what it does in its own checks
        found = check_estimator(estimator.create_test_instance(), raise_exceptions=True, verbose=False)
    assert set(found.values()) == {"PASSED"}


def walk(name: str, years: int = 30) -> pd.Series:
    steps = np.random.default_rng(len(name)).normal(0, 0.2, years)
    return pd.Series(np.cumsum(steps), index=pd.period_range("1990", periods=years, freq="Y", name="year"), name=name)


@ESTIMATORS
def test_single_series_is_forecast_as_a_panel_of_one(estimator: type[BaseForecaster]):
    series = walk("imports.raisins")
    alone = estimator().fit(series).predict_quantiles(fh=[1, 3], alpha=[0.1, 0.9])
    panel = pd.concat({"imports.raisins": series.to_frame()}, names=["series"])
    among = estimator().fit(panel).predict_quantiles(fh=[1, 3], alpha=[0.1, 0.9])
    pd.testing.assert_frame_equal(alone, among.droplevel(0), check_exact=True, check_names=False)


@pytest.mark.parametrize("estimator", [LocalLevel, JointLevels, SeasonalLevel])
@pytest.mark.parametrize("anew", [True, False])
def test_update_is_a_fit_to_all_years_with_parameters_found_anew_or_kept(estimator: type[BaseForecaster], anew: bool):
    names = ("imports.raisins.ARG", "imports.raisins.TUR")
    y = pd.concat({name: walk(name).to_frame("log_price") for name in names}, names=["series"])
    x = pd.DataFrame({"quantity_kg": 5e4, "deflator": np.tile(np.linspace(0.5, 1, 30), 2)}, index=y.index)
    early = y.index.get_level_values("year") < pd.Period("2015")
    updated = estimator().fit(y[early], X=x[early])
    first = {name: value for name, value in updated.get_fitted_params().items() if name in updated.get_params()}
    updated.update(y[~early], X=x[~early], update_params=anew)
    whole = estimator(**({} if anew else first)).fit(y, X=x)
    found, expected = (made.predict_quantiles(fh=[1, 5], alpha=[0.1, 0.5]) for made in (updated, whole))
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


@ESTIMATORS
def test_quantities_that_are_not_given_with_new_years_stay_those_that_were(estimator: type[BaseForecaster]):
    y = walk("imports.raisins").to_frame()
    x = pd.DataFrame({"quantity_kg": 5e4, "deflator": 1.0}, index=y.index)
    given = estimator.create_test_instance()
    made = given.fit(y.iloc[:25], X=x.iloc[:25]).update(y.iloc[25:]).predict(fh=[1])
    pd.testing.assert_frame_equal(made, given.clone().fit(y, X=x).predict(fh=[1]))
