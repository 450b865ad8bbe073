"""The declaration of a call that runs: its axes, found by running it at other sizes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from rnnbench.core.dims import solve
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.model import Model, TensorSpec
from rnnbench.models.declaration.as_model import with_lifted_state
from rnnbench.models.declaration.caller import Caller, has_none, parts_of, steady_parts
from rnnbench.models.declaration.calling import Values, attempt, ports_in
from rnnbench.models.declaration.feeding import idle, next_states, with_states
from rnnbench.models.declaration.guesses import (
    Guess,
    Sampling,
    doubts_of,
    named_outputs,
)
from rnnbench.models.declaration.likely import likelihood
from rnnbench.models.declaration.ports import (
    DEFAULT,
    Argument,
    Port,
    Sizes,
    mapped,
)
from rnnbench.models.declaration.scaled import scaled
from rnnbench.models.declaration.search import Found
from rnnbench.models.example.axes import Axis
from rnnbench.models.example.call import ExampleCall, identifier, take_call, unique
from rnnbench.models.example.declare import declare
from rnnbench.models.example.draws import Draws, draws_of
from rnnbench.models.example.ties import batch_and_time, followed, influences, tie


def declared(
    module: nn.Module,
    arguments: Sequence[Argument],
    found: Found,
    sizes: Sizes,
    *,
    states: bool = True,
) -> tuple[float, Guess]:
    """The declaration of a call, and how good it is: 2 for a batch, and time that is walked along.

    Raises:
        RnnbenchError: the module runs with these sizes alone.
    """
    if states:
        found = with_states(module, arguments, found)
    if idle(module, arguments, found):
        raise RnnbenchError("it runs as well without an argument that has a default")
    values = _named(found.values)
    again = attempt(module, arguments, values).returned
    steady = steady_parts(attempt(module, arguments, values).returned, again)
    caller = Caller(module, arguments, values, steady)
    call = take_call(caller, caller.example(), {})
    kept, found_walks = _kept_axes(call, ports_in(values), sizes)
    outputs = [f"output_{i}" for i in range(sum(call.kept))]
    as_declared = declare(call, kept, call.names, outputs).model
    specs = _specs(as_declared, ports_in(values))
    dims = {d for spec in specs for d in spec.dims}
    if not dims:
        raise RnnbenchError(f"{type(module).__name__} runs at no other sizes")
    draws = Draws(call, (), {})
    back = next_states(draws.give, specs, _example_sizes(specs, call))
    parts = list(parts_of(found.returned))
    if steady is not None:
        tensors = [part for part in parts if part is not None]
        parts = [tensors[i] for i in steady]
    names, becomes = named_outputs([p for p in parts if p is not None], specs, back)
    odd = None in parts or any(p is not None and not p.plain for p in parts)
    odd = odd or steady is not None or has_none(found.returned)
    falling = as_declared.sample is not None and any(s.role == "lengths" for s in specs)
    doubts = doubts_of(specs, falling=falling, drawn=as_declared.sample is not None)
    left_out = tuple(
        a.name
        for a, v in zip(arguments, values, strict=True)
        if isinstance(v, str) and v == DEFAULT
    )
    wrapped = odd or not caller.binds(specs)
    result = Guess(
        specs, names, becomes,
        ran=True,
        left_out=left_out,
        caller=caller if wrapped else None,
        returns=tuple(p.path for p in parts if p is not None) if odd else (),
        sampling=_sampling(specs, ports_in(values), falling=falling),
        doubts=doubts,
        sizes=_example_sizes(specs, call),
        called=caller,
        parts=tuple(p.path for p in parts if p is not None),
    )  # fmt: skip
    result = with_lifted_state(result, module)
    shaky = len(result.doubts) > len(doubts)
    known = likelihood(result, sizes, module, found.returned, walks=found_walks, shaky=shaky)
    return known, result


def _sampling(specs: Sequence[TensorSpec], ports: Sequence[Port], *, falling: bool) -> Sampling:
    """How inputs are made: lengths that fall, ids that are 0 where a row has ended."""
    pairs = zip(specs, ports, strict=True)
    counted = [spec for spec, port in pairs if port.low and spec.dtype.startswith("int")]
    padded = tuple(s.name for s in counted if len(s.shape) == 2 and s.shape[0] == "batch")
    return Sampling(falling=falling or bool(padded), padded=padded)


def _named(values: Values) -> Values:
    """The ports with names that are Python's, no two alike."""
    taken: set[str] = set()

    def named(leaf: Any) -> Any:
        return replace(leaf, name=unique(identifier(leaf.name), taken)) if isinstance(
            leaf, Port
        ) else leaf  # fmt: skip

    return tuple(mapped(value, named) for value in values)


def _kept_axes(call: ExampleCall, ports: Sequence[Port], sizes: Sizes) -> tuple[list[Axis], bool]:
    """The axes that are dynamic: those that can be, of a float input the batch and one other.

    What else could be of another size, as the height of an image, is no sequence; of a state only
    the batch follows the inputs.

    Returns:
        The axes, and whether what one index changes is not all at that index, along one of them.
    """
    axes = [
        _multiple(Axis((number, axis), size, f"{number}#{axis}", optional=True), call, sizes)
        for number, tensor in enumerate(call.tensors)
        for axis, size in enumerate(tensor.shape)
        if size > 1 and (size in sizes.free or size not in sizes.layers)
    ]
    if not axes:
        raise RnnbenchError("it runs with sizes of its own alone")
    draws = draws_of(call, axes)
    groups = _joined(draws, tie(draws), ports)
    one = {dim: group[0] for group in groups for dim in group}
    axes = [replace(axis, dim=one[axis.dim]) for axis in axes if axis.dim in one]
    axes = scaled(replace(draws, axes=tuple(axes)))
    groups = [[dim] for dim in dict.fromkeys(axis.dim for axis in axes)]
    draws = replace(draws, axes=tuple(axes), counted={
        number: one.get(dim, dim) for number, dim in draws.counted.items()
    })  # fmt: skip
    batch, _ = batch_and_time(draws, groups)
    if batch is None:
        batch = _rows_of_layers(call, groups, axes)
    if batch is None:  # a row may be several in the outputs; in a state it is one
        states = {i for i, port in enumerate(ports) if port.role == "state"}
        of_states = {axis.dim for axis in axes if axis.place[0] in states}
        batch = next((i for i, group in enumerate(groups) if of_states & set(group)), None)
    changes = influences(draws, groups)
    dropped: set[int] = set()
    for number, tensor in enumerate(call.tensors):
        if not tensor.is_floating_point():
            continue
        if ports[number].role == "state":
            dropped |= {
                i for i, group in enumerate(groups)
                if i != batch and any(a.place[0] == number for a in axes if a.dim in group)
                and not any(_of_sequence(a, call, ports) for a in axes if a.dim in group)
            }  # fmt: skip
            continue
        here = [
            i for i, group in enumerate(groups)
            if i != batch and any(a.place[0] == number and a.dim in group for a in axes)
        ]  # fmt: skip
        if len(here) > 1:
            _, kept = batch_and_time(draws, [groups[i] for i in here])
            rank = {"steps": 0, "all": 1}
            length = {i: followed(draws, groups, i) for i in here}
            likely = None if kept is None else here[kept]
            best = min(
                here, key=lambda i: (rank.get(changes[i] or "", 2), not length[i], i != likely)
            )
            dropped |= {i for i in here if i != best}
    gone = {dim for i in dropped for dim in groups[i]}
    left = [i for i, group in enumerate(groups) if not gone & set(group)]
    walked = any(changes[i] != "rows" for i in left if i != batch)
    axes = [axis for axis in axes if axis.dim not in gone]
    if batch is not None:  # as one dimension, of that name
        rows = groups[batch]
        axes = [replace(a, dim="=batch", name="batch") if a.dim in rows else a for a in axes]
    return axes, walked


def _rows_of_layers(
    call: ExampleCall, groups: Sequence[Sequence[str]], axes: Sequence[Axis]
) -> int | None:
    """The group that is as large as the batch of the recurrent layers within.

    It tells rows that are mixed, as by a `reshape` of a state that has its layers first.
    """
    rows: set[int] = set()

    def keep(layer: nn.Module, given: Any) -> None:
        x = given[0] if given and isinstance(given[0], torch.Tensor) else None
        if x is not None and x.ndim == 3 and isinstance(layer, nn.RNNBase):
            rows.add(x.shape[0 if layer.batch_first else 1])

    layers = [m for m in call.module.modules() if isinstance(m, nn.RNNBase)]
    handles = [layer.register_forward_pre_hook(keep) for layer in layers]
    try:
        draws_of(call, []).run({})
    finally:
        for handle in handles:
            handle.remove()
    first = {axis.dim: axis for axis in reversed(axes)}
    found = [i for i, group in enumerate(groups) if first[group[0]].size in rows]
    return found[0] if len(rows) == len(found) == 1 else None


def _multiple(axis: Axis, call: ExampleCall, sizes: Sizes) -> Axis:
    """An axis that is a number of steps times what each has, as flat rows are: `6*time`."""
    free = next((n for n in sizes.free[1:] if axis.size > n and axis.size % n == 0), 0)
    if not free:
        return axis
    tried = replace(axis, size=free, factor=axis.size // free)
    if all(draws_of(call, [tried]).run({axis.dim: free + k}) for k in (1, 2)) and not any(
        draws_of(call, [axis]).run({axis.dim: axis.size + k}) for k in (1, tried.factor + 1)
    ):
        return tried
    return axis


def _joined(draws: Draws, groups: list[list[str]], ports: Sequence[Port]) -> list[list[str]]:
    """The groups, where those of inputs that say nothing of their own go with others of their size.

    Of a state the rows are those of the batch, also where a module makes a new one of another
    size; what changes no output, as a mask that nobody reads, is as long as the sequence.
    """
    first = {axis.dim: axis for axis in draws.axes}
    changes = influences(draws, groups)
    silent = [
        (changes[i] == "none" and not followed(draws, groups, i))
        or all(ports[first[dim].place[0]].role == "state" for dim in group)
        for i, group in enumerate(groups)
    ]  # fmt: skip
    found = [list(group) for i, group in enumerate(groups) if not silent[i]]
    for group in (group for i, group in enumerate(groups) if silent[i]):
        size = first[group[0]].size
        places = {first[dim].place[0] for dim in group}
        other = next(
            (g for g in found if first[g[0]].size == size
             and not places & {first[dim].place[0] for dim in g}), None
        )  # fmt: skip
        if other is None:
            found.append(list(group))
        else:
            other.extend(group)
    return found


def _of_sequence(axis: Axis, call: ExampleCall, ports: Sequence[Port]) -> bool:
    """Whether an axis is one of an input that has features beside, and is no state."""
    number = axis.place[0]
    return ports[number].role == "data" and call.tensors[number].ndim == 3


def _specs(declared: Model, ports: Sequence[Port]) -> tuple[TensorSpec, ...]:
    """The inputs with the role of states; other lengths named after the input that has them."""
    others: dict[str, str] = {declared.batch_dim: "batch", declared.time_dim: "time"}
    for spec in declared.inputs:
        for dim in spec.dims:
            others.setdefault(dim, f"{spec.name}_time" if spec.role == "data" else dim)
    taken: set[str] = set()
    names = {dim: unique(name, taken) for dim, name in others.items()}
    found = []
    for spec, port in zip(declared.inputs, ports, strict=True):
        shape = tuple(_renamed(d, names) if isinstance(d, str) else d for d in spec.shape)
        role = port.role if port.role in ("state", "lengths") else spec.role
        if role == "state" and "time" in shape:
            role = "data"
        high = None if role == "lengths" else spec.high
        found.append(replace(spec, shape=shape, role=role, high=high))
    return tuple(found)


def _renamed(size: str, names: Mapping[str, str]) -> str:
    """A size, as `10*dim_1+1`, with other names."""
    return re.sub(r"[A-Za-z_]\w*", lambda found: names.get(found[0], found[0]), size)


def _example_sizes(specs: Sequence[TensorSpec], call: ExampleCall) -> dict[str, int]:
    """The size of each dimension at which a call ran; `time` of an axis `6*time` too."""
    pairs = zip(specs, call.tensors, strict=True)
    return solve([sized for spec, t in pairs for sized in zip(spec.shape, t.shape, strict=True)])
