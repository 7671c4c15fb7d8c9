"""Products and cultivars, from the names that the source prints."""

import re
from functools import cache

from vindima.etl.countries import look_up, slug

GROUPS = {
    "production": {
        "VINHO DE MESA": "table_wine",
        "VINHO FINO DE MESA (VINIFERA)": "fine_wine",
        "SUCO": "juice",
        "DERIVADOS": "derivatives",
    },
    "sales": {
        "VINHO DE MESA": "table_wine",
        "VINHO FINO DE MESA": "fine_wine",
        "VINHO FRIZANTE": "frizzante_wine",
        "VINHO ORGÂNICO": "organic_wine",
        "VINHO ESPECIAL": "special_wine",
        "ESPUMANTES": "sparkling_wine",
        "SUCO DE UVAS": "grape_juice",
        "SUCO DE UVAS CONCENTRADO": "concentrated_juice",
        "OUTROS PRODUTOS COMERCIALIZADOS": "other",
    },
    "processing": {"TINTAS": "red", "BRANCAS E ROSADAS": "white_and_rose", "BRANCAS": "white"},
}
"""Group rows of each section as the site prints them (single spaces) and their names here."""

PRODUCTS = {
    "Tinto": "red",
    "Branco": "white",
    "Rosado": "rose",
    "Suco de uva integral": "whole_grape_juice",
    "Suco de uva concentrado": "concentrated_grape_juice",
    "Suco de uva adoçado": "sweetened_grape_juice",
    "Suco de uva orgânico": "organic_grape_juice",
    "Suco de uva reconstituído": "reconstituted_grape_juice",
    "Espumante": "sparkling_wine",
    "Espumante moscatel": "moscatel_sparkling_wine",
    "Base espumante": "sparkling_wine_base",
    "Base espumante moscatel": "moscatel_sparkling_wine_base",
    "Base Champenoise champanha": "traditional_method_base",
    "Base Charmat champanha": "charmat_method_base",
    "Bebida de uva": "grape_drink",
    "Polpa de uva": "grape_pulp",
    "Mosto simples": "simple_must",
    "Mosto concentrado": "concentrated_must",
    "Mosto de uva com bagaço": "must_with_pomace",
    "Mosto dessulfitado": "desulphited_must",
    "Mistelas": "mistelle",
    "Néctar de uva": "grape_nectar",
    "Licorosos": "liqueur_wines",
    "Compostos": "compound_wines",
    "Jeropiga": "jeropiga",
    "Filtrado": "filtrado",
    "Frisante": "frizzante_wine",
    "Vinho leve": "light_wine",
    "Vinho licoroso": "fortified_wine",
    "Brandy": "brandy",
    "Destilado": "distillate",
    "Bagaceira": "grappa",
    "Licor de bagaceira": "grappa_liqueur",
    "Vinagre": "vinegar",
    "Borra líquida": "liquid_lees",
    "Borra seca": "dry_lees",
    "Vinho Composto": "aromatised_wine",
    "Pisco": "pisco",
    "Vinho orgânico": "organic_wine",
    "Espumante orgânico": "organic_sparkling_wine",
    "Destilado alcoólico simples de bagaceira": "simple_grappa_distillate",
    "Vinho acidificado": "acidified_wine",
    "Mosto parcialmente fermentado": "partially_fermented_must",
    "Outros derivados": "other_derivatives",
    "Suco Natural Integral": "whole_grape_juice",
    "Suco Adoçado": "sweetened_grape_juice",
    "Suco Reprocessado/reconstituido": "reconstituted_grape_juice",
    "Suco Orgânico": "organic_grape_juice",
    "Outros sucos de uvas": "other_grape_juices",
    "Outros vinhos (sem informação detalhada)": "other_wines_without_detail",
    "Agrin (fermentado, acetico misto)": "agrin",
    "Aguardente de vinho 50°gl": "wine_spirit",
    "Alcool vinico": "wine_alcohol",
    "Bagaceira (graspa)": "grappa",
    "Bebida de uva concentrada": "concentrated_grape_drink",
    "Brandy (conhaque)": "brandy",
    "Cooler": "cooler",
    "Coquetel com vinho": "cocktail_with_wine",
    "Destilado de vinho": "wine_distillate",
    "Filtrado doce": "sweet_filtrado",
    "Mosto de uva": "grape_must",
    "Mosto sulfitado": "sulphited_must",
    "Outros produtos": "other_products",
    "Preparado líquido para refresco": "liquid_preparation_for_soft_drinks",
    "Refrigerante +50% suco": "soft_drink_with_over_half_juice",
    "Sangria": "sangria",
    "Vinagre balsamico": "balsamic_vinegar",
    "Vinagre duplo": "double_vinegar",
    "Vinagre simples": "simple_vinegar",
    "Vinho acetificado": "acetified_wine",
    "Vinho base para espumantes": "base_wine_for_sparkling_wine",
    "Vinho gaseificado": "carbonated_wine",
}
"""The source's names, and the project's: identifiers, which stay when a name is translated better."""


@cache
def _known() -> dict[str, tuple[str, str]]:
    return {slug(name): (name, product) for name, product in PRODUCTS.items()}


@cache
def product_code(name: str) -> str:
    """'Néctar de uva', 'Nectar de uva' → 'grape_nectar': capitals and accents do not count.

    Raises VindimaError for a name that nobody mapped, with the three products that come closest to it.
    """
    remedy = "Add it to PRODUCTS in vindima/etl/products.py, with the product that it is or a new one"
    return look_up(name, _known(), "product", remedy)


def plain_name(label: str) -> str:
    """A label without stray spaces and footnote marks: ' Clairette (1)' → 'Clairette'."""
    return re.sub(r" ?\(\d\)$", "", " ".join(label.split()))


def item_code(label: str, section: str) -> str:
    """What a row is of: a product's code in production and sales, else the slug of its plain name.

    Cultivars have no translation: their own name is their identifier. Raises as `product_code` does.
    """
    name = plain_name(label)
    return product_code(name) if section in ("production", "sales") else slug(name)
