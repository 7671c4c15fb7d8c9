"""Trade micro-data: many files of several shapes, summed to monthly and yearly unit values; nothing odd slips in."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from vindima.cli import main
from vindima.errors import VindimaError
from vindima.etl import microdata, schemas
from vindima.etl.countries import country_code

OWN = "flow,ncm,country,state,port,year,month,kg,usd"
LINES = (
    "exports,22042100,PRY,RS,0717700,2023,1,100,250",
    "exports,22042919,PRY,RS,0717700,2023,1,50,50",
    "exports,22041010,USA,RS,0717700,2023,2,10,60",
    "exports,12019000,CHN,MT,0717700,2023,2,9000000,4000000",
    "imports,08062000,ARG,SP,0817800,2023,3,400,900",
    "imports,20096900,ARG,SP,0817800,2024,3,0,7",
)
EXPORTS = "exp_vinho_cuci11217_mensal_2000_2022.csv"


def written(folder: Path, *lines: str, name: str = "lines.csv", header: str = OWN) -> Path:
    path = folder / name
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def public_files(folder: Path) -> list[Path]:
    """Two files as the database of Comex Stat writes them, with its table of countries beside."""
    columns = ["CO_ANO", "CO_MES", "CO_NCM", "CO_UNID", "CO_PAIS", "SG_UF_NCM", "CO_VIA", "CO_URF", "QT_ESTAT"]
    header = ";".join(f'"{column}"' for column in [*columns, "KG_LIQUIDO", "VL_FOB"])
    countries = (
        '"CO_PAIS";"CO_PAIS_ISON3";"CO_PAIS_ISOA3";"NO_PAIS";"NO_PAIS_ING";"NO_PAIS_ESP"\n'
        '"063";"032";"ARG";"Argentina";"Argentina";"Argentina"\n'
        '"586";"600";"PRY";"Paraguai";"Paraguay";"Paraguay"\n'
        '"990";"898";"ZZZ";"Provisão de Navios e Aeronaves";"Provision of Ships and Aircrafts";"Provisión"\n'
    )
    (folder / "PAIS.csv").write_bytes(countries.encode("latin-1"))
    return [
        written(
            folder, '"2023";"01";"22042100";"10";"586";"RS";"07";"0717700";120;100;250',
            '"2023";"01";"22042919";"10";"586";"RS";"07";"0717700";50;50;50',
            '"2023";"02";"12019000";"10";"063";"MT";"01";"0717700";1;9000000;4000000',
            '"2023";"02";"22041010";"10";"990";"RS";"01";"0717700";1;10;60',
            name="EXP_2023.csv", header=header,
        ),
        written(
            folder, '"2023";"03";"08062000";"10";"063";"SP";"07";"0817800";1;400;900;5;1',
            name="IMP_2023.csv", header=header + ';"VL_FRETE";"VL_SEGURO"',
        ),
    ]  # fmt: skip


def test_lines_of_a_product_are_summed_by_country_and_month(tmp_path: Path):
    summed = microdata.monthly_sums([written(tmp_path, *LINES)])
    expected = [
        ("exports", "sparkling_wine", "USA", 2023, 2, 10.0, 60.0),
        ("exports", "table_wine", "PRY", 2023, 1, 150.0, 300.0),
        ("imports", "grape_juice", "ARG", 2024, 3, 0.0, 7.0),
        ("imports", "raisins", "ARG", 2023, 3, 400.0, 900.0),
    ]
    assert list(summed.itertuples(index=False, name=None)) == expected


def test_files_of_several_kinds_are_summed_together(tmp_path: Path):
    first = written(tmp_path, *LINES[:3])
    second = tmp_path / "more.parquet"
    pd.read_csv(written(tmp_path, *LINES[3:], name="rest.csv")).to_parquet(second)
    one = written(tmp_path, *LINES, name="one.csv")
    pd.testing.assert_frame_equal(microdata.monthly_sums([first, second]), microdata.monthly_sums([one]))


def test_order_of_lines_and_files_changes_nothing(tmp_path: Path):
    lines = [
        f"imports,2204210{n % 3},CHL,SP,1,{2000 + n % 9},{n % 12 + 1},{n / 7:.3f},{n / 3:.3f}" for n in range(5000)
    ]
    forward = microdata.monthly_sums([written(tmp_path, *lines)])
    halves = [written(tmp_path, *lines[::-1][start::2], name=f"{start}.csv") for start in (1, 0)]
    again = microdata.monthly_sums(halves)
    pd.testing.assert_frame_equal(forward, again, rtol=1e-12)


def test_database_of_comex_stat_is_read_as_it_is(tmp_path: Path):
    summed = microdata.monthly_sums(public_files(tmp_path))
    assert list(summed[["flow", "product", "country", "quantity_kg"]].itertuples(index=False, name=None)) == [
        ("exports", "sparkling_wine", "SHIP_SUPPLIES", 10.0),
        ("exports", "table_wine", "PRY", 150.0),
        ("imports", "raisins", "ARG", 400.0),
    ]


def test_codes_and_countries_that_lost_their_zeros_are_known(tmp_path: Path):
    sources = public_files(tmp_path)
    sources[1].write_text(sources[1].read_text().replace('"08062000"', "8062000").replace('"063"', "63"))
    assert "raisins" in set(microdata.monthly_sums(sources)["product"])


def test_unit_values_are_those_of_the_trade_table(tmp_path: Path):
    tables = microdata.unit_values(microdata.monthly_sums([written(tmp_path, *LINES)]))
    yearly, monthly = tables["yearly"], tables["monthly"]
    wine = yearly[yearly["series"] == "exports.table_wine"].iloc[0]
    assert (wine["year"], wine["months"], wine["quantity_kg"], wine["price_usd_kg"]) == (2023, 2, 150.0, 2.0)
    assert wine["country"] is None or pd.isna(wine["country"])
    assert "imports.grape_juice" not in set(yearly["series"])  # it has a value and no weight: no price
    assert list(monthly.columns) == schemas.MONTHLY.columns
    assert (
        monthly.set_index(["series", "year", "month"]).loc[("imports.raisins.ARG", 2023, 3), "price_usd_kg"] == 2.25
    )


def test_tables_are_written_whole(tmp_path: Path):
    made = microdata.run([written(tmp_path, *LINES)], tmp_path / "out")
    for name, table in made.items():
        pd.testing.assert_frame_equal(schemas.read(tmp_path / "out" / f"{name}.parquet"), table)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("exports,2204210x,PRY,RS,1,2023,1,1,1", r"expected a code of 8 \(ncm\).*, got '2204210x'"),
        ("exports,220421001,PRY,RS,1,2023,1,1,1", r"expected a code of 8 \(ncm\).*, got '220421001'"),
        ("exports,22042100,XXX,RS,1,2023,1,1,1", r"expected a known country, got 'XXX' \(code 22042100, 2023-01\)"),
        ("sold,22042100,PRY,RS,1,2023,1,1,1", r"expected imports or exports, got 'sold'"),
        ("exports,22042100,PRY,RS,1,2023,13,1,1", r"expected a month from 1 to 12, got '13'"),
        ("exports,22042100,PRY,RS,1,23,1,1,1", r"expected a year, got '23'"),
        ("exports,22042100,PRY,RS,1,2023,1,-5,1", r"expected a weight of 0 kg or more, got '-5'"),
        ("exports,22042100,PRY,RS,1,2023,1,nd,1", r"expected a weight of 0 kg or more, got 'nd'"),
        ("exports,22042100,PRY,RS,1,2023,1,1,inf", r"expected a value of US\$ 0 or more, got 'inf'"),
        ("exports,22042100,PRY,RS,1,2023,1,1,nan", r"expected a value of US\$ 0 or more, got 'nan'"),
        ("exports,22042100,PRY,RS,1,2023,1,1,", r"expected a value of US\$ 0 or more, got "),
    ],
)
def test_line_that_is_wrong_is_named_and_nothing_is_written(tmp_path: Path, line: str, said: str):
    path = written(tmp_path, *LINES, line, line)
    with pytest.raises(VindimaError, match=rf"^lines\.csv: {said}.*; 1 other lines are wrong, too$"):
        microdata.run([path], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_line_of_another_product_may_be_wrong(tmp_path: Path):
    summed = microdata.monthly_sums([written(tmp_path, *LINES, "exports,12019000,XXX,MT,1,2023,1,-1,nd")])
    assert len(summed) == 4


def test_missing_column_is_named(tmp_path: Path):
    path = written(tmp_path, "exports,22042100,PRY,2023,1,1", header="flow,ncm,country,year,month,kg")
    with pytest.raises(VindimaError, match=r"lines\.csv: expected the columns flow, ncm, .* got no usd$"):
        microdata.monthly_sums([path])


def test_file_that_is_not_there_and_a_flow_that_nobody_tells_are_named(tmp_path: Path):
    with pytest.raises(VindimaError, match="there is no file"):
        microdata.monthly_sums([tmp_path / "none.csv"])
    source = public_files(tmp_path)[0].rename(tmp_path / "lines.csv")
    with pytest.raises(VindimaError, match="expected the flow"):
        microdata.monthly_sums([source])
    assert set(microdata.monthly_sums([source], flow="exports")["flow"]) == {"exports"}


def test_table_of_countries_that_is_missing_is_named(tmp_path: Path):
    sources = public_files(tmp_path)
    (tmp_path / "PAIS.csv").unlink()
    with pytest.raises(VindimaError, match=r"PAIS\.csv: expected Comex Stat's table of countries"):
        microdata.monthly_sums(sources)


def test_files_without_a_line_of_a_product_say_which_products_there_are(tmp_path: Path):
    with pytest.raises(VindimaError, match=r"lines\.csv: expected at least one line of a product.*22042.*got none"):
        microdata.monthly_sums([written(tmp_path, LINES[3])])


def test_four_digits_have_products_of_their_own(tmp_path: Path):
    header = OWN.replace("ncm", "sh4")
    path = written(tmp_path, "imports,2204,CHL,PR,1,2024,1,10,30", "imports,806,CHL,PR,1,2024,1,10,20", header=header)
    assert set(microdata.monthly_sums([path])["product"]) == {"wine", "grapes"}


# ---- what there is of Comex Stat


@pytest.fixture
def comexstat(shared_data: Path) -> Path:
    return shared_data / "comexstat"


def test_monthly_exports_of_wine_add_up_to_the_yearly_file(comexstat: Path):
    summed = microdata.monthly_sums([comexstat / EXPORTS])
    assert len(summed) == 3640
    years = pd.read_csv(comexstat / EXPORTS.replace("mensal", "anual"), sep=";", encoding="utf-8-sig")
    names = {name: country_code(name) for name in years["Países"].unique()}
    theirs = (
        years.assign(country=years["Países"].map(names))
        .groupby(["country", "Ano"])[["Quilograma Líquido", "Valor FOB (US$)"]]
        .sum()
    )
    ours = summed.groupby(["country", "year"])[["quantity_kg", "value_usd"]].sum()
    assert len(ours) == len(theirs)
    np.testing.assert_array_equal(ours.to_numpy(), theirs.loc[ours.index].to_numpy())


def test_rows_of_parana_run_through(comexstat: Path):
    paths = sorted(comexstat.glob("*parana*"))
    assert len(paths) == 2
    summed = microdata.monthly_sums(paths)
    for path in paths:
        rows = pd.read_csv(path)
        flow = {"exp": "exports", "imp": "imports"}[path.name[:3]]
        assert summed.loc[summed["flow"] == flow, "quantity_kg"].sum() == pytest.approx(rows["KG_LIQUIDO"].sum())
    assert set(summed["product"]) == {"wine", "grapes", "fruit_juice"}
    assert set(microdata.unit_values(summed)["yearly"]["year"]) == set(range(2020, 2025))


def test_memory_is_limited(tmp_path: Path):
    lines = (f"imports,22042100,CHL,SP,{n},2020,{n % 12 + 1},{n},{n}" for n in range(200_000))
    path = written(tmp_path, *lines)
    assert microdata.monthly_sums([path], memory="200MB")["quantity_kg"].sum() == sum(range(200_000))
    with pytest.raises(VindimaError, match="DuckDB takes no memory of 'nonsense'"):
        microdata.monthly_sums([path], memory="nonsense")
    with pytest.raises(VindimaError, match=r"lines\.csv: DuckDB cannot sum this within 3MB: .*[Mm]emory"):
        microdata.monthly_sums([path], memory="3MB")


def test_line_of_another_width_is_named(tmp_path: Path):
    with pytest.raises(VindimaError, match=r"lines\.csv: DuckDB cannot sum this .*CSV"):
        microdata.monthly_sums([written(tmp_path, *LINES, "exports,22042100,PRY,RS,1,2023,1,5,5,6,7")])


def test_command_sums_files_and_says_what_there_is(tmp_path: Path):
    path = written(tmp_path, *LINES)
    result = CliRunner().invoke(main, ["microdata", str(path), "--to", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert re.search(r"exports\.table_wine +2023-01 – 2023-01 +1 +0\.1 +2\.00", result.output)
    assert (tmp_path / "out" / "monthly.parquet").is_file()
    wrong = CliRunner().invoke(main, ["microdata", str(tmp_path / "none.csv"), "--to", str(tmp_path / "no")])
    assert wrong.exit_code == 1
    assert "there is no file" in wrong.output
