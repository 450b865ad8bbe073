"""The number of a step as a value of the step: `if t % 2`, `cells[t % 3]`, `x[:, t // 2]`.

In a trace such a number is a constant, and a step that asks for it does something else than its
neighbours. Where a loop could not be told by its steps for that, its functions are rewritten
(`both_ways.py`) so that a number is a tensor wherever a step asks:

    if t % 2 == 0:            t = full([], 3)
        h = a(x[:, t], h)     eq = eq(remainder(t, 2), 0)
    else:                 ->  a = gru_cell(x_3, h, ...)
        h = b(x[:, t], h)     b = gru_cell(x_3, h, ...)
                              h = where(eq, a, b)
"""

from __future__ import annotations

import operator
from builtins import enumerate as numbered
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree

_Operator = Callable[[Any, Any], Any]


class Step(int):
    """The number of a step, or what is computed from it and other whole numbers.

    Attributes:
        even: whether it grows by the same amount from step to step, as `t - 1` does.
    """

    even: bool
    _made: Callable[[], Tensor]

    def __new__(
        cls, number: int, made: Callable[[], Tensor] | None = None, even: bool = True
    ) -> Step:
        """Makes one.

        Args:
            number: what it is in this step of the trace.
            made: makes the tensor [] of it; None: one that a trace does not take for a constant.
            even: whether it grows by the same amount from step to step.
        """
        step = super().__new__(cls, number)
        step.even = even
        step._made = made or (lambda: _number(number))
        return step

    @property
    def value(self) -> Tensor:
        """It as a tensor [], of int64."""
        return self._made()

    __hash__ = int.__hash__


class Truth:
    """What a step asks of its number: `t % 2 == 0`.

    Args:
        value: makes the tensor [].
        held: whether it is so in this step of the trace.
    """

    def __init__(self, value: Callable[[], Tensor], held: bool) -> None:
        self._made = value
        self._held = held

    @property
    def value(self) -> Tensor:
        """It as a tensor [], of truths."""
        return self._made()

    def __bool__(self) -> bool:
        return self._held


def _number(number: int) -> Tensor:
    with torch._C.DisableTorchFunction():  # those who note constants do not see it
        return torch.full((), number, dtype=torch.int64)


def _arithmetic(name: str, function: _Operator, keeps: bool) -> None:
    """Gives `Step` an operator and the reflected one."""
    plain = getattr(int, f"__{name}__"), getattr(int, f"__r{name}__")

    def forward(self: Step, other: Any) -> Any:
        return _combined(plain[0](self, other), function, self, other, keeps)

    def reflected(self: Step, other: Any) -> Any:
        return _combined(plain[1](self, other), function, other, self, keeps)

    setattr(Step, f"__{name}__", forward)
    setattr(Step, f"__r{name}__", reflected)


def _combined(number: Any, function: _Operator, a: Any, b: Any, keeps: bool) -> Any:
    if type(number) is not int:  # NotImplemented: the other is a float or a tensor
        return number
    steps = [o for o in (a, b) if isinstance(o, Step)]
    squared = function is operator.mul and len(steps) > 1  # t * t
    even = keeps and all(s.even for s in steps) and not squared
    return Step(number, lambda: function(value_of(a), value_of(b)), even)


def _comparison(name: str) -> None:
    function: _Operator = getattr(operator, name)
    plain = getattr(int, f"__{name}__")

    def compare(self: Step, other: Any) -> Any:
        held = plain(self, other)
        if held is NotImplemented:
            return held
        return Truth(lambda: function(value_of(self), value_of(other)), held)

    setattr(Step, f"__{name}__", compare)


_arithmetic("add", operator.add, True)
_arithmetic("sub", operator.sub, True)
_arithmetic("mul", operator.mul, True)
_arithmetic("mod", operator.mod, False)
_arithmetic("floordiv", operator.floordiv, False)
_arithmetic("and", operator.and_, False)
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    _comparison(_name)


def value_of(given: Any) -> Any:
    """The tensor of a step's number or of a truth about it; else what was given."""
    return given.value if isinstance(given, Step | Truth) else given


class Numbering:
    """What a rewritten function calls for its loops and its indices.

    Args:
        sizes: the sizes that loops over steps have in this trace.
    """

    def __init__(self, sizes: Collection[int]) -> None:
        self._sizes = sizes

    def range(self, *args: Any) -> Iterable[int]:
        """`range`, whose numbers are those of steps where it goes over steps."""
        numbers = range(*args)
        end = max(numbers.start, numbers.stop)
        over_steps = any(abs(end - size) <= 1 or end % size == 0 for size in self._sizes)
        return [Step(n) for n in numbers] if over_steps else numbers

    def enumerate(self, values: Any, start: int = 0) -> Iterator[tuple[int, Any]]:
        """`enumerate`, in the same way."""
        over_steps = hasattr(values, "__len__") and len(values) in self._sizes
        for number, value in numbered(values, start):
            yield (Step(number) if over_steps else number), value

    def number_of_step(self, number: Any) -> Any:
        """What a `while` counts with, at the beginning of a step."""
        return Step(int(number)) if self._sizes and type(number) in (int, Step) else number

    def at(self, values: Any, index: Any) -> Any:
        """`values[index]`, where the index may hold a number that does not grow evenly.

        x [batch, time, 4], t // 2  ->  index_select(x, 1, [t // 2]) [batch, 1, 4]  ->  [batch, 4]
        """
        parts = index if isinstance(index, tuple) else (index,)
        uneven = [i for i, part in numbered(parts) if isinstance(part, Step) and not part.even]
        if len(uneven) != 1:
            return values[index]
        place = uneven[0]
        step: Step = parts[place]
        if isinstance(values, nn.ModuleList | list | tuple) and len(parts) == 1:
            return _element(values, step)
        plain = all(isinstance(part, int | slice) for part in parts[:place])
        if not isinstance(values, Tensor) or not plain:
            return values[index]
        # Whole numbers before it take their dimensions away.
        gone = sum(isinstance(part, int) for part in parts[:place])
        taken = values[parts[:place]] if place else values
        # -1 is the last; otherwise no size of a dimension comes into a step.
        number = step.value if step >= 0 else step.value % taken.shape[place - gone]
        one = taken.index_select(place - gone, number.reshape(1))
        return one.squeeze(place - gone)[(slice(None),) * (place - gone) + parts[place + 1 :]]

    def part(self, start: Any, stop: Any, step: Any) -> slice:
        """`start:stop:step`."""
        return slice(start, stop, step)


def _element(values: Any, step: Step) -> Any:
    """An element of a list: of numbers a number, of modules what calls each; else that of now."""
    if all(type(value) is int for value in values):
        numbers = torch.tensor(list(values))
        return Step(values[step], lambda: numbers[step.value % len(values)], even=False)
    if all(isinstance(value, nn.Module) for value in values):
        return partial(_each, list(values), step)
    return values[step]


def _each(modules: Sequence[nn.Module], step: Step, *args: Any, **kwargs: Any) -> Any:
    """What one of several modules gives: each is called, and the results are chosen from."""
    number = step.value % len(modules)
    chosen, *others = [module(*args, **kwargs) for module in modules]
    for place, other in numbered(others, 1):
        choose = partial(torch.where, number == place)
        chosen = _pytree.tree_map(choose, other, chosen)
    return chosen
