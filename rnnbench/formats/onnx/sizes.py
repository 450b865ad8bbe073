"""Numbers that a module makes of its sizes, in ONNX as Python has them.

PyTorch's library (seen with onnxscript 0.7.2) computes them in float32, in which
`int(0.7 * 10 * n)` is 1 too small at some n, and rounds `//` towards zero.
"""

from __future__ import annotations

import builtins
import math
import operator
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from rnnbench.capture.operators.sizes import WHOLE, value_of
from rnnbench.formats.onnx.editing import Adder, replace

if TYPE_CHECKING:
    import torch

_INT, _DOUBLE = ir.DataType.INT64, ir.DataType.DOUBLE
_SAME = {
    operator.add: "Add",
    operator.sub: "Sub",
    operator.mul: "Mul",
    operator.pow: "Pow",
    operator.neg: "Neg",
    operator.truediv: "Div",
}
_ROUNDING = {math.ceil: "Ceil", math.floor: "Floor", builtins.round: "Round"}


class _NotThere(Exception):  # noqa: N818  (a reason to leave a number as it is)
    """A value that the optimizer took out, or an operator that is not known here."""


def round_to_whole(x: Any, digits: Any = None) -> Any:
    """`round(x)` of a size: ONNX rounds to the even one of two as well."""
    from onnxscript import opset18 as op

    return op.Cast(op.Round(x), to=_INT)


def exact_sizes(program: torch.onnx.ONNXProgram) -> None:
    """Computes whole numbers of a graph in float64, and divides them as Python does.

        n = Cast(Mul(Cast(size, FLOAT), 0.7), INT64)  ->  ... Cast(size, DOUBLE) ...
        n = Div(size - 9, 4)                          ->  Div(size - 9 - Mod(size - 9, 4), 4)

    Bodies of loops are left: their numbers are those of the graph around them.
    """
    graph = program.model.graph
    assert program.exported_program is not None
    values = {value.name: value for node in graph for value in node.outputs}
    for node in program.exported_program.graph.nodes:
        value = values.get(node.name)
        if node.op != "call_function" or value is None or value.producer() is None:
            continue
        if not (_rounds_a_fraction(node) or _divides_a_negative(node)):
            continue
        add = Adder(value.producer())  # type: ignore[arg-type]
        try:
            new = _whole(add, node, values)
        except _NotThere:
            continue
        replace(value, new)
        values[node.name] = new


def _rounds_a_fraction(node: Any) -> bool:
    return node.target in WHOLE and "Float" in type(value_of(node.args[0])).__name__


def _divides_a_negative(node: Any) -> bool:
    """Whether it is `a // b` of whole numbers of which `a` may be below 0."""
    if node.target is not operator.floordiv or "Int" not in type(node.meta["val"]).__name__:
        return False
    known = getattr(value_of(node.args[0]), "node", None)
    if known is None or known.shape_env is None:
        return True
    return not bool(known.shape_env.bound_sympy(known.expr).lower >= 0)


def _whole(add: Adder, node: Any, values: Mapping[str | None, ir.Value]) -> ir.Value:
    if node.target is operator.floordiv:
        a, b = (_leaf(add, given, values) for given in node.args)
        return add("Div", [add("Sub", [a, add("Mod", [a, b])]), b])
    x = _fraction(add, node.args[0], values)
    rounding = _ROUNDING.get(node.target)  # int(x) and math.trunc(x) do what a cast does
    return add("Cast", [add(rounding, [x]) if rounding else x], to=int(_INT))


def _fraction(add: Adder, given: Any, values: Mapping[str | None, ir.Value]) -> ir.Value:
    """A number in float64: of sizes, by the operators of Python."""
    if not hasattr(given, "op"):
        return add.constant(np.array(float(given)))
    if "Int" in type(value_of(given)).__name__:
        return add("Cast", [_leaf(add, given, values)], to=int(_DOUBLE))
    if "Float" not in type(value_of(given)).__name__ or given.op != "call_function":
        raise _NotThere
    parts = [_fraction(add, each, values) for each in given.args]
    if getattr(given.target, "__name__", "") == "sym_float":
        return parts[0]
    if given.target is operator.floordiv:
        return add("Floor", [add("Div", parts)])
    if given.target not in _SAME:
        raise _NotThere
    return add(_SAME[given.target], parts)


def _leaf(add: Adder, given: Any, values: Mapping[str | None, ir.Value]) -> ir.Value:
    """A whole number that the graph has."""
    if not hasattr(given, "op"):
        return add.constant(np.array(int(given)))
    found = values.get(given.name)
    if found is None:
        raise _NotThere
    return found
