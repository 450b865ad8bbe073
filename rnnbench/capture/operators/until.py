"""A loop that runs as long as data say, when its graph is run or traced anew.

    run_until(body, [h0], [xs], [], ...)  ->  h1, y1 = body(h0, xs[0])
                                              while_loop(going & (k < most), body, (k, h1, ys))

Its values of all steps are written into tensors of the greatest length, of which the first steps
are taken: a `while_loop` stacks nothing, and a scan may not be as long as a number in a tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from rnnbench.capture.operators.scan import repeat_while

Body = Callable[..., tuple[Sequence[Tensor], Sequence[Tensor]]]


def run_until(
    body: Body,
    first: Sequence[Tensor],
    xs: Sequence[Tensor],
    extras: Sequence[Any],
    ending: tuple[int | None, bool],
    begins: Tensor | None,
    most: Any,
    longest: Any,
) -> tuple[Tensor, ...]:
    """Runs `body(*carry, *x_t, *extras) -> (carry, values)` as often as data say.

    Args:
        body: one step.
        first: the carried values before the first step.
        xs: (longest or more, ...) each, the per-step inputs.
        extras: what is the same in all steps.
        ending: which of the values of a step is the truth that it asks for (None: it has a number
            of steps), and the truth on which it goes on.
        begins: [] whether there is a first step; None: there is.
        most: how many steps it has at most: a number, or a size.
        longest: the greatest of these numbers.

    Returns:
        The number of steps [], the carried values after the last one, then each value of all steps
        (longest, ...), of which those are of the loop that the number says.
    """
    run = _in_python if type(first[0] if first else xs[0]) is Tensor else _as_while_loop
    count = len(xs)
    limit = torch.full((), most, dtype=torch.int64, device=xs[0].device)
    begins = limit > 0 if begins is None else begins & (limit > 0)

    asked, going = ending

    def goes_on(values: Sequence[Tensor], limit: Tensor) -> Tensor:
        if asked is None:
            return limit > 0
        truth = values[asked].reshape(())
        return truth if going else ~truth

    def step(number: Tensor, carry: Sequence[Tensor], more: Sequence[Any]) -> Any:
        limit, *rest = more  # what a loop closes over is given to it
        here = [x.index_select(0, number.reshape(1)).squeeze(0) for x in rest[:count]]
        after, values = body(*carry, *here, *rest[count:])
        return tuple(map(_own, after)), tuple(map(_own, values)), goes_on(values, limit)

    return run(step, [_own(f) for f in first], begins, longest, (limit, *xs, *extras))


def _as_while_loop(
    step: Callable[..., Any],
    first: list[Tensor],
    begins: Tensor,
    longest: Any,
    more: tuple[Any, ...],
) -> tuple[Tensor, ...]:
    """The loop as PyTorch's operator, behind its first step, which says what a step gives."""
    after, values, going = step(torch.zeros_like(more[0]), first, more)
    carry = [torch.where(begins, a, c) for a, c in zip(after, first, strict=True)]
    # [longest, ...]: the first step, and room for the others
    rooms = [torch.cat([v.unsqueeze(0), v.new_zeros((longest - 1, *v.shape))]) for v in values]
    count = len(carry)
    held = count + len(rooms)

    def goes_on(number: Tensor, going: Tensor, *rest: Tensor) -> Tensor:
        limit = rest[held]
        return going & (number < limit)

    def another(number: Tensor, going: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        state, more = rest[:held], rest[held:]
        after, values, going = step(number, state[:count], more)
        at = number.reshape(1)
        filled = [
            room.index_copy(0, at, value.unsqueeze(0))
            for room, value in zip(state[count:], values, strict=True)
        ]
        return (number + 1, going.clone(), *after, *filled)

    start = (begins.to(torch.int64), begins & going, *carry, *rooms)
    number, _, *results = repeat_while(goes_on, another, start, more)
    return (number, *results)


def _in_python(
    step: Callable[..., Any], carry: Any, begins: Tensor, longest: Any, more: tuple[Any, ...]
) -> tuple[Tensor, ...]:
    """What the operator does, on real tensors."""
    limit = more[0]
    number, rooms = torch.zeros_like(limit), []
    going = bool(begins)
    if not going:
        rooms = [v.unsqueeze(0) for v in step(number, carry, more)[1]]
    found: list[Any] = []
    while going and number < limit:
        carry, values, truth = step(number, carry, more)
        found.append(values)
        number, going = number + 1, bool(truth)
    if found:
        rooms = [torch.stack(v) for v in zip(*found, strict=True)]  # [steps, ...]
    return (number, *carry, *rooms)


def _own(x: Tensor) -> Tensor:
    """A copy, laid out in order: what a loop hands on is to be laid out as what it was given."""
    return x.clone(memory_format=torch.contiguous_format)


def as_dimension(number: Tensor, more: int) -> Tensor:
    """(number + more,) something that has a number in a tensor [] as its size."""
    steps: Any = number.item() + more
    torch._check(steps >= 0)
    return torch.zeros(steps, device=number.device)


def first_steps(x: Tensor, steps: Any, start: int = 0, dim: int = 0) -> Tensor:
    """The first steps of a dimension (of any place), or those from `start` on."""
    torch._check(steps + start <= x.shape[dim])
    return x.narrow(dim, start, steps)


def one_more(x: Tensor) -> Tensor:
    """(time + 1, ...) with a step of zeros behind the others: a loop may have none."""
    return torch.cat([x, x.new_zeros((1, *x.shape[1:]))])


def least(*sizes: Any) -> Any:
    """The least of some sizes."""
    found = sizes[0]
    for size in sizes[1:]:
        found = torch.sym_min(found, size)
    return found
