"""Sizes that data say, beside a dimension: all of its steps, or one that PyTorch broadcasts.

`arange(max(lengths))` beside a sequence of `time` steps runs where it is `time` long, and where it
is one step long. torch.export takes it as `time` steps; here it keeps a size of its own:

    steps = arange(n)           [n]      n = max(lengths) == 1 ? 1 : time
    ended = steps >= lengths    [batch, n]
    y * ended                   [batch, time]: ended[batch, n == 1 ? 0 : i]
    ended.sum(1)                [batch]: n elements are added

Elementwise operators, sums, slices and views go by such sizes. A program in which another operator
is given such a value has all steps everywhere, as torch.export has it.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import sympy
import torch
from torch import fx

from rnnbench.formats.c.values import Index, Value, atom

if TYPE_CHECKING:
    from rnnbench.formats.c.writer import Writer

aten = torch.ops.aten


class NotBySizeError(Exception):
    """A program in which something that is one step or all goes where only all can go."""


class OneOrAll(sympy.Symbol):  # type: ignore[misc]
    """A size that data say: 1, or that of a dimension beside it."""


def said_by_data(writer: Writer, node: fx.Node, size: Any, said: str) -> OneOrAll:
    """Names a size that data say, which the program takes as a dimension.

    Args:
        writer: of the function.
        node: what reads it.
        size: the dimension.
        said: what data say, an expression of C.
    """
    sizes, read = writer.sizes, node.args[0]
    named = tuple(getattr(read, "kwargs", {}).items())
    key = (size, getattr(read, "target", read), getattr(read, "args", ()), named, node.args[1:])
    if key in writer.named_sizes:  # lengths.max() once more
        return writer.named_sizes[key]
    name = writer.fresh(f"{node.name}_or_all")
    writer.line(f"const int64_t {name} = {said} == 1 ? 1 : {sizes.text(size)};")
    writer.line(f"(void){name};")
    symbol = OneOrAll(name, integer=True, positive=True)
    sizes.names[symbol] = name
    sizes.bounds[symbol] = size
    writer.named_sizes[key] = symbol
    return symbol


def is_dimension(writer: Writer, size: Any) -> bool:
    """Whether a size is made of the model's dimensions alone."""
    return not isinstance(size, int) and size.free_symbols <= writer.sizes.fixed


def keep_said(writer: Writer, node: fx.Node) -> None:
    """Keeps what is computed of a size that data say as made of it: `n + 1`."""
    if node.target in (operator.add, operator.sub, operator.mul):
        args: list[Any] = [writer.said.get(a, writer.given(a)) for a in node.args]  # type: ignore[arg-type]
        if any(a in writer.said for a in node.args):
            writer.said[node] = node.target(*args)
    elif node.target is aten.sym_size.int:
        of, dim = node.args
        size = writer.values[of].sizes[dim]  # type: ignore[index]
        if isinstance(size, OneOrAll):
            writer.said[node] = size


def says_data(writer: Writer, args: Sequence[Any]) -> bool:
    """Whether one of the arguments is a size that is read from a tensor."""
    nodes = [a for a in args if isinstance(a, fx.Node)]
    free: list[Any] = [getattr(writer.given(a), "free_symbols", set()) for a in nodes]
    return any(n in writer.said or f - writer.sizes.fixed for n, f in zip(nodes, free, strict=True))


def as_said(writer: Writer, sizes: Sequence[Any], given: Any) -> tuple[Any, ...]:
    """Sizes of a program, those that a tensor says as such.

    Args:
        writer: of the function.
        sizes: those of the program.
        given: what says each of them there; a node, where it is not a number.
    """
    found = list(sizes)
    for n, node in enumerate(given):
        if isinstance(node, fx.Node) and isinstance(writer.said.get(node), OneOrAll):
            found[n] = writer.said[node]
    return tuple(found)


def beside(sizes: Sequence[Any], args: Sequence[Any]) -> tuple[Any, ...]:
    """The sizes of what broadcasts: as data say them where none of the arguments has all steps.

    Raises:
        NotBySizeError: two sizes of which each may be one or all meet.
    """
    found = list(sizes)
    for back in range(1, len(sizes) + 1):
        theirs = [a.sizes[-back] for a in args if isinstance(a, Value) and len(a.sizes) >= back]
        said = {s for s in theirs if isinstance(s, OneOrAll)}
        if len(said) > 1:
            raise NotBySizeError
        if said and all(s == 1 or s in said for s in theirs):
            found[-back] = said.pop()
    return tuple(found)


def broadcast(index: Index, sizes: Sequence[Any], value: Value) -> list[str]:
    """The indices of an argument for those of a result.

    Args:
        index: of the result.
        sizes: of the result; none where no size of the argument is one that data say.
        value: the argument.
    """
    rank = len(value.sizes)
    own = index[len(index) - rank :]
    whole = sizes[len(sizes) - rank :] if sizes else value.sizes
    return [_place(i, *pair) for i, *pair in zip(own, value.sizes, whole, strict=True)]


def _place(index: str, own: Any, whole: Any) -> str:
    if own == 1 or index == "0":
        return "0"
    if own != whole and isinstance(own, OneOrAll):
        return f"({own.name} == 1 ? 0 : {atom(index)})"
    return index


def all_sizes(writer: Writer, value: Value) -> tuple[Any, ...]:
    """The sizes of a value as the program has them."""
    bounds = writer.sizes.bounds
    return tuple(bounds[s] if isinstance(s, OneOrAll) else s for s in value.sizes)


def only_all(args: Any) -> None:
    """Makes sure of what an operator is given that does not go by sizes.

    Raises:
        NotBySizeError: some of it is one step or all.
    """
    for value in torch.utils._pytree.tree_leaves(args):
        if isinstance(value, Value) and any(isinstance(s, OneOrAll) for s in value.sizes):
            raise NotBySizeError
