"""What C and C++ programs need to call the functions of a `model.h` by name.

Every name goes through `field_of`, as in `model.h` itself: it never becomes code.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rnnbench.core.bundle import Bundle
from rnnbench.core.dims import Dim, names_of, value_of
from rnnbench.core.errors import RnnbenchError
from rnnbench.embedding.literals import C_TYPES, c_string
from rnnbench.formats.c.fields import field_of

_DIMS = {
    "C_SIZES": "    int64_t {field};",
    "CPP_SIZES": "    std::int64_t {field} = {least};",
    "CPP_ALLOWED": "    if ({test}) throw std::invalid_argument({said});",
}
_INPUTS = {
    "C_INPUTS": "        .{field} = in[{index}].data,",
    "C_HELD": "    {type} {field}[{count}]; /* [{shape}] */",
    "C_HELD_INPUTS": "        .{field} = in.{field},",
    "CPP_INPUTS": "    Span<const {type}> {field};  // [{shape}]",
    "CPP_CHECKED": "    check({said}, inputs.{field}.size(), {elements});",
    "CPP_GIVEN": "        inputs.{field}.data(),",
    "CPP_IN": "        Array<{type}> {field};  // [{shape}]",
    "CPP_MAKE_IN": "        in.{field} = Array<{type}>(detail::count({elements}));",
    "CPP_IN_GIVEN": "            in.{field}.data(),",
    "CPP_ZERO": "        std::fill(in.{field}.begin(), in.{field}.end(), {type}({start}));",
    "CPP_HELD_INPUTS": "    inputs.{field} = {{in.{field}, {count}}};",
}
_OUTPUTS = {
    "C_OUTPUTS": "        .{field} = out[{index}].data,",
    "C_SHAPES": "    for (int d = 0; d < out[{index}].rank; d++) "
    "out[{index}].shape[d] = outputs.{field}_shape[d];",
    "C_HELD_OUTPUTS": "        .{field} = calloc(room[{index}], sizeof({type})),",
    "CPP_OUTPUTS": "    std::vector<{type}> {field};  // [{shape}]\n"
    "    std::array<std::int64_t, {rank}> {field}_shape{{}};",
    "CPP_MAKE": "    outputs.{field}.resize(room[{index}]);\n"
    "    made.{field} = outputs.{field}.data();\n"
    "    made.{field}_shape[0] = 1;  // stays, where it is one number",
    "CPP_MADE": "    outputs.{field}.resize(shaped(made.{field}_shape, outputs.{field}_shape));",
    "CPP_OUT": "        Array<{type}> {field};  // [{shape}]",
    "CPP_MAKE_OUT": "        out.{field} = Array<{type}>(room[{index}]);\n"
    "        made_.{field} = out.{field}.data();",
}
_LENGTHS = {
    "C_LENGTHS": "    for (int i = 0; i < {count}; i++) in.{field}[i] = {start};",
}
_STATES = {
    "C_HANDED": "        memcpy(in.{field}, outputs.{from_}, sizeof in.{field});",
    "CPP_HANDED": "        std::copy(out.{from_}.begin(), out.{from_}.end(), in.{field}.begin());",
}
"""Word -> the line of code that each dimension, input, output, ... has in it."""

_NAME = re.compile(r"[A-Za-z_]\w*")
_NO_SHAPE = re.compile(r"[^\w*+?, ]", re.ASCII)


@dataclass(frozen=True)
class _Axis:
    """An axis of an input whose size is no number."""

    input: int
    axis: int
    size: str
    name: str


def binding_words(bundle: Bundle, model: Mapping[str, Any]) -> dict[str, str]:
    """The words of the templates.

    Args:
        bundle: of the model.
        model: as `golden.describe_model` describes it; its dtypes are those of `C_TYPES`.

    Raises:
        RnnbenchError: the shapes of the inputs do not say how large a dimension is.
    """
    dims, states = bundle.dims, model["states"]
    steps = 1 if model["streams"] else 5
    sizes = {dim: at.fit(steps if dim == bundle.time_dim else 1) for dim, at in dims.items()}
    inputs = [_input(port, i, sizes, steps) for i, port in enumerate(model["inputs"])]
    outputs = [_port(port, i) for i, port in enumerate(model["outputs"])]
    lengths = [port for port in inputs if port["role"] == "lengths"]
    handed = [{"field": field_of(a), "from_": field_of(b)} for a, b in states.items()]
    words = {
        **_lines(_DIMS, [_dim(name, at) for name, at in dims.items()]),
        **_lines(_INPUTS, inputs),
        **_lines(_OUTPUTS, outputs),
        **_lines(_LENGTHS, lengths),
        **_lines(_STATES, handed),
    }
    fields = [field_of(dim) for dim in dims]
    x = next((port["field"] for port in inputs if port["role"] == "data"), inputs[0]["field"])
    return words | {
        "C_SIZES": words["C_SIZES"] or "    char none;",
        "C_MEASURES": "\n".join(_measures(dims, _axes(bundle))),
        "C_GIVEN": ", ".join(f"s->{field}" for field in fields),
        "C_BEHIND": "".join(f", s->{field}" for field in fields),
        "CPP_GIVEN_SIZES": ", ".join(f"sizes.{field}" for field in fields),
        "CPP_BEHIND": "".join(f", sizes.{field}" for field in fields),
        "CPP_BEHIND_": "".join(f", sizes_.{field}" for field in fields),
        "CPP_STEP": f"        sizes.{field_of(bundle.time_dim)} = 1;",
        "C_SOME": ", ".join(map(str, sizes.values())),
        "C_SOME_BEHIND": "".join(f", {size}" for size in sizes.values()),
        "C_STEP_BEHIND": "".join(f", {n}" for dim, n in sizes.items() if dim != bundle.time_dim),
        "C_X": x,
        "C_Y": outputs[0]["field"],
        "C_ROOMS": str(len(outputs)),
    }


def _lines(lines: Mapping[str, str], items: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    items = list(items)
    return {word: "\n".join(line.format(**item) for item in items) for word, line in lines.items()}


def _dim(name: str, sizes: Dim) -> dict[str, Any]:
    field = field_of(name)
    test = _refused(sizes, f"sizes.{field}")
    return {"field": field, "least": sizes.fit(1), "test": test, "said": _said(name, sizes)}


def _refused(sizes: Dim, name: str) -> str:
    """Whether a size is none that the dimension may have, in C."""
    unit = f" || {name} % {sizes.multiple_of} != 0" if sizes.multiple_of > 1 else ""
    return f"{name} < {sizes.fit(1)}{unit}"


def _said(name: str, sizes: Dim) -> str:
    return c_string(f"{name} must be {sizes}")


def _port(port: Mapping[str, Any], index: int) -> dict[str, Any]:
    return {
        "field": field_of(port["name"]),
        "index": index,
        "type": C_TYPES[port["dtype"]],
        "shape": _NO_SHAPE.sub("?", ", ".join(map(str, port["shape"]))),
        "rank": max(port.get("rank", 0), 1),
    }


def _input(
    port: Mapping[str, Any], index: int, sizes: Mapping[str, int], steps: int
) -> dict[str, Any]:
    """Besides, how many elements it has: in an example, and as an expression."""
    shape = port["shape"]
    names = {name: f"sizes.{field_of(name)}" for size in shape for name in names_of(size)}
    elements = [size if isinstance(size, int) else f"({_sized(size, names)})" for size in shape]
    return _port(port, index) | {
        "role": port["role"],
        "count": math.prod(value_of(size, sizes) for size in shape),
        "elements": " * ".join(map(str, elements)) or "1",
        "start": steps if port["role"] == "lengths" else 0,
        "said": c_string(f"{port['name']} must be [{', '.join(map(str, shape))}]"),
    }


def _axes(bundle: Bundle) -> list[_Axis]:
    return [
        _Axis(i, a, size, spec.name)
        for i, spec in enumerate(bundle.inputs)
        for a, size in enumerate(spec.shape)
        if isinstance(size, str)
    ]


def _sized(size: str, names: Mapping[str, str]) -> str:
    """A size such as `envs*time` as an expression of C."""
    return _NAME.sub(lambda found: names[found[0]], size)


def _measures(dims: Mapping[str, Dim], axes: list[_Axis]) -> Iterator[str]:
    """Statements that take each dimension from a shape, and compare all shapes with them.

    As `core.dims.solve` does: a size is linear in a dimension that it alone has.
    """
    names = {dim: f"s->{field_of(dim)}" for dim in dims}
    found = set[str]()
    while found != set(dims):
        known = len(found)
        for axis in axes:
            missing = [name for name in names_of(axis.size) if name not in found]
            if len(missing) == 1:
                (dim,) = missing
                test = _refused(dims[dim], names[dim])
                yield f"    {names[dim]} = {_solved(axis, dim, names)};"
                yield f"    if ({test}) return {_said(dim, dims[dim])};"
                found.add(dim)
        if len(found) == known:
            raise RnnbenchError(
                f"no input says how large {min(set(dims) - found)!r} is: export the model with an "
                "input that has it alone in a dimension, or take another --target"
            )
    for axis in axes:
        said = c_string(f"input {axis.name}: dimension {axis.axis} must be {axis.size}")
        size = _sized(axis.size, names)
        yield f"    if (in[{axis.input}].shape[{axis.axis}] != {size}) return {said};"


def _solved(axis: _Axis, dim: str, names: Mapping[str, str]) -> str:
    """The size of a dimension, where those of all others are set."""
    given = f"in[{axis.input}].shape[{axis.axis}]"
    if axis.size == dim:
        return given
    none, one = (_sized(axis.size, {**names, dim: number}) for number in ("0", "1"))
    return f"({given} - ({none})) / ({one} - ({none}))"
