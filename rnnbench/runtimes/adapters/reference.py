"""ONNX in its own reference evaluator, which shows and never judges.

It is wrong on sound files (`GAPS` says on which), and it is slow.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.gaps import LAYERS, seen
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
    """The evaluator of the graph.

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
    names = [output.name for output in proto.graph.output]
    wanted = [value.name for value in proto.graph.input]

    def run(arrays: Arrays) -> Arrays:
        try:
            results = evaluator.run(None, {n: arrays[n] for n in wanted if n in arrays})
        except Exception as error:
            raise RnnbenchError(one_line(error)) from None
        return dict(zip(names, results, strict=True))

    return run


_SEEN = "the evaluator of onnx 1.23.2"
GAPS = (
    *seen(_SEEN, "activations", refused=("RNN",), wrong=("GRU", "LSTM")),
    *seen(_SEEN, "activation_alpha", refused=("RNN",), wrong=("GRU", "LSTM")),
    *seen(_SEEN, "clip", wrong=LAYERS),
    *seen(_SEEN, "sequence_lens", wrong=LAYERS),
    *seen(_SEEN, "input_forget", wrong=("LSTM",)),
)

RUNTIME = Runtime(
    title="ONNX reference evaluator",
    formats=("onnx",),
    requires={"onnx": "onnx"},
    load=load,
    cost="slow",
    judge=False,
    gaps=GAPS,
)
