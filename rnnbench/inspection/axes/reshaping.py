"""What a Reshape makes of a dimension."""

from __future__ import annotations

from math import gcd, prod

from rnnbench.inspection.axes.place import WHOLE, Place, Step, on
from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.numbers import Vector, vector
from rnnbench.inspection.program import Dim, Node, Ref

_OPEN = "open"


def reshape(flow: Flow, node: Node, place: Place) -> Step:
    """A number in the place of a dimension fixes it where nothing else takes what is left."""
    given = node.arg(1, "shape")
    target = vector(flow, node.attributes.get("size") if given is None else given)
    before = list(flow.program.shape(place.value) or [None] * place.rank)
    if not target or node.args[0] != place.value or len(before) != place.rank:
        return Step([WHOLE])
    before[place.axis] = _OPEN
    if node.op == "Reshape" and not node.attributes.get("allowzero"):  # 0 copies
        target, before = _without_copies(target, before)
        if before[place.axis] is None:
            return Step([], on(node, place.axis, len(target)))
    size = _fixed_size(before, target, place.axis)
    if size is None and None in target:
        size = _by_inference(flow, node, target, place)
    if size is not None:
        return Step([("fixed", (size,))], on(node, min(place.axis, len(target) - 1), len(target)))
    return _moved(node, before, target, place)


_GONE = 1
"""What stands for a dimension that is copied: it has no part in the rest."""


def _without_copies(target: Vector, before: list[Dim]) -> tuple[Vector, list[Dim]]:
    """Both without what is copied, a 1 for each; None in `before` where it was the open one."""
    copied = [i for i, n in enumerate(target) if n == 0 and i < len(before)]
    left: list[Dim] = [
        d if i not in copied else None if d == _OPEN else _GONE for i, d in enumerate(before)
    ]
    return [_GONE if i in copied else n for i, n in enumerate(target)], left


def _fixed_size(before: list[Dim], target: Vector, axis: int) -> int | None:
    """The size that a dimension must have; None where it may have others.

    [time, batch, 64] as [5, -1, 64] has 5 steps: -1 takes the batch. [batch, time, 64] as
    [batch, -1, 128] puts two steps together, which any even number has.

    Args:
        before: the sizes; names or None of what is open.
        target: the new ones: -1 takes what is left, None is worked out from the input.
        axis: which.
    """
    here = target[axis] if axis < len(target) else None
    if all(n is not None and n > 0 for n in target):
        known, written = _numbers(before, target)
        alone = all(isinstance(d, int) or i == axis for i, d in enumerate(before))
        if alone:
            return written // known
        return here if axis == 0 or len(target) >= len(before) else None
    if None in target or here is None or here <= 1:
        return None
    if axis == 0:  # the outermost: another number of rows would be cut in the middle of one
        return here
    if None in before:
        return None
    known, written = _numbers(before, target)
    least = written // gcd(known, written)  # what the open ones must be a multiple of
    samples = axis == len(before) - 1  # which are put into frames of that size
    return here if least > 1 and here % least == 0 and not samples else None


def _numbers(before: list[Dim], target: Vector) -> tuple[int, int]:
    known = prod(d for d in before if isinstance(d, int))
    return known, prod(n for n in target if n is not None and n > 0)


def _by_inference(flow: Flow, node: Node, target: Vector, place: Place) -> int | None:
    """The same of a shape that is partly computed, by what is known of the result's sizes."""
    after = flow.program.shape(Ref(node.outputs[0]))
    sizes = flow.program.shape(place.value) or ()
    if after is None or None in after or -1 in target or len(after) != len(target):
        return None
    here = target[place.axis] if place.axis < len(target) else None
    others = [d for i, d in enumerate(sizes) if isinstance(d, str) and i != place.axis]
    rest = [d for d in after if isinstance(d, str)]
    return here if here is not None and here > 1 and all(d in others for d in rest) else None


def _moved(node: Node, before: list[Dim], target: Vector, place: Place) -> Step:
    """Where a dimension of any size goes on; `joined` to another, if 1 is in its place."""
    known, written = _numbers(before, target)
    if target.count(-1) != 1 or None in target or None in before or known != written:
        return Step([WHOLE])
    others = [d for d in before if not isinstance(d, int)]
    if len(others) == 1:
        return Step([], on(node, target.index(-1), len(target)))
    in_place = len(target) == len(before) and target[place.axis] == 1
    if in_place and len(others) == 2:
        return Step([WHOLE, ("joined", (1,))])
    return Step([WHOLE])
