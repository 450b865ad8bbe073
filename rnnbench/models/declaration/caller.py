"""A module that takes the tensors of a call one by one, and gives tensors one by one."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from rnnbench.models.binding import bind
from rnnbench.models.declaration.calling import Values, packed, placed, ports_in
from rnnbench.models.declaration.ports import Argument, Made, Packed, Port, mapped
from rnnbench.models.declaration.records import tensors_of
from rnnbench.models.declaration.values import quoted


@dataclass(frozen=True)
class Part:
    """A tensor in what a module returns.

    Attributes:
        path: the Python text that gives it, of what was `returned`: `returned[1][0]`.
        tensor: it.
        name: the key or field that it has.
        plain: whether it is there as a tensor, in tuples, lists, dicts and dataclasses.
    """

    path: str
    tensor: torch.Tensor
    name: str = ""
    plain: bool = True


def parts_of(returned: Any, path: str = "returned", name: str = "") -> Iterator[Part | None]:
    """The tensors in what was returned, those of distributions too; None for what is none."""
    if isinstance(returned, torch.Tensor):
        yield Part(path, returned, name)
    elif isinstance(returned, PackedSequence):
        steps = pad_packed_sequence(returned, batch_first=True)[0]
        yield Part(f"pad_packed_sequence({path}, batch_first=True)[0]", steps, name, plain=False)
    elif isinstance(returned, torch.distributions.Distribution):
        given = ("logits",) if hasattr(returned, "logits") else ("mean", "stddev")
        for what in given:
            yield Part(f"{path}.{what}", getattr(returned, what), what, plain=False)
    elif (inner := _inside(returned)) is not None:
        for text, key, value in inner:
            yield from parts_of(value, path + text, key)
    elif tensors := tensors_of(returned):
        yield from (Part(f"{path}.{key}", t, key, plain=False) for key, t in tensors)
    elif returned is not None:
        yield None


def steady_parts(first: Any, second: Any) -> tuple[int, ...] | None:
    """Which tensors of what was returned twice are the same: the others are drawn at random.

    Returns:
        Their numbers; None where all are, or none is.
    """
    pairs = list(zip(parts_of(first), parts_of(second), strict=False))
    tensors = [(a.tensor, b.tensor) for a, b in pairs if a is not None and b is not None]
    same = tuple(i for i, (a, b) in enumerate(tensors) if a.shape == b.shape and torch.equal(a, b))
    return same if 0 < len(same) < len(tensors) else None


def has_none(returned: Any) -> bool:
    """Whether None is among what was returned, in tuples and the like."""
    inner = None if isinstance(returned, torch.Tensor | PackedSequence) else _inside(returned)
    return any(value is None or has_none(value) for _, _, value in inner or ())


def _inside(value: Any) -> list[tuple[str, str, Any]] | None:
    """What something nested holds: the text that leads there, a name, and the part."""
    if isinstance(value, dict):
        return [(f"[{quoted(key)}]", str(key), part) for key, part in value.items()]
    if hasattr(value, "__dataclass_fields__"):
        return [(f".{key}", key, getattr(value, key)) for key in value.__dataclass_fields__]
    if isinstance(value, list | tuple):
        names = getattr(value, "_fields", None) or [""] * len(value)
        return [(f"[{i}]", names[i], part) for i, part in enumerate(value)]
    return None


class Caller(nn.Module):
    """Calls a module with tensors in the places of the ports."""

    def __init__(
        self,
        net: nn.Module,
        arguments: Sequence[Argument],
        values: Values,
        kept: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.net = net
        self.arguments = arguments
        self.values = values
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [inspect.Parameter(port.name, kind) for port in ports_in(values)]

        def forward(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
            torch.manual_seed(0)
            args, kwargs = self.given(tensors)
            found = [p.tensor for p in parts_of(self.net(*args, **kwargs)) if p is not None]
            return tuple(found if kept is None else [found[i] for i in kept])

        forward.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        self.forward = forward

    def given(self, tensors: Sequence[Any], *, lists: bool = True) -> tuple[Any, dict[str, Any]]:
        """The arguments with tensors, or anything else, in the places of the ports."""
        rest = iter(tensors)

        def filled(leaf: Any) -> Any:
            if not isinstance(leaf, Port):
                return leaf
            tensor = next(rest)
            return tensor.tolist() if leaf.as_list and lists else tensor

        values = [mapped(value, filled) for value in self.values]
        return placed(self.arguments, packed(values) if lists else values)

    def example(self) -> tuple[torch.Tensor, ...]:
        """A tensor for each port."""
        generator = np.random.default_rng(0)
        return tuple(port.tensor(generator) for port in ports_in(self.values))

    def binds(self, specs: Sequence[Any]) -> bool:
        """Whether a declaration alone says how the module is called."""
        if any(port.as_list for port in ports_in(self.values)):
            return False
        if any(isinstance(value, Packed | Made) for value in self.values):
            return False
        tensors = self.example()
        try:
            found = bind(self.net, specs, tensors)
        except Exception:  # a signature may be anything
            return False
        return _same(found, self.given(tensors))


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor) or isinstance(b, torch.Tensor):
        return a is b
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)
