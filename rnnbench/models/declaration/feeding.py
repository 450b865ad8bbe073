"""States among the arguments: what a module returns is given back to it, and what comes is judged.

y, h = net(x)                        ->   net(x, h): an argument that takes what was returned
net(x[:, :9]), net(x[:, 9:], h)      ->   as net(x): h is the state, and x is cut along time
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree

from rnnbench.core.model import TensorSpec
from rnnbench.models.declaration.caller import parts_of
from rnnbench.models.declaration.calling import Values, attempt
from rnnbench.models.declaration.ports import DEFAULT, Argument, Port, as_ports, mapped, walk
from rnnbench.models.declaration.search import Found

_WAYS = 60  # of matching states with outputs
_RELATIVE, _ABSOLUTE = 1e-3, 1e-4


def with_states(module: Any, arguments: Sequence[Argument], found: Found) -> Found:
    """The call with a state for each argument that may have one and is None as yet."""
    found = _returned_in_order(module, arguments, found)
    for i, argument in enumerate(arguments):
        own = found.values[i]
        empty = own is None or own is DEFAULT
        if not argument.state or not (empty or not _comes_back(own, found.returned)):
            continue
        own = [c for c in argument.candidates if c is not None and not isinstance(c, str)]
        for state in (*_returned_states(argument.name, found.returned), *own[:6]):
            values = (*found.values[:i], state, *found.values[i + 1 :])
            outcome = attempt(module, arguments, values)
            runs = outcome.error is None and _comes_back(state, outcome.returned)
            if runs and _matters(module, arguments, values, i, outcome.returned):
                found = Found(values, outcome.returned)
                break
    return found


def _returned_in_order(module: Any, arguments: Sequence[Argument], found: Found) -> Found:
    """The call with the last parts of what it returned as its arguments that are None.

    spikes, syn, mem = net(x)   ->   net(x, syn, mem), whatever these are called
    """
    empty = [
        i for i, argument in enumerate(arguments)
        if argument.none and (found.values[i] is None or found.values[i] is DEFAULT)
    ]  # fmt: skip
    parts = list(found.returned) if isinstance(found.returned, list | tuple) else []
    if not 1 < len(empty) <= len(parts):
        return found  # one alone is told by its name
    values = list(found.values)
    for i, part in zip(empty, parts[-len(empty) :], strict=True):
        leaves, structure = _pytree.tree_flatten(part)
        if not leaves or not all(_is_float(v) for v in leaves):
            return found
        own = arguments[i].name
        values[i] = as_ports(own, leaves, structure)
    outcome = attempt(module, arguments, tuple(values))
    if outcome.error is not None or not all(
        _comes_back(values[i], outcome.returned) for i in empty
    ):
        return found
    if not any(_matters(module, arguments, tuple(values), i, outcome.returned) for i in empty):
        return found
    return Found(tuple(values), outcome.returned)


def _is_float(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def _returned_states(name: str, returned: Any) -> Iterator[Any]:
    """The parts of what was returned that may be a state, as ports, the last first."""
    if not isinstance(returned, list | tuple | dict):
        return
    parts = list(returned.values()) if isinstance(returned, dict) else list(returned)
    tails = [tuple(parts[1:])] if len(parts) > 2 else []
    for part in (*reversed(parts), *tails):
        leaves, structure = _pytree.tree_flatten(part)
        if leaves and all(isinstance(v, torch.Tensor) and v.is_floating_point() for v in leaves):
            yield as_ports(name, leaves, structure)


def _comes_back(state: Any, returned: Any) -> bool:
    """Whether tensors of the state's shapes are returned, one after the other."""
    wanted = [leaf.shape for _, leaf in walk(state) if isinstance(leaf, Port)]
    shapes = [tuple(p.tensor.shape) for p in parts_of(returned) if p is not None]
    return any(shapes[i : i + len(wanted)] == wanted for i in range(len(shapes)))


def idle(module: Any, arguments: Sequence[Argument], found: Found) -> bool:
    """Whether a call gives an argument that has a default, and returns the same without it."""
    for i, argument in enumerate(arguments):
        given = [leaf for _, leaf in walk(found.values[i]) if isinstance(leaf, Port)]
        if not argument.optional or not given or any(port.role != "data" for port in given):
            continue
        values = (*found.values[:i], DEFAULT, *found.values[i + 1 :])
        without = attempt(module, arguments, values)
        if without.error is None and _same(found.returned, without.returned):
            return True
    return False


def _same(a: Any, b: Any) -> bool:
    """Whether the tensors in what was returned are the same."""
    pairs = list(itertools.zip_longest(parts_of(a), parts_of(b)))
    return bool(pairs) and all(
        p is not None and q is not None and torch.equal(p.tensor, q.tensor) for p, q in pairs
    )


def _matters(
    module: Any, arguments: Sequence[Argument], values: Values, place: int, returned: Any
) -> bool:
    """Whether the outputs change where the state is not 0."""
    other = mapped(values[place], lambda v: replace(v, role="data") if isinstance(v, Port) else v)
    moved = attempt(module, arguments, (*values[:place], other, *values[place + 1 :]))
    if moved.error is not None:
        return False
    pairs = zip(parts_of(returned), parts_of(moved.returned), strict=False)
    return any(a and b and not torch.equal(a.tensor, b.tensor) for a, b in pairs)


Run = Callable[[Sequence[np.ndarray[Any, Any]]], list[torch.Tensor] | None]


def next_states(run: Run, specs: Sequence[TensorSpec], sizes: Mapping[str, int]) -> dict[str, int]:
    """Which output each state becomes: state -> the number of the output.

    With time among the sizes the module is streamed: two chunks, the state handed on, have to give
    what both give at once. A bidirectional layer does not: it has a state that is none to hand on.

    Args:
        run: the module on arrays; None where it raises.
        specs: of its inputs.
        sizes: of each dimension, at which it runs.
    """
    states = [spec for spec in specs if spec.role == "state"]
    if not states:
        return {}
    chunks = [_arrays(specs, sizes, seed) for seed in (0, 1)]
    first = run(chunks[0])
    if first is None:
        return {}
    fitting = [
        [i for i, t in enumerate(first) if tuple(t.shape) == spec.resolve(sizes)] for spec in states
    ]
    ways = (w for w in itertools.product(*fitting) if len(set(w)) == len(w))
    # As they stand, those from the end first: outputs before states, h before c.
    ordered = sorted(itertools.islice(ways, 500), key=lambda w: (list(w) != sorted(w), -w[0]))
    for way in ordered[:_WAYS]:
        found = {spec.name: number for spec, number in zip(states, way, strict=True)}
        if "time" not in sizes or _streams(run, specs, chunks, first, found):
            return found
    return {}


def _arrays(
    specs: Sequence[TensorSpec], sizes: Mapping[str, int], seed: int
) -> list[np.ndarray[Any, Any]]:
    """Inputs, all lengths full, all states 0."""
    rng = np.random.default_rng(seed)
    found: list[np.ndarray[Any, Any]] = []
    for spec in specs:
        shape = spec.resolve(sizes)
        if spec.role == "lengths":
            array = np.full(shape, sizes.get("time", 1))
        elif spec.role == "state":
            array = np.zeros(shape)
        elif spec.dtype == "bool":
            array = rng.random(shape) < 0.5
        elif spec.dtype.startswith("int"):
            array = rng.integers(0, spec.high or 2, shape)
        else:
            array = rng.standard_normal(shape)
        found.append(array.astype(spec.dtype))
    return found


def _streams(
    run: Run,
    specs: Sequence[TensorSpec],
    chunks: Sequence[Sequence[np.ndarray[Any, Any]]],
    first: Sequence[torch.Tensor],
    states: Mapping[str, int],
) -> bool:
    """Whether two chunks give what the whole does."""
    whole, second = [], []
    for spec, a, b in zip(specs, *chunks, strict=True):
        along = spec.shape.index("time") if "time" in spec.shape else None
        if spec.role == "lengths":
            whole.append(a + b)
            second.append(b)
        elif spec.role == "state":
            whole.append(a)
            second.append(first[states[spec.name]].numpy())
        else:
            whole.append(a if along is None else np.concatenate([a, b], along))
            second.append(a if along is None else b)
    at_once, then = run(whole), run(second)
    if at_once is None or then is None:
        return False
    return all(_ends_alike(w, b) for w, b in zip(at_once, then, strict=True))


def _ends_alike(whole: torch.Tensor, end: torch.Tensor) -> bool:
    """Whether a tensor is the end of another along the one axis along which they differ."""
    if whole.ndim != end.ndim:
        return False
    for axis, (a, b) in enumerate(zip(whole.shape, end.shape, strict=True)):
        if a > b:
            whole = whole.narrow(axis, a - b, b)
    if whole.shape != end.shape:
        return False
    return torch.allclose(whole.double(), end.double(), _RELATIVE, _ABSOLUTE)
