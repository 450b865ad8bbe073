"""What manifest.json may hold: each field's kind is looked at before anything reads it.

A bundle may come from anywhere. What is missing and optional is as its reader takes it; what is
there and wrong is named, in one line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

Check = Callable[[Any], str]
"""Gives what is wrong with a value, or nothing."""

_LARGEST = 10**9  # a size, a number of steps


def what_is_wrong(manifest: Mapping[str, Any]) -> str:
    """What is wrong with a manifest, with the place in it; nothing where all is well."""
    return _fields(_MANIFEST, _NEEDED)(manifest) or next(_names(manifest), "")


def _names(manifest: Mapping[str, Any]) -> Iterator[str]:
    """What refers to something that is not there: states, frozen dimensions, cases of cases."""
    inputs, outputs = [spec["name"] for spec in manifest["inputs"]], manifest["outputs"]
    if len({*inputs}) < len(inputs) or len({*outputs}) < len(outputs):
        yield "two inputs or two outputs have one name"
    for state, output in manifest["states"].items():
        if state not in inputs:
            yield f"states: there is no input {state!r}"
        if output not in outputs:
            yield f"states: there is no output {output!r}"
    for name in manifest.get("frozen") or ():
        if name not in manifest["traced"]:
            yield f"frozen: there is no dimension {name!r}"
    yield from _cases(manifest.get("cases") or (), {*manifest["traced"]})


def _cases(cases: Sequence[Mapping[str, Any]], dims: AbstractSet[str]) -> Iterator[str]:
    before: set[str] = set()
    for case in cases:
        name = case["name"]
        if name in before:
            yield f"cases: two have the name {name!r}"
        if "skipped" in case:
            continue
        if "of" in case:
            if case["of"] not in before:
                yield f"cases: there is no case {case['of']!r} before {name!r}"
            if not {"chunks", "interleaved", "reset"} <= case.keys():
                yield f"cases: {name!r} does not say how it is fed"
        elif not case.get("dims", {}).keys() >= dims or "seed" not in case:
            yield f"cases: {name!r} has no size or no seed"
        before.add(name)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        return _no("text", value)
    return "it has a NUL" if "\0" in value else ""


def _name(value: Any) -> str:
    return _text(value) or ("" if value else "it is empty")


def _whole(least: int) -> Check:
    def check(value: Any) -> str:
        if type(value) is not int:
            return _no("a whole number", value)
        return "" if least <= value <= _LARGEST else f"{value} is not between {least} and 10^9"

    return check


def _truth(value: Any) -> str:
    return "" if isinstance(value, bool) else _no("true or false", value)


def _rate(value: Any) -> str:
    if type(value) not in (int, float):
        return _no("a number", value)
    return "" if math.isfinite(value) and value > 0 else f"{value} is no rate"


def _number(value: Any) -> str:
    if type(value) not in (int, float):
        return _no("a number", value)
    return "" if math.isfinite(value) else f"{value} is not finite"


def _or_null(check: Check) -> Check:
    return lambda value: "" if value is None else check(value)


def _texts(value: Any) -> str:
    return _list(_name)(value) if isinstance(value, list) else _text(value)


def _size(value: Any) -> str:
    return _name(value) if isinstance(value, str) else _whole(0)(value)


def _list(check: Check, least: int = 0) -> Check:
    def all_of(value: Any) -> str:
        if not isinstance(value, list):
            return _no("a list", value)
        if len(value) < least:
            return "it is empty"
        wrong = ((i, check(element)) for i, element in enumerate(value))
        return next((f"[{i}]: {why}" for i, why in wrong if why), "")

    return all_of


def _table(check: Check) -> Check:
    def all_of(value: Any) -> str:
        if not isinstance(value, dict):
            return _no("an object", value)
        wrong = ((key, _name(key) or check(element)) for key, element in value.items())
        return next((f"{key!r}: {why}" for key, why in wrong if why), "")

    return all_of


def _fields(known: Mapping[str, Check], needed: tuple[str, ...]) -> Check:
    def all_of(value: Any) -> str:
        if not isinstance(value, dict):
            return _no("an object", value)
        missing = next((key for key in needed if key not in value), None)
        if missing is not None:
            return f"{missing!r} is missing"
        wrong = ((key, check(value[key])) for key, check in known.items() if key in value)
        return next((f"{key}: {why}" for key, why in wrong if why), "")

    return all_of


def _anything(value: Any) -> str:
    return ""


def _no(kind: str, value: Any) -> str:
    names = {type(None): "null", bool: "true or false", dict: "an object", list: "a list"}
    names |= {str: "text", int: "a number", float: "a number"}
    return f"{names.get(type(value), type(value).__name__)} where {kind} belongs"


_INPUT = {
    "name": _name,
    "shape": _list(_size),
    "dtype": _name,
    "role": _name,
    "high": _or_null(_whole(1)),
    "value": _or_null(_number),
}
_CASE = {
    "name": _name,
    "dims": _table(_whole(0)),
    "seed": _whole(0),
    "note": _text,
    "skipped": _text,
    "reference": _text,
    "of": _name,
    "chunks": _list(_whole(1)),
    "interleaved": _truth,
    "reset": _truth,
}
_ARTIFACT = {
    "file": _name,
    "sha256": _or_null(_text),
    "external_data": _or_null(_texts),
    "profile": _or_null(_text),
    "pinned": _or_null(_table(_whole(0))),
    "precision": _or_null(_name),
    "whole": _or_null(_whole(0)),
}
_ERRORS = ("before", "after")
_COST = {"weights": _whole(0), "signal_db": _table(_anything)}
_LAYER_COST = {"layer": _text, **_COST}
_PRECISION = {
    "name": _name,
    **_COST,
    "errors": _fields(dict.fromkeys(_ERRORS, _table(_or_null(_number))), _ERRORS),
    "kept": _list(_text),
    "levels": _whole(1),
    "sensitivity": _list(_fields(_LAYER_COST, tuple(_LAYER_COST))),
}
_NEEDED = ("name", "inputs", "outputs", "states", "traced", "artifacts", "cases")
_MANIFEST: dict[str, Check] = {
    "version": _text,
    "name": _name,
    "inputs": _list(_fields(_INPUT, ("name", "shape")), 1),
    "outputs": _list(_name, 1),
    "states": _table(_name),
    "batch_dim": _name,
    "time_dim": _name,
    "frames_per_second": _or_null(_rate),
    "traced": _table(_whole(0)),
    "dims": _or_null(_table(_fields({"min": _whole(1), "multiple_of": _whole(1)}, ()))),
    "frozen": _or_null(_list(_name)),
    "sha256": _or_null(_text),
    "precision": _or_null(_fields(_PRECISION, ("name",))),
    "notes": _or_null(_list(_text)),
    "quantised": _or_null(_list(_name)),
    "recurrences": _or_null(_list(_table(_text))),
    "metadata": _or_null(_table(_anything)),
    "source": _or_null(_table(_anything)),
    "versions": _or_null(_table(_text)),
    "artifacts": _table(_fields(_ARTIFACT, ("file",))),
    "failed": _or_null(_table(_text)),
    "cases": _list(_fields(_CASE, ("name",))),
}
