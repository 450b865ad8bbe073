"""Operators that onnx's own reference computes, at the version that a file asks for."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import onnx

from rnnbench.core.errors import RnnbenchError
from rnnbench.inspection.evaluation.nodes import Node, Operation, Values

_PARAMETERS = {"log": lambda *_: None, "verbose": 0, "new_ops": {}, "existing_functions": {}}


def leaf(node: Node) -> Operation:
    """What computes an operator.

    Raises:
        RnnbenchError: nobody knows it, or its attributes are none of its version.
    """
    try:
        schema = onnx.defs.get_schema(node.op, node.version, node.domain)
        kind = _implementation(node.op, node.version, node.domain)
    except Exception as error:
        raise _unknown(node) from error
    proto = node.precision.node(node.proto)
    try:
        instance = _of_version(kind, schema)(proto, {**_PARAMETERS, "opsets": {}})
    except Exception as error:
        raise RnnbenchError(
            f"{node.op} {node.name!r} is not as version {schema.since_version} of its operator "
            f"says: {error}"
        ) from error
    _widen(instance)

    def run(node: Node, inputs: Values) -> Values:
        return tuple(node.precision.cast(value) for value in instance.run(*inputs))

    return run


def _unknown(node: Node) -> RnnbenchError:
    return RnnbenchError(
        f"{node.op} {node.name!r} of domain {node.domain or 'ai.onnx'!r} (opset {node.version}) is "
        "an operator that rnnbench cannot evaluate: give a file without it"
    )


def _implementation(op: str, version: int, domain: str) -> Any:
    if domain == "ai.onnx.ml":
        from onnx.reference.ops.aionnxml import load_op as load_ml

        return load_ml(domain, op, version)
    from onnx.reference.ops import load_op

    return load_op(domain, op, version)


@cache
def _of_version(kind: Any, schema: Any) -> Any:
    """The same, with the defaults of the version: onnx's reference takes the newest's."""
    return type(kind.__name__, (kind,), {"op_schema": schema})


def _widen(instance: Any) -> None:
    """Attributes are float32 numbers: as Python's they do not make a product one of float32."""
    for name in instance.attributes_names_:
        value = getattr(instance, name)
        if isinstance(value, np.floating):
            setattr(instance, name, float(value))
        elif isinstance(value, list) and value and isinstance(value[0], np.floating):
            setattr(instance, name, [float(one) for one in value])
