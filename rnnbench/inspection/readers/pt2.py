"""`torch.export`'s archive: its program is JSON, of its weights only NaN is looked for.

The fields are those of torch/_export/serde/schema.py, tried with the files of torch 2.11 to 2.14;
archives up to torch 2.6, which had the same JSON under another name, are read as well.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rnnbench.core.errors import RnnbenchError
from rnnbench.inspection.program import Body, Carried, Dim, Node, Port, Program, Ref, Tensor, walk
from rnnbench.inspection.readers._archives import Archive, entries

_OLD = "serialized_exported_program.json"
_COMPILED = "data/aotinductor/"
_SYMBOL = re.compile(r"Symbol\('(\w+)'")
_DTYPES = {
    **{1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32"},
    **{8: "float64", 9: "complex32", 10: "complex64", 11: "complex128", 12: "bool"},
    **{13: "bfloat16", 28: "uint16", 29: "float8_e4m3fn", 30: "float8_e5m2"},
}


def recognises(path: Path) -> bool:
    """An archive with a serialised program, or a compiled one, in it."""
    names = entries(path)
    return bool(_programs(names)) or any(n.startswith(_COMPILED) for n in names)


def _programs(names: tuple[str, ...]) -> list[str]:
    models = [n for n in names if n.startswith("models/") and n.endswith(".json")]
    return sorted(models) or [n for n in names if n == _OLD]


def read(path: Path) -> Program:
    """Reads the program.

    Raises:
        RnnbenchError: the archive is damaged, holds several programs or only machine code.
    """
    archive = Archive(path)
    found = _programs(archive.names)
    if not found:
        raise RnnbenchError(
            f"{path} is an AOTInductor package, machine code that says nothing of its recurrences: "
            "inspect the .pt2 file that it was compiled from"
        )
    if len(found) > 1:
        raise RnnbenchError(f"{path} holds {len(found)} programs: save each in a file of its own")
    try:
        data = json.loads(archive.text(found[0]))
        return _program(path, data, archive)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise RnnbenchError(
            f"{path}: {found[0]} is no program that torch.export wrote "
            f"({type(error).__name__}: {error}): export it again"
        ) from None


def _program(path: Path, data: dict[str, Any], archive: Archive) -> Program:
    module = data["graph_module"]
    graph, signature = module["graph"], module["signature"]
    version = data.get("torch_version") or ""
    producer = f"torch {version}".strip()
    said: dict[str, Any] = {}
    if "extra/rnnbench" in archive.names:
        said = json.loads(archive.text("extra/rnnbench"))
        producer = f"rnnbench {said.get('version', '')} ({producer})"
    program = Program(path, "pt2", Body([]), producer=producer, size=path.stat().st_size)
    _note_values(program, graph)
    weights, users = _inputs(signature)
    files = _files(archive)
    for name, given in weights.items():
        shape = program.shapes.get(name, ())
        sizes = tuple(n for n in shape if isinstance(n, int))
        dtype = program.dtypes.get(name, "")
        entry = files.get(given, "")
        values = archive.whole_numbers(entry, dtype, 0, math.prod(sizes))
        program.constants[name] = Tensor(dtype, sizes, values, nans=archive.nans(entry, dtype))
    _name_dimensions(program, [program.shapes.get(name, ()) for name in users], said)
    program.inputs = tuple(_port(program, name) for name in users)
    program.graph = _body(program, graph)
    program.outputs = tuple(_port(program, name) for name in _outputs(signature))
    program.nodes = sum(1 for _ in walk(program.graph))
    for name, buffer in _mutated(signature):
        program.graph.nodes.append(Node("prim.SetAttr", buffer, [buffer, Ref(name)]))
    return program


def _name_dimensions(program: Program, inputs: list[tuple[Dim, ...]], said: dict[str, Any]) -> None:
    """Gives the symbols of torch.export the names that rnnbench's file says were declared."""
    declared = said.get("shapes") or []
    names = {
        symbol: str(name)
        for given, shape in zip(inputs, declared, strict=False)
        for symbol, name in zip(given, shape, strict=False)
        if isinstance(symbol, str) and isinstance(name, str)
    }
    for value, shape in program.shapes.items():
        program.shapes[value] = tuple(names.get(d, d) if isinstance(d, str) else d for d in shape)


def _port(program: Program, name: str) -> Port:
    return Port(name, program.dtypes.get(name, ""), program.shapes.get(name))


def _note_values(program: Program, graph: dict[str, Any], place: str = "") -> None:
    for name, meta in graph["tensor_values"].items():
        program.shapes[place + name] = tuple(_dim(size) for size in meta["sizes"])
        program.dtypes[place + name] = _DTYPES.get(meta["dtype"], "")


def _dim(size: dict[str, Any]) -> Dim:
    if "as_int" in size:
        return int(size["as_int"])
    text = str(size["as_expr"]["expr_str"])
    symbols = _SYMBOL.findall(text)
    return str(symbols[0]) if len(symbols) == 1 and text.startswith("Symbol(") else text


def _files(archive: Archive) -> dict[str, str]:
    """The name of a weight in the module -> the entry with its bytes."""
    found = {}
    for kind in ("weights", "constants"):
        for name in archive.names:
            if name.startswith(f"data/{kind}/") and name.endswith(f"_{kind}_config.json"):
                for weight, entry in json.loads(archive.text(name))["config"].items():
                    if not entry.get("use_pickle"):
                        found[str(weight)] = f"data/{kind}/{entry['path_name']}"
    return found


def _inputs(signature: dict[str, Any]) -> tuple[dict[str, str], list[str]]:
    """The names of the weights, with those that the module gives them, and of the inputs."""
    weights: dict[str, str] = {}
    users: list[str] = []
    for spec in signature["input_specs"]:
        (kind, content), *_ = spec.items()
        if kind == "user_input":
            users += _names(content["arg"])
        elif kind in ("parameter", "buffer", "tensor_constant"):
            weights[str(content["arg"]["name"])] = str(content.get(f"{kind}_name", ""))
    return weights, users


def _outputs(signature: dict[str, Any]) -> list[str]:
    specs = [spec["user_output"] for spec in signature["output_specs"] if "user_output" in spec]
    return [name for spec in specs for name in _names(spec["arg"])]


def _mutated(signature: dict[str, Any]) -> list[tuple[str, str]]:
    """(value, buffer that it is written to) of what the program changes in place."""
    specs = [
        spec["buffer_mutation"] for spec in signature["output_specs"] if "buffer_mutation" in spec
    ]
    return [(str(spec["arg"]["name"]), str(spec["buffer_name"])) for spec in specs]


def _names(argument: dict[str, Any]) -> list[str]:
    """The names of tensors in a serialised argument."""
    value = _argument(argument)
    return [str(v) for v in (value if isinstance(value, list) else [value]) if isinstance(v, Ref)]


def _argument(argument: Any) -> Any:
    """A serialised argument as a value, literal or list."""
    (kind, value), *_ = argument.items()
    return _ARGUMENTS[kind](value) if kind in _ARGUMENTS else value


def _tensors(values: list[Any]) -> list[Any]:
    return [Ref(v["name"]) if "name" in v else _argument(v) for v in values]


def _optional(value: Any) -> Any:
    return _argument(value) if isinstance(value, dict) else None


def _device(value: dict[str, Any]) -> str:
    index = value.get("index")
    return f"device:{value['type']}" + ("" if index is None else f":{index}")


def _nothing(value: Any) -> None:
    """Of a graph, too: whoever reads the node reads it as a body."""


def _symbolic(value: dict[str, Any]) -> Any:
    (kind, content), *_ = value.items()
    return Ref(content) if kind == "as_name" else content


def _symbolics(values: list[dict[str, Any]]) -> list[Any]:
    return [_symbolic(v) for v in values]


# What is not here is a literal: `as_int`, `as_float`, `as_string`, `as_ints` ...
_ARGUMENTS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("as_none", "as_graph"), _nothing),
    **dict.fromkeys(("as_tensor", "as_custom_obj"), lambda value: Ref(value["name"])),
    **dict.fromkeys(("as_tensors", "as_optional_tensors", "as_nested_tensors"), _tensors),
    **dict.fromkeys(("as_sym_int", "as_sym_bool", "as_sym_float"), _symbolic),
    **dict.fromkeys(("as_sym_ints", "as_sym_bools", "as_sym_floats"), _symbolics),
    "as_optional_tensor": _optional,
    "as_device": _device,
    "as_scalar_type": lambda value: f"dtype:{_DTYPES.get(value, value)}",
}


def _body(program: Program, graph: dict[str, Any], place: str = "") -> Body:
    """A graph; what is inside of a node has that node's place before its names."""
    nodes = [_node(program, node, place) for node in graph["nodes"]]
    inputs = [place + name for value in graph["inputs"] for name in _names(value)]
    outputs = [_placed(_argument(value), place) for value in graph["outputs"]]
    return Body(nodes, tuple(inputs), tuple(outputs))


def _node(program: Program, data: dict[str, Any], place: str) -> Node:
    target = str(data["target"]).removeprefix("torch.ops.")
    overload = ""
    if target.startswith("aten.") and target.count(".") == 2:
        target, _, overload = target.rpartition(".")
        target = target if target == "aten.copy_" else target.removesuffix("_")
    outputs = [name for value in data["outputs"] for name in _output_names(value)]
    node = Node(target, str(data.get("name") or (outputs or [target])[0]))
    node.outputs = tuple(place + name for name in outputs)
    if overload not in ("", "default"):
        node.attributes["overload"] = overload
    bodies: list[Body] = []
    for given in data["inputs"]:
        argument = given["arg"]
        if "as_graph" in argument:
            inner, inside = argument["as_graph"]["graph"], f"{place}{node.name}.{len(bodies)}."
            _note_values(program, inner, inside)
            bodies.append(_body(program, inner, inside))
        elif given.get("kind") == 2:  # by keyword
            node.attributes[given["name"]] = _placed(_argument(argument), place)
        else:
            node.args.append(_placed(_argument(argument), place))
    node.bodies = tuple(bodies)
    if target == "higher_order.scan" and bodies:
        _wire_scan(node)
    elif target == "higher_order.while_loop" and len(bodies) == 2:
        _wire_while(node)
    return node


def _placed(value: Any, place: str) -> Any:
    """The values in nested lists under names of their own: two loops call theirs the same."""
    if isinstance(value, Ref):
        return Ref(place + value)
    return [_placed(v, place) for v in value] if isinstance(value, list) else value


def _output_names(value: dict[str, Any]) -> list[str]:
    found = _argument(value)
    return [str(v) for v in (found if isinstance(found, list) else [found]) if isinstance(v, Ref)]


def _wire_scan(node: Node) -> None:
    """`scan(body, init, xs, additional)`; xs are walked along their first dimension."""
    init, xs, extra = (list(a or []) for a in node.args[:3])
    body = node.bodies[0]
    count = len(init)
    node.carried = tuple(
        Carried(*ports)
        for ports in zip(init, body.inputs, _flat(body.outputs), node.outputs, strict=False)
    )[:count]
    node.slices = tuple(zip(xs, body.inputs[count:], strict=False))
    node.attributes["passed"] = list(zip(extra, body.inputs[count + len(xs) :], strict=False))


def _wire_while(node: Node) -> None:
    """`while_loop(condition, body, carried, additional)`."""
    first, extra = (list(a or []) for a in node.args[:2])
    body = node.bodies[1]
    node.carried = tuple(
        Carried(*ports)
        for ports in zip(first, body.inputs, _flat(body.outputs), node.outputs, strict=False)
    )
    node.attributes["passed"] = list(zip(extra, body.inputs[len(first) :], strict=False))


def _flat(values: tuple[Any, ...]) -> list[Any]:
    return [v for value in values for v in (value if isinstance(value, list) else [value])]
