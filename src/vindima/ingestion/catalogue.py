"""The 15 tables of Vitibrasil, one record each.

Page addresses, download names and titles are those of the site as saved in 2025-01; units stand in its
page headings (`Quantidade (L.)`, `Quantidade (Kg)`, `Valor (US$)`), not in the downloads.
"""

from dataclasses import dataclass

LIVE = "http://vitibrasil.cnpuv.embrapa.br"
FIRST_YEAR = 1970


@dataclass(frozen=True)
class Table:
    """One published table: where the site keeps it and what its cells count."""

    slug: str
    option: str
    suboption: str | None
    download: str
    title_pt: str
    title_en: str

    @property
    def section(self) -> str:
        """production, processing, sales, imports or exports."""
        return self.slug.split("_")[0]

    @property
    def topic(self) -> str | None:
        """What follows the section: the product of a trade table, the grape class of a processing table."""
        return self.slug.partition("_")[2] or None

    @property
    def is_trade(self) -> bool:
        """True where every year has two columns, kilograms and US dollars FOB."""
        return self.section in ("imports", "exports")

    @property
    def measures(self) -> tuple[str, ...]:
        """Names, with units, of what each year's columns hold, in the order of the download."""
        if self.is_trade:
            return ("quantity_kg", "value_usd")
        return ("quantity_kg",) if self.section == "processing" else ("quantity_l",)

    @property
    def unit(self) -> str:
        """Unit as text: `L`, `kg` or `kg; US$ FOB`."""
        return {"quantity_l": "L", "quantity_kg": "kg"}[self.measures[0]] + ("; US$ FOB" if self.is_trade else "")

    @property
    def query(self) -> str:
        """Query of the table's page, without a year: `opcao=opt_05&subopcao=subopt_01`."""
        return f"opcao={self.option}" + (f"&subopcao={self.suboption}" if self.suboption else "")

    @property
    def download_path(self) -> str:
        """Address of the download relative to the site: `download/ImpVinhos.csv`."""
        return f"download/{self.download}.csv"


TABLES: dict[str, Table] = {
    table.slug: table
    for table in (
        Table("production", "opt_02", None, "Producao",
              "Produção de vinhos, sucos e derivados", "Production of wine, juice and derivatives"),
        Table("processing_viniferas", "opt_03", "subopt_01", "ProcessaViniferas",
              "Uvas viníferas processadas", "Vinifera grapes processed"),
        Table("processing_american_hybrid", "opt_03", "subopt_02", "ProcessaAmericanas",
              "Uvas americanas e híbridas processadas", "American and hybrid grapes processed"),
        Table("processing_table_grapes", "opt_03", "subopt_03", "ProcessaMesa",
              "Uvas de mesa processadas", "Table grapes processed"),
        Table("processing_unclassified", "opt_03", "subopt_04", "ProcessaSemclass",
              "Uvas sem classificação processadas", "Unclassified grapes processed"),
        Table("sales", "opt_04", None, "Comercio",
              "Comercialização de vinhos e derivados", "Domestic sales of wine and derivatives"),
        Table("imports_table_wine", "opt_05", "subopt_01", "ImpVinhos",
              "Importação de vinhos de mesa", "Imports of table wine"),
        Table("imports_sparkling_wine", "opt_05", "subopt_02", "ImpEspumantes",
              "Importação de espumantes", "Imports of sparkling wine"),
        Table("imports_fresh_grapes", "opt_05", "subopt_03", "ImpFrescas",
              "Importação de uvas frescas", "Imports of fresh grapes"),
        Table("imports_raisins", "opt_05", "subopt_04", "ImpPassas",
              "Importação de uvas passas", "Imports of raisins"),
        Table("imports_grape_juice", "opt_05", "subopt_05", "ImpSuco",
              "Importação de suco de uva", "Imports of grape juice"),
        Table("exports_table_wine", "opt_06", "subopt_01", "ExpVinho",
              "Exportação de vinhos de mesa", "Exports of table wine"),
        Table("exports_sparkling_wine", "opt_06", "subopt_02", "ExpEspumantes",
              "Exportação de espumantes", "Exports of sparkling wine"),
        Table("exports_fresh_grapes", "opt_06", "subopt_03", "ExpUva",
              "Exportação de uvas frescas", "Exports of fresh grapes"),
        Table("exports_grape_juice", "opt_06", "subopt_04", "ExpSuco",
              "Exportação de suco de uva", "Exports of grape juice"),
    )
}  # fmt: skip
