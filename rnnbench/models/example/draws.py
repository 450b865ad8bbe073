"""Inputs at other sizes, made of the example's: its rows and steps drawn anew."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from rnnbench.core.errors import one_line
from rnnbench.models.calls import undisturbed
from rnnbench.models.example.axes import Axis
from rnnbench.models.example.call import ExampleCall, spread

_LENGTHS = re.compile(r"(.*_)?(len|lens|length|lengths|seq_?lens?)", re.IGNORECASE)
_WHOLE = (torch.int32, torch.int64)


@dataclass(frozen=True)
class Draws:
    """How inputs are made of the example's.

    Attributes:
        call: the example.
        axes: the dynamic ones.
        counted: the inputs that are numbers of valid steps -> the dimension of these steps.
        falling: whether those are in falling order.
    """

    call: ExampleCall
    axes: tuple[Axis, ...]
    counted: Mapping[int, str]
    falling: bool = False

    def draw(
        self, sizes: Mapping[str, int], generator: np.random.Generator
    ) -> list[np.ndarray[Any, Any]]:
        """An array for each input.

        Args:
            sizes: of the dynamic dimensions, by `Axis.dim`; those of the example elsewhere.
            generator: what chooses the rows and steps.
        """
        found = []
        for number, tensor in enumerate(self.call.tensors):
            array = tensor.numpy().copy()
            for axis in self.axes:
                if axis.place[0] == number and axis.dim in sizes:
                    size = axis.factor * sizes[axis.dim] + axis.offset
                    chosen = generator.integers(0, array.shape[axis.place[1]], size)
                    array = array.take(chosen, axis.place[1])
            if number in self.counted and self.counted[number] in sizes:
                array = self._lengths(array, sizes[self.counted[number]], generator)
            elif number in self.counted and array.size:
                array[:1] = self.call.tensors[number].numpy().max()
                array = -np.sort(-array) if self.falling else array
            found.append(array)
        return found

    def run(self, sizes: Mapping[str, int], seed: int = 0) -> list[torch.Tensor] | None:
        """What the module gives at some sizes; None where it raises."""
        return self.give(self.draw(sizes, np.random.default_rng(seed)))

    def give(self, arrays: Sequence[np.ndarray[Any, Any]]) -> list[torch.Tensor] | None:
        """What the module gives for some inputs; None where it raises."""
        try:
            return self._call(arrays)
        except Exception:  # a user's module may raise anything
            return None

    def why_not(self, sizes: Mapping[str, int]) -> str:
        """What the module says at some sizes at which it raises; empty where it does not."""
        try:
            self._call(self.draw(sizes, np.random.default_rng(0)))
        except Exception as error:  # a user's module may raise anything
            return one_line(error)
        return ""

    def _call(self, arrays: Sequence[np.ndarray[Any, Any]]) -> list[torch.Tensor]:
        args, kwargs = self.call.arguments([torch.from_numpy(array.copy()) for array in arrays])
        with undisturbed(self.call.module), torch.no_grad():
            returned = self.call.module(*args, **kwargs)
        return [leaf for leaf in spread(returned) if isinstance(leaf, torch.Tensor)]

    def _lengths(
        self, like: np.ndarray[Any, Any], steps: int, generator: np.random.Generator
    ) -> np.ndarray[Any, Any]:
        """Numbers from 1 to the steps; the first row has all."""
        lengths: np.ndarray[Any, Any] = generator.integers(1, steps + 1, like.shape)
        lengths[:1] = steps
        if self.falling:
            lengths = -np.sort(-lengths)
        return lengths.astype(like.dtype)


def draws_of(call: ExampleCall, axes: Sequence[Axis]) -> Draws:
    """Finds out which inputs are numbers of valid steps: by their name, or by their largest."""
    counted: dict[int, str] = {}
    falling = False
    for number, (name, tensor) in enumerate(zip(call.names, call.tensors, strict=True)):
        if tensor.ndim != 1 or tensor.dtype not in _WHOLE or not len(tensor) or tensor.min() < 1:
            continue
        own = {axis.dim for axis in axes if axis.place[0] == number}
        others = [a for a in axes if a.dim not in own and a.factor == 1 and a.offset == 0]
        largest = int(tensor.max())
        of = [a.dim for a in others if a.size == largest]
        if not of and _LENGTHS.fullmatch(name):
            of = [a.dim for a in others if a.size >= largest]
        fixed = {n for i, t in enumerate(call.tensors) if i != number for n in t.shape}
        named = bool(_LENGTHS.fullmatch(name))
        if not (of or largest in fixed or named):
            continue
        before = Draws(call, tuple(axes), dict(counted), falling)
        falls = falling or bool((tensor[:-1] >= tensor[1:]).all())
        steps = _steps(replace(before, falling=falls), number, of)
        after = replace(before, counted={**counted, number: steps}, falling=falls)
        if named or not _spoilt(before, after):
            counted[number], falling = steps, falls
    return Draws(call, tuple(axes), counted, falling)


def _spoilt(before: Draws, after: Draws) -> bool:
    """Whether a module runs at larger sizes, and no more where an input counts the steps there.

    An id of a speaker may by chance be the number of steps.
    """
    sizes = {axis.dim: axis.size + 2 for axis in before.axes}
    return before.run(sizes) is not None and after.run(sizes) is None


def _steps(draws: Draws, number: int, candidates: Sequence[str]) -> str:
    """Which dimension an input counts: one with which the module runs when that alone grows.

    The batch may have as many rows as there are steps. It is none of them where time is fixed.
    """
    if len(candidates) < 2:
        return candidates[0] if candidates else ""
    largest = int(draws.call.tensors[number].max())
    alike = {axis.dim for axis in draws.axes if axis.size == largest}
    for dim in candidates:
        tried = replace(draws, counted={**draws.counted, number: dim})
        if tried.run(dict.fromkeys(alike, largest + 2) | {dim: largest + 3}) is not None:
            return dim
    return candidates[0]
