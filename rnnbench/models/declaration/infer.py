"""What a module's inputs and outputs are: a call that runs, and its axes, found by running."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from rnnbench.core.errors import RnnbenchError
from rnnbench.core.model import Model, TensorSpec
from rnnbench.core.threads import torch_threads
from rnnbench.models.declaration.caller import Caller, has_none, parts_of
from rnnbench.models.declaration.calling import Values, ports_in
from rnnbench.models.declaration.candidates import arguments_of
from rnnbench.models.declaration.feeding import idle, next_states, with_states
from rnnbench.models.declaration.guesses import (
    Guess,
    doubts_of,
    named_outputs,
    unknown,
    with_lifted_state,
)
from rnnbench.models.declaration.least import with_dims
from rnnbench.models.declaration.ports import (
    DEFAULT,
    Argument,
    Port,
    Sizes,
    mapped,
    sizes_for,
)
from rnnbench.models.declaration.scaled import scaled
from rnnbench.models.declaration.search import Found, Search
from rnnbench.models.example.axes import Axis
from rnnbench.models.example.call import ExampleCall, identifier, take_call, unique
from rnnbench.models.example.declare import declare
from rnnbench.models.example.draws import Draws, draws_of
from rnnbench.models.example.ties import batch_and_time, followed, influences, tie

_MORE = 80  # runs after the first that runs, for one that has both a batch and time
_ENOUGH = 1.9
_LONGER = 8.0  # seconds for the same


def guess(
    module: nn.Module,
    deadline: float,
    given: Collection[int] = (),
    on_run: Callable[[], None] = lambda: None,
) -> Guess:
    """Searches a call that runs, and declares it.

    Args:
        module: an object of the class, which stays as it was.
        deadline: until when, of `time.monotonic()`.
        given: numbers that the constructor was given: sizes of inputs may be among them.
        on_run: called before each run.
    """
    sizes = sizes_for(module, given)
    arguments = arguments_of(module, sizes)
    search = Search(module, arguments, sizes, deadline, on_run)
    best: tuple[float, Guess] | None = None
    with torch_threads(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what its author has to know is said by his own runs
        for found in search.calls():
            try:
                known, declared = _declared(module, arguments, found, sizes)
            except RnnbenchError:  # it runs at no other sizes: no recurrent network's inputs
                continue
            if best is None or known > best[0]:
                best = (known, declared)
                search.deadline = min(search.deadline, time.monotonic() + _LONGER)
                search.most = search.runs + _MORE
            if known >= _ENOUGH:
                break
    if best is None:
        return unknown(module, arguments, search.why)
    return with_dims(best[1], module)


def _declared(
    module: nn.Module, arguments: Sequence[Argument], found: Found, sizes: Sizes
) -> tuple[float, Guess]:
    """The declaration of a call, and how good it is: 2 for a batch, and time that is walked along.

    Raises:
        RnnbenchError: the module runs with these sizes alone.
    """
    found = with_states(module, arguments, found)
    if idle(module, arguments, found):
        raise RnnbenchError("it runs as well without an argument that has a default")
    values = _named(found.values)
    caller = Caller(module, arguments, values)
    call = take_call(caller, caller.example(), {})
    kept, found_walks = _kept_axes(call, ports_in(values), sizes)
    outputs = [f"output_{i}" for i in range(sum(call.kept))]
    declared = declare(call, kept, call.names, outputs).model
    specs = _specs(declared, ports_in(values))
    dims = {d for spec in specs for d in spec.dims}
    if not dims:
        raise RnnbenchError(f"{type(module).__name__} runs at no other sizes")
    draws = Draws(call, (), {})
    back = next_states(draws.give, specs, _example_sizes(specs, call))
    parts = list(parts_of(found.returned))
    names, states = named_outputs([p for p in parts if p is not None], specs, back)
    odd = None in parts or any(p is not None and not p.plain for p in parts)
    odd = odd or has_none(found.returned)
    falling = declared.sample is not None and any(s.role == "lengths" for s in specs)
    doubts = doubts_of(specs, falling=falling, drawn=declared.sample is not None)
    left_out = tuple(
        a.name
        for a, v in zip(arguments, values, strict=True)
        if isinstance(v, str) and v == DEFAULT
    )
    wrapped = odd or not caller.binds(specs)
    result = Guess(
        specs, names, states,
        ran=True,
        left_out=left_out,
        caller=caller if wrapped else None,
        returns=tuple(p.path for p in parts if p is not None) if odd else (),
        falling=falling,
        doubts=doubts,
        sizes=_example_sizes(specs, call),
    )  # fmt: skip
    result = with_lifted_state(result, module)
    known = sum(d in dims for d in ("batch", "time")) + 1.0 * result.lift_state
    # What it does to each step alone is one step's work, and a state that does not fit is wrong.
    apart = "time" in dims and not found_walks
    known -= 1.1 * apart + 0.8 * (len(result.doubts) > len(doubts))
    known -= 0.01 * sum(max(len(spec.shape) - 3, 0) for spec in specs)
    # An axis of which no layer knows the size may be one too many.
    known -= 0.1 * any(len(s.shape) == 4 and n in sizes.free for s in specs for n in s.shape)
    return known - 0.3 * _oddities(specs, sizes), result


def _oddities(specs: Sequence[TensorSpec], sizes: Sizes) -> int:
    """How many inputs look as if they ran by chance, as what is broadcast does.

    They have no batch, where others have one, or are fixed to a size that no layer has.
    """
    batched = any("batch" in spec.shape for spec in specs)
    return sum(
        (batched and (len(spec.shape) > 1 or not i) and "batch" not in spec.shape)
        or (len(spec.shape) < 4 and any(size in sizes.free for size in spec.shape))
        for i, spec in enumerate(specs)
    )


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
        Axis((number, axis), size, f"{number}#{axis}", optional=True)
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
            best = min(here, key=lambda i: (rank.get(changes[i] or "", 2), i != kept))
            dropped |= {i for i in here if i != best}
    gone = {dim for i in dropped for dim in groups[i]}
    left = [i for i, group in enumerate(groups) if not gone & set(group)]
    walked = any(changes[i] != "rows" for i in left if i != batch)
    axes = [axis for axis in axes if axis.dim not in gone]
    if batch is not None:  # as one dimension, of that name
        rows = groups[batch]
        axes = [replace(a, dim="=batch", name="batch") if a.dim in rows else a for a in axes]
    return axes, walked


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
    return {
        dim: size
        for spec, tensor in zip(specs, call.tensors, strict=True)
        for dim, size in zip(spec.shape, tensor.shape, strict=True)
        if isinstance(dim, str) and dim.isidentifier()
    }
