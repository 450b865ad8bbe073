"""Operators whose elements depend on the same element of their arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx

from rnnbench.formats.c.broadcasting import beside, broadcast
from rnnbench.formats.c.literals import literal
from rnnbench.formats.c.sizes import size_of
from rnnbench.formats.c.values import C_TYPES, Block, Index, Value, atom
from rnnbench.formats.c.writer import Writer

aten = torch.ops.aten

Spelled = Callable[..., str]
"""Arguments as expressions of the type that is computed in, and that type -> an expression."""


def _infix(sign: str) -> Spelled:
    return lambda a, b, t: f"{atom(a)} {sign} {atom(b)}"


def _comparison(sign: str) -> Spelled:
    """Whole numbers are what they are; compilers warn of `i != i`."""

    def spelled(a: str, b: str, t: str) -> str:
        if a == b and t not in ("float", "double"):
            return "1" if "=" in sign and sign != "!=" else "0"
        return f"{atom(a)} {sign} {atom(b)}"

    return spelled


def call(name: str) -> Spelled:
    """`expf(x)` of floats, `exp(x)` of doubles."""

    def spelled(*given: str) -> str:
        *args, kind = given
        return f"{name}{'f' if kind == 'float' else ''}({', '.join(args)})"

    return spelled


def own(name: str) -> Spelled:
    """A function of the file's own, for floats; of doubles that of C."""

    def spelled(*given: str) -> str:
        *args, kind = given
        return f"model_{name}{'f' if kind == 'float' else ''}({', '.join(args)})"

    return spelled


def _choice(test: str, yes: str, no: str) -> Spelled:
    def spelled(*given: str) -> str:
        *args, kind = given
        fill = {"a": atom(args[0]), "b": atom(args[1]) if len(args) > 1 else "", "t": kind}
        fill["one"] = "1.0f" if kind == "float" else "1"
        fill["zero"] = "0.0f" if kind == "float" else "0"
        return " ".join(p.format(**fill) for p in (test, "?", yes, ":", no))

    return spelled


def _larger(sign: str) -> Spelled:
    """The larger or the smaller one; of floats what is no number, where there is one."""
    of_floats = _choice(f"{{a}} {sign} {{b}} || {{a}} != {{a}}", "{a}", "{b}")
    of_others = _choice(f"{{a}} {sign} {{b}}", "{a}", "{b}")
    return lambda a, b, t: (of_floats if t in ("float", "double") else of_others)(a, b, t)


def _kind(text: str, of_others: str) -> Spelled:
    """Whether a float is of a kind; whole numbers all are, or none."""
    return lambda a, t: text.format(a=atom(a)) if t in ("float", "double") else of_others


# Most operations are of the type of their result, comparisons of that of their arguments.


_SAME: dict[str, Spelled] = {
    "neg": lambda a, t: f"-{atom(a)}",
    "abs": lambda a, t: (
        f"{'fabsf' if t == 'float' else 'fabs'}({a})"
        if t in ("float", "double")
        else f"({atom(a)} < 0 ? -{atom(a)} : {atom(a)})"
    ),
    "exp": own("exp"),
    "exp2": call("exp2"),
    "expm1": call("expm1"),
    "log": call("log"),
    "log2": call("log2"),
    "log10": call("log10"),
    "log1p": call("log1p"),
    "sqrt": call("sqrt"),
    "sin": call("sin"),
    "cos": call("cos"),
    "tan": call("tan"),
    "asin": call("asin"),
    "acos": call("acos"),
    "atan": call("atan"),
    "sinh": call("sinh"),
    "cosh": call("cosh"),
    "asinh": call("asinh"),
    "acosh": call("acosh"),
    "atanh": call("atanh"),
    "erf": call("erf"),
    "atan2": call("atan2"),
    "hypot": call("hypot"),
    "tanh": own("tanh"),
    "sigmoid": own("sigmoid"),
    "floor": call("floor"),
    "ceil": call("ceil"),
    "trunc": call("trunc"),
    "round": call("rint"),
    "rsqrt": lambda a, t: f"1 / {call('sqrt')(a, t)}",
    "reciprocal": lambda a, t: f"1 / {atom(a)}",
    "square": lambda a, t: f"{atom(a)} * {atom(a)}",
    "relu": _choice("{a} < 0", "{zero}", "{a}"),
    "sign": lambda a, t: f"({t})(({atom(a)} > 0) - ({atom(a)} < 0))",
    "mul": _infix("*"),
    "bitwise_and": _infix("&"),
    "bitwise_or": _infix("|"),
    "bitwise_xor": _infix("^"),
    "maximum": _larger(">"),
    "minimum": _larger("<"),
    "fmax": call("fmax"),
    "fmin": call("fmin"),
}


_COMPARED: dict[str, Spelled] = {
    "eq": _comparison("=="),
    "ne": _comparison("!="),
    "lt": _comparison("<"),
    "le": _comparison("<="),
    "gt": _comparison(">"),
    "ge": _comparison(">="),
    "logical_and": lambda a, b, t: f"{atom(a)} != 0 && {atom(b)} != 0",
    "logical_or": lambda a, b, t: f"{atom(a)} != 0 || {atom(b)} != 0",
    "logical_xor": lambda a, b, t: f"({atom(a)} != 0) != ({atom(b)} != 0)",
    "logical_not": lambda a, t: f"{atom(a)} == 0",
    "isnan": _kind("{a} != {a}", "0"),
    "isinf": _kind("isinf({a}) != 0", "0"),
    "isfinite": _kind("isfinite({a}) != 0", "1"),
}


_OVERLOADS = ("default", "Tensor", "Scalar", "other", "self")


def shape_of(node: fx.Node) -> tuple[tuple[Any, ...], torch.dtype]:
    """The sizes and the type of a node's result; of a complex one, that of its parts."""
    value = node.meta["val"]
    of_parts = torch.float32 if value.dtype is torch.complex64 else value.dtype
    return tuple(map(size_of, value.shape)), of_parts


def pointwise(
    writer: Writer, node: fx.Node, args: Sequence[Any], spelled: Spelled, of: torch.dtype
) -> Value:
    """A result whose elements are an expression of its arguments'.

    Args:
        writer: of the function.
        node: the call.
        args: values and numbers.
        spelled: the expression.
        of: the type in which it is computed.
    """
    sizes, dtype = shape_of(node)
    sizes = beside(sizes, args)
    for needed in (of, dtype):
        if needed not in C_TYPES:
            raise writer.refusal(node, f"{needed} has no form in C yet")
    kind = C_TYPES[of]
    cost = 1 + sum(a.cost for a in args if isinstance(a, Value) and not a.array)
    this = object()  # a node may have two: the parts of a complex number

    def at(index: Index, block: Block) -> str:
        key = (this, tuple(index))
        if key not in block.known:
            texts = []
            for arg in args:
                if isinstance(arg, Value):
                    text = arg.at(broadcast(index, sizes, arg), block)
                    texts.append(writer.cast(text, arg.dtype, of))
                else:
                    texts.append(number_of(writer, arg, of))
            text = spelled(*texts, kind)
            narrow = kind in ("uint8_t", "int8_t", "int16_t", "int32_t")  # what C widens
            if of != dtype or narrow:
                text = writer.cast(f"({text})", torch.int64 if of == dtype else of, dtype)
            block.known[key] = block.hold(C_TYPES[dtype], text, node.name)
        return block.known[key]

    return Value(dtype, sizes, at, cost=cost)


def number_of(writer: Writer, arg: Any, dtype: torch.dtype) -> str:
    """A number as an expression of a type."""
    if isinstance(arg, bool | int | float):
        return literal(arg, dtype)
    return f"({C_TYPES[dtype]})({writer.number(arg)})"


def _of_arguments(node: fx.Node) -> torch.dtype:
    """The type in which arguments are compared."""
    given: list[Any] = [a.meta["val"] if isinstance(a, fx.Node) else a for a in node.args[:2]]
    numbers: dict[Any, Any] = {torch.SymInt: 1, torch.SymFloat: 1.0, torch.SymBool: True}
    given = [numbers.get(type(v), v) for v in given]
    dtype: torch.dtype = given[0].dtype if len(given) == 1 else torch.result_type(*given)
    return dtype


def _same(spelled: Spelled) -> Any:
    def write(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
        return pointwise(writer, node, args, spelled, shape_of(node)[1])

    return write


def _compared(spelled: Spelled) -> Any:
    def write(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
        return pointwise(writer, node, args, spelled, _of_arguments(node))

    return write


def _where(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    test, yes, no = args
    sizes, dtype = shape_of(node)
    sizes = beside(sizes, args)
    cost = 1 + sum(a.cost for a in args if isinstance(a, Value) and not a.array)

    def at(index: Index, block: Block) -> str:
        key = (node, tuple(index))
        if key not in block.known:
            texts = []
            for arg in (yes, no):
                if isinstance(arg, Value):
                    text = arg.at(broadcast(index, sizes, arg), block)
                    text = writer.cast(text, arg.dtype, dtype)
                else:
                    text = number_of(writer, arg, dtype)
                texts.append(atom(text))
            text = texts[0]
            if texts[1] != text:
                asked = atom(test.at(broadcast(index, sizes, test), block))
                text = f"{asked} ? {text} : {texts[1]}"
            block.known[key] = block.hold(C_TYPES[dtype], text, node.name)
        return block.known[key]

    return Value(dtype, sizes, at, cost=cost)


def _operators() -> dict[Any, Any]:
    found: dict[Any, Any] = {}

    def add(name: str, write: Any) -> None:
        packet = getattr(aten, name, None)
        for overload in packet.overloads() if packet else ():
            if overload.split("_")[0] in _OVERLOADS and "out" not in overload:
                found[getattr(packet, overload)] = write

    for name, spelled in _SAME.items():
        add(name, _same(spelled))
    for name, spelled in _COMPARED.items():
        add(name, _compared(spelled))
    for name in ("isnan", "isinf", "isfinite", "logical_not"):
        add(name, _compared(_COMPARED[name]))
    add("bitwise_not", _bitwise_not)
    found |= {
        aten.fmod.Tensor: _same(call("fmod")),
        aten.fmod.Scalar: _same(call("fmod")),
        aten.where.self: _where,
        aten.where.ScalarOther: _where,
        aten.where.ScalarSelf: _where,
        aten.where.Scalar: _where,
    }
    return found


def _bitwise_not(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    dtype = shape_of(node)[1]
    spelled: Spelled = (
        (lambda a, t: f"{atom(a)} == 0") if dtype is torch.bool else (lambda a, t: f"~{atom(a)}")
    )
    return pointwise(writer, node, args, spelled, dtype)


OPERATORS = _operators()
