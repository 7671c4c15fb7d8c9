"""The money and the measure in which a forecast is given, and what is assumed for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vindima.forecasting.scenario import Impossible, six
from vindima.labels import Language
from vindima.quantiles import SIDES
from vindima.series import parts
from vindima.serving import sentences
from vindima.serving.questions import Prediction

BOTTLE_KG = 0.75 * 0.99
"""A bottle of 750 ml at 0.99 kg a litre, about the density of dry wine."""
WINES = ("table_wine", "sparkling_wine")


@dataclass(frozen=True)
class Averages:
    """What converts: `years` are the rows of the conversion table by year, `publishers` who made each measure."""

    base_year: int
    years: Mapping[int, Mapping[str, Any]]
    publishers: Mapping[str, str]

    def newest(self, measure: str) -> tuple[int, float]:
        """The newest year that has an average of a column, and the average. Raises Impossible where none has."""
        known = [(year, row[measure]) for year, row in self.years.items() if row[measure] is not None]
        if not known:
            field, other = ("currency", "usd") if measure == "brl_per_usd" else ("terms", "nominal")
            raise Impossible(field, f"{other}: there is no yearly average of {measure}", None)
        return known[-1]

    def of_base_year(self, measure: str) -> float | None:
        """The price level of the base year; None where it is not known."""
        return self.years.get(self.base_year, {}).get(measure)

    def source(self, measure: str) -> str:
        """Where an average is from, in words."""
        return f"average of the year, {self.publishers.get(measure) or 'unknown'}"


class Money:
    """The money and the measure in which a forecast is given, and what is assumed for it.

    `modelled`: the expected reais for a dollar by year, where the forecast itself is in reais; {} where it is in
    nominal dollars, which are converted. `cutoff` is that of the forecast.
    """

    def __init__(
        self,
        averages: Averages,
        asked: Prediction,
        assumed: list[dict],
        language: Language,
        cutoff: int,
        modelled: Mapping[int, float],
    ) -> None:
        self._asked, self._averages, self._cutoff, self._modelled = asked, averages, cutoff, modelled
        self._moved = next((one["level"] for one in assumed if one["input"] == "exchange_rate"), None)
        self.assumptions: dict[str, Any] = {}
        self.warnings: list[str] = []
        self.converted = not modelled and (asked.currency != "usd" or asked.terms != "nominal")
        self._rates = self._exchange_rates()
        self._real = self._price_level()
        self._weight = self._bottle()
        if self.converted:
            reason = sentences.CONVERTED[asked.currency][language]
            self.assumptions["intervals"] = reason
            self.warnings.append(reason)
        if modelled:
            self.warnings.append(sentences.in_reais(cutoff, modelled, averages.newest("brl_per_usd"), language))
        elif asked.terms == "real":
            self.warnings.append(sentences.NO_INFLATION[language].format(**self.assumptions["price_level"]))
        symbol = {"usd": "US$", "brl": "R$"}[asked.currency]
        of_year = f" of {averages.base_year}" if asked.terms == "real" else ""
        self.unit = f"{symbol}{of_year} FOB/{'bottle of 750 ml' if asked.per == 'bottle' else 'kg'}"

    def _exchange_rates(self) -> dict[int | None, float]:
        """Reais for a dollar by year, under None for every other year and without the scenario."""
        asked = self._asked
        if asked.currency == "usd":
            if asked.exchange_rate is not None:
                raise Impossible("exchange_rate", "no exchange rate: one is for currency brl", asked.exchange_rate)
            return {None: 1.0}
        if self._modelled:
            self.assumptions["exchange_rate"] = {
                "brl_per_usd": self._averages.years[self._cutoff]["brl_per_usd"],
                "year": self._cutoff,
                "source": self._averages.source("BRL"),
                "expected": {str(year): rate for year, rate in self._modelled.items()},
            }
            return {None: 1.0}
        if asked.exchange_rate is not None:
            if self._moved:
                raise Impossible("exchange_rate", "no exchange rate beside that of the scenario", asked.exchange_rate)
            self.assumptions["exchange_rate"] = {"brl_per_usd": asked.exchange_rate, "year": None, "source": "caller"}
            return {None: asked.exchange_rate}
        year, rate = self._averages.newest("brl_per_usd")
        self.assumptions["exchange_rate"] = {
            "brl_per_usd": rate,
            "year": year,
            "source": self._averages.source("BRL"),
        }
        rates: dict[int | None, float] = {None: rate}
        if self._moved:
            rates |= {int(of): level for of, level in self._moved.items()}
            self.assumptions["exchange_rate"]["scenario"] = self._moved
        return rates

    def _price_level(self) -> float:
        if self._asked.terms == "nominal":
            return 1.0
        measure = {"usd": "us_cpi", "brl": "ipca"}[self._asked.currency]
        year, level = self._averages.newest(measure)
        if self._modelled:  # in reais of the cutoff year
            year, level = self._cutoff, self._averages.years[self._cutoff][measure]
        base_year, base = self._averages.base_year, self._averages.of_base_year(measure)
        if base is None:
            raise Impossible("terms", f"nominal: there is no {measure} of the base year, {base_year}", "real")
        source = {"usd": "us_cpi", "brl": "ipca_change_pct"}[self._asked.currency]
        self.assumptions["price_level"] = {
            "index": measure,
            "year": year,
            "base_year": base_year,
            "factor": six(base / level),
            "source": self._averages.source(source),
        }
        return base / level

    def _bottle(self) -> float:
        if self._asked.per == "kg":
            return 1.0
        if parts(self._asked.series)[1] not in WINES:
            raise Impossible("per", "kg: a bottle is of wine", "bottle")
        self.assumptions["bottle"] = {"litres": 0.75, "kg_per_litre": 0.99}
        return BOTTLE_KG

    def path(self, rows: Sequence[Mapping[str, Any]], scenario: bool) -> list[dict]:
        """The steps of a path of the forecasts table in this money; `scenario`: it has what the scenario says."""
        steps = []
        for row in rows:
            rate = self._rates.get(row["year"] if scenario else None, self._rates[None])
            factor = rate * self._real * self._weight
            sides = {str(level): [_times(row[name], factor) for name in SIDES[level]] for level in self._asked.level}
            steps.append(
                {
                    "year": row["year"],
                    "horizon": row["horizon"],
                    "forecast": _times(row["forecast"], factor),
                    "intervals": None if self.converted else sides,
                }
            )
        return steps


def _times(price: float, factor: float) -> float:
    """The price in another money; as it is stored where it is the same money."""
    return price if factor == 1 else six(price * factor)
