"""What a benchmark reports: figures, some of them with a budget."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One number and what it may be. A budget is `at_least` or `at_most`; most figures have none."""

    scenario: str
    name: str
    value: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def is_met(self) -> bool | None:
        """Whether the budget is kept; None without one."""
        if self.at_least is not None:
            return self.value >= self.at_least
        if self.at_most is not None:
            return self.value <= self.at_most
        return None

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        budget = {"at_least": self.at_least, "at_most": self.at_most}
        found = {"scenario": self.scenario, "figure": self.name, "value": self.value, "unit": self.unit}
        return {**found, **{name: value for name, value in budget.items() if value is not None}}

    def for_people(self) -> str:
        """On one line."""
        return (
            f"{self.scenario:>10}  {self.name:<72} {_rounded(self.value):>11} {self.unit:<7}{self._verdict()}"
        )

    def _verdict(self) -> str:
        if self.is_met is None:
            return ""
        budget = f"at least {self.at_least:g}" if self.at_least is not None else f"at most {self.at_most:g}"
        return f" {'kept' if self.is_met else 'MISSED'}: {budget}"


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def middle(values: list[float]) -> float:
    """The median: on a machine with neighbours the mean tells of them, and the best of a lucky moment."""
    return float(median(values))


def quantile(values: Iterable[float], share: float) -> float:
    """The value that so large a share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
