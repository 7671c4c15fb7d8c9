"""Made-up markets, of which the effects of the inputs on prices are known."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from vindima.forecasting.effects import estimate

YEARS = np.arange(1970, 2024)
MARKETS = [(flow, product) for flow in ("exports", "imports") for product in ("sparkling_wine", "table_wine")]
Tables = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]


def walk(random: np.random.Generator, sd: float, keeps: float = 1.0, size: int = len(YEARS)) -> np.ndarray:
    """Levels that keep this part of themselves each year."""
    path = np.zeros(size)
    for year in range(1, size):
        path[year] = keeps * path[year - 1] + random.normal(0, sd)
    return path


def simulated(seed: int, elasticity: Mapping[str, float], quantity_noise: float = 0.0) -> Tables:
    """Tables of four markets with 3 to 15 countries, whose log price moves by `elasticity` of the inputs named there.

    Prices revert to their mean, with shocks of the market and of the country, and noise with heavy tails that falls
    with volume. `imports` and `exports` are those of the other countries; the published quantity, and so the price,
    is off by a factor of its own each year when there is `quantity_noise`.
    """
    random = np.random.default_rng(seed)
    made = {
        ("production", "table_wine"): 200e6 * np.exp(random.normal(0, 0.2, len(YEARS)) + walk(random, 0.03)),
        ("production", "derivatives"): 5e6 * np.exp(random.normal(0, 0.3, len(YEARS)) + walk(random, 0.1)),
        ("sales", "table_wine"): 200e6 * np.exp(walk(random, 0.1)),
        ("sales", "sparkling_wine"): 10e6 * np.exp(walk(random, 0.12)),
    }
    rate = 2 * np.exp(walk(random, 0.17))
    inputs = {
        **{("harvest", product): made["production", group]
           for product, group in (("table_wine", "table_wine"), ("sparkling_wine", "derivatives"))},
        **{("sales", product): made["sales", product] for product in ("table_wine", "sparkling_wine")},
        **{("exchange_rate", product): rate for product in ("table_wine", "sparkling_wine")},
    }  # fmt: skip
    volumes = {
        market: np.exp(
            random.normal(4, 2, (count, 1)) + 0.2 * walk(random, 0.5) + [walk(random, 0.3, 0.9) for _ in range(count)]
        )
        for market, count in zip(MARKETS, random.integers(3, 16, len(MARKETS)), strict=True)
    }
    frames = []
    for flow, product in MARKETS:
        tonnes = volumes[flow, product]
        level = random.normal(0.5, 0.3, (len(tonnes), 1)) + walk(random, 0.06, 0.8)
        level = level + [walk(random, 0.1, 0.6) for _ in tonnes]
        log_price = level + 0.3 * tonnes**-0.25 * random.standard_t(3, tonnes.shape)
        for name, effect in elasticity.items():
            moved_by = inputs.get((name, product))
            if moved_by is None:
                all_countries = volumes[name, product].sum(axis=0)
                moved_by = all_countries - tonnes if name == flow else all_countries
            log_price = log_price + effect * np.log(moved_by)
        published = tonnes * np.exp(random.normal(0, quantity_noise, tonnes.shape))
        for place, country in enumerate(f"C{chr(65 + place)}{chr(65 + place)}" for place in range(len(tonnes))):
            frames.append(
                pd.DataFrame(
                    {
                        "flow": flow,
                        "product": product,
                        "country": country,
                        "year": YEARS,
                        "quantity_kg": 1000 * published[place],
                        "value_usd": 1000 * tonnes[place] * np.exp(log_price[place]),
                    }
                )
            )
    parts = pd.concat(frames)
    sums = parts.groupby(["flow", "product", "year"], as_index=False)[["quantity_kg", "value_usd"]].sum()
    prices = pd.concat([parts, sums.assign(country=None).astype({"country": object})], ignore_index=True)
    prices["series"] = prices["flow"] + "." + prices["product"] + ("." + prices["country"]).fillna("")
    prices["price_usd_kg_real"] = prices["value_usd"] / prices["quantity_kg"]
    litres = pd.concat(
        pd.DataFrame({"table": table, "year": YEARS, "product_group": group, "quantity_l": amounts})
        for (table, group), amounts in made.items()
    )
    litres["product"] = litres["product_group"].replace({"derivatives": "sparkling_wine_base"})
    rates = pd.DataFrame({"country": "BRA", "year": YEARS, "currency_per_usd": rate})
    return prices, litres[litres["table"] == "production"], litres[litres["table"] == "sales"], rates


def known_from(tables: Iterable[pd.DataFrame], cutoff: int = 2023) -> pd.DataFrame:
    prices, production, sales, exchange_rates = tables
    return estimate(prices, production, sales, exchange_rates, cutoff)
