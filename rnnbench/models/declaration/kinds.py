"""What an error says of the kind of an argument: dicts, packed sequences, dtypes, bounds of ids."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from rnnbench.models.declaration.calling import Values, ports_in
from rnnbench.models.declaration.candidates import ports_named
from rnnbench.models.declaration.changes import with_
from rnnbench.models.declaration.ports import Argument, Packed, Port, Sizes
from rnnbench.models.declaration.records import records

Edit = tuple[float, Values]

_INDEXED = re.compile(
    r"got str|data type 'str'|'str'|too many indices|"
    r"'Tensor' object has no attribute '(keys|values|items|get|pop|copy|update)'"
)
# What `pack_padded_sequence` says, and what it calls, of lengths that are none.
_LENGTHS = re.compile(
    r"lengths|Index is supposed to be a vector|only integer tensors of a single element|"
    r"1D CPU int64|converted to (?:an? )?(?:Python )?(?:scalar|index|integer)",
)
_A_KEY = re.compile(r"(?<![\w./])[a-z]+(?:_[a-z0-9]+)+(?![\w./(])")


def keys_said(
    values: Values, error: BaseException, text: str, module: nn.Module, s: Sizes
) -> Iterator[Edit]:
    """An argument that is indexed by a str is a dict, and what is not in it is put into it.

    One that is asked for what no tensor has is an object.
    """
    yield from records(values, text, module, s)
    if isinstance(error, KeyError) and error.args and isinstance(error.args[0], str):
        yield from _keyed(values, error.args[0], module, s)
    elif isinstance(error, ValueError | RuntimeError | AssertionError):
        for key in dict.fromkeys(_A_KEY.findall(text)):  # "Need x_s or x_one_hot"
            yield from ((0.3 + cost, edit) for cost, edit in _keyed(values, key, module, s))
    if _INDEXED.search(text):
        within = [p for held in dicts_in(values) for p in held.values() if isinstance(p, Port)]
        for port in (p for p in ports_in(values) if p.role == "data"):
            yield 0.3 if any(port is p for p in within) else 0.7, with_(values, port, {})


def _keyed(values: Values, key: str, module: nn.Module, s: Sizes) -> Iterator[Edit]:
    """One key more in each dict that does not have it."""
    for held in dicts_in(values):
        if key not in held:
            for n, port in enumerate(itertools.islice(ports_named(key, module, s), 6)):
                yield 0.2 + n, _with_key(values, held, key, port)


def dicts_in(values: Any) -> Iterator[dict[Any, Any]]:
    """The dicts in what a call is given, the innermost last."""
    if isinstance(values, dict):
        yield values
    if isinstance(values, dict | list | tuple):
        for part in values.values() if isinstance(values, dict) else values:
            yield from dicts_in(part)


def _with_key(values: Any, held: dict[Any, Any], key: str, port: Port) -> Any:
    """The same with one key more in one of the dicts."""
    if values is held:
        return {**held, key: port}
    if isinstance(values, dict):
        return {k: _with_key(v, held, key, port) for k, v in values.items()}
    if isinstance(values, list | tuple):
        parts = [_with_key(v, held, key, port) for v in values]
        return type(values)(*parts) if hasattr(values, "_fields") else type(values)(parts)
    return values


def lengths_said(values: Values, text: str, s: Sizes) -> Iterator[Edit]:
    """Numbers of steps in the place of a tensor, where a sequence is to be packed by them."""
    if not _LENGTHS.search(text):
        return
    for i, value in enumerate(values[1:], 1):
        if isinstance(value, Port) and value.role == "data":
            for n, as_list in enumerate((False, True)):
                port = Port(value.name, (s.batch,), "int64", "lengths", s.time, as_list=as_list)
                yield 0.3 + 0.3 * n, (*values[:i], port, *values[i + 1 :])


def packed(arguments: Sequence[Argument], values: Values, s: Sizes) -> Iterator[Edit]:
    """Sequences that are given packed, the first with the numbers of steps, others as long."""
    lengths = Port("lengths", (s.batch,), "int64", "lengths", s.time)
    plain = next((i for i, v in enumerate(values) if isinstance(v, Port) and v.role == "data"), -1)
    if plain >= 0 and not any(isinstance(v, Packed) for v in values):
        steps = replace(values[plain], shape=(s.batch, s.time, *values[plain].shape[2:]))
        first = (*values[:plain], Packed(steps, lengths), *values[plain + 1 :])
        yield 0.1, first
    elif any(isinstance(v, Packed) for v in values):
        for i, (argument, value) in enumerate(zip(arguments, values, strict=True)):
            if not isinstance(value, Packed):
                for n, shape in enumerate(((s.batch, s.time), (s.batch, s.time, s.other))):
                    also = Packed(Port(argument.name, shape), None)
                    yield 0.2 + 0.1 * n, (*values[:i], also, *values[i + 1 :])


def other_dtypes(values: Values, module: nn.Module) -> Iterator[Values]:
    """Ids, floats and booleans in the place of one another; numbers of steps as a list."""
    highs = [p.num_embeddings for p in module.modules() if isinstance(p, nn.Embedding)]
    for port in ports_in(values):
        if port.role == "data":
            kinds = ["int64", "bool"] if port.dtype.startswith("float") else ["float32", "bool"]
            for kind in kinds:
                high = min(highs, default=2) if kind == "int64" else 2
                yield with_(values, port, replace(port, dtype=kind, high=high))
        elif port.role == "lengths":
            yield with_(values, port, replace(port, as_list=not port.as_list))


def ids(values: Values, module: nn.Module) -> Iterator[Values]:
    """Ids in the place of floats, which a module with an embedding made whole numbers of itself."""
    highs = [p.num_embeddings for p in module.modules() if isinstance(p, nn.Embedding)]
    for port in ports_in(values):
        if highs and port.role == "data" and port.dtype.startswith("float"):
            ids = replace(port, dtype="int64", high=min(highs))
            yield with_(values, port, ids)
            if len(port.shape) > 2:
                yield with_(values, port, replace(ids, shape=port.shape[:-1]))


def without_zero(values: Values) -> Iterator[Values]:
    """Ids without 0, where a module counts what is not 0."""
    for port in ports_in(values):
        if port.dtype.startswith("int") and port.role == "data" and not port.low:
            yield with_(values, port, replace(port, low=1))


def smaller_numbers(values: Values, module: nn.Module) -> Iterator[Values]:
    """Whole numbers below the size of a smaller vocabulary, or of none."""
    highs = {p.num_embeddings for p in module.modules() if isinstance(p, nn.Embedding)} | {2, 1}
    for port in ports_in(values):
        if port.dtype.startswith("int") and port.role == "data":
            for high in sorted((n for n in highs if n < port.high), reverse=True):
                yield with_(values, port, replace(port, high=high))
