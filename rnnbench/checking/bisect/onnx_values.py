"""An ONNX file with every value on the way made an output, and what its nodes say of themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.temporary import temporary_folder

if TYPE_CHECKING:
    import onnx

MODULE, SOURCE = "rnnbench.module", "rnnbench.source"  # see rnnbench.formats.onnx.graph
RECURRENT = ("RNN", "GRU", "LSTM", "Scan", "Loop")


@dataclass(frozen=True)
class Node:
    """A node of the outermost graph.

    Attributes:
        name: its name, or that of its first output.
        kind: the operator.
        inputs: the values that it reads, those of its bodies included.
        outputs: the values that it computes.
        weights: the initializers among its inputs.
        module: the submodule's path in the PyTorch model, where the file says it.
        source: `file:line` of the model's code, where the file says it.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: tuple[str, ...]
    module: str
    source: str


def read(path: Path) -> onnx.ModelProto:
    """The file.

    Raises:
        RnnbenchError: it is no ONNX, truncated, or lacks its external data.
    """
    import onnx

    try:
        model = onnx.load(str(path))
    except Exception as error:  # protobuf, the operating system and onnx raise types of their own
        raise RnnbenchError(
            f"{path} is no ONNX file that can be read ({one_line(error)}): export it again"
        ) from None
    if not model.graph.node:
        raise RnnbenchError(f"{path} holds no graph: give an .onnx file")
    return model


def list_nodes(model: onnx.ModelProto) -> list[Node]:
    """The nodes of the outermost graph in their order, which is an order of computation."""
    held = {tensor.name for tensor in model.graph.initializer}
    return [_described(node, held) for node in model.graph.node]


@contextmanager
def every_value(model: onnx.ModelProto) -> Iterator[Path]:
    """A temporary file with the same graph, all of whose values are outputs."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    present = {output.name for output in copy.graph.output}
    for node in copy.graph.node:
        for name in node.output:
            if name and name not in present:
                copy.graph.output.append(onnx.ValueInfoProto(name=name))
                present.add(name)
    with temporary_folder() as folder:
        path = Path(folder) / "probe.onnx"
        onnx.save(copy, str(path), save_as_external_data=copy.ByteSize() > 2**30)
        yield path


def _described(node: onnx.NodeProto, held: set[str]) -> Node:
    said = {entry.key: entry.value for entry in node.metadata_props}
    inputs = tuple(dict.fromkeys(_reads(node)))
    weights = tuple(name for name in inputs if name in held)
    name = node.name or next(iter(node.output), "")
    outputs = tuple(filter(None, node.output))
    place = said.get(MODULE, ""), said.get(SOURCE, "")
    return Node(name, node.op_type, inputs, outputs, weights, *place)


def _reads(node: Any) -> Iterator[str]:
    yield from filter(None, node.input)
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from _reads(inner)
