"""Operators whose elements depend on the same element of their arguments."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx

from rnnbench.formats.c.sizes import size_of
from rnnbench.formats.c.values import C_TYPES, Block, Index, Value, atom, complete
from rnnbench.formats.c.writer import Writer, literal

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


def _call(name: str) -> Spelled:
    """`expf(x)` of floats, `exp(x)` of doubles."""

    def spelled(*given: str) -> str:
        *args, kind = given
        return f"{name}{'f' if kind == 'float' else ''}({', '.join(args)})"

    return spelled


def _own(name: str) -> Spelled:
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


# Most operations are of the type of their result, comparisons of that of their arguments.
_SAME: dict[str, Spelled] = {
    "neg": lambda a, t: f"-{atom(a)}",
    "abs": lambda a, t: (
        f"{'fabsf' if t == 'float' else 'fabs'}({a})"
        if t in ("float", "double")
        else f"({atom(a)} < 0 ? -{atom(a)} : {atom(a)})"
    ),
    "exp": _own("exp"),
    "exp2": _call("exp2"),
    "expm1": _call("expm1"),
    "log": _call("log"),
    "log2": _call("log2"),
    "log10": _call("log10"),
    "log1p": _call("log1p"),
    "sqrt": _call("sqrt"),
    "sin": _call("sin"),
    "cos": _call("cos"),
    "tan": _call("tan"),
    "asin": _call("asin"),
    "acos": _call("acos"),
    "atan": _call("atan"),
    "sinh": _call("sinh"),
    "cosh": _call("cosh"),
    "asinh": _call("asinh"),
    "acosh": _call("acosh"),
    "atanh": _call("atanh"),
    "erf": _call("erf"),
    "atan2": _call("atan2"),
    "hypot": _call("hypot"),
    "tanh": _own("tanh"),
    "sigmoid": _own("sigmoid"),
    "floor": _call("floor"),
    "ceil": _call("ceil"),
    "trunc": _call("trunc"),
    "round": _call("rint"),
    "rsqrt": lambda a, t: f"1 / {_call('sqrt')(a, t)}",
    "reciprocal": lambda a, t: f"1 / {atom(a)}",
    "square": lambda a, t: f"{atom(a)} * {atom(a)}",
    "relu": _choice("{a} < 0", "{zero}", "{a}"),
    "sign": lambda a, t: f"({t})(({atom(a)} > 0) - ({atom(a)} < 0))",
    "mul": _infix("*"),
    "bitwise_and": _infix("&"),
    "bitwise_or": _infix("|"),
    "bitwise_xor": _infix("^"),
    "maximum": _choice("{a} > {b} || {a} != {a}", "{a}", "{b}"),
    "minimum": _choice("{a} < {b} || {a} != {a}", "{a}", "{b}"),
    "fmax": _call("fmax"),
    "fmin": _call("fmin"),
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
    "isnan": lambda a, t: f"{atom(a)} != {atom(a)}",
    "isinf": lambda a, t: f"isinf({a}) != 0",
    "isfinite": lambda a, t: f"isfinite({a}) != 0",
}
_OVERLOADS = ("default", "Tensor", "Scalar", "other", "self")


def broadcast(index: Index, sizes: Sequence[Any], value: Value) -> list[str]:
    """The indices of an argument for those of a result."""
    own = index[len(index) - len(value.sizes) :]
    return ["0" if size == 1 else i for i, size in zip(own, value.sizes, strict=True)]


def shape_of(node: fx.Node) -> tuple[tuple[Any, ...], torch.dtype]:
    """The sizes and the type of a node's result."""
    value = node.meta["val"]
    return tuple(map(size_of, value.shape)), value.dtype


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
    for needed in (of, dtype):
        if needed not in C_TYPES:
            raise writer.refusal(node, f"{needed} has no form in C yet")
    kind = C_TYPES[of]
    cost = 1 + sum(a.cost for a in args if isinstance(a, Value) and not a.array)

    def at(index: Index, block: Block) -> str:
        key = (node, tuple(index))
        if key not in block.known:
            texts = []
            for arg in args:
                if isinstance(arg, Value):
                    text = arg.at(broadcast(index, sizes, arg), block)
                    texts.append(writer.cast(text, arg.dtype, of))
                else:
                    texts.append(_number(writer, arg, of))
            text = spelled(*texts, kind)
            narrow = kind in ("uint8_t", "int8_t", "int16_t", "int32_t")  # what C widens
            if of != dtype or narrow:
                text = writer.cast(f"({text})", torch.int64 if of == dtype else of, dtype)
            block.known[key] = block.hold(C_TYPES[dtype], text, node.name)
        return block.known[key]

    return Value(dtype, sizes, at, cost=cost)


def _number(writer: Writer, arg: Any, dtype: torch.dtype) -> str:
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


def _sum(sign: str) -> Any:
    def write(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
        alpha = named.get("alpha", 1)
        dtype = shape_of(node)[1]

        def spelled(a: str, b: str, t: str) -> str:
            more = f"{_number(writer, alpha, dtype)} * {atom(b)}" if alpha != 1 else atom(b)
            return f"{atom(a)} {sign} {more}"

        return pointwise(writer, node, args, spelled, dtype)

    return write


def _reversed_sub(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    spelled: Spelled = lambda a, b, t: f"{atom(b)} - {atom(a)}"  # noqa: E731
    return pointwise(writer, node, args, spelled, shape_of(node)[1])


def _div(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    mode = named.get("rounding_mode")
    dtype = shape_of(node)[1]

    def spelled(a: str, b: str, t: str) -> str:
        if mode is None:
            return f"{atom(a)} / {atom(b)}"
        if t in ("float", "double"):
            return _call("floor" if mode == "floor" else "trunc")(f"{atom(a)} / {atom(b)}", t)
        if mode == "floor":
            return f"({t})model_floor_div({a}, {b})"
        return f"{atom(a)} / {atom(b)}"

    return pointwise(writer, node, args[:2], spelled, dtype)


def _remainder(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    dtype = shape_of(node)[1]

    def spelled(a: str, b: str, t: str) -> str:
        if t in ("float", "double"):
            floor = _call("floor")(f"{atom(a)} / {atom(b)}", t)
            return f"{atom(a)} - {floor} * {atom(b)}"
        return f"({t})model_mod({a}, {b})"

    return pointwise(writer, node, args, spelled, dtype)


def _pow(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    base, exponent = args
    dtype = shape_of(node)[1]
    if isinstance(exponent, int | float) and exponent in (2, 3, 0.5, 1, -1):
        spelled = {
            2: lambda a, t: f"{atom(a)} * {atom(a)}",
            3: lambda a, t: f"{atom(a)} * {atom(a)} * {atom(a)}",
            0.5: _call("sqrt"),
            1: lambda a, t: a,
            -1: lambda a, t: f"1 / {atom(a)}",
        }[exponent]
        return pointwise(writer, node, [base], spelled, dtype)
    return pointwise(writer, node, args, _call("pow"), dtype)


def _where(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    test, yes, no = args
    sizes, dtype = shape_of(node)
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
                    text = _number(writer, arg, dtype)
                texts.append(atom(text))
            asked = atom(test.at(broadcast(index, sizes, test), block))
            text = f"{asked} ? {texts[0]} : {texts[1]}"
            block.known[key] = block.hold(C_TYPES[dtype], text, node.name)
        return block.known[key]

    return Value(dtype, sizes, at, cost=cost)


def _clamp(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    low = args[1] if len(args) > 1 else named.get("min")
    high = args[2] if len(args) > 2 else named.get("max")
    dtype = shape_of(node)[1]
    bounds = [b for b in (low, high) if b is not None]

    def spelled(*given: str) -> str:
        a, *texts, _ = given
        text = atom(a)
        if low is not None:
            b = atom(texts[0])
            text = f"({text} < {b} ? {b} : {text})"
        if high is not None:
            b = atom(texts[-1])
            text = f"({text} > {b} ? {b} : {text})"
        return text

    return pointwise(writer, node, [args[0], *bounds], spelled, dtype)


def _hardtanh(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    _, low, high = complete(args, 3, -1.0, 1.0)
    return _clamp(writer, node, [args[0], low, high], {})


def _leaky(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    slope = args[1] if len(args) > 1 else 0.01
    spelled: Spelled = lambda a, s, t: f"{atom(a)} > 0 ? {atom(a)} : {s} * {atom(a)}"  # noqa: E731
    return pointwise(writer, node, [args[0], slope], spelled, shape_of(node)[1])


def _elu(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    _, alpha, scale, inner = complete(args, 4, 1.0, 1.0, 1.0)
    dtype = shape_of(node)[1]
    one, two, three = (_number(writer, v, dtype) for v in (alpha, scale, inner))

    def spelled(a: str, t: str) -> str:
        a = atom(a)
        grown = _call("expm1")(f"{a} * {three}", t)
        return f"{a} > 0 ? {two} * {a} : {two} * {one} * {grown}"

    return pointwise(writer, node, [args[0]], spelled, dtype)


def _gelu(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    dtype = shape_of(node)[1]
    if named.get("approximate", "none") == "tanh":

        def spelled(a: str, t: str) -> str:
            a = atom(a)
            k, c = literal(math.sqrt(2 / math.pi), dtype), literal(0.044715, dtype)
            half, one = literal(0.5, dtype), literal(1.0, dtype)
            inner = _own("tanh")(f"{k} * ({a} + {c} * {a} * {a} * {a})", t)
            return f"{half} * {a} * ({one} + {inner})"
    else:

        def spelled(a: str, t: str) -> str:
            a = atom(a)
            inner = _call("erf")(f"{a} * {literal(math.sqrt(0.5), dtype)}", t)
            half, one = literal(0.5, dtype), literal(1.0, dtype)
            return f"{half} * {a} * ({one} + {inner})"

    return pointwise(writer, node, [args[0]], spelled, dtype)


def _as_type(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    given: Value = args[0]
    sizes, dtype = shape_of(node)
    if given.dtype == dtype:
        return given
    if dtype not in C_TYPES:
        raise writer.refusal(node, f"{dtype} has no form in C yet")

    def at(index: Index, block: Block) -> str:
        return writer.cast(given.at(index, block), given.dtype, dtype)

    return Value(dtype, sizes, at, cost=given.cost)


def _full(place: int) -> Any:
    """A constant tensor: the argument of that place, or 0 or 1."""

    def write(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
        sizes, dtype = shape_of(node)
        number = place if place < 0 else args[place]
        text = _number(writer, {-1: 0, -2: 1}.get(number, number) if place < 0 else number, dtype)
        return Value(dtype, sizes, lambda index, block: text)

    return write


def _arange(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    sizes, dtype = shape_of(node)
    start, step = (args[0] if len(args) > 1 else 0), (args[2] if len(args) > 2 else 1)
    kind = C_TYPES[dtype]

    def at(index: Index, block: Block) -> str:
        i = index[0] if step == 1 else f"{atom(index[0])} * {writer.number(step)}"
        if dtype.is_floating_point:
            i = f"(double){index[0]} * {writer.number(step)}"
        text = i if start == 0 else f"{writer.number(start)} + {i}"
        return f"({kind})({text})"

    return Value(dtype, sizes, at)


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
        aten.add.Tensor: _sum("+"),
        aten.add.Scalar: _sum("+"),
        aten.sub.Tensor: _sum("-"),
        aten.sub.Scalar: _sum("-"),
        aten.rsub.Scalar: _reversed_sub,
        aten.rsub.Tensor: _reversed_sub,
        aten.div.Tensor: _div,
        aten.div.Scalar: _div,
        aten.div.Tensor_mode: _div,
        aten.div.Scalar_mode: _div,
        aten.remainder.Tensor: _remainder,
        aten.remainder.Scalar: _remainder,
        aten.fmod.Tensor: _same(_call("fmod")),
        aten.fmod.Scalar: _same(_call("fmod")),
        aten.pow.Tensor_Scalar: _pow,
        aten.pow.Tensor_Tensor: _pow,
        aten.pow.Scalar: _pow,
        aten.where.self: _where,
        aten.where.ScalarOther: _where,
        aten.where.ScalarSelf: _where,
        aten.where.Scalar: _where,
        aten.clamp.default: _clamp,
        aten.clamp.Tensor: _clamp,
        aten.clamp_min.default: lambda w, n, a, k: _clamp(w, n, [a[0], a[1], None], k),
        aten.clamp_max.default: lambda w, n, a, k: _clamp(w, n, [a[0], None, a[1]], k),
        aten.hardtanh.default: _hardtanh,
        aten.leaky_relu.default: _leaky,
        aten.elu.default: _elu,
        aten.gelu.default: _gelu,
        aten._to_copy.default: _as_type,
        aten.to.dtype: _as_type,
        aten.clone.default: _as_type,
        aten.alias.default: _as_type,
        aten.detach.default: _as_type,
        aten.lift_fresh_copy.default: _as_type,
        aten.contiguous.default: _as_type,
        aten.full.default: _full(1),
        aten.full_like.default: _full(1),
        aten.new_full.default: _full(2),
        aten.scalar_tensor.default: _full(0),
        aten.zeros.default: _full(-1),
        aten.zeros_like.default: _full(-1),
        aten.new_zeros.default: _full(-1),
        aten.empty.memory_format: _full(-1),
        aten.empty_like.default: _full(-1),
        aten.new_empty.default: _full(-1),
        aten.empty_strided.default: _full(-1),
        aten.new_empty_strided.default: _full(-1),
        aten.ones.default: _full(-2),
        aten.ones_like.default: _full(-2),
        aten.new_ones.default: _full(-2),
        aten.fill.Scalar: _full(1),
        aten.arange.default: _arange,
        aten.arange.start: _arange,
        aten.arange.start_step: _arange,
        aten.copy.default: _copy,
    }
    return found


def _bitwise_not(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    dtype = shape_of(node)[1]
    spelled: Spelled = (
        (lambda a, t: f"{atom(a)} == 0") if dtype is torch.bool else (lambda a, t: f"~{atom(a)}")
    )
    return pointwise(writer, node, args, spelled, dtype)


def _copy(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    """`copy(x, y)`: y in the sizes and the type of x."""
    return pointwise(writer, node, [args[1]], lambda a, t: a, shape_of(node)[1])


OPERATORS = _operators()
