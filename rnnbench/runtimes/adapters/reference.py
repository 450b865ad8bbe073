"""ONNX in its own reference evaluator, which shows and never judges.

It ignores `sequence_lens`, `clip`, and the activations of GRU and LSTM, so that it is wrong on
sound files; and it is slow.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.model import Arrays, Run
from rnnbench.runtimes.runtime import Runtime

if TYPE_CHECKING:
    from rnnbench.core.bundle import Bundle


def load(
    bundle: Bundle | None,
    path: Path | None,
    *,
    device: str = "cpu",
    threads: int | None = None,
    mode: str = "",
) -> Run:
    """The evaluator of the graph; a result that it cannot be trusted in says what it ignores.

    Raises:
        RnnbenchError: the file is damaged, or the evaluator does not have an operator.
    """
    import onnx
    from onnx.reference import ReferenceEvaluator

    try:
        proto = onnx.load(str(path))
        evaluator: Any = ReferenceEvaluator(proto)
    except Exception as error:  # a damaged protobuf raises several types
        raise RnnbenchError(
            f"{path} is not ONNX that the evaluator of onnx {onnx.__version__} loads "
            f"({one_line(error)}): export it again"
        ) from None
    ignored = _ignored(proto)
    names = [output.name for output in proto.graph.output]
    wanted = [value.name for value in proto.graph.input]

    def run(arrays: Arrays) -> Arrays:
        try:
            results = evaluator.run(None, {n: arrays[n] for n in wanted if n in arrays})
        except Exception as error:
            said = f"; it ignores {', '.join(ignored)}" if ignored else ""
            raise RnnbenchError(f"{one_line(error)}{said}") from None
        return dict(zip(names, results, strict=True))

    return run


def caveats(path: Path) -> tuple[str, ...]:
    """What of a graph the evaluator ignores."""
    import onnx

    return _ignored(onnx.load(str(path), load_external_data=False))


def _ignored(proto: Any) -> tuple[str, ...]:
    found: set[str] = set()
    for node in proto.graph.node:
        if node.op_type not in ("RNN", "GRU", "LSTM"):
            continue
        if len(node.input) > 4 and node.input[4]:
            found.add("sequence_lens")
        given = {attribute.name for attribute in node.attribute}
        found |= given & ({"clip"} if node.op_type == "RNN" else {"clip", "activations"})
    return tuple(sorted(found))


RUNTIME = Runtime(
    title="ONNX reference evaluator",
    formats=("onnx",),
    requires={"onnx": "onnx"},
    load=load,
    cost="slow",
    judge=False,
    caveats=caveats,
)
