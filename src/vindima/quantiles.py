"""What a forecast states: five quantiles of a price, and which of them are the sides of an interval."""

QUANTILES = {"q025": 0.025, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q975": 0.975}
"""Column of the tables → the probability that the price is below it."""
SIDES = {80: ("q10", "q90"), 95: ("q025", "q975")}
"""Level of an interval in per cent → the quantiles that are its sides."""
