"""The rows of a packed sequence that somebody walks by hand, step by step, while it stays padded.

In a step there are as many rows as are longer than it. Kept as a padded sequence each step has all
rows, so what the walk takes of them is chosen by their lengths:

    n_t rows                            all rows, of lengths l [batch]

    h[:n_t]                             h
    h[:n_t] = new                  ->   h = where(l > t, new, h)
    cat([h, first[n_s:n_t]])       ->   where(l <= s and l > t, first, h)     rows that join
    cat([h, ..., h_1[n_1:]])       ->   where(l <= 1, h_1, ...)               rows that have ended

How many rows a step has is a number of the trace that knows its step, so that `n_t < n_s` and
`n_t - n_s` are answered as for rows of which one ends at each step.
"""

from __future__ import annotations

from typing import Any, NoReturn

import torch
from torch import Tensor

from rnnbench.core.errors import RnnbenchError

_SLICES = (torch.ops.aten.slice, torch.ops.aten.slice.Tensor)


class StepRows(torch.SymInt):
    """How many rows a step has: the batch's size, and the number of the step.

    Args:
        rows: the size of the batch.
        step: the step, from 0.
        walk: that it is of.
    """

    def __init__(self, rows: torch.SymInt, step: int, walk: Walk | None = None) -> None:
        super().__init__(rows.node)  # type: ignore[no-untyped-call]
        self.step = step
        self.walk = walk

    def __sub__(self, other: Any) -> Any:
        step = _step_of(other, self)
        return self._whole() - other if step is None else _change(self.step, step)

    def __rsub__(self, other: Any) -> Any:
        step = _step_of(other, self)
        return other - self._whole() if step is None else _change(step, self.step)

    def __lt__(self, other: Any) -> Any:
        step = _step_of(other, self)
        return self._whole() < other if step is None else self.step > step

    def __gt__(self, other: Any) -> Any:
        step = _step_of(other, self)
        return self._whole() > other if step is None else self.step < step

    def __le__(self, other: Any) -> Any:
        step = _step_of(other, self)
        return self._whole() <= other if step is None else self.step >= step

    def __ge__(self, other: Any) -> Any:
        step = _step_of(other, self)
        return self._whole() >= other if step is None else self.step <= step

    def __eq__(self, other: object) -> Any:
        step = _step_of(other, self)
        return self._whole() == other if step is None else self.step == step

    def __ne__(self, other: object) -> Any:
        step = _step_of(other, self)
        return self._whole() != other if step is None else self.step != step

    def __hash__(self) -> int:
        return id(self)

    def _whole(self) -> torch.SymInt:
        return torch.SymInt(self.node)


class LastRow:
    """The last row that a step has: `n_t - 1`.

    Attributes:
        rows: how many it has.
    """

    def __init__(self, rows: StepRows) -> None:
        self.rows = rows

    def __add__(self, number: int) -> StepRows:
        if number != 1:
            self._refuse()
        return self.rows

    def __radd__(self, number: int) -> StepRows:
        return self + number

    def __index__(self) -> int:
        return self._refuse()

    def _refuse(self) -> NoReturn:
        raise RnnbenchError(
            "the last row of a step is counted, and used as a number: use it in slices of rows, "
            "h[: last + 1], or choose by torch.where(lengths > t, ...)"
        )


class Change:
    """How many rows one step has more than another.

    Attributes:
        step: the one.
        other: the other; fewer rows where it is the earlier one.
    """

    def __init__(self, step: int, other: int) -> None:
        self.step, self.other = step, other

    def __neg__(self) -> Change:
        return Change(self.other, self.step)

    def __gt__(self, number: int) -> bool:
        return self._number() > number

    def __lt__(self, number: int) -> bool:
        return self._number() < number

    def __ge__(self, number: int) -> bool:
        return self._number() >= number

    def __le__(self, number: int) -> bool:
        return self._number() <= number

    def __bool__(self) -> bool:
        return self.step != self.other

    def _number(self) -> int:
        return self.other - self.step


def _change(step: int, other: int) -> Any:
    return Change(step, other) if step != other else 0


def _step_of(value: Any, rows: StepRows) -> int | None:
    """The step of which a value is the number of rows; None: it is another number."""
    if isinstance(value, StepRows):
        return value.step
    whole = isinstance(value, torch.SymInt) and str(value) == str(rows)
    return 0 if whole else None


class Walk:
    """A packed sequence that is walked.

    Args:
        rows: the size of the batch.
        lengths: [batch] of the rows, in their order in the sequence.
    """

    def __init__(self, rows: torch.SymInt, lengths: Tensor) -> None:
        self._rows, self._lengths = rows, lengths
        # The tensors are kept alive, so that their ids stay their own.
        self._steps: dict[int, tuple[Tensor, int]] = {}
        self._parts: dict[int, tuple[Tensor, int | None, int | None]] = {}

    @property
    def lengths(self) -> Tensor:
        """[batch] of the rows, which fall."""
        return self._lengths

    def rows(self, step: int) -> StepRows:
        """How many rows a step has."""
        return StepRows(self._rows, step, self)

    def has_rows(self, count: Any) -> bool:
        """Whether a number is that of all rows."""
        return str(count) == str(self._rows)

    def rows_of(self, x: Any) -> StepRows | None:
        """The rows of a state that was taken of a step; None of another tensor."""
        known = self._steps.get(id(x))
        return None if known is None else self.rows(known[1])

    def call(self, func: Any, args: tuple[Any, ...]) -> Any:
        """What a function gives for rows; NotImplemented where they do not matter to it."""
        if func is torch.Tensor.__getitem__:
            return self._taken(*args)
        # As which `torch.export` (2.11 to 2.13) hands an index with sizes on.
        if func in _SLICES and args[1] == 0 and args[4:] in ((), (1,)):
            return self._taken(args[0], slice(*args[2:4]))
        if func is torch.Tensor.__setitem__:
            return self._put(*args)
        if func is torch.Tensor.size and args[1:] == (0,):
            known = self.rows_of(args[0])
            return NotImplemented if known is None else known
        if func in (torch.cat, torch.concat) and isinstance(args[0], list | tuple):
            return self._joined(list(args[0]))
        return NotImplemented

    def note(self, func: Any, args: tuple[Any, ...], result: Any) -> None:
        """What is made of the rows of a step has its rows."""
        if not isinstance(result, Tensor | tuple | list):
            return
        if getattr(func, "__name__", "") == "split" and len(args) > 1:
            self._note_parts(args[1], result)
        leaves = torch.utils._pytree.tree_leaves(args)
        steps = [self._steps[id(a)][1] for a in leaves if id(a) in self._steps]
        if not steps:
            return
        for made in torch.utils._pytree.tree_leaves(result):
            if isinstance(made, Tensor) and made.dim() and str(made.shape[0]) == str(self._rows):
                self._steps[id(made)] = made, max(steps)

    def _note_parts(self, sizes: Any, result: Any) -> None:
        """`split(data, sizes)` has a part for each step."""
        if isinstance(sizes, list | tuple) and isinstance(result, list | tuple):
            for size, part in zip(sizes, result, strict=False):
                if isinstance(size, StepRows):
                    self._steps[id(part)] = part, size.step

    def _taken(self, x: Tensor, index: Any) -> Any:
        first, rest = _apart(index)
        if first is None:
            return NotImplemented
        start, stop = first.start, first.stop
        if any(isinstance(end, StepRows) and end.walk not in (None, self) for end in (start, stop)):
            return NotImplemented  # of another walk
        whole = x[(slice(None), *rest)]
        if isinstance(stop, StepRows) and start in (None, 0):
            self._steps[id(whole)] = whole, stop.step
            return whole
        if isinstance(stop, Change) and start in (None, 0):
            if stop.step > stop.other:  # h[:-dropped]
                self._steps[id(whole)] = whole, stop.step
            else:  # first[:joining], as many rows as join
                self._parts[id(whole)] = whole, stop.other, stop.step
            return whole
        after = start.step if isinstance(start, StepRows | Change) else None
        before = stop.step if isinstance(stop, StepRows) else None
        if after is None:
            return NotImplemented
        self._parts[id(whole)] = whole, after, before
        return whole

    def _put(self, x: Tensor, index: Any, value: Any) -> Any:
        first, rest = _apart(index)
        if first is None or first.start not in (None, 0) or not isinstance(first.stop, StepRows):
            return NotImplemented
        if first.stop.walk not in (None, self):
            return NotImplemented
        view = x[(slice(None), *rest)]
        chosen = torch.where(self._mask(view, None, first.stop.step), value, view)
        view.copy_(chosen)
        return None

    def _joined(self, tensors: list[Any]) -> Any:
        if not any(id(x) in self._parts for x in tensors):
            return NotImplemented
        wholes = [x for x in tensors if id(x) not in self._parts]
        joined: Tensor = wholes[0] if wholes else tensors[0]
        last = 0 if wholes else None
        for x in tensors:
            if id(x) in self._parts:
                _, after, before = self._parts[id(x)]
                joined = torch.where(self._mask(x, after, before), x, joined)
                last = before if before is not None else last
        if last:
            self._steps[id(joined)] = joined, last
        return joined

    def _mask(self, x: Tensor, after: int | None, before: int | None) -> Tensor:
        """[batch, 1, ...] the rows that have ended after a step, and run in another."""
        mask: Tensor | None = None
        if after is not None:
            mask = self._lengths <= after
        if before is not None:
            runs = self._lengths > before
            mask = runs if mask is None else mask & runs
        assert mask is not None
        return mask.reshape([-1, *[1] * (x.dim() - 1)])


def _apart(index: Any) -> tuple[slice | None, tuple[Any, ...]]:
    """The slice of rows in an index, and what comes behind it; None where there is none."""
    parts = index if isinstance(index, tuple) else (index,)
    first = parts[0] if parts else None
    if not isinstance(first, slice):
        return None, ()
    ends = (first.start, first.stop)
    known = any(isinstance(end, StepRows | Change) for end in ends) and first.step is None
    return (first, parts[1:]) if known else (None, ())
