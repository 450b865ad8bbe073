"""The inputs of each stream, call by call, and what is right of that stream alone.

One case a stream: the module is called a few times with a batch of 1, and hands its own states on,
in float64 and, moved by roundings, in its own precision; a file that rounds values is called so
itself where that is what runs. Whoever gives the states of one stream to
another, however they are held, computes something else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from rnnbench.benchmarking.measuring.judging import assert_right, layout_for
from rnnbench.benchmarking.measuring.networks import Network, sizes_for
from rnnbench.benchmarking.plan import Conditions
from rnnbench.cases.cases import Case, make_cases
from rnnbench.cases.feeding import joined
from rnnbench.cases.plans import Plan
from rnnbench.cases.rounded import beside_itself
from rnnbench.cases.standard import standard_of
from rnnbench.core.errors import RnnbenchError, Unavailable
from rnnbench.core.model import Arrays, Model, TensorSpec, sample_inputs
from rnnbench.formats._rounding import file_that_rounds
from rnnbench.models.calls import invoke, on_cpu
from rnnbench.models.kept import tensors_in

CALLS = 6
"""Of each stream, that are judged; then its inputs come again."""
_SEEDS = 10_000  # of a stream's calls, which differ from those of the next


class StreamTrial:
    """Streams of one model, and what is right of each.

    Args:
        network: the model.
        conditions: the steps of a call.
        usual: what `usual_cases` said, by which outputs have their axes and sizes.

    Raises:
        RnnbenchError: the model has no states, or takes calls of other lengths.
        Unavailable: its code is not here.
    """

    def __init__(self, network: Network, conditions: Conditions, usual: Sequence[Case]) -> None:
        model = network.model
        if not model.states:
            raise RnnbenchError(
                f"{model.name} has no states to hand on: feed whole sequences; --streams needs a "
                "model with states"
            )
        _check_steps(model, conditions.time)
        if not network.runnable:
            raise Unavailable(
                "streams are judged by the model's code, which is not on this machine: give its "
                "FILE.py"
            )
        self.model = model
        self.sizes = sizes_for(model, replace(conditions, batch=1))
        self._bundle = network.bundle
        self._layout = layout_for(network, usual)
        self._usual = tuple(usual)
        self._inputs: list[tuple[Arrays, ...]] = []
        self._cases: list[Case] = []
        self._own: list[Case] = []  # with what the bundle's file that rounds values gives
        self._standard = standard_of(self._layout, self._usual)

    def inputs(self, streams: Sequence[int]) -> tuple[Arrays, ...]:
        """The calls of streams, each a row; the states in the first are those at their start.

        Args:
            streams: their numbers.

        Raises:
            RnnbenchError: the model takes no batch, or not all of its outputs have its rows.
        """
        self._make_inputs(max(streams) + 1)
        if len(streams) == 1:
            return self._inputs[streams[0]]
        batch = self.model.batch_dim
        found: list[Arrays] = [{} for _ in range(CALLS)]
        for spec in self.model.inputs:
            for call in range(CALLS):
                rows = [self._inputs[stream][call][spec.name] for stream in streams]
                if batch in spec.shape:
                    found[call][spec.name] = np.concatenate(rows, spec.shape.index(batch))
                elif all(np.array_equal(rows[0], row) for row in rows):
                    found[call][spec.name] = rows[0]
                else:
                    raise RnnbenchError(
                        f"input {spec.name!r} has no dimension {batch!r}: the streams of "
                        f"{self.model.name} cannot be rows of one batch"
                    )
        missing = [name for name in self.model.outputs if name not in self._layout.batch_axes]
        if missing:
            raise RnnbenchError(
                f"output {missing[0]!r} has no row for each stream: the streams of "
                f"{self.model.name} cannot be rows of one batch"
            )
        return tuple(found)

    def assert_right(
        self,
        streams: Sequence[int],
        outputs: Sequence[Arrays],
        coarseness: float,
        rounds: bool = False,
    ) -> None:
        """Each stream's rows, call by call, are what is right of that stream alone.

        Args:
            streams: their numbers.
            outputs: of each of their calls.
            coarseness: of the runtime.
            rounds: whether what ran is the bundle's file that rounds values to whole numbers.

        Raises:
            WrongOutput: one is something else.
        """
        self._make_cases(max(streams) + 1)
        if rounds:
            self._make_own(max(streams) + 1)
        for row, stream in enumerate(streams):
            parts = outputs if len(streams) == 1 else self._rows(outputs, row)
            whole = joined(parts, self._layout.time_axes)
            case = self._own[stream] if rounds else self._cases[stream]
            assert_right(whole, case, self._standard, coarseness=coarseness)

    def _rows(self, outputs: Sequence[Arrays], row: int) -> list[Arrays]:
        """One row of what calls with a batch gave."""
        axes = self._layout.batch_axes
        return [{n: a.take([row], axes[n]) for n, a in call.items()} for call in outputs]

    def _make_inputs(self, count: int) -> None:
        """Those of so many streams, the first that there are not yet."""
        for stream in range(len(self._inputs), count):
            seeds = range(_SEEDS * stream, _SEEDS * stream + CALLS)
            calls = tuple(sample_inputs(self.model, self.sizes, seed) for seed in seeds)
            self._inputs.append(calls)

    def _make_cases(self, count: int) -> None:
        """What is right of so many streams, the first that there are not yet."""
        todo = self._inputs[len(self._cases) : count]
        if todo:
            self._cases += _made(self.model, self._layout.time_axes, todo, len(self._cases))
            self._standard = standard_of(self._layout, [*self._usual, *self._cases])

    def _make_own(self, count: int) -> None:
        """What a file that rounds values makes of them."""
        first = len(self._own)
        todo = self._inputs[first:count]
        file = file_that_rounds(self._bundle, self.model) if self._bundle and todo else None
        if file is not None:
            what = replace(self.model, module=file)
            own = _made(what, self._layout.time_axes, todo, first, "the file's own graph")
            pairs = zip(self._cases[first:count], own, strict=True)
            self._own += [beside_itself(*pair).as_rounded() for pair in pairs]


def _check_steps(model: Model, steps: int) -> None:
    """Refuses calls of so many steps where the model takes others.

    Raises:
        RnnbenchError: it does.
    """
    dim = model.dims.get(model.time_dim)
    if dim is None and steps > 1:
        raise RnnbenchError(f"{model.name} makes one step a call: give --time 1, not {steps}")
    if dim is not None and not dim.allows(steps):
        raise RnnbenchError(
            f"{model.name} takes {dim} steps a call, not {steps}: give --time {dim.fit(steps)}"
        )


def _made(
    model: Model,
    time_axes: Mapping[str, int],
    streams: Sequence[Sequence[Arrays]],
    first: int,
    what: str = "the model itself",
) -> list[Case]:
    """A case for each stream, by the module of all its calls.

    Raises:
        RnnbenchError: the module itself fails at one.
    """
    given = {
        f"where stream {number} is alone": _flat(model, calls)
        for number, calls in enumerate(streams, first + 1)
    }
    whole = _whole(model, time_axes, next(iter(given.values())))
    plans = [Plan(name, {}, 0, "what is timed") for name in given]
    with on_cpu(whole.module):
        made = make_cases(whole, plans, given)
    for why in made.skipped.values():
        raise RnnbenchError(f"{what} fails at the inputs that are timed: {why}")
    return [_renamed(case, model) for case in made.cases]


def _flat(model: Model, calls: Sequence[Arrays]) -> Arrays:
    """The inputs of all calls by names of their own; states are those at the start alone."""
    return {
        f"call{number}_input{place}": arrays[spec.name]
        for number, arrays in enumerate(calls)
        for place, spec in enumerate(model.inputs)
        if number == 0 or spec.name not in model.states
    }


def _whole(model: Model, time_axes: Mapping[str, int], flat: Arrays) -> Model:
    """A model whose single call is all calls of a stream, one behind the other."""
    axes = [time_axes.get(name) for name in model.outputs]
    inputs = [TensorSpec(name, a.shape, str(a.dtype)) for name, a in flat.items()]
    outputs = [f"output{place}" for place in range(len(model.outputs))]
    return Model(_CallByCall(model, axes), inputs, outputs, name=model.name)


class _CallByCall(torch.nn.Module):
    """Calls a module again and again; what it gives stands one behind the other along time."""

    def __init__(self, model: Model, axes: Sequence[int | None]) -> None:
        super().__init__()
        self.module = model.module
        self._model, self._axes = model, axes

    def forward(self, *tensors: torch.Tensor) -> list[torch.Tensor]:
        model, given = self._model, list(tensors)
        parts: list[list[torch.Tensor]] = []
        state: dict[str, torch.Tensor] = {}
        while given:
            named = {
                s.name: state[s.name] if s.name in state else given.pop(0) for s in model.inputs
            }
            returned = invoke(self.module, model.inputs, model.outputs, list(named.values()))
            parts.append(tensors_in(returned))
            outputs = dict(zip(model.outputs, parts[-1], strict=True))
            state = {name: outputs[target] for name, target in model.states.items()}
        return [
            last[-1] if axis is None else torch.cat(last, axis)
            for last, axis in zip(zip(*parts, strict=True), self._axes, strict=True)
        ]


def _renamed(case: Case, model: Model) -> Case:
    """With the outputs' own names."""

    def own(arrays: Arrays) -> dict[str, Any]:
        return {
            name: arrays[f"output{place}"]
            for place, name in enumerate(model.outputs)
            if f"output{place}" in arrays
        }

    return replace(
        case, reference=own(case.reference), eager=own(case.eager), noise=own(case.noise)
    )
