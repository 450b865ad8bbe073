"""How the weights of two ONNX files differ; `inspect` compares their structure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

_VALUES = frozenset(
    {"value", "sparse_value", "value_float", "value_floats", "value_int", "value_ints"}
)
_NAMED = 3  # of the tensors that differ, in the table

Tensors = dict[str, np.ndarray[Any, Any]]


def weight_differences(a: Path, b: Path) -> list[tuple[str, str, str]]:
    """What differs in the numbers that two graphs hold: (what, in a, in b).

    Initializers and constants belong together by their names; what is left, in their order, where
    they have the same shapes.

    Raises:
        RnnbenchError: a tensor has no value.
    """
    left, right = read_weights(a), read_weights(b)
    pairs = {name: name for name in left if name in right}
    others = [n for n in left if n not in pairs], [n for n in right if n not in pairs]
    if [left[n].shape for n in others[0]] == [right[n].shape for n in others[1]]:
        pairs |= dict(zip(*others, strict=True))
        others = [], []
    rows = []
    off = {name: _distance(left[name], right[other]) for name, other in pairs.items()}
    off = {name: distance for name, distance in off.items() if distance}
    if off:
        what = f"weights: {len(off)} of {len(pairs)}, by {max(off.values()):.1e} at most"
        rows.append((what, _names(off), _names(pairs[name] for name in off)))
    if any(others):
        rows.append(("weights of other names", _names(others[0]), _names(others[1])))
    return rows


def read_weights(path: Path) -> Tensors:
    """The initializers and constants of a graph and its bodies, by name.

    What has the name of another one, in the other branch of an If, gets a number behind it. What
    is kept in fewer bits and computed back from constants is what it stands for, in float32, by the
    name of the value that is computed.

    Raises:
        RnnbenchError: a tensor has no value.
    """
    kept, others = _read(path)
    return {name: _as_numpy_has(array) for name, array in (others | kept).items()}


def kept_small(path: Path) -> frozenset[str]:
    """Which of `read_weights` the file keeps in fewer bits.

    Raises:
        RnnbenchError: a tensor has no value.
    """
    return frozenset(_read(path)[0])


def _read(path: Path) -> tuple[Tensors, Tensors]:
    """What is kept in fewer bits, and all else."""
    import onnx

    from rnnbench.core.errors import RnnbenchError, one_line
    from rnnbench.inspection.evaluation.weights import unused
    from rnnbench.inspection.fewer_bits import stood_for

    proto = onnx.load(str(path), load_external_data=False)
    found: Tensors = {}
    functions = (pair for function in proto.functions for pair in _constants(function.node))
    for name, tensor in (*_tensors(proto.graph), *functions):
        try:
            array = _array(tensor, str(path.parent))
        except Exception as error:
            raise RnnbenchError(
                f"{path} is damaged: {name!r} has no value ({one_line(error)})"
            ) from error
        if array is not None:
            found[unused(name, found)] = array
    kept, used = stood_for(proto.graph, found)
    return kept, {name: array for name, array in found.items() if name not in used}


def _as_numpy_has(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def _array(tensor: Any, folder: str) -> np.ndarray[Any, Any] | None:
    """The numbers of a tensor, a sparse one, or an attribute; None of a text."""
    import onnx

    from rnnbench.inspection.evaluation.weights import dense

    if isinstance(tensor, onnx.AttributeProto):
        found = np.asarray(onnx.helper.get_attribute_value(tensor))
        return found.astype(np.float32) if found.dtype.kind == "f" else found
    if isinstance(tensor, onnx.SparseTensorProto):
        return dense(tensor, onnx.numpy_helper.to_array(tensor.values, folder))
    if tensor.data_type == onnx.TensorProto.STRING:
        return None
    array: np.ndarray[Any, Any] = onnx.numpy_helper.to_array(tensor, folder)
    return array


def _tensors(graph: Any) -> Iterator[tuple[str, Any]]:
    for tensor in graph.initializer:
        yield tensor.name, tensor
    for sparse in graph.sparse_initializer:
        yield sparse.values.name, sparse
    yield from _constants(graph.node)


def _constants(nodes: Any) -> Iterator[tuple[str, Any]]:
    for node in nodes:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name in _VALUES:
                yield node.output[0], _value(attribute)
            for inner in ([attribute.g] if attribute.HasField("g") else []) + [*attribute.graphs]:
                yield from _tensors(inner)


def _value(attribute: Any) -> Any:
    """What a Constant is: a tensor, a sparse one, or the attribute with its numbers."""
    if attribute.HasField("t"):
        return attribute.t
    return attribute.sparse_tensor if attribute.HasField("sparse_tensor") else attribute


def _distance(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    """The largest absolute difference; infinite where shapes differ, or one has NaN alone."""
    if a.shape != b.shape:
        return float("inf")
    if not a.size or np.array_equal(a, b):
        return 0.0
    wide = a.astype(np.float64), b.astype(np.float64)
    same = (wide[0] == wide[1]) | (np.isnan(wide[0]) & np.isnan(wide[1]))
    with np.errstate(invalid="ignore"):
        apart = np.where(same, 0.0, np.abs(wide[0] - wide[1]))
    return float(np.where(np.isnan(apart), np.inf, apart).max())


def _names(given: Iterable[str]) -> str:
    names = list(given)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
