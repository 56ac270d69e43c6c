"""Counts that add up over cameras, samples and processes, and the rates made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

__all__ = ['MatchCounts', 'OverlapCounts']


@dataclass(frozen=True)
class OverlapCounts:
    """Outcome of a two-class decision.

    Attributes:
        hits: truly and by prediction positive.
        false_alarms: positive by prediction alone.
        misses: truly positive alone.
    """

    hits: int = 0
    false_alarms: int = 0
    misses: int = 0

    @classmethod
    def of(cls, predicted: Tensor, true: Tensor) -> OverlapCounts:
        """Count two bool tensors of the same shape."""
        return cls(
            int((predicted & true).sum()),
            int((predicted & ~true).sum()),
            int((~predicted & true).sum()),
        )

    def __add__(self, other: OverlapCounts) -> OverlapCounts:
        return OverlapCounts(
            self.hits + other.hits,
            self.false_alarms + other.false_alarms,
            self.misses + other.misses,
        )

    def rates(self) -> dict[str, float]:
        """Precision, recall and F1; 0 where nothing was there to count."""
        return dict(
            precision=self.hits / max(self.hits + self.false_alarms, 1),
            recall=self.hits / max(self.hits + self.misses, 1),
            f1=2 * self.hits / max(2 * self.hits + self.false_alarms + self.misses, 1),
        )


@dataclass(frozen=True)
class MatchCounts:
    """How many matches there are, and how many of them lie within each threshold.

    Attributes:
        total: number of matches.
        within: number within each threshold, in the order of the thresholds.
    """

    total: int
    within: tuple[int, ...]

    @classmethod
    def of(cls, errors: Tensor, thresholds: Sequence[float]) -> MatchCounts:
        """Count errors (N,) in pixels; infinite or NaN ones lie within no threshold."""
        return cls(len(errors), tuple(int((errors <= limit).sum()) for limit in thresholds))

    def __add__(self, other: MatchCounts) -> MatchCounts:
        return MatchCounts(
            self.total + other.total,
            tuple(a + b for a, b in zip(self.within, other.within, strict=True)),
        )

    def shares(self) -> tuple[float, ...]:
        """Share within each threshold; 0 where there are no matches."""
        return tuple(number / max(self.total, 1) for number in self.within)
