"""Names beside the points of a figure."""

from itertools import combinations

import pandas as pd
from matplotlib.figure import Figure

from vindima.serving.points import name_points


def boxes(points: dict[str, tuple[float, float]]) -> tuple[dict, Figure]:
    """Where each name stands on a figure whose axes go from 0 to 10, in pixels, and the figure."""
    figure = Figure(figsize=(6, 4))
    axes = figure.add_subplot(xlim=(0, 10), ylim=(0, 10))
    name_points(axes, pd.DataFrame.from_dict(points, orient="index"))
    return {text.get_text(): text.get_window_extent() for text in axes.texts}, figure


def test_name_stands_to_the_right_of_its_point():
    found, figure = boxes({"Chile": (5, 5)})
    x, y = figure.axes[0].transData.transform((5, 5))
    assert list(found) == ["Chile"]
    assert found["Chile"].x0 > x
    assert found["Chile"].y0 < y < found["Chile"].y1


def test_names_of_points_that_lie_close_do_not_lie_on_each_other():
    found, _ = boxes({"Chile": (5, 5), "Portugal": (5.3, 5.1), "Spain": (4.8, 4.7)})
    assert len(found) == 3
    assert not any(one.overlaps(other) for one, other in combinations(found.values(), 2))


def test_name_at_the_edge_stays_inside():
    found, figure = boxes({"Argentina": (9.9, 5)})
    assert found["Argentina"].x1 < figure.axes[0].get_window_extent().x1


def test_name_without_a_free_place_is_there_all_the_same():
    found, _ = boxes({f"Country {number}": (5, 5) for number in range(9)})
    assert len(found) == 9
