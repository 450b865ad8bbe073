"""The values of what a module makes of its parameters, buffers and numbers alone.

A trace has shapes and no values, so that `if self.size == self.hidden` (two buffers) and
`torch.arange(1, 3).tolist()` could not be answered. What such tensors were made by is noted, and
computed where their value is asked for. This is the one place that calls
`torch.utils._python_dispatch`: tried on torch 2.11 to 2.14.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensor
from torch.utils import _pytree
from torch.utils._python_dispatch import _disable_current_modes

_RANDOM = ("rand", "dropout", "bernoulli", "normal", "multinomial", "exponential", "empty")
_SYMBOLS = (torch.SymInt, torch.SymFloat, torch.SymBool)
_LARGEST = 2**16  # elements: numbers that a module asks for are few

ASKED: dict[Any, Callable[[Tensor], Any]] = {
    torch.Tensor.__bool__: bool,
    torch.Tensor.__int__: int,
    torch.Tensor.__float__: float,
    torch.Tensor.__index__: int,
    torch.Tensor.item: lambda x: x.item(),
    torch.Tensor.tolist: lambda x: x.tolist(),
    torch.Tensor.numpy: lambda x: x.numpy(),
}
"""Functions that give the values of a tensor -> the same of one that has values."""


class Constants:
    """Tensors of a trace whose values are known without any input.

    Args:
        root: the module that is traced, with its parameters and buffers as they are before.
    """

    def __init__(self, root: nn.Module) -> None:
        self._root = root
        self._own = {n: t.detach() for n, t in (*root.named_parameters(), *root.named_buffers())}
        self._first: Tensor | None = None
        self._ids: dict[int, str] = {}
        # The tensor of the trace is kept alive, so that its id stays its own.
        self._known: dict[int, tuple[Tensor, Callable[[], Tensor]]] = {}

    def ask(self, func: Any, tensor: Any) -> tuple[bool, Any]:
        """Whether what a function of `ASKED` gives is known, and what it is."""
        make = self._maker(tensor) if isinstance(tensor, Tensor) else None
        size = getattr(tensor, "numel", int)()
        if make is None or isinstance(size, torch.SymInt) or size > _LARGEST:
            return False, None
        with _disable_current_modes(), torch.no_grad():
            return True, ASKED[func](make())

    def note(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        """Remembers how a function's results were made, where it was given constants alone."""
        first = args[0] if args else None
        if isinstance(first, Tensor) and self._maker(first) is None:
            return  # as for nearly all
        results = [r for r in _pytree.tree_leaves(result) if isinstance(r, Tensor)]
        if func is torch.Tensor.__setitem__:
            self._forget([args[0]])
        if not results:
            return
        leaves = _pytree.tree_leaves((args, kwargs))
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        name = str(getattr(func, "__name__", func))
        written = [t for t in tensors if any(r is t for r in results)]
        if written or "out" in kwargs:
            self._forget(written or tensors)
            return
        if any(isinstance(leaf, _SYMBOLS) for leaf in leaves) or any(w in name for w in _RANDOM):
            return
        makers = {id(t): self._maker(t) for t in tensors}
        if None in makers.values():
            return

        def make() -> Any:
            def real(leaf: Any) -> Any:
                maker = makers.get(id(leaf)) if isinstance(leaf, Tensor) else None
                return leaf if maker is None else maker()

            given = _pytree.tree_map(real, (args, kwargs))
            return _pytree.tree_leaves(func(*given[0], **given[1]))

        tensors_at = [i for i, r in enumerate(_pytree.tree_leaves(result)) if isinstance(r, Tensor)]
        for at, tensor in zip(tensors_at, results, strict=True):
            self._known[id(tensor)] = tensor, lambda at=at: make()[at]  # type: ignore[misc]

    def _maker(self, tensor: Tensor) -> Callable[[], Tensor] | None:
        known = self._known.get(id(tensor))
        if known is not None:
            return known[1]
        if not isinstance(tensor, FakeTensor) and type(tensor) in (Tensor, nn.Parameter):
            return lambda: tensor  # it has its values
        name = self._names().get(id(tensor))
        return partial(self._own.__getitem__, name) if name in self._own else None

    def _names(self) -> dict[int, str]:
        """Parameters and buffers: while a module is traced, others stand for them."""
        first = next(chain(self._root.parameters(), self._root.buffers()), None)
        if first is not self._first:
            self._first = first
            # Of the class: a module's own may have what stands for a state as well.
            buffers = nn.Module.named_buffers(self._root)
            named = chain(self._root.named_parameters(), buffers)
            self._ids = {id(tensor): name for name, tensor in named}
        return self._ids

    def _forget(self, tensors: list[Tensor]) -> None:
        """What was written to is constant no more, nor is what was made of it, views above all."""
        if any(id(t) in self._known or id(t) in self._names() for t in tensors):
            self._known.clear()
            self._own.clear()
