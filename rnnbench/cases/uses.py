"""What a module makes of its weights before anything of its inputs meets them.

A file may hold that in the place of a weight: a product with a mask, a clamp, a normed matrix. So
the module runs, and each operator is watched. A tensor is constant where it was made of weights and
constants alone; it moves where an input, or a size that differs from case to case, went into it.
Where a constant meets what moves, it is used:

    weight * mask -> masked        constant, of `weight` and `mask`
    matmul(x, masked)              `masked` is used: what a file is to hold
    embedding(ids, weight)         `weight` is used as it is
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from rnnbench.cases.cases import Case
from rnnbench.core.model import Model
from rnnbench.core.threads import torch_threads
from rnnbench.models.calls import arrays_of, device_of, invoke, undisturbed
from rnnbench.models.kept import tensors_in

Array = np.ndarray[Any, Any]
Uses = dict[str, list[Array] | None]
"""Weight -> what is made of it and used; None: used as it is, an empty list: not used at all."""

_MOST = 16  # different tensors that are made of one weight; with more, it counts as used as it is
_ITEM = torch.ops.aten._local_scalar_dense.default  # a number that goes to Python


def uses(model: Model, names: Sequence[str], cases: Sequence[Case]) -> Uses:
    """What the module makes of these weights, the same at each of a few cases.

    Args:
        model: its module is left as it was.
        names: of parameters and buffers; those that it does not have are left out.
        cases: of the bundle.

    Returns:
        nothing where the module cannot be watched.
    """
    tried = varied(cases)
    state = model.module.state_dict(keep_vars=True)
    with torch_threads(1), undisturbed(model.module):
        try:
            made = [_watched(model, case, None).made for case in tried]
            found = [_watched(model, case, set.intersection(*made)).used for case in tried]
        except Exception:  # a user's module may raise anything, and some forbid to be watched
            return {}
    known = [name for name in names if name in state and found]
    return {name: _agreed([used.get(name, {}) for used in found]) for name in known}


def varied(cases: Sequence[Case]) -> list[Case]:
    """A small case of more than one row and step, and for each size one where it is another."""
    ordinary = [case for case in cases if not case.empty and not case.feed_mode.chunks]
    ordinary.sort(key=lambda case: sum(array.size for array in case.inputs.values()))
    several = [case for case in ordinary if min(case.dims.values(), default=2) > 1] or ordinary
    chosen = several[:1]
    for dim in chosen[0].dims if chosen else ():
        if len({case.dims[dim] for case in chosen}) == 1:
            usual = chosen[0].dims[dim]
            chosen += [c for c in (*several, *ordinary) if c.dims[dim] != usual][:1]
    return chosen


def _agreed(found: list[dict[bytes, Array | None]]) -> list[Array] | None:
    """The tensors that are used in all cases alike; None where they are not.

    What is made of a weight at one size, and otherwise at another, is nothing that a file holds.
    """
    alike = all(one.keys() == found[0].keys() for one in found)
    made = [array for array in found[0].values() if array is not None]
    return made if alike and len(made) == len(found[0]) <= _MOST else None


def _watched(model: Model, case: Case, fixed: set[str] | None) -> _Watcher:
    """Runs the module at a case; it is undisturbed."""
    device = device_of(model.module)
    inputs = [torch.from_numpy(np.array(case.inputs[s.name])).to(device) for s in model.inputs]
    watcher = _Watcher(model.module.state_dict(keep_vars=True), inputs, fixed)
    with torch.no_grad(), watcher:
        returned = invoke(model.module, model.inputs, model.outputs, inputs)
    watcher.meet(tensors_in(returned))  # an output may be nothing but a weight
    return watcher


class _Watcher(TorchDispatchMode):
    """Sees each operator that a module calls.

    Tensors are told apart by their storages, which views share.

    Args:
        weights: of the module.
        inputs: which move.
        fixed: what operators make of no tensor in the same way in all cases; None: everything.

    Attributes:
        made: what operators make of no tensor: their names and arguments.
        used: weight -> what is made of it by its bytes; None of the weight as it is.
    """

    def __init__(
        self,
        weights: dict[str, torch.Tensor],
        inputs: Sequence[torch.Tensor],
        fixed: set[str] | None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.made: set[str] = set()
        self.used: dict[str, dict[bytes, Array | None]] = {}
        self._fixed = fixed
        self._sources: dict[int, frozenset[str]] = {}
        for name, tensor in weights.items():
            self._sources[_place(tensor)] = self._of(tensor) | {name}
        self._own = set(self._sources)
        self._moving = {_place(tensor) for tensor in inputs}

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        given = _tensors((args, kwargs))
        moves = operator is _ITEM or any(_place(tensor) in self._moving for tensor in given)
        if not given:
            key = f"{operator} {args} {kwargs}"
            self.made.add(key)
            moves = self._fixed is not None and key not in self._fixed
        if moves:
            self.meet(given)  # before the operator writes into one of them
        result = operator(*args, **(kwargs or {}))
        sources = frozenset[str]().union(*map(self._of, given))
        for tensor in (*_tensors(result), *_written(operator, args)):
            place = _place(tensor)
            if moves:
                self._moving.add(place)
            else:
                self._moving.discard(place)
                self._sources[place] = sources  # that of views and of what is written into as well
        return result

    def meet(self, given: Iterable[torch.Tensor]) -> None:
        """Constants meet what moves: they are used."""
        for tensor in given:
            place, names = _place(tensor), self._of(tensor)
            if place in self._moving or not names:
                continue
            array = None if place in self._own else _array(tensor)
            key = b"" if array is None else str(array.dtype).encode() + array.tobytes()
            for name in names:
                self.used.setdefault(name, {})[key] = array

    def _of(self, tensor: torch.Tensor) -> frozenset[str]:
        return self._sources.get(_place(tensor), frozenset())


def _tensors(values: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)]


def _place(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _written(operator: Any, args: Any) -> list[torch.Tensor]:
    """The tensors that an operator writes into, among those given by their places."""
    schema = operator._schema.arguments
    return [
        tensor
        for value, argument in zip(args, schema, strict=False)
        if argument.alias_info is not None and argument.alias_info.is_write
        for tensor in _tensors(value)
    ]


def _array(tensor: torch.Tensor) -> Array | None:
    """What the tensor holds, once where it is repeated along an axis; None where NumPy cannot."""
    once = tensor[tuple(slice(0, 1) if step == 0 else slice(None) for step in tensor.stride())]
    return arrays_of({"": once}).get("")
