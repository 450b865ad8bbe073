"""A checkpoint: its state dict, wherever it is nested, and the arguments that fit its shapes.

{"epoch": 3, "model": {"module.rnn.weight_ih_l0": ...}}   ->   ("model",), prefix "module."
"""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.files import recognise
from rnnbench.models.declaration.construct import Built, builds, parameters_of, shapes_of
from rnnbench.models.declaration.values import Chosen, literal

_ROUNDS = 4
_SMALL = (1, 2, 3, 4, 5, 6, 8)
_KINDS = ("LSTM", "GRU", "RNN", "lstm", "gru", "rnn")

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Checkpoint:
    """The weights in a file.

    Attributes:
        file: where they are.
        keys: which lead to the state dict, from the outermost.
        state: the state dict as it is there.
        prefix: that its keys have before the module's.
        strict: whether the module takes all of its keys, and it has all of the module's.
    """

    file: Path
    keys: tuple[str, ...]
    state: Mapping[str, torch.Tensor]
    prefix: str = ""
    strict: bool = True

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes by the module's keys."""
        return {
            key.removeprefix(self.prefix): tuple(value.shape)
            for key, value in self.state.items()
            if key.startswith(self.prefix)
        }

    def weights(self) -> dict[str, torch.Tensor]:
        """The tensors by the module's keys."""
        return {
            key.removeprefix(self.prefix): value
            for key, value in self.state.items()
            if key.startswith(self.prefix)
        }


def read(file: str | Path) -> Checkpoint:
    """Reads a checkpoint without running anything that is in it.

    Raises:
        RnnbenchError: it is not there, holds more than tensors and plain values, or no state dict.
    """
    path = Path(file)
    if not path.is_file():
        raise RnnbenchError(f"there is no file {path}: give the checkpoint that torch.save wrote")
    given = recognise(path)
    if given is not None and given.kind not in ("weights", "module", "checkpoint", "other"):
        raise RnnbenchError(f"{path} is {given.what}: give the checkpoint that torch.save wrote")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of TypedStorage, pickles and their protocols
            held = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a handful of types for damaged or unsafe files
        why = given.what if given is not None and given.kind != "weights" else one_line(error)
        raise RnnbenchError(
            f"{path} cannot be read with weights_only=True ({_without_colours(why)}): save its "
            "weights alone, torch.save(module.state_dict(), ...)"
        ) from None
    found = max(_state_dicts(held, ()), key=lambda kv: len(kv[1]), default=None)
    if found is None:
        raise RnnbenchError(
            f"{path} holds no state dict: save torch.save(module.state_dict(), ...)"
        )
    return Checkpoint(path, *found)


def _without_colours(text: str) -> str:
    return re.sub("\x1b\\[[0-9;]*m", "", text)


def _state_dicts(
    held: Any, keys: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], dict[str, torch.Tensor]]]:
    """The dicts of tensors by name, wherever they are; an optimizer's have numbers as keys."""
    if not isinstance(held, Mapping) or len(keys) > 3:
        return
    tensors = {k: v for k, v in held.items() if isinstance(v, torch.Tensor) and isinstance(k, str)}
    if tensors:
        yield keys, tensors
    for key, value in held.items():
        if isinstance(key, str):
            yield from _state_dicts(value, (*keys, key))


def fitted(checkpoint: Checkpoint, own: Shapes) -> Checkpoint:
    """With the prefix under which the most of the module's keys are."""
    best = max(_prefixes(checkpoint.state), key=lambda p: (_shared(checkpoint, own, p), -len(p)))
    found = replace(checkpoint, prefix=best)
    return replace(found, strict=found.shapes == dict(own))


def _prefixes(state: Mapping[str, Any]) -> list[str]:
    parts = (key.split(".") for key in state)
    found = {".".join(p[:n]) + "." for p in parts for n in range(1, min(len(p), 4))}
    return ["", *sorted(found)]


def _shared(checkpoint: Checkpoint, own: Shapes, prefix: str) -> int:
    return sum(f"{prefix}{key}" in checkpoint.state for key in own)


def build_for(
    cls: type[nn.Module],
    given: Mapping[str, Any],
    checkpoint: Checkpoint,
    out_of_time: Callable[[], bool] = lambda: False,
) -> tuple[Built, Checkpoint]:
    """An object whose state dict has the checkpoint's shapes, as near as was found.

    One argument after the other is set to the value with which the most sizes agree.
    """
    first = next(builds(cls, given))
    arguments = dict(first.arguments)
    defaults = {
        p.name: literal(p.default)
        for p in parameters_of(cls)
        if p.name not in arguments and type(p.default) in (int, bool, str)
    }
    varied = [
        (name,) for name, value in (arguments | defaults).items()
        if name not in given and type(value.value) in (int, bool, str)
    ] + [
        (name, key) for name, value in arguments.items() if name not in given
        for key, part in _fields(value.value).items() if type(part) in (int, bool, str)
    ]  # fmt: skip
    sizes = _sizes(checkpoint.state.values())
    best, score = arguments, _score(cls, arguments, checkpoint)
    for _ in range(_ROUNDS):
        before = score
        for place in varied:
            for tried in _changes(best, defaults, place, sizes):
                if score == 1.0 or out_of_time():
                    break
                now = _score(cls, tried, checkpoint)
                if now > score:
                    best, score = tried, now
        if score in (before, 1.0):
            break
    changed = {n for n, v in best.items() if n not in arguments or v.text != arguments[n].text}
    found = next(builds(cls, {n: v.value for n, v in best.items()}))
    from_weights = changed | {n for n in best if n not in given and score == 1.0}
    origin = {n: "weights" if n in from_weights else first.origin.get(n, "chosen") for n in best}
    built = replace(found, arguments=_ordered(cls, best), origin=origin)
    return built, fitted(checkpoint, shapes_of(cls, best))


def _ordered(cls: type[nn.Module], best: Mapping[str, Chosen]) -> dict[str, Chosen]:
    names = [p.name for p in parameters_of(cls)]
    return {n: best[n] for n in names if n in best} | dict(best)


def _fields(value: Any) -> dict[str, Any]:
    """What a namespace or dict holds."""
    if isinstance(value, SimpleNamespace):
        return dict(vars(value))
    return dict(value) if isinstance(value, dict) else {}


def _changes(
    best: Mapping[str, Chosen], defaults: Mapping[str, Chosen], place: tuple[str, ...], sizes: Any
) -> Iterator[dict[str, Chosen]]:
    """The arguments with other values in one place."""
    name, *keys = place
    old = (best.get(name) or defaults[name]).value
    here = _fields(old)[keys[0]] if keys else old
    if isinstance(here, bool):
        values: Sequence[Any] = (not here,)
    elif isinstance(here, str):
        values = [k for k in _KINDS if k != here] if here in _KINDS else ()
    else:
        values = [n for n in sizes if n != here]
    for value in values:
        if not keys:
            yield {**best, name: literal(value)}
        else:
            whole = _fields(old) | {keys[0]: value}
            made = SimpleNamespace(**whole) if isinstance(old, SimpleNamespace) else whole
            yield {**best, name: literal(made)}


def _sizes(tensors: Any) -> list[int]:
    """Numbers that may be arguments: sizes of weights, what they are several times, few layers."""
    found = dict.fromkeys(n for tensor in tensors for n in tensor.shape if n > 0)
    parts = [n // k for n, k in itertools.product(found, (2, 3, 4)) if n % k == 0]
    less = [n - 1 for n in found] + [n + 1 for n in found]
    return list(dict.fromkeys([*found, *_SMALL, *parts, *less]))


def _score(cls: type[nn.Module], given: Mapping[str, Chosen], checkpoint: Checkpoint) -> float:
    """How much of the shapes is as in the checkpoint, 1 for all."""
    own = shapes_of(cls, given)
    if not own:
        return -1.0
    theirs = fitted(checkpoint, own).shapes
    total = 0.0
    for key in own.keys() & theirs.keys():
        a, b = own[key], theirs[key]
        if a == b:
            total += 1.0
        elif len(a) == len(b):
            total += 0.9 * sum(x == y for x, y in zip(a, b, strict=True)) / max(len(a), 1)
    return total / len(own.keys() | theirs.keys())
