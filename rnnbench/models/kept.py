"""What a module keeps in its attributes and buffers from one call to the next."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree

_KINDS = (Tensor, list, tuple, dict, deque, int, float, type(None))
_ABSENT = object()


@dataclass(frozen=True, order=True)
class Key:
    """An attribute of a module or of one inside it.

    Attributes:
        path: of the module that has it; empty for the outermost.
        name: of the attribute.
    """

    path: str
    name: str

    def __str__(self) -> str:
        return "self." + f"{self.path}.{self.name}".lstrip(".")


class Kept:
    """The attributes of a module in which something may be kept, and what they are at the start."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.start = self.snapshot()

    def snapshot(self) -> dict[Key, Any]:
        """A copy of each attribute."""
        found = {}
        of_every_module = vars(nn.Module()).keys() | {"forward"}
        for path, part in self.module.named_modules():
            own = {k: v for k, v in vars(part).items() if k not in of_every_module}
            buffers = dict(part._buffers.items())  # a scripted module has a wrapper of them
            for name, value in (own | buffers).items():
                if isinstance(value, _KINDS) and not _holds_parameters(value):
                    found[Key(path, name)] = copied(value)
        return found

    def restore(self, state: Mapping[Key, Any] | None = None) -> None:
        """Sets the attributes to what they were, at the start unless another state is given."""
        state = self.start if state is None else state
        for key in self.snapshot().keys() - state.keys():
            _write(self.module, key, _ABSENT)
        for key, value in state.items():
            _write(self.module, key, copied(value))


@contextmanager
def holding(module: nn.Module, values: Mapping[Key, Any]) -> Iterator[None]:
    """Sets attributes for the time of a block, buffers too, which are plain attributes meanwhile.

    What is assigned to a buffer while torch.export traces is written into its tensor.
    """
    saved = []
    listed: dict[str, list[str]] = {}
    for key, value in values.items():
        part = _part(module, key.path)
        if key.name in part._buffers:
            listed.setdefault(key.path, []).append(key.name)
        for own in (part._buffers, vars(part)):
            if key.name in own:
                saved.append((own, key.name, own.pop(key.name)))
        vars(part)[key.name] = value
    try:
        with listed_as_buffers({_part(module, p): names for p, names in listed.items()}):
            yield
    finally:
        for key in values:
            vars(_part(module, key.path)).pop(key.name, None)
        for own, name, value in saved:
            own[name] = value


@contextmanager
def listed_as_buffers(plain: Mapping[nn.Module, Sequence[str]]) -> Iterator[None]:
    """While it lasts, a module's `named_buffers()` has some of its plain attributes too.

    Args:
        plain: the names of attributes that are buffers otherwise.
    """
    before = {part: vars(part).get("named_buffers", _ABSENT) for part in plain}

    def listing(part: nn.Module, names: Sequence[str]) -> Any:
        def named_buffers(prefix: str = "", *given: Any, **named: Any) -> Iterator[Any]:
            yield from nn.Module.named_buffers(part, prefix, *given, **named)
            for name in names:
                if isinstance(vars(part).get(name), Tensor):
                    yield f"{prefix}.{name}" if prefix else name, vars(part)[name]

        return named_buffers

    for part, names in plain.items():
        vars(part)["named_buffers"] = listing(part, names)
    try:
        yield
    finally:
        for part, own in before.items():
            vars(part).pop("named_buffers", None)
            if own is not _ABSENT:
                vars(part)["named_buffers"] = own


def changed(before: Mapping[Key, Any], after: Mapping[Key, Any]) -> list[Key]:
    """The attributes that are new, or have other values."""
    return [k for k, v in after.items() if k not in before or not _equal(before[k], v)]


def _part(module: nn.Module, path: str) -> nn.Module:
    """A module inside of one, scripted ones too, which have no `get_submodule`."""
    parts: dict[str, nn.Module] = dict(module.named_modules())
    return parts[path]


def read_attribute(module: nn.Module, key: Key) -> Any:
    """What an attribute or buffer is; None where there is none."""
    part = _part(module, key.path)
    own = part._buffers if key.name in part._buffers else vars(part)
    return own.get(key.name)


def _write(module: nn.Module, key: Key, value: Any) -> None:
    """Sets an attribute or buffer, also to what `nn.Module` would not accept."""
    part = _part(module, key.path)
    own: Any = part._buffers if key.name in part._buffers else vars(part)
    if value is _ABSENT:
        del own[key.name]
    else:
        own[key.name] = value


def tensors_in(value: Any) -> list[Tensor]:
    """The tensors in something nested, in reading order."""
    return [leaf for leaf in _pytree.tree_leaves(value) if isinstance(leaf, Tensor)]


def others_in(value: Any) -> list[str]:
    """What else is in something nested: `None`, or the name of a type, each."""
    others = [leaf for leaf in _pytree.tree_leaves(value) if not isinstance(leaf, Tensor)]
    return ["None" if leaf is None else type(leaf).__name__ for leaf in others]


def _holds_parameters(value: Any) -> bool:
    """Layers keep lists of their weights."""
    return any(isinstance(t, nn.Parameter) for t in tensors_in(value))


def copied(value: Any) -> Any:
    """Something nested, with a copy of each tensor in it."""
    return _pytree.tree_map(lambda v: v.clone() if isinstance(v, Tensor) else v, value)


def _equal(a: Any, b: Any) -> bool:
    ours, structure = _pytree.tree_flatten(a)
    theirs, other = _pytree.tree_flatten(b)
    return structure == other and all(map(_equal_leaves, ours, theirs))


def _equal_leaves(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b)
    return a is b or (type(a) is type(b) and not isinstance(a, Tensor) and bool(a == b))
