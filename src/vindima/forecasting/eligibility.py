"""The rule of which series are forecast; light, so that the service may state it."""

import pandas as pd

from vindima.series import NEVER_FORECAST

COUNTRY_YEARS = 12
COUNTRY_KG = 1000.0
TOTAL_YEARS = 8
"""The fewest priced years of a total: AutoETS cannot read fewer. Since 1979 no total has fewer."""


def eligible(prices: pd.DataFrame, cutoff: int) -> list[str]:
    """The series that are forecast at `cutoff`, sorted, by what was known then.

    All totals, once they have 8 priced years; and each country series with at least 12 years of 1,000 kg or more
    and a value above 0, one of them the cutoff year. What is no country, and Brazil, never.
    """
    known = prices[prices["year"] <= cutoff]
    total_years = known.loc[known["country"].isna(), "series"].value_counts()
    traded = known[
        known["country"].notna()
        & ~known["country"].isin(NEVER_FORECAST)
        & (known["quantity_kg"] >= COUNTRY_KG)
        & (known["value_usd"] > 0)
    ]
    years = traded.groupby("series")["year"].agg(["size", "max"])
    countries = years.index[(years["size"] >= COUNTRY_YEARS) & (years["max"] == cutoff)]
    return sorted([*total_years.index[total_years >= TOTAL_YEARS], *countries])
