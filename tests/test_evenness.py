"""What chance allows between series: where forecasts overlap, and where the series differ."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.evenness import homogeneity, overlapping, shuffled


def outcomes(differ: float, horizons: tuple[int, ...] = (1, 2, 3), seed: int = 1) -> pd.DataFrame:
    """Whether intervals of 300 series held: an error is the sum of the shocks of its years, each in its own scale."""
    random = np.random.default_rng(seed)
    scale = np.exp(random.normal(0, differ, 300))
    shocks = random.normal(0, 1, (300, 23)) * scale[:, None]
    rows = [
        pd.DataFrame({"series": range(300), "cutoff": cutoff, "horizon": horizon}).assign(
            inside_80=np.abs(shocks[:, cutoff : cutoff + horizon].sum(axis=1)) < 1.2816 * np.sqrt(horizon)
        )
        for cutoff in range(20)
        for horizon in horizons
    ]
    return pd.concat(rows, ignore_index=True)


def test_without_overlap_chance_gives_1():
    near = outcomes(0.0, (1,))
    assert overlapping(near) == 1
    assert homogeneity(near) == pytest.approx(1, abs=0.15)
    assert homogeneity(near) < shuffled(near) < 1.25


def test_overlapping_years_explain_what_they_do_and_not_what_the_series_differ_by():
    alike, different = outcomes(0.0), outcomes(0.3)
    assert overlapping(alike) > 1.7
    assert homogeneity(alike) == pytest.approx(overlapping(alike), rel=0.15)
    assert homogeneity(different) > 1.5 * overlapping(different)
    assert homogeneity(outcomes(0.3, (1,))) > 1.5
