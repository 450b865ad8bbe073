"""Operators that onnx's own reference computes, at the version that a file asks for."""

from __future__ import annotations

import inspect
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import onnx
from onnx.reference.op_run import OpRun

from rnnbench.core.errors import RnnbenchError
from rnnbench.inspection.evaluation.float32_names import without_float32
from rnnbench.inspection.evaluation.nodes import Node, Operation, Values

_PACKAGES = {
    "": "onnx.reference.ops",
    "ai.onnx.ml": "onnx.reference.ops.aionnxml",
}
_RENAMED = {"Scatter": "ScatterElements"}
_RENAMED_VALUES = {  # in GridSample 20
    ("GridSample", "bilinear"): "linear",
    ("GridSample", "bicubic"): "cubic",
}
_WITHOUT_EFFECT = frozenset({"consumed_inputs"})
_PARAMETERS = {"log": lambda *_: None, "verbose": 0, "new_ops": {}, "existing_functions": {}}


def leaf(node: Node) -> Operation:
    """What computes an operator.

    Raises:
        RnnbenchError: nobody knows it, or its attributes are none of its version.
    """
    try:
        schema = onnx.defs.get_schema(node.op, node.version, node.domain)
        name = _RENAMED.get(node.op, node.op)
        kind = import_module(_PACKAGES[node.domain]).load_op(node.domain, name, node.version)
    except Exception as error:  # of types that differ between versions of onnx
        raise _unknown(node) from error
    try:
        instance = _made(kind, schema, node)
    except Exception as error:
        raise RnnbenchError(
            f"{node.op} {node.name!r} is not as version {schema.since_version} of its operator "
            f"says: {error}"
        ) from error

    def run(node: Node, inputs: Values) -> Values:
        return tuple(node.precision.cast(value) for value in instance.run(*inputs))

    return run


def _unknown(node: Node) -> RnnbenchError:
    return RnnbenchError(
        f"{node.op} {node.name!r} of domain {node.domain or 'ai.onnx'!r} (opset {node.version}) is "
        "an operator that rnnbench cannot evaluate: give a file without it"
    )


def _made(kind: Any, schema: Any, node: Node) -> Any:
    """An instance of onnx's class of the operator, with what it takes of the attributes.

    onnx's own takes the newest version's defaults. Here they are those of the version of the file,
    and the newest's of what that did not know. Attributes of a node are float32 numbers, and
    Python's here: a product of two would be one of float32.

    Raises:
        ValueError: the node has an attribute that the class does not know.
    """
    if node.precision.dtype == np.float64:
        kind = without_float32(kind)
    instance = _of_version(kind, schema)(node.precision.node(node.proto), _parameters())
    taken = inspect.signature(kind._run).parameters
    if kind.run is OpRun.run and not any(p.kind is p.VAR_KEYWORD for p in taken.values()):
        unknown = {name for name in instance.attributes_names_ if name not in taken}
        if wrong := sorted(unknown & {*node.attributes} - _WITHOUT_EFFECT):
            raise ValueError(f"attribute {wrong[0]!r} is not evaluated")
        instance.attributes_names_ -= unknown
        _add_newer(instance, taken, node)
    for name in instance.attributes_names_:
        value = _widened(getattr(instance, name))
        value = _RENAMED_VALUES.get((node.op, value), value) if isinstance(value, str) else value
        setattr(instance, name, node.precision.type_attribute(node.op, name, value))
    return instance


def _add_newer(instance: Any, taken: Any, node: Node) -> None:
    """Attributes that a later version of the operator brought, with their defaults."""
    newest = onnx.defs.get_schema(node.op, domain=node.domain)
    for name, attribute in newest.attributes.items():
        default = attribute.default_value
        if name in taken and name not in instance.attributes_names_ and default.name:
            value = onnx.helper.get_attribute_value(default)
            setattr(instance, name, value.decode() if isinstance(value, bytes) else value)
            instance.attributes_names_.add(name)


def _parameters() -> dict[str, Any]:
    return {**_PARAMETERS, "opsets": {}}


@cache
def _of_version(kind: Any, schema: Any) -> Any:
    return type(kind.__name__, (kind,), {"op_schema": schema})


def _widened(value: Any) -> Any:
    if isinstance(value, np.floating):
        return float(value)
    if isinstance(value, list):
        return [_widened(one) for one in value]
    return value
