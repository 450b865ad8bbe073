"""Numbers and truths that are made of sizes, or read from a tensor."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import torch
from torch import fx

if TYPE_CHECKING:
    from rnnbench.formats.c.writer import Writer

aten = torch.ops.aten
ITEMS = (aten.item.default, aten._local_scalar_dense.default)

_INFIX = {
    operator.add: "+",
    operator.sub: "-",
    operator.mul: "*",
    operator.truediv: "/",
    operator.eq: "==",
    operator.ne: "!=",
    operator.lt: "<",
    operator.le: "<=",
    operator.gt: ">",
    operator.ge: ">=",
    operator.and_: "&&",
    operator.or_: "||",
}


_PREFIX = {
    torch.sym_float: "(double)",
    torch.sym_not: "!",
    operator.not_: "!",
    operator.neg: "-",
}


def scalar(writer: Writer, node: fx.Node) -> Any:
    """A number or a truth that is made of sizes, or of an element."""
    value = node.meta["val"]
    if isinstance(value, bool | float | int):
        return value
    target: Any = node.target
    if target in ITEMS:
        kind = "double" if isinstance(value, torch.SymFloat) else "int"
        name = writer.fresh(node.name)
        writer.line(f"const {kind} {name} = ({kind}){writer.single(writer.given(node.args[0]))};")
        return name
    args = [writer.number(writer.given(a)) for a in node.args]
    if target is operator.truediv:
        return f"((double){args[0]} / (double){args[1]})"
    if target in _INFIX:
        return f"({args[0]} {_INFIX[target]} {args[1]})"
    if target in (operator.pow, pow):
        return f"pow({args[0]}, {args[1]})"
    if target in _PREFIX:
        return f"({_PREFIX[target]}{args[0]})"
    name = getattr(target, "__name__", target)
    raise writer.refusal(node, f"{name} of sizes has no form in C yet")
