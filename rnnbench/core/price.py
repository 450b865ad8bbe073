"""What weights in fewer bits cost, as a manifest and a results file say it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Errors = Mapping[str, float | None]
NEAR = 0.01
"""Of an error: what changes it by less costs next to nothing."""


@dataclass(frozen=True)
class Price:
    """Of rounding the weights of one model.

    Attributes:
        signal_db: how many decibels each output is above the change.
        before: the errors of the model as it was, by its own `evaluate`; None: not finite.
        after: those with its weights rounded.
    """

    signal_db: Mapping[str, float]
    before: Errors = field(default_factory=dict)
    after: Errors = field(default_factory=dict)

    @property
    def worst(self) -> tuple[str, float]:
        """The output that is changed the most, and its decibels; infinite where none has power."""
        name = min(self.signal_db, key=self.signal_db.__getitem__, default="")
        return name, self.signal_db.get(name, math.inf)

    @property
    def is_next_to_nothing(self) -> bool:
        """Whether no error is another one, but for next to nothing; not where there are none."""
        for name, before in self.before.items():
            after = self.after.get(name)
            if before is None or after is None or abs(after - before) > NEAR * abs(before):
                return False
        return bool(self.before)

    @classmethod
    def from_json(cls, said: Any) -> Price:
        """From a manifest's `precision`, or a results file.

        Raises:
            ValueError: it is damaged.
        """
        try:
            errors = said.get("errors") or {"before": {}, "after": {}}
            signal = {str(name): float(db) for name, db in said["signal_db"].items()}
            return cls(signal, _numbers(errors["before"]), _numbers(errors["after"]))
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ValueError("what rounding costs is no record of numbers") from None


def shown(error: float | None) -> str:
    """An error to four digits."""
    return "not finite" if error is None else f"{error:.4g}"


def _numbers(said: Mapping[str, Any]) -> Errors:
    return {str(name): None if value is None else float(value) for name, value in said.items()}
