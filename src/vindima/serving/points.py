"""Names beside the points of a figure, so that none lies on another."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from vindima.serving.drawing import GREY

PLACES = (
    ("left", (6, 0)), ("right", (-6, 0)), ("center", (0, 9)), ("center", (0, -9)),
    ("left", (4, 7)), ("left", (4, -7)), ("right", (-4, 7)), ("right", (-4, -7)),
)  # fmt: skip
"""Where a name may stand beside its point: its alignment, and how far to the right and up (in typographic points)."""


def name_points(axes: Axes, points: pd.DataFrame) -> None:
    """Write each point's name to its right, or where that is taken to its left, above, below or aslant.

    `points` holds x and y, with the names as index, in the order in which they choose their place; the axes have
    their final limits. A name for which no place is free goes where it covers the fewest.
    """
    frame = axes.get_window_extent()
    taken = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in axes.transData.transform(points.to_numpy())]
    for name, x, y in points.itertuples():
        tried: list[tuple[bool, int, int, Annotation, Bbox]] = []
        for align, offset in PLACES:
            text = axes.annotate(
                name, (x, y), offset, textcoords="offset points", ha=align, va="center", fontsize=8, color=GREY
            )
            box = text.get_window_extent()
            outside = not (frame.contains(box.x0, box.y0) and frame.contains(box.x1, box.y1))
            tried.append((outside, box.count_overlaps(taken), len(tried), text, box))
        best, *others = sorted(tried)
        for *_, text, _ in others:
            text.remove()
        taken.append(best[-1])
