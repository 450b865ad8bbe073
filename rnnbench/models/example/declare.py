"""A `Model` from an example: what the two drop-in functions make of their arguments."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from rnnbench.core.dims import Dim
from rnnbench.core.model import Arrays, Model, TensorSpec, sample_inputs
from rnnbench.core.threads import torch_threads
from rnnbench.models.calls import on_cpu, training_notes
from rnnbench.models.example.axes import Axis
from rnnbench.models.example.call import ExampleCall, identifier, unique
from rnnbench.models.example.draws import Draws, draws_of
from rnnbench.models.example.ties import batch_and_time, tie

Sizes = tuple[int | str, ...]


@dataclass(frozen=True)
class Ports:
    """What a file's inputs and outputs are to be called.

    Attributes:
        inputs: their names, in order.
        outputs: their names, in order.
        shapes: of each input, numbers and names of dimensions.
        dims: a dimension of the declaration -> its name in the file.
        output_axes: names for axes of outputs, by the output's number.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    shapes: tuple[Sizes, ...] = ()
    dims: Mapping[str, str] = field(default_factory=dict)
    output_axes: Mapping[int, Mapping[int, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Declared:
    """A declaration that was made of an example.

    Attributes:
        model: its module has to be called within `called_flat(call)`.
        call: the example.
        ports: the names that were asked for, which need not be Python's.
        most: dimension -> the largest size that was asked for.
    """

    model: Model
    call: ExampleCall
    ports: Ports
    most: Mapping[str, int]


def declare(
    call: ExampleCall,
    axes: Sequence[Axis],
    inputs: Sequence[str],
    outputs: Sequence[str],
    output_axes: Mapping[int, Mapping[int, str]] | None = None,
) -> Declared:
    """Declares a module by an example: runs it to find out what the example leaves open.

    Args:
        call: the example.
        axes: the dynamic axes of its inputs.
        inputs: a name for each input.
        outputs: a name for each output.
        output_axes: names for axes of outputs, by the output's number.
    """
    with torch_threads(1), on_cpu(call.module):
        draws = draws_of(call, axes)
        groups = tie(draws)
        batch, time = batch_and_time(draws, groups)
        dims = _named(draws, groups, batch, time)
        names = {dim: identifier(name) for dim, name in dims.items()}
        taken: set[str] = set()
        own_inputs = [unique(identifier(name), taken) for name in inputs]
        own_outputs = [unique(identifier(name), taken) for name in outputs]
        make = _Maker(draws, names, groups, own_inputs, own_outputs, batch, time)
        model = make.model()
    shown = {names[dim]: name for dim, name in dims.items()}
    shapes = tuple(_shape(call, axes, i, dims, asked=True) for i in range(len(inputs)))
    ports = Ports(tuple(inputs), tuple(outputs), shapes, shown, dict(output_axes or {}))
    most = {names[a.dim]: a.most for a in reversed(axes) if a.dim in names and a.most is not None}
    return Declared(model, call, ports, most)


def _named(draws: Draws, groups: list[list[str]], batch: int | None, time: int | None) -> Any:
    """A name for each dimension: the user's, else what it is; that of a group is its first."""
    first = {axis.dim: axis for axis in reversed(draws.axes)}
    found: dict[str, str] = {}
    taken = {axis.name for axis in draws.axes}
    for number, group in enumerate(groups):
        given = [first[dim].name for dim in group if first[dim].name]
        kind = {batch: "batch", time: "time"}.get(number, f"dim_{number}")
        label = first[group[0]].label or kind
        name = given[0] if given else unique(label, taken)
        found |= dict.fromkeys(group, name)
    return found


def _shape(
    call: ExampleCall,
    axes: Sequence[Axis],
    number: int,
    names: Mapping[str, str],
    *,
    asked: bool = False,
) -> Sizes:
    """The shape of an input; `asked`: with the name that was given to each axis itself."""
    sizes: list[int | str] = list(call.tensors[number].shape)
    for axis in axes:
        if axis.place[0] == number and axis.dim in names:
            name = (asked and axis.name) or names[axis.dim]
            text = name if axis.factor == 1 else f"{axis.factor}*{name}"
            sizes[axis.place[1]] = f"{text}+{axis.offset}" if axis.offset else text
    return tuple(sizes)


@dataclass(frozen=True)
class _Maker:
    """Tries which random inputs the module takes."""

    draws: Draws
    names: Mapping[str, str]
    groups: list[list[str]]
    inputs: Sequence[str]
    outputs: Sequence[str]
    batch: int | None
    time: int | None

    def model(self) -> Model:
        """The first that runs: of random inputs, lengths in falling order, drawn of the example.

        Where none does, the first: whoever exports it says why.
        """
        static = [i for i, dim in self.draws.counted.items() if dim not in self.names]
        plain = None if static else self._declare(None)
        tried = [] if plain is None else [plain]
        if self.draws.counted and self.draws.falling and plain is not None:
            tried.append(self._declare(self._falling(plain)))
        tried.append(self._declare(self._drawn))
        return next((model for model in tried if self._runs(model)), tried[0])

    def _declare(self, sample: Callable[..., Arrays] | None) -> Model:
        call = self.draws.call
        names = [self.names[group[0]] for group in self.groups]
        axes = [axis for axis in self.draws.axes if axis.dim in self.names]
        least = {
            name: Dim(min=max(a.least for a in axes if self.names[a.dim] == name)) for name in names
        }
        return Model(
            call.module,
            [self._spec(number) for number in range(len(call.names))],
            self.outputs,
            name=re.sub(r"[^A-Za-z0-9._-]", "_", type(call.own).__name__).lstrip("._-") or "net",
            sample=sample,
            batch_dim=names[self.batch] if self.batch is not None else "batch",
            time_dim=names[self.time] if self.time is not None else "time",
            dims=least,
        )

    def _spec(self, number: int) -> TensorSpec:
        call = self.draws.call
        tensor = call.tensors[number]
        dtype = str(tensor.dtype).removeprefix("torch.")
        shape = _shape(call, self.draws.axes, number, self.names)
        if number in self.draws.counted:
            return TensorSpec(self.inputs[number], shape, dtype, "lengths")
        high = self._high(number) if dtype.startswith("int") else None
        return TensorSpec(self.inputs[number], shape, dtype, high=high)

    def _high(self, number: int) -> int:
        """The bound of whole numbers: that of the largest vocabulary with which it runs."""
        arrays = [tensor.numpy() for tensor in self.draws.call.tensors]
        largest = int(arrays[number].max(initial=0))
        parts = self.draws.call.module.modules()
        sizes = {p.num_embeddings for p in parts if isinstance(p, torch.nn.Embedding)}
        for size in sorted((n for n in sizes if n > largest + 1), reverse=True):
            tried = np.full_like(arrays[number], size - 1)
            given = [tried if i == number else a for i, a in enumerate(arrays)]
            if self.draws.give(given) is not None:
                return int(size)
        return largest + 1

    def _falling(self, plain: Model) -> Callable[..., Arrays]:
        """As declared, with the numbers of steps in falling order."""

        def sample(dims: dict[str, int], generator: np.random.Generator) -> Arrays:
            arrays = sample_inputs(plain, dims, int(generator.integers(2**31)))
            for number in self.draws.counted:
                name = self.inputs[number]
                arrays[name] = -np.sort(-arrays[name])
            return arrays

        return sample

    def _drawn(self, dims: dict[str, int], generator: np.random.Generator) -> Arrays:
        """Rows and steps of the example."""
        sizes = {dim: dims[name] for dim, name in self.names.items()}
        return dict(zip(self.inputs, self.draws.draw(sizes, generator), strict=True))

    def _runs(self, model: Model) -> bool:
        """Whether the module runs with two draws of random inputs, at larger sizes."""
        first = {axis.dim: axis for axis in reversed(self.draws.axes)}
        sizes = {
            self.names[group[0]]: first[group[0]].size + 2 + number
            for number, group in enumerate(self.groups)
        }
        for seed in (0, 1):
            arrays = sample_inputs(model, model.fit(sizes), seed)
            if self.draws.give([arrays[name] for name in self.inputs]) is None:
                return False
        return True


def default_outputs(call: ExampleCall, taken: Sequence[str]) -> list[str]:
    """`output_0`, ...: a name for each tensor that the module returns, by its place."""
    used = set(taken)
    return [unique(f"output_{i}", used) for i in range(sum(call.kept))]


def warn_of_training(call: ExampleCall, *, stacklevel: int) -> None:
    """Warns where a module in training mode computes something else than what is exported."""
    notes = training_notes(call.module) if call.own.training else []
    for note in notes:
        warnings.warn(
            f"{type(call.own).__name__} is in training mode and is {note}: call .eval() "
            "first, as for inference",
            stacklevel=stacklevel + 1,
        )
