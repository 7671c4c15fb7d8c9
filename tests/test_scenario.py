import math

import pytest
from scipy import special

from tests.markets import known_from, simulated
from vindima.forecasting.effects import moves
from vindima.forecasting.scenario import Caution, Effects, Impossible, apply, by_key
from vindima.quantiles import QUANTILES, SIDES


@pytest.fixture(scope="module")
def effects() -> Effects:
    return by_key(moves(known_from(simulated(1, {"sales": -0.6}))))


def forecasts(series: str = "imports.table_wine.CHL", horizon: int = 5) -> list[dict]:
    return [
        {"series": series, "cutoff": 2023, "horizon": step, "year": 2023 + step, "model": "joint", "forecast": 2.5}
        | {"q025": 2.5 / (1 + 0.2 * step), "q10": 2.5 / (1 + 0.1 * step), "q50": 2.5}
        | {"q90": 2.5 * (1 + 0.1 * step), "q975": 2.5 * (1 + 0.2 * step)}
        for step in range(1, horizon + 1)
    ]


@pytest.mark.parametrize("asked", [{"pct": 20}, {"pct": -35.5}, {"level": {"2025": 150e6, "2027": 220e6}}])
def test_path_is_the_baseline_moved_by_the_elasticity_and_no_narrower(asked: dict, effects: Effects):
    rows = forecasts()
    answer = apply(effects, rows, {"sales": asked})
    assert answer.baseline == rows
    known = effects["sales", "imports", "table_wine"]
    for row, moved in zip(rows, answer.path, strict=True):
        level = asked["level"].get(str(row["year"]), known["baseline"]) if "level" in asked else None
        factor = 1 + asked["pct"] / 100 if level is None else level / known["baseline"]
        assert moved["forecast"] == moved["q50"]
        assert moved["q50"] / row["q50"] == pytest.approx(factor ** known["elasticity"], rel=1e-5)
        assert 0 < moved["q025"] < moved["q10"] < moved["q50"] < moved["q90"] < moved["q975"]
        for level_of, sides in SIDES.items():
            for side in sides:
                before, after = (abs(math.log(one[side] / one["q50"])) for one in (row, moved))
                reach = special.stdtrit(known["df"], QUANTILES[SIDES[level_of][1]])
                doubt = reach * known["se"] * abs(math.log(factor))
                assert after == pytest.approx(math.hypot(before, doubt), rel=1e-4)


def test_effect_says_by_how_much_the_input_moved_the_forecast(effects: Effects):
    [effect] = apply(effects, forecasts(), {"sales": {"pct": 20}}).effects
    known = effects["sales", "imports", "table_wine"]
    assert effect["input"] == "sales"
    assert effect["pct"] == pytest.approx(100 * (1.2 ** known["elasticity"] - 1), rel=1e-4)
    reach = special.stdtrit(known["df"], 0.975) * known["se"]
    assert effect["low"] == pytest.approx(100 * (1.2 ** (known["elasticity"] - reach) - 1), rel=1e-4)
    assert effect["high"] == pytest.approx(100 * (1.2 ** (known["elasticity"] + reach) - 1), rel=1e-4)
    assert effect["distinguishable"]
    [of_one_year] = apply(effects, forecasts(), {"sales": {"level": {"2024": 1.2 * known["baseline"]}}}).effects
    assert of_one_year == pytest.approx(effect)


def test_several_inputs_move_together_and_widen_together(effects: Effects):
    rows = forecasts()
    asked = {"sales": {"pct": 20}, "exchange_rate": {"pct": -10}}
    both = apply(effects, rows, asked)
    single = [apply(effects, rows, {name: question}) for name, question in asked.items()]
    for row, moved, *alone in zip(rows, both.path, *(one.path for one in single), strict=True):
        product = math.prod(one["q50"] / row["q50"] for one in alone)
        assert moved["q50"] / row["q50"] == pytest.approx(product, rel=1e-5)
        widths = [one["q975"] / one["q50"] for one in (*alone, moved)]
        assert widths[2] > max(widths[:2])
    assert [effect["input"] for effect in both.effects] == list(asked)
    assert Caution("together") in both.warnings
    assert Caution("together") not in single[0].warnings


def test_input_that_changes_nothing_leaves_the_path_as_it_is(effects: Effects):
    answer = apply(effects, forecasts(), {"harvest": {"pct": 0}})
    for row, moved in zip(answer.baseline, answer.path, strict=True):
        assert [moved[name] for name in QUANTILES] == pytest.approx([row[name] for name in QUANTILES], rel=1e-5)
    assert answer.effects == [{"input": "harvest", "pct": 0, "low": 0, "high": 0, "distinguishable": False}]
    assert answer.warnings == [Caution("association")]


@pytest.mark.parametrize(("elasticity", "told"), [(-0.5, True), (0.05, False)])
def test_effect_that_cannot_be_told_from_nothing_is_warned_of(elasticity: float, told: bool):
    known: dict = {
        "input": "sales",
        "product": "table_wine",
        "unit": "L",
        "elasticity": elasticity,
        "reach_80": 0.134,
        "reach_95": 0.213,
    }
    known |= {"baseline": 187e6, "lowest": 100e6, "highest": 270e6, "largest_change": 0.4}
    answer = apply({("sales", "imports", "table_wine"): known}, forecasts(), {"sales": {"pct": 10}})
    assert answer.effects[0]["distinguishable"] is told
    assert (answer.effects[0]["low"] <= 0 <= answer.effects[0]["high"]) is not told
    doubt = [] if told else [Caution("nothing", "sales", "table_wine")]
    assert answer.warnings == [Caution("association"), *doubt]


def test_input_far_outside_history_is_answered_with_a_warning(effects: Effects):
    known = effects["sales", "imports", "table_wine"]
    about = "sales", "table_wine"
    bounds = {name: known[name] for name in ("lowest", "highest", "baseline")}
    high = math.log(known["highest"] / known["baseline"])
    assert apply(effects, forecasts(), {"sales": {"pct": 1}}).warnings == [Caution("association")]
    leap = max(high, known["largest_change"]) + 0.1
    largest = math.exp(known["largest_change"])
    assert apply(effects, forecasts(), {"sales": {"pct": 100 * math.expm1(leap)}}).warnings[1:] == [
        Caution("outside", *about, 2024, {"level": pytest.approx(known["baseline"] * math.exp(leap)), **bounds}),
        Caution("leap", *about, 2024, {"factor": pytest.approx(math.exp(leap)), "largest": largest}),
    ]
    swing = {"2024": known["baseline"] * math.exp(-0.9 * known["largest_change"]), "2025": known["baseline"]}
    swing["2025"] *= math.exp(0.9 * known["largest_change"])
    warned = apply(effects, forecasts(), {"sales": {"level": swing}}).warnings[-1]
    assert (warned.code, warned.year) == ("leap", 2025)


@pytest.mark.parametrize(
    ("name", "product"),
    [(name, product) for name in ("harvest", "sales") for product in ("fresh_grapes", "raisins")]
    + [("exports", "raisins")],
)
def test_input_that_is_not_published_is_refused_with_the_reason(name: str, product: str, effects: Effects):
    with pytest.raises(Impossible, match=f"{name} of {product}: Embrapa publishes") as refused:
        apply(effects, forecasts(f"imports.{product}"), {name: {"pct": 5}})
    assert refused.value.field == f"scenario.{name}"


def test_input_with_a_short_history_is_refused_with_the_reason():
    with pytest.raises(Impossible, match="12 years of changes beside prices of imports of table_wine"):
        apply({}, forecasts(), {"sales": {"pct": 5}})


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({}, "scenario"),
        (None, "scenario"),
        ([], "scenario"),
        ({"weather": {"pct": 5}}, "scenario"),
        ({"harvest": 5}, "scenario.harvest"),
        ({"harvest": {}}, "scenario.harvest"),
        ({"harvest": {"pct": 5, "level": {"2025": 1e8}}}, "scenario.harvest"),
        ({"harvest": {"pct": -100}}, "scenario.harvest.pct"),
        ({"harvest": {"pct": "5"}}, "scenario.harvest.pct"),
        ({"harvest": {"pct": True}}, "scenario.harvest.pct"),
        ({"harvest": {"pct": None}}, "scenario.harvest.pct"),
        ({"harvest": {"pct": math.nan}}, "scenario.harvest.pct"),
        ({"harvest": {"pct": math.inf}}, "scenario.harvest.pct"),
        ({"harvest": {"pct": 10**400}}, "scenario.harvest.pct"),
        ({"harvest": {"pct": 1e9}}, "scenario.harvest.pct"),
        ({"harvest": {"level": {}}}, "scenario.harvest.level"),
        ({"harvest": {"level": 1e8}}, "scenario.harvest.level"),
        ({"harvest": {"level": {"2023": 1e8}}}, "scenario.harvest.level"),
        ({"harvest": {"level": {"2029": 1e8}}}, "scenario.harvest.level"),
        ({"harvest": {"level": {"soon": 1e8}}}, "scenario.harvest.level"),
        ({"harvest": {"level": {"2025": 0}}}, "scenario.harvest.level.2025"),
        ({"harvest": {"level": {"2025": -1e8}}}, "scenario.harvest.level.2025"),
        ({"harvest": {"level": {"2025": False}}}, "scenario.harvest.level.2025"),
        ({"harvest": {"level": {"2025": 10.0}}}, "scenario.harvest.level.2025"),
    ],
)
def test_impossible_scenario_is_refused_by_name(asked: object, field: str, effects: Effects):
    with pytest.raises(Impossible, match=f"^{field}: expected .*, got ") as refused:
        apply(effects, forecasts(), asked)
    assert refused.value.field == field
    assert refused.value.expected
