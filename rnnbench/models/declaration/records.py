"""Arguments that are objects of a class of the package's own, made of tensors.

x.payload, x.seq_lens   ->   PaddedBatch(payload=x, length=length): the module's file has the class
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from rnnbench.models.declaration.calling import Values
from rnnbench.models.declaration.candidates import ports_named
from rnnbench.models.declaration.changes import with_
from rnnbench.models.declaration.ports import Made, Port, Sizes

Edit = tuple[float, Values]

_MISSING = re.compile(r"'(?:Tensor|NoneType|list|tuple)' object has no attribute '(\w+)'")


def records(values: Values, text: str, module: nn.Module, s: Sizes) -> Iterator[Edit]:
    """An object in the place of a tensor, of which a module asked for what tensors do not have."""
    found = _MISSING.search(text)
    if not found:
        return
    for cost, of in enumerate(_classes(type(module), found[1])):
        for value in values:
            if isinstance(value, Port) and value.role == "data":
                made = _made(of, value, module, s)
                if made is not None:
                    yield 0.1 + 0.2 * cost, with_(values, value, made)


def _classes(cls: type, attribute: str) -> list[type]:
    """The classes in the files of a module's class that have an attribute, or are made with it."""
    found: dict[str, type] = {}
    for base in cls.__mro__:
        for other in list(vars(sys.modules.get(base.__module__, object())).values()):
            plain = isinstance(other, type) and not issubclass(other, nn.Module | torch.Tensor)
            if plain and (hasattr(other, attribute) or attribute in _parameters(other)):
                found.setdefault(f"{other.__module__}.{other.__qualname__}", other)
    return list(found.values())


def _parameters(of: type) -> dict[str, inspect.Parameter]:
    """What the constructor of a class takes by name."""
    try:
        own = inspect.signature(of).parameters
    except (ValueError, TypeError):
        return {}
    return {k: p for k, p in own.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}


def _made(of: type, port: Port, module: nn.Module, s: Sizes) -> Made | None:
    """An object of a class: the tensor that was given, and others by their names."""
    needed = [p.name for p in _parameters(of).values() if p.default is p.empty]
    if not 0 < len(needed) < 5:
        return None
    fields: dict[str, Any] = {needed[0]: port}
    for name in needed[1:]:
        fields[name] = next((c for c in ports_named(name, module, s) if c is not None), None)
    return Made(of, fields)


def tensors_of(value: Any) -> list[tuple[str, torch.Tensor]]:
    """The tensors that an object of a plain class holds, by the public names that they have.

    Beside floats, whole numbers are what was given, handed on: lengths.
    """
    held = getattr(value, "__dict__", None)
    if not held or isinstance(value, type | nn.Module) or callable(value):
        return []
    own = [t for t in held.values() if isinstance(t, torch.Tensor)]
    public = [name for name in held if not name.startswith("_")]
    public += [n for n, p in inspect.getmembers(type(value)) if isinstance(p, property)]
    found: list[tuple[str, torch.Tensor]] = []
    for name in dict.fromkeys(n for n in public if not n.startswith("_")):
        try:
            part = getattr(value, name)
        except Exception:  # a property may raise anything
            continue
        if any(part is t for t in own) and all(part is not t for _, t in found):
            found.append((name, part))
    floats = [(name, part) for name, part in found if part.is_floating_point()]
    return floats or found
