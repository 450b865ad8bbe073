"""By what the outputs of cases are judged: the rule of `allowance.py`, with what all cases say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnbench.cases.allowance import FACTOR, Allowance, Axes, Rule, allowance, typical_sizes
from rnnbench.cases.cases import Case
from rnnbench.cases.feeding import StreamLayout
from rnnbench.cases.noise import error_of
from rnnbench.cases.tolerance import Difference, compare

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Standard:
    """By what outputs are judged.

    Attributes:
        axes: output -> where it has time and the batch.
        typical: output -> (channels,) the typical sizes over all cases.
        factor: how many times the noise an error may be.
        coarseness: how many times as coarse the arithmetic is that the export was asked for.
        scores: the outputs whose last axis may hold a score for each class: a fixed size of 2 or
            more, of floats that are no state. Nothing declares it: the share is shown, and decides
            nothing.
    """

    axes: Mapping[str, Axes] = field(default_factory=dict)
    typical: Mapping[str, Array] = field(default_factory=dict)
    factor: float = FACTOR
    coarseness: float = 1.0
    scores: frozenset[str] = frozenset()

    def compare(
        self,
        case: Case,
        name: str,
        actual: Array,
        coarseness: float = 1.0,
        limit: Allowance | None = None,
    ) -> Difference:
        """One output of a case beside its reference.

        Args:
            case: what ran.
            name: of the output.
            actual: what it gave.
            coarseness: how many times as coarse the runtime's functions are as PyTorch's.
            limit: `limit(case, name, coarseness)`, where it is known.
        """
        reference, eager = case.reference[name], case.eager[name]
        rule = self._rule(case, name, coarseness)
        return compare(actual, reference, eager, case.noise.get(name), rule, limit)

    def limit(self, case: Case, name: str, coarseness: float = 1.0) -> Allowance | None:
        """What an output may be off by at a case, whoever computes it; None of other dtypes."""
        exact, eager = case.reference[name], case.eager[name]
        if eager.dtype.kind != "f":
            return None
        return allowance(exact, eager, _noise(case, name), self._rule(case, name, coarseness))

    def allowed(self, case: Case, name: str, coarseness: float = 1.0) -> Array:
        """What each element of an output of floats may be off by; nothing of other dtypes."""
        limit = self.limit(case, name, coarseness)
        return np.zeros(case.eager[name].shape) if limit is None else limit.allowed

    def _rule(self, case: Case, name: str, coarseness: float) -> Rule:
        axes, typical = self.axes.get(name, Axes()), self.typical.get(name)
        coarseness = max(coarseness, self.coarseness)
        return Rule(axes, self.factor, coarseness, typical, name in self.scores, _enlarged(case))


def standard_of(layout: StreamLayout, cases: Sequence[Case], factor: float = FACTOR) -> Standard:
    """The standard of a bundle.

    Args:
        layout: where the axes are.
        cases: all that there are, by which channels have their typical sizes.
        factor: how many times the noise an error may be.
    """
    whole = [case for case in cases if not case.feed_mode.chunks and not case.empty]
    names = dict.fromkeys(name for case in whole for name in case.reference)
    axes = {n: Axes(layout.time_axes.get(n), layout.batch_axes.get(n)) for n in names}
    typical: dict[str, Array] = {}
    for name in names:
        found = [(_sizes(c, name), _noise(c, name)) for c in whole if _floats(c, name)]
        sizes = typical_sizes(found, axes[name])
        if sizes is not None:
            typical[name] = sizes
    states = set(layout.states.values())
    scores = {n for n in names if n not in states and any(_scores(c, n, axes[n]) for c in whole)}
    return Standard(axes, typical, factor, layout.coarseness, frozenset(scores))


def _sizes(case: Case, name: str) -> Array:
    """The reference; infinite where it is a mask of `torch.finfo(x.dtype).min`, which is no size.

    That is the least number of float64, or, of the module itself, of the output's own dtype.
    """
    exact = case.reference[name]
    beyond = np.abs(exact) >= np.finfo(case.eager[name].dtype).max
    return np.where(beyond, np.inf, exact)


def _noise(case: Case, name: str) -> Array:
    return case.noise.get(name, error_of(case.eager[name], case.reference[name]))


def _enlarged(case: Case) -> float:
    """The largest number in the inputs of a case that has unusually large ones."""
    if case.scale <= 1:
        return 0.0
    given = (np.abs(a).max(initial=0.0) for a in case.inputs.values() if a.dtype.kind == "f")
    return max(map(float, given), default=0.0)


def _floats(case: Case, name: str) -> bool:
    return bool(case.eager[name].dtype.kind == "f")


def _scores(case: Case, name: str, axes: Axes) -> bool:
    array = case.reference[name]
    moving = array.ndim - 1 in (axes.time, axes.batch)
    return _floats(case, name) and array.ndim > 1 and not moving and array.shape[-1] > 1
