"""ONNX in OpenCV's dnn module: its new engine takes any shape, and knows no Scan."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.gaps import seen
from rnnbench.core.model import Arrays, Run
from rnnbench.formats.onnx.profile import filling
from rnnbench.runtimes.adapters._by_shape import by_shape
from rnnbench.runtimes.runtime import Runtime, Timing
from rnnbench.runtimes.timed import (
    Source,
    TimedCall,
    path_of,
)

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
    """The graph; `threads` is OpenCV's number for the whole process.

    Raises:
        RnnbenchError: the file is damaged, or OpenCV cannot read or run it.
    """
    assert path is not None
    if mode != "pinned":
        return Net(path, threads)
    return by_shape(lambda shapes: Net(path, threads, dict(shapes)))


class Net:
    """A graph that is ready to run.

    Attributes:
        net: OpenCV's.
        outputs: the names.
    """

    def __init__(
        self, path: Path, threads: int | None = None, shapes: dict[str, Any] | None = None
    ) -> None:
        import cv2
        import numpy as np
        import onnx

        if threads is not None:
            cv2.setNumThreads(threads)
        try:
            if shapes is not None:
                from rnnbench.formats.onnx.profiles import pinned

                proto = pinned(path, shapes)
                given: Any = np.frombuffer(proto.SerializeToString(), np.uint8)
            else:
                proto = onnx.load(str(path), load_external_data=False)
                given = str(path)
            with _quiet():
                self.net: Any = cv2.dnn.readNetFromONNX(given)
        except RnnbenchError:
            raise
        except Exception as error:  # its own, and protobuf's
            raise RnnbenchError(
                f"{path} is not ONNX that OpenCV {cv2.__version__} reads ({_cause(error)}): "
                "export with --for opencv, and --pin for a loop"
            ) from None
        self.inputs = [value.name for value in proto.graph.input]
        self.outputs = [value.name for value in proto.graph.output]

    def feed(self, arrays: Arrays) -> None:
        """Sets the inputs."""
        import numpy as np

        for name in self.inputs:
            self.net.setInput(np.ascontiguousarray(arrays[name]), name)

    def __call__(self, arrays: Arrays) -> Arrays:
        """Computes once."""
        import numpy as np

        with _quiet():
            try:
                self.feed(arrays)
                results = self.net.forward(self.outputs)
            except Exception as error:
                raise RnnbenchError(_cause(error)) from None
        return {n: np.array(r) for n, r in zip(self.outputs, results, strict=True)}


@contextmanager
def _quiet() -> Iterator[None]:
    """Its log repeats on stderr what it raises."""
    from cv2.utils import logging

    level = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        logging.setLogLevel(level)


def _cause(error: BaseException) -> str:
    """The last of its errors, which is the first thing that went wrong, without sources."""
    said = " ".join(str(error).split())
    node = re.search(r"Node \[(\w+)@", said)
    last = re.sub(r"^\([^)]*\) ?", "", said.split("error: ")[-1])
    last = re.sub(r" in function '\w+'[ >]*$", "", last) or one_line(error)
    return f"{node[1]}: {last}" if node else last


def prepare(source: Source, arrays: Arrays, device: str, threads: int, mode: str = "") -> TimedCall:
    """A net; a call sets its inputs, or it would know that there is nothing to compute."""
    import numpy as np

    net = Net(path_of(source), threads)
    given = [(np.ascontiguousarray(arrays[name]), name) for name in net.inputs]
    set_input, forward, outputs = net.net.setInput, net.net.forward, net.outputs

    def run() -> Any:
        for array, name in given:
            set_input(array, name)
        return forward(outputs)

    def read(returned: Any) -> Arrays:
        return {n: np.array(r) for n, r in zip(outputs, returned, strict=True)}

    return TimedCall(run, read)


_SEEN = "OpenCV 5.0.0"
GAPS = (
    *seen(_SEEN, "", refused=("RNN",), rewrite="turn_into_gru"),
    *seen(_SEEN, "no B", refused=("LSTM",), rewrite="make_explicit_biases"),
    *seen(_SEEN, "direction=reverse", wrong=("GRU", "LSTM"), rewrite="turn_forward"),
    *seen(_SEEN, "activations", refused=("RNN",), rewrite="turn_into_scan"),
    *seen(_SEEN, "activations", refused=("GRU", "LSTM")),
    *seen(_SEEN, "activation_alpha", refused=("GRU", "LSTM")),
    *seen(_SEEN, "clip", wrong=("GRU", "LSTM")),
    *seen(_SEEN, "layout", refused=("GRU", "LSTM")),
    *seen(_SEEN, "sequence_lens", wrong=("GRU", "LSTM"), rewrite="drop_lengths"),
    *seen(_SEEN, "input_forget", wrong=("LSTM",)),
    *seen(_SEEN, "P", wrong=("LSTM",), rewrite="write_out_peepholes"),
)

RUNTIME = Runtime(
    title="OpenCV",
    formats=("onnx", "portable"),
    requires={"cv2": "opencv-python-headless"},
    load=load,
    modes=("pinned",),  # the file is read again for each shape of the inputs
    cost="extra",
    engine=True,
    packages=("opencv-python-headless",),
    coarseness=2.0,  # its tanh is off by up to 1.3e-7
    gaps=GAPS,
    profile=filling(
        GAPS,
        always=("make_explicit_states", "make_explicit_values", "split_directions"),
        once_pinned=("unroll_scans",),
        last=("name_outputs",),
    ),
    timing=Timing("onnx", prepare, rewritten="pinned"),
)
