"""What an argument of a constructor may be that has no default: by its name and annotation."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from torch import nn

from rnnbench.models.declaration.configs import constructed, of_dataclass
from rnnbench.models.declaration.keys_read import configs_read
from rnnbench.models.declaration.values import Chosen, hint_of, literal, named_values

_BY_TYPE: dict[str, tuple[Any, ...]] = {
    "bool": (False, True),
    "float": (0.0, 0.5),
    "str": ("LSTM", "GRU", "lstm", "relu"),
    "int": (16, 8, 32, 4, 2, 1),
}
_WHAT_ELSE: tuple[Any, ...] = (16, 32, 8, [16, 16], None, "<namespace>", {})


def candidates(p: inspect.Parameter, cls: type) -> Iterator[Chosen]:
    """Values that an argument may have, the likeliest first."""
    hint = hint_of(p, cls)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        yield from of_dataclass(hint, candidates)
    yield from configs_read(p, cls)
    yield from _modules(p, hint, cls)
    kind = getattr(hint, "__name__", "") if isinstance(hint, type) else ""
    typed = _BY_TYPE.get(kind)
    named = tuple(named_values(p.name))
    if typed is not None:
        fitting = [v for v in named if type(v).__name__ == kind]
        named = tuple(fitting) + tuple(v for v in typed if v not in fitting)
        named += ((),) if not named else ()
    elif re.search(r"list|tuple|sequence", str(hint), re.IGNORECASE):
        named = tuple(v for v in named if isinstance(v, list | tuple))
        of = 3 if re.search(r"kernel|stride|dilat", p.name) else 16
        named += ([of, of], [of, of, of], [of], (of, of))
    elif re.search(r"dict|mapping", str(hint), re.IGNORECASE):
        named = ({}, *(() if kind else named))
    for value in named if typed is not None or named else _WHAT_ELSE:
        yield literal(SimpleNamespace() if value == "<namespace>" else _copied(value))
        if value == "<namespace>":
            yield literal({})
    if typed is None:
        yield from (literal(SimpleNamespace() if v == "<namespace>" else _copied(v))
                    for v in _WHAT_ELSE if v not in named)  # fmt: skip


def _copied(value: Any) -> Any:
    return list(value) if isinstance(value, list) else dict(value) if value == {} else value


def _modules(p: inspect.Parameter, hint: Any, cls: type) -> Iterator[Chosen]:
    """A module that the class is made of: of the annotated class, or of one with such a name."""
    found = []
    if isinstance(hint, type) and issubclass(hint, nn.Module) and hint is not nn.Module:
        found.append(hint)
    elif hint in (p.empty, nn.Module):
        plain = p.name.replace("_", "").lower()
        for name, other in vars(sys.modules[cls.__module__]).items():
            own = isinstance(other, type) and issubclass(other, nn.Module) and other is not cls
            alike = name.lower().startswith(plain) or name.lower().endswith(plain)
            if own and other.__module__ == cls.__module__ and alike and len(plain) > 3:
                found.append(other)
    for other in found:
        parameters = list(inspect.signature(other.__init__).parameters.values())[1:]
        needed = [q for q in parameters if q.default is q.empty and q.kind not in (
            q.VAR_POSITIONAL, q.VAR_KEYWORD)]  # fmt: skip
        given = {q.name: c for q in needed if (c := next(candidates(q, other), None)) is not None}
        made = constructed(other, given)
        if made is not None:
            yield made
