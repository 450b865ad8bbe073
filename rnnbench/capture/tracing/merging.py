"""Runs both ways of an `if` on data, and puts together what they leave behind.

What a rewritten function calls (see `both_ways.py`): a way changes names, attributes, lists and
tensors in place; each is kept before, put back in between, and chosen with `where` at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.experimental.symbolic_shapes import statically_known_true

from rnnbench.capture.graph_edit import number
from rnnbench.capture.tracing.step_numbers import value_of

_Places = Mapping[str, Callable[[], Any]]
Known = Callable[[Tensor], bool | None]
MISSING = object()
"""What stands for a name that has no value yet."""


class Unlike(Exception):  # noqa: N818  (what a model does; it becomes the error of its line)
    """Two ways that leave behind what cannot be chosen from."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"the two ways of an `if` on data leave {what}: let both give tensors of the same shape"
        )


def is_data(value: Any) -> bool:
    """Whether it is one element of a tensor, whose truth a trace does not know."""
    return isinstance(value, Tensor) and number(value.numel()) == 1


class Both:
    """One `if`, once it is reached.

    Attributes:
        first: whether the `if` side is run.
        second: whether the `else` side is run.
        both: whether one of the two will be chosen.
        before: what the places held, those that held something.
        result: what they hold in the end.
    """

    def __init__(self, test: Any, known: Known) -> None:
        """Reaches an `if`.

        Args:
            test: what it asks.
            known: the truth of a tensor, where it is that of constants.
        """
        truth = known(test) if is_data(test) else None
        self.both = is_data(test) and truth is None
        self._test = _truth(test) if self.both else None
        self.first = self.both or bool(test if truth is None else truth)
        self.second = self.both or not self.first
        self.before: dict[str, Any] = {}
        self.result: dict[str, Any] = {}
        self._written: tuple[str, ...] = ()
        self._held: dict[str, Any] = {}
        self._kept: dict[str, Any] = {}
        self._numbers: dict[str, float] = {}
        self._first: dict[str, Any] = {}
        self._same: set[str] = set()  # the places that have the object of before after one way

    def keep(self, places: _Places, written: tuple[str, ...]) -> None:
        """Notes what the places hold before either way.

        Args:
            places: each place, and how to read it.
            written: those whose tensors a way may write to in place.
        """
        if self.both:
            held = _read(places)
            # A number that a way may change is a tensor from the first step of a loop on.
            self._numbers = {n: v for n, v in held.items() if type(v) in (int, float)}
            held |= {n: torch.tensor(v) for n, v in self._numbers.items()}
            self._written = written
            self._kept = {n: _copied(v, n in written) for n, v in held.items()}
            self._held = held
            self.before = {n: v for n, v in held.items() if v is not MISSING}

    def switch(self, places: _Places) -> None:
        """Notes what the first way left, and puts back what was there before it."""
        if self.both:
            after = _read(places)
            self._first = {n: _copied(v, n in self._written) for n, v in after.items()}
            self._same = {n for n, v in after.items() if v is self._held[n]}
            for name, value in self._kept.items():
                _put(self._held[name], value)

    def merge(self, places: _Places) -> None:
        """Chooses between what the two ways left."""
        if not self.both:
            return
        for name, theirs in _read(places).items():
            before, ours = self._held[name], self._first[name]
            chosen = self.choose(name, ours, theirs)
            if theirs is before and name in self._same:
                _put(before, chosen)  # changed in place, if at all: others may hold it
                chosen = before
            if ours is theirs and chosen is before and name in self._numbers:  # neither changed it
                chosen = self._numbers[name]
            if chosen is not MISSING:
                self.result[name] = chosen

    def choose(self, name: str, ours: Any, theirs: Any) -> Any:
        """One value for two: `where` for tensors and numbers, element by element for lists.

        Of two modules it is what calls both.
        """
        if ours is theirs or ours is MISSING or theirs is MISSING:
            return theirs if ours is MISSING else ours
        if isinstance(ours, nn.Module) and isinstance(theirs, nn.Module):
            return _Either(partial(self.choose, name), ours, theirs)
        numbers = (Tensor, bool, int, float)
        if isinstance(ours, numbers) and isinstance(theirs, numbers):
            return self._chosen(name, ours, theirs)
        if type(ours) is type(theirs) and isinstance(ours, list | tuple):
            if len(ours) != len(theirs):
                raise Unlike(f"{len(ours)} and {len(theirs)} elements in {name!r}")
            pairs = [self.choose(name, a, b) for a, b in zip(ours, theirs, strict=True)]
            return type(ours)(*pairs) if hasattr(ours, "_fields") else type(ours)(pairs)
        if isinstance(ours, dict) and isinstance(theirs, dict) and ours.keys() == theirs.keys():
            return {key: self.choose(name, ours[key], theirs[key]) for key in ours}
        if type(ours) is type(theirs) and ours == theirs:
            return ours
        raise Unlike(f"{_described(ours)} and {_described(theirs)} in {name!r}")

    def _chosen(self, name: str, ours: Any, theirs: Any) -> Any:
        if not isinstance(ours, Tensor) and not isinstance(theirs, Tensor):
            if ours == theirs and type(ours) is type(theirs):
                return ours
            ours, theirs = torch.tensor(ours), torch.tensor(theirs)
        tensors = isinstance(ours, Tensor) and isinstance(theirs, Tensor)
        if tensors and not _alike(ours.shape, theirs.shape):
            raise Unlike(f"{_described(ours)} and {_described(theirs)} in {name!r}")
        assert self._test is not None
        return torch.where(self._test, ours, theirs)


class _Either:
    """One of two modules: both are called, and the results are chosen from."""

    def __init__(self, choose: Callable[[Any, Any], Any], ours: nn.Module, theirs: nn.Module):
        self._choose, self._ours, self._theirs = choose, ours, theirs

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._choose(self._ours(*args, **kwargs), self._theirs(*args, **kwargs))


def both_of(known: Known, first: Any, second: Callable[[], Any]) -> Any:
    """`a and b`, where `a` may be a tensor."""
    first = value_of(first)
    if not is_data(first):
        return first and second()
    truth = known(first)
    if truth is None:
        return torch.logical_and(_truth(first), _as_truth(second()))
    return second() if truth else first


def either_of(known: Known, first: Any, second: Callable[[], Any]) -> Any:
    """`a or b`, where `a` may be a tensor."""
    first = value_of(first)
    if not is_data(first):
        return first or second()
    truth = known(first)
    if truth is None:
        return torch.logical_or(_truth(first), _as_truth(second()))
    return first if truth else second()


def negated(known: Known, value: Any) -> Any:
    """`not a`, where `a` may be a tensor."""
    truth = known(value) if is_data(value) else bool(value)
    return torch.logical_not(_truth(value)) if truth is None else not truth


def _truth(test: Tensor) -> Tensor:
    scalar = test.reshape(())  # [1] or [1, 1] -> []
    return scalar if scalar.dtype is torch.bool else scalar != 0


def _as_truth(value: Any) -> Tensor:
    value = value_of(value)
    return _truth(value) if isinstance(value, Tensor) else torch.tensor(bool(value))


def _read(places: _Places) -> dict[str, Any]:
    return {name: _value(read) for name, read in places.items()}


def _value(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (NameError, AttributeError):
        return MISSING


def _copied(value: Any, written: bool) -> Any:
    """What is kept of a value that may be changed in place."""
    if isinstance(value, list | dict):
        return value.copy()
    return value.clone() if written and isinstance(value, Tensor) else value


def _put(target: Any, value: Any) -> None:
    """Gives a list, a dict or a tensor what it held; other values do not change."""
    if target is value:
        return
    if isinstance(target, list):
        target[:] = value
    elif isinstance(target, dict):
        target.clear()
        target.update(value)
    elif isinstance(target, Tensor):
        target.copy_(value)


def _alike(ours: Any, theirs: Any) -> bool:
    return len(ours) == len(theirs) and all(map(_same_size, ours, theirs))


def _same_size(a: Any, b: Any) -> bool:
    """Whether two sizes are one in the trace: they may be two symbols."""
    known = [_traced(s) for s in (a, b)]
    return known[0] == known[1] if None not in known else statically_known_true(a == b)


def _traced(size: Any) -> int | None:
    """The size in the trace; None of a number in a tensor."""
    hint = size.node.hint if isinstance(size, torch.SymInt) else size
    return None if hint is None else int(hint)


def _described(value: Any) -> str:
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    sizes = ", ".join("?" if (n := _traced(s)) is None else str(n) for s in value.shape)
    return f"{str(value.dtype).removeprefix('torch.')}[{sizes}]"
