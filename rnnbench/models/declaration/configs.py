"""Objects among a constructor's arguments: of a dict that was given, of a config class.

--arg config={"size": 8}        ->   Config(size=8), where the constructor wants a Config
config: Config                  ->   Config(), its sizes that are below 1 filled, nothing of CUDA
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from rnnbench.models.declaration.expressions import expression
from rnnbench.models.declaration.keys_read import completed
from rnnbench.models.declaration.values import Chosen, hint_of, literal, named_values

_ACCELERATED = ("cuda", "triton", "cudnn", "gpu", "flash")


def given_forms(p: inspect.Parameter | None, value: Any, cls: type) -> Iterator[Chosen]:
    """What may be meant by a value that was given, the likeliest first."""
    hint = hint_of(p, cls) if p is not None else None
    if isinstance(value, str) and (found := expression(value, cls)) is not None:
        yield found
    if isinstance(value, Mapping):
        made = _of_mapping(hint, value)
        if made is not None:
            yield made
    yield literal(value)
    if isinstance(value, Mapping):
        yield literal(_namespace(value))
        more = completed(value, p, cls) if p is not None else None
        if more is not None:
            yield more


def _namespace(value: Any) -> Any:
    """A dict whose keys are attributes, and those within."""
    if isinstance(value, Mapping) and all(isinstance(k, str) and k.isidentifier() for k in value):
        return SimpleNamespace(**{key: _namespace(part) for key, part in value.items()})
    return value


def _of_mapping(hint: Any, given: Mapping[Any, Any]) -> Chosen | None:
    """An object of the class that is wanted, its fields as given, those within too."""
    hint = _class_of(hint)
    if hint is None:
        return None
    parts = {}
    for key, value in given.items():
        inner = _of_mapping(_field_types(hint).get(key), value) if isinstance(value, dict) else None
        parts[key] = inner or literal(value)
    return constructed(hint, parts) or _of_one(hint, literal(given))


def _of_one(cls: type, held: Chosen) -> Chosen | None:
    """An object of a class that takes all of its fields as one dict."""
    try:
        value = cls(held.value)
    except Exception:  # a user's class may raise anything
        return None
    own = f"from {cls.__module__} import {cls.__name__}"
    return Chosen(value, f"{cls.__name__}({held.text})", (own, *held.imports))


def _class_of(hint: Any) -> type | None:
    """The class that an annotation names, of `Optional[Config]` too; None for a dict, say."""
    for part in (hint, *typing.get_args(hint)):
        if isinstance(part, type) and part.__module__ not in ("builtins", "typing", "collections"):
            return part
    return None


def _field_types(hint: type) -> dict[str, Any]:
    try:
        made_by: Any = (
            hint if dataclasses.is_dataclass(hint) else inspect.getattr_static(hint, "__init__")
        )
        return typing.get_type_hints(made_by)
    except Exception:  # an annotation may be anything
        return {}


def constructed(cls: type, given: Mapping[str, Chosen]) -> Chosen | None:
    """An object, and the text that makes it; None where the constructor raises."""
    try:
        value = cls(**{key: chosen.value for key, chosen in given.items()})
    except Exception:  # a user's class may raise anything
        return None
    inner = ", ".join(f"{key}={chosen.text}" for key, chosen in given.items())
    imports = [line for chosen in given.values() for line in chosen.imports]
    own = f"from {cls.__module__} import {cls.__name__}"
    return Chosen(value, f"{cls.__name__}({inner})", (own, *imports))


Candidates = Callable[[inspect.Parameter, type], Iterator[Chosen]]


def of_dataclass(hint: type, candidates: Candidates, depth: int = 3) -> Iterator[Chosen]:
    """Objects of a config class: with its defaults, then with sizes, then with configs within.

    Args:
        hint: the class.
        candidates: of a field that has no default.
        depth: of configs in configs.
    """
    needed: dict[str, Chosen] = {}
    sizes: dict[str, Chosen] = {}
    configs: dict[str, Chosen] = {}
    types = _field_types(hint)
    for field in dataclasses.fields(hint):
        kind = types.get(field.name, field.type)
        blank = field.default is dataclasses.MISSING
        if not field.init:
            continue
        if blank and field.default_factory is dataclasses.MISSING:
            p = inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, annotation=kind)
            needed[field.name] = next(candidates(p, hint))
        elif type(field.default) is int and field.default < 0:
            whole = [v for v in named_values(field.name) if type(v) is int]
            sizes[field.name] = literal((whole or [16])[0])
        elif str(field.default).lower() in _ACCELERATED and typing.get_args(kind):
            others = [v for v in typing.get_args(kind) if str(v).lower() not in _ACCELERATED]
            sizes |= {field.name: literal(others[0])} if others else {}
        else:
            inner = _class_of(kind)
            if depth and inner is not None and dataclasses.is_dataclass(inner):
                within = list(of_dataclass(inner, candidates, depth - 1))
                configs |= {field.name: within[-1]} if within else {}
    ways = [needed, needed | sizes, needed | sizes | configs]
    ways += [needed | sizes | {name: configs[name]} for name in configs]
    made = {c.text: c for way in ways if (c := constructed(hint, way)) is not None}
    yield from made.values()
