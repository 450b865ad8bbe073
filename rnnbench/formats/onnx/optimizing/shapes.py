"""The sizes that a file declares, where a rewrite has changed them."""

from __future__ import annotations

from typing import Any

from rnnbench.formats.onnx.inference import inferred
from rnnbench.formats.onnx.optimizing.graph import reads


def forget_shapes(before: Any, after: Any) -> None:
    """Takes away what is said of values behind new nodes; outputs get what ONNX infers.

    Args:
        before: a file.
        after: the same, rewritten: it is changed.
    """
    old = {n.name or n.output[0]: _of(n) for n in before.graph.node}
    changed: set[str] = set()
    for node in after.graph.node:
        is_new = old.get(node.name or node.output[0]) != _of(node)
        if is_new or any(name in changed for name in reads(node)):
            changed |= {o for o in node.output if o}
    kept = [v for v in after.graph.value_info if v.name not in changed]
    if len(kept) < len(after.graph.value_info):
        texts = [v.SerializeToString() for v in kept]
        del after.graph.value_info[:]
        for text in texts:
            after.graph.value_info.add().ParseFromString(text)
    outputs = [v for v in after.graph.output if v.name in changed or _is_open(v)]
    if outputs:
        _infer(after, outputs)


def _of(node: Any) -> tuple[Any, ...]:
    """What a node reads, and its bodies."""
    bodies = [a.SerializeToString(deterministic=True) for a in node.attribute if a.HasField("g")]
    return (*node.input, *bodies)


def _infer(after: Any, outputs: list[Any]) -> None:
    declared = {}
    for value in outputs:
        declared[value.name] = type(value)()
        declared[value.name].CopyFrom(value)
        value.type.tensor_type.ClearField("shape")
    known = {v.name: v.type.tensor_type for v in inferred(after).graph.output}
    for value in outputs:
        was = declared[value.name].type.tensor_type
        found = known.get(value.name)
        if found is None or not found.HasField("shape"):
            if was.HasField("shape"):  # as many dimensions, of any size
                for dim in was.shape.dim:
                    made = value.type.tensor_type.shape.dim.add()
                    if dim.dim_param:
                        made.dim_param = dim.dim_param
            continue
        value.type.tensor_type.shape.CopyFrom(found.shape)
        dims = list(value.type.tensor_type.shape.dim)
        same = len(dims) == len(was.shape.dim)
        for dim, old in zip(dims, was.shape.dim if same else (), strict=False):
            unknown = dim.dim_param.startswith("unk__") or not dim.WhichOneof("value")
            if unknown and old.dim_param:
                dim.dim_param = old.dim_param
            elif dim.dim_param.startswith("unk__"):
                dim.Clear()


def _is_open(value: Any) -> bool:
    """Whether nothing is said of a size."""
    return any(not dim.WhichOneof("value") for dim in value.type.tensor_type.shape.dim)


def forget_sizes(graph: Any) -> None:
    """Takes away all that a graph declares of the sizes of what it computes, but how many."""
    del graph.value_info[:]
    for value in graph.output:
        for dim in value.type.tensor_type.shape.dim:
            dim.Clear()
