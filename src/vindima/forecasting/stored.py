"""Numbers as they are stored: the same bytes whatever the order of additions."""

import numpy as np

NARROWEST = 1e-4
"""The least distance of neighbouring quantiles of a log price: it survives the rounding to 6 significant digits."""


def six_digits(values: np.ndarray | float) -> np.ndarray:
    """Rounded to 6 significant digits: 0.123456789 → 0.123457; NaN and 0 stay what they are."""
    numbers = np.asarray(values, dtype=float)
    nonzero = np.where(np.isfinite(numbers) & (numbers != 0), np.abs(numbers), 1.0)
    unit = np.power(10.0, 5 - np.floor(np.log10(nonzero)))
    return np.round(numbers * unit) / unit
