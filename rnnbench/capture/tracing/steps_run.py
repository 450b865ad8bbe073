"""Loops that run as long as data say: traced with a given number of steps, as a dimension is.

    n = int(lengths.max())              n is 5, then 8, in two traces; lengths.max() is asked for
    for t in range(n): ...

    for t in range(1000):               goes on 4 times and ends at the fifth question, then 7
        h = cell(x, h)                  times and at the eighth; the 5 truths are asked for
        if stop(h) > 0.5: break

A further input of the trace has that number as its size, so that what grows with it is found as
for any other dimension; what was asked is a further output. Neither is in what is exported: see
`rnnbench.capture.rolling.conditional`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import fx

from rnnbench.core.model import Model, TensorSpec

STEPS = "rnnbench_steps"
"""The further input, and its dimension."""

_FEWEST = 5  # steps in the first trace; the second has 3 more
_LONGER = 6  # what a loop that ends earlier would run over
_LONG = 101  # what the steps are taken from is to be longer than any number of them


@dataclass(frozen=True)
class Counting:
    """How a trace answers where a loop asks whether it is to go on.

    Attributes:
        ends: the loop asks in each step; otherwise it asks for a number before it.
        going: the answer on which it goes on.
    """

    ends: bool
    going: bool = False


def with_steps(model: Model) -> Model:
    """The model with the further input, (steps,) of float32."""
    sample = model.sample

    def sampled(dims: dict[str, int], rng: np.random.Generator) -> Mapping[str, Any]:
        assert sample is not None
        own = {name: size for name, size in dims.items() if name != STEPS}
        return {**sample(own, rng), STEPS: np.zeros(dims[STEPS], np.float32)}

    inputs = (*model.inputs, TensorSpec(STEPS, (STEPS,)))
    return replace(model, inputs=inputs, sample=sampled if sample else None)


def counted_sizes(model: Model, dims: Mapping[str, int], counting: Counting) -> dict[str, int]:
    """Sizes for the traces: the number of steps, and long enough for it what they run over."""
    more = _LONGER if counting.ends else _LONG
    sizes = {d: n if d == model.batch_dim else n + more for d, n in dims.items()}
    return {**model.fit(sizes), STEPS: _FEWEST}


def ask_once(graph: fx.Graph, outputs: int) -> None:
    """Of what was asked several times, `int(lengths.max())` here and there, one is left."""
    results: Any = graph.output_node().args[0]
    asked = results[outputs:]
    if all(_alike(asked[0], other) for other in asked[1:]):
        graph.output_node().args = (tuple(results[: outputs + 1]),)
        graph.eliminate_dead_code()


def _alike(a: Any, b: Any) -> bool:
    """Whether two values are computed in the same way."""
    if not isinstance(a, fx.Node) or not isinstance(b, fx.Node):
        return bool(a == b)
    if a is b:
        return True
    return (
        (a.op, a.target) == (b.op, b.target)
        and a.op == "call_function"
        and len(a.args) == len(b.args)
        and all(map(_alike, a.args, b.args))
        and a.kwargs == b.kwargs
    )
