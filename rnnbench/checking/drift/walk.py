"""Walks one runtime and the reference along the same long sequence, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.model import Arrays, Model, Run, sample_inputs


@dataclass
class Walk:
    """A long sequence, which is made anew for each runtime that takes it, and never held.

    Attributes:
        bundle: what is run.
        model: what says how inputs are made.
        reference: what the errors are differences to.
        ends: the last step of each bin of time.
        chunk: steps per call.
        seed: of the sequence.
        sizes: the largest absolute value of the reference in each bin, as far as it has walked.
    """

    bundle: Bundle
    model: Model
    reference: Run
    ends: tuple[int, ...]
    chunk: int
    seed: int
    sizes: np.ndarray[Any, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.sizes = np.zeros(len(self.ends))

    def errors(self, run: Run) -> np.ndarray[Any, Any] | str:
        """The largest error of each bin, over all outputs; or where it failed, and why."""
        lasts, errors = np.asarray(self.ends), np.zeros(len(self.ends))
        states, exact_states = dict(self._start), dict(self._start)
        for start, length, data in self._chunks():
            where = np.searchsorted(lasts, np.arange(start + 1, start + length + 1))
            exact = self.reference(data | exact_states)
            exact_states = self._handed_on(exact)
            np.maximum.at(self.sizes, where, self._by_step(exact, None, length))
            try:
                outputs = run(data | states)
                np.maximum.at(errors, where, self._by_step(outputs, exact, length))
                states = self._handed_on(outputs)
            except (RnnbenchError, KeyError, ValueError) as error:
                return f"from step {start + 1}: {one_line(error)}"
        return errors

    def _chunks(self) -> Iterator[tuple[int, int, Arrays]]:
        """The step before each chunk, its length and its inputs."""
        steps, fixed = self.ends[-1], dict[str, np.ndarray[Any, Any]]()
        for index, start in enumerate(range(0, steps, self.chunk)):
            length = min(self.chunk, steps - start)
            yield start, length, self._inputs(length, index, fixed)

    def _inputs(self, length: int, index: int, fixed: Arrays) -> Arrays:
        """The inputs of a chunk; those without time are of the whole sequence."""
        bundle = self.bundle
        dims = bundle.traced | {bundle.batch_dim: 1, bundle.time_dim: length}
        arrays = sample_inputs(self.model, dims, 1_000_003 * self.seed + index)
        for spec in bundle.inputs:
            if spec.role == "lengths":
                arrays[spec.name] = np.full_like(arrays[spec.name], length)
            elif bundle.time_dim not in spec.shape and spec.role == "data":
                arrays[spec.name] = fixed.setdefault(spec.name, arrays[spec.name])
        return arrays

    def _handed_on(self, outputs: Arrays) -> Arrays:
        return {name: outputs[output] for name, output in self.bundle.states.items()}

    @cached_property
    def _start(self) -> Arrays:
        """The states of a new stream."""
        first = self._inputs(1, 0, {})
        return {name: np.zeros_like(first[name]) for name in self.bundle.states}

    @cached_property
    def _axes(self) -> dict[str, int]:
        """Output -> the axis that follows the chunk's length."""
        short, long = (self.reference(self._inputs(n, 0, {}) | self._start) for n in (8, 16))
        found = {}
        for name, array in short.items():
            changed = [i for i, n in enumerate(array.shape) if n != long[name].shape[i]]
            if len(changed) == 1:
                found[name] = changed[0]
        return found

    def _by_step(self, outputs: Arrays, exact: Arrays | None, length: int) -> np.ndarray[Any, Any]:
        """The largest error (or size) of each step; what has no time counts at the end."""
        found = np.zeros(length)
        for name, array in outputs.items():
            apart = np.abs(array.astype(np.float64) - (0.0 if exact is None else exact[name]))
            apart[~np.isfinite(apart)] = np.inf
            if name not in self._axes:
                found[-1] = max(found[-1], apart.max(initial=0.0))
                continue
            axis = self._axes[name]
            rows = np.moveaxis(apart, axis, 0).reshape(apart.shape[axis], -1)
            # A strided layer has fewer steps than its input: each stands for several.
            steps = np.arange(length) * len(rows) // length
            found = np.maximum(found, rows.max(axis=1, initial=0.0)[steps])
        return found
