"""Vindima: Brazil's wine statistics as validated data, and price forecasts that say how sure they are."""

__version__ = "0.1.0"
