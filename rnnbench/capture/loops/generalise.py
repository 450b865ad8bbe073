"""Two traces at different lengths become one graph for any length.

Where the traces differ they differ in numbers, and each such number is the size of some tensor, or
a line through one. Which one is decided by both traces, and proved afterwards by running the graph.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from operator import attrgetter
from typing import Any

import torch
from torch import fx

from rnnbench.capture.graph_edit import number
from rnnbench.capture.loops.counting import count_steps, takes_a_count, tensor_form
from rnnbench.capture.loops.steps import arguments, map_leaves
from rnnbench.capture.source_lines import source_line
from rnnbench.core.errors import RnnbenchError

aten = torch.ops.aten

_LARGEST_STRIDE = 6
_ROUNDING = 1e-12


@dataclass(frozen=True)
class _Size:
    """A size that is a number in both traces, and differs."""

    node: fx.Node
    dim: int
    values: tuple[int, int]


def generalise_traces(shorter: fx.GraphModule, longer: fx.GraphModule) -> None:
    """Makes the graph of `shorter` right for any length.

    Of traces with 4 and 7 steps of an x [time, batch, 4]:

        4 steps                 7 steps                 any length

        arange(4)               arange(7)           ->  arange(sym_size(x, 0))
        select(cumsum, 0, 3)    select(cumsum, 0, 6)    select(cumsum, 0, -1)
        add(y, 8)               add(y, 14)              add(y, mul(sym_size(x, 0), 2))

    Raises:
        RnnbenchError: the traces differ in more than numbers, or in a number that is no size.
    """
    ours, theirs = list(shorter.graph.nodes), list(longer.graph.nodes)
    _same_structure(shorter, longer)
    sizes: list[_Size] = []
    for mine, other in zip(ours, theirs, strict=True):
        if mine.op == "call_function":
            _generalise_call(shorter.graph, mine, other, sizes)
        sizes += _sizes_of(mine, other)
    shorter.graph.lint()
    shorter.recompile()


def _product(
    graph: fx.Graph, before: fx.Node, values: tuple[int, int], sizes: list[_Size]
) -> fx.Node | None:
    """The number as a product of two sizes, as a flattened batch has.

    18 of 2 rows of 9 steps, 65 of 5 of 13  ->  sym_size(x, 0) * sym_size(x, 1)
    """
    for one, other in combinations(sizes, 2):
        products = tuple(a * b for a, b in zip(one.values, other.values, strict=True))
        if products == values and one.values != other.values:
            with graph.inserting_before(before):
                factors = [
                    graph.call_function(aten.sym_size.int, (s.node, s.dim)) for s in (one, other)
                ]
                return graph.call_function(operator.mul, tuple(factors))
    return None


def _whole_part(
    graph: fx.Graph, before: fx.Node, values: tuple[int, int], sizes: list[_Size]
) -> fx.Node:
    """The number as a part of a size, rounded down: `range(0, T, 2)` has (T + 1) // 2 steps.

    13 of 25 steps, 19 of 37  ->  (sym_size(x, 0) + 1) // 2
    """
    best: tuple[tuple[int, int, int], _Size, Fraction, int] | None = None
    for order, size in enumerate(sizes):
        scale = Fraction(values[1] - values[0], size.values[1] - size.values[0])
        if scale <= 0:
            continue
        # (p * size + offset) // q is the value for q offsets; that nearest to 0 is the likeliest.
        least = values[0] * scale.denominator - scale.numerator * size.values[0]
        offset = min(range(least, least + scale.denominator), key=abs)
        score = (scale.denominator, abs(offset), order)
        if best is None or score < best[0]:
            best = score, size, scale, offset
    if best is None or best[2].denominator > _LARGEST_STRIDE:
        raise _unlike(before)
    _, size, scale, offset = best
    with graph.inserting_before(before):
        node = graph.call_function(aten.sym_size.int, (size.node, size.dim))
        if scale.numerator != 1:
            node = graph.call_function(operator.mul, (node, scale.numerator))
        if offset:
            node = graph.call_function(operator.add, (node, offset))
        return graph.call_function(operator.floordiv, (node, scale.denominator))


def _same_structure(shorter: fx.GraphModule, longer: fx.GraphModule) -> None:
    ours, theirs = list(shorter.graph.nodes), list(longer.graph.nodes)
    for mine, other in zip(ours, theirs, strict=False):
        same = mine.op == other.op and str(mine.target) == str(other.target)
        if not same and not _same_constant((shorter, mine), (longer, other)):
            raise _unlike(other if mine.op == "output" else mine)
    if len(ours) != len(theirs):
        raise _unlike(ours[min(len(ours), len(theirs)) - 1])


def _same_constant(*read: tuple[fx.GraphModule, fx.Node]) -> bool:
    """Whether two nodes read equal tensors: a folded one is called by the number of its node."""
    if any(node.op != "get_attr" for _, node in read):
        return False
    a, b = (attrgetter(str(node.target))(module) for module, node in read)
    tensors = isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor)
    return tensors and a.dtype == b.dtype and torch.equal(a, b)


def _unlike(node: fx.Node) -> RnnbenchError:
    joined: Any = node.args[0] if node.target in (aten.stack.default, aten.cat.default) else None
    line = _line_near(joined[0] if joined else node)  # where a step was made, not where all ended
    return RnnbenchError(
        f"what the module does depends on the length in a way that is no loop over its steps"
        f"{' at ' + line if line else ''}: write it as tensor operations, or as a plain `for` over "
        "time whose steps do the same"
    )


def _line_near(node: fx.Node) -> str:
    """The line of a node; of one that a rewrite has made, that of the next one which has a line."""
    after = node
    while after.op != "root":
        if line := source_line(after):
            return line
        after = after.next
    return ""


def _sizes_of(mine: fx.Node, other: fx.Node) -> list[_Size]:
    a, b = mine.meta.get("val"), other.meta.get("val")
    if not isinstance(a, torch.Tensor) or not isinstance(b, torch.Tensor) or a.dim() != b.dim():
        return []
    pairs = [(number(p), number(q)) for p, q in zip(a.shape, b.shape, strict=True)]
    return [
        _Size(mine, dim, (p, q))
        for dim, (p, q) in enumerate(pairs)
        if p is not None and q is not None and p != q
    ]


def _generalise_call(graph: fx.Graph, mine: fx.Node, other: fx.Node, sizes: list[_Size]) -> None:
    values = arguments(other)
    if len(values) != len(arguments(mine)):
        raise _unlike(mine)
    rest = iter(enumerate(values))
    shares: set[int] = set()

    def change(value: Any) -> Any:
        place, longer = next(rest)
        if isinstance(value, fx.Node) or _equal(value, longer):
            return value
        if type(value) is float and type(longer) is float and _takes_a_tensor(mine, place):
            shares.add(place)
            return _share(graph, mine, (value, longer), sizes)
        if type(value) is not int or type(longer) is not int:
            raise _unlike(mine)
        if _is_last(mine, (value, longer), sizes):
            return -1  # which needs no size in the graph
        return _expression(graph, mine, (value, longer), sizes)

    changed = map_leaves(mine.args, change)
    if shares and mine.target is not count_steps:
        mine.target, changed = tensor_form(mine, changed)
    mine.args = changed
    mine.kwargs = map_leaves(dict(mine.kwargs), change)


def _takes_a_tensor(node: fx.Node, place: int) -> bool:
    return takes_a_count(node, place) or (node.target is count_steps and place < 2)


def _share(
    graph: fx.Graph, before: fx.Node, values: tuple[float, float], sizes: list[_Size]
) -> fx.Node:
    """A number made of one divided by a size, as a tensor [].

    0.25 of 4 steps, 0.1428... of 7 (`t / len(x)`, a mean)  ->  div(1.0, full([], sym_size(x, 0)))
    0.75 of 4 steps, 0.8571... of 7 (`1 - 1 / len(x)`)      ->  add(div(-1.0, ...), 1)
    """
    for size in sizes:
        for more in (0, -1, 1):  # steps, and what lies between them: t / (T - 1)
            counts = [v + more for v in size.values]
            if not all(counts):
                continue
            whole = (values[0] - values[1]) / (1 / counts[0] - 1 / counts[1])
            offset = values[0] - whole / counts[0]
            if not math.isclose(offset, round(offset), abs_tol=_ROUNDING * max(1, abs(whole))):
                continue
            value = before.meta.get("val")
            floating = isinstance(value, torch.Tensor) and value.is_floating_point()
            kind = {"dtype": value.dtype if floating else torch.get_default_dtype()}  # type: ignore[union-attr]
            with graph.inserting_before(before):
                call = graph.call_function
                count = call(aten.sym_size.int, (size.node, size.dim))
                count = call(operator.add, (count, more)) if more else count
                divisor = call(aten.full.default, ([], count), kind)
                share = call(aten.div.Tensor, (call(aten.full.default, ([], whole), kind), divisor))
                return call(aten.add.Tensor, (share, round(offset))) if round(offset) else share
    raise _unlike(before)


def _is_last(node: fx.Node, values: tuple[int, int], sizes: list[_Size]) -> bool:
    """Whether a number that varies is the index of a tensor's last step."""
    if node.target is not aten.select.int or node.args[2] != values[0]:
        return False
    ends = tuple(v + 1 for v in values)
    return _Size(node.args[0], node.args[1], ends) in sizes  # type: ignore[arg-type]


def _equal(a: Any, b: Any) -> bool:
    if type(a) is float and type(b) is float:  # a count's stride is known up to its rounding
        return math.isclose(a, b, rel_tol=_ROUNDING) or (math.isnan(a) and math.isnan(b))
    return bool(a == b)


def _expression(
    graph: fx.Graph, before: fx.Node, values: tuple[int, int], sizes: list[_Size]
) -> fx.Node:
    """The number as a size of an earlier tensor, moved and scaled as little as possible."""
    best: tuple[tuple[int, int, int], _Size, int, int] | None = None
    for order, size in enumerate(sizes):
        # The line through (size, value) of both traces: value = scale * size + offset.
        run = size.values[1] - size.values[0]
        scale, rest = divmod(values[1] - values[0], run)
        offset = values[0] - scale * size.values[0]
        if rest or scale == 0:  # not of whole numbers
            continue
        score = (abs(scale - 1), abs(offset), order)  # the size itself before all others
        if best is None or score < best[0]:
            best = score, size, scale, offset
    if best is None or best[3]:  # two sizes have grown: their product may be what it is
        product = _product(graph, before, values, sizes)
        if product is not None:
            return product
    if best is None:
        return _whole_part(graph, before, values, sizes)
    _, size, scale, offset = best
    with graph.inserting_before(before):
        node = graph.call_function(aten.sym_size.int, (size.node, size.dim))
        if scale != 1:
            node = graph.call_function(operator.mul, (node, scale))
        if offset:
            node = graph.call_function(operator.add, (node, offset))
    return node
