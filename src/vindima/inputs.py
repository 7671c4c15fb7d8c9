"""What may change in a scenario, and which published quantity that is for a product."""

from dataclasses import dataclass

from vindima.errors import VindimaError
from vindima.series import FIRST_YEAR_IN_REAIS, FLOWS

INPUTS = ("harvest", "imports", "exports", "sales", "exchange_rate")
FEWEST_YEARS = 12
"""Years with changes of price and input below which no effect is estimated."""
NOT_PUBLISHED = (("exports", "raisins"),)


@dataclass(frozen=True)
class Quantity:
    """The published quantity that an input means for a product: the sum of rows of a table, in `unit`.

    `groups` are product groups of `table` (production or sales), `products` those of them that count (none: all). A
    published 0 is not told from "not recorded" by the source, so it is a gap; so is a year with a part not published.
    Before `first_year` it was not recorded, or in another money.
    """

    table: str
    unit: str
    groups: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    first_year: int = 1970


_STILL = ("table_wine", "fine_wine")
_SPARKLING = (
    "sparkling_wine", "moscatel_sparkling_wine", "organic_sparkling_wine", "sparkling_wine_base",
    "moscatel_sparkling_wine_base", "charmat_method_base", "traditional_method_base",
)  # fmt: skip
EXCHANGE_RATE = Quantity("exchange_rates", "R$/US$", first_year=FIRST_YEAR_IN_REAIS)
HARVEST = {
    "table_wine": Quantity("production", "L", _STILL),
    "sparkling_wine": Quantity(
        "production",
        "L",
        ("derivatives",),
        _SPARKLING,
        first_year=2005,  # base wines are in the table from 2004 on, little of them before the next year
    ),
    "grape_juice": Quantity("production", "L", ("juice",)),
}
SALES = {
    "table_wine": Quantity("sales", "L", (*_STILL, "special_wine", "organic_wine")),
    "sparkling_wine": Quantity("sales", "L", ("sparkling_wine",)),
    "grape_juice": Quantity("sales", "L", ("grape_juice", "concentrated_juice")),
}


def quantity(name: str, product: str) -> Quantity:
    """The published quantity that the input `name` means for `product`.

    Raises VindimaError with the reason where none is published.
    """
    if name not in INPUTS:
        raise VindimaError(f"input: expected one of {', '.join(INPUTS)}, got {name}")
    if name == "exchange_rate":
        return EXCHANGE_RATE
    if name in FLOWS:
        if (name, product) in NOT_PUBLISHED:
            raise VindimaError(f"{name} of {product}: Embrapa publishes the imports of {product} alone, no {name}")
        return Quantity("prices", "kg")
    published = HARVEST if name == "harvest" else SALES
    if product not in published:
        raise VindimaError(
            f"{name} of {product}: Embrapa publishes what Rio Grande do Sul makes and sells in litres of wine and "
            f"juice, so there is a {name} of {', '.join(published)}, of {product} none"
        )
    return published[product]
