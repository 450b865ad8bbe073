"""A new file's own loops, where ONNX has a node for their step and PyTorch has no layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rnnbench.formats.onnx.optimizing.branches import graphs_along, write_back
from rnnbench.formats.onnx.optimizing.passes import looped
from rnnbench.formats.onnx.optimizing.proving import Reference
from rnnbench.formats.onnx.optimizing.shapes import forget_shapes


def fuse_known_steps(proto: Any, folder: Path) -> Any | None:
    """The file with the node in the place of each such loop; None where there is none.

        Scan(h0, x: body of f = sigmoid(..); h + f * (tanh(.. f * h ..) - h))
            ->  GRU(x, W, R, B, lengths, h0, linear_before_reset=0)

    What is made is proved in float64 at several sizes, and left out where it is not the same; also
    where its matrices are mostly zeros (of units that see themselves alone: hidden numbers would be
    hidden * hidden).

    Args:
        proto: a ModelProto; it stays as it is.
        folder: for what may lie beside it.
    """
    made = type(proto)()
    made.CopyFrom(proto)
    graphs = graphs_along(made, (), folder)
    outcome = looped.find(graphs[-1], frozenset(), frozenset())
    if not outcome.places or outcome.exact or outcome.frozen:
        return None
    write_back(graphs)
    if _is_mostly_zeros(proto, made):
        return None
    forget_shapes(proto, made)
    proof = Reference(proto, folder, {}, outcome.likely).compare(made)
    return made if proof.ok else None


def _is_mostly_zeros(before: Any, made: Any) -> bool:
    """Whether the state of a new layer goes through a matrix of which most is zero."""
    from onnx import numpy_helper

    known = {node.name for node in before.graph.node}
    held = {tensor.name: tensor for tensor in made.graph.initializer}
    for node in made.graph.node:
        if node.op_type in ("RNN", "GRU", "LSTM") and node.name not in known:
            recurrent = numpy_helper.to_array(held[node.input[2]])
            if 2 * np.count_nonzero(recurrent) < recurrent.size:
                return True
    return False
