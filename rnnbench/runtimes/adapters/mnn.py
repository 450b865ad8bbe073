"""ONNX in MNN, which converts it first; it prints what is wrong instead of raising.

The converter is called as the extension module that it is: the package around it, `MNN.tools`,
installs a logging service's client when it is imported, and sends it what was converted.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.gaps import LAYERS, seen
from rnnbench.core.model import Arrays, Run
from rnnbench.core.operators import WrongOperator, refuse_operators
from rnnbench.core.temporary import temporary_folder
from rnnbench.formats.onnx.profile import filling
from rnnbench.runtimes.adapters._by_shape import by_shape, load_pinned
from rnnbench.runtimes.runtime import Runtime, Timing
from rnnbench.runtimes.timed import (
    Source,
    TimedCall,
    path_of,
)

if TYPE_CHECKING:
    import numpy as np

    from rnnbench.core.bundle import Bundle


OPERATORS = (
    WrongOperator(
        *("QuantizeLinear", "MNN 3.6.1"),
        "leaves out without a word: nothing is rounded, or kept within its range",
    ),
)
"""findings/mnn_leaves_rounding_out.sh"""

# Without the first, layers become While loops, which are wrong for more than one row. The second
# is the converter's guess for a dynamic first dimension: 1 makes it drop the loop of an LSTM.
_FLAGS = ("--useOriginRNNImpl", "--batch=2")
_LOCK = threading.Lock()  # what it says goes through the process's own stdout


def load(
    bundle: Bundle | None,
    path: Path | None,
    *,
    device: str = "cpu",
    threads: int | None = None,
    mode: str = "",
) -> Run:
    """The converted graph, in MNN's high precision, which is float32.

    It has no int64: such inputs go in as int32, and outputs come back as the file declares them.

    Raises:
        RnnbenchError: the file is damaged, or MNN cannot convert or run it.
    """
    assert path is not None
    if mode != "pinned":
        return Net(path, threads)
    return by_shape(lambda shapes: load_pinned(path, shapes, lambda file: Net(file, threads)))


class Net:
    """A graph that is ready to run.

    Attributes:
        inputs: the names of those that it uses.
        outputs: name -> dtype, as the ONNX file says.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        import onnx

        try:
            proto = onnx.load(str(path), load_external_data=False)
        except Exception as error:  # protobuf's
            raise RnnbenchError(
                f"{path} is not ONNX ({one_line(error)}): export it again"
            ) from None
        refuse_operators(path, proto, OPERATORS)
        self.outputs = {value.name: _dtype(value) for value in proto.graph.output}
        given = [value.name for value in proto.graph.input]
        with temporary_folder() as folder, heard() as told:
            import MNN  # it greets on stdout

            file = Path(folder) / "model.mnn"
            try:
                _convert(path, file)
                known = MNN.nn.load_module_from_file(str(file), [], []).get_info()["inputNames"]
                self.inputs = [name for name in given if name in known]
                options: dict[str, Any] = {"backend": "CPU", "precision": "high"}
                if threads is not None:
                    options["numThread"] = threads
                self.module = MNN.nn.load_module_from_file(
                    str(file),
                    self.inputs,
                    list(self.outputs),
                    runtime_manager=MNN.nn.create_runtime_manager((options,)),
                )
            except Exception as error:
                raise RnnbenchError(
                    f"{path} is not ONNX that MNN {MNN.version()} runs "
                    f"({_cause(told(), error)}): export with --for mnn, and --pin for a loop"
                ) from None

    def __call__(self, arrays: Arrays) -> Arrays:
        """Computes once."""
        with heard() as told:
            results = self.module.forward([self.variable(arrays[name]) for name in self.inputs])
            if len(results) != len(self.outputs):
                raise RnnbenchError(_cause(told(), None))
            return self.read(results)

    @staticmethod
    def variable(array: np.ndarray[Any, Any]) -> Any:
        """An input as MNN takes it; it keeps a copy."""
        import numpy as np
        from MNN import expr

        kind = expr.float if array.dtype.kind == "f" else expr.int
        given = np.ascontiguousarray(array, np.float32 if kind == expr.float else np.int32)
        return expr.const(given, list(array.shape), expr.NCHW, kind)

    def read(self, results: Any) -> Arrays:
        """What `module.forward` returned, by name."""
        import numpy as np
        from MNN import expr

        plain = [
            expr.convert(result, expr.NCHW) if result.data_format == expr.NC4HW4 else result
            for result in results
        ]
        return {
            name: np.array(result.read(), dtype)
            for (name, dtype), result in zip(self.outputs.items(), plain, strict=True)
        }


def _convert(path: Path, target: Path) -> None:
    import _tools

    given = ["-f", "ONNX", "--modelFile", str(path), "--MNNModel", str(target), "--bizCode", "MNN"]
    _tools.mnnconvert(["MNNConvert", *given, *_FLAGS])
    if not target.is_file():  # it returns True whatever happens
        raise RnnbenchError("it was not converted")


@contextmanager
def heard() -> Iterator[Callable[[], str]]:
    """Keeps what C++ prints off stdout and stderr, and returns it when it is asked for."""
    libc = ctypes.CDLL(None if os.name == "posix" else "ucrtbase")
    with _LOCK, tempfile.TemporaryFile() as file:
        sys.stdout.flush()
        sys.stderr.flush()
        kept = [os.dup(1), os.dup(2)]
        for number in (1, 2):
            os.dup2(file.fileno(), number)

        def said() -> str:
            libc.fflush(None)
            file.seek(0)
            return file.read().decode("utf-8", "replace")

        try:
            yield said
        finally:
            libc.fflush(None)
            for number, old in zip((1, 2), kept, strict=True):
                os.dup2(old, number)
                os.close(old)


def _cause(said: str, error: BaseException | None) -> str:
    """The first line that names what is wrong, without the time and the place in its sources."""
    lines = [re.sub(r"^(\[[\d:]+\] :\d+: |\[ERROR\] )", "", line) for line in said.splitlines()]
    for line in lines:
        if re.search(r"not support|error|fail|don't|can't", line, re.IGNORECASE):
            return line.strip()
    return one_line(error) if error is not None else "it returned nothing"


def _dtype(value: Any) -> Any:
    from onnx import helper

    return helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)


def prepare(source: Source, arrays: Arrays, device: str, threads: int, mode: str = "") -> TimedCall:
    """A module with its inputs as MNN's variables; a call also reads its outputs."""
    net = Net(path_of(source), threads)
    given = [net.variable(arrays[name]) for name in net.inputs]
    forward = net.module.forward

    def run() -> Any:
        results = forward(given)
        for result in results:
            result.read()
        return results

    with heard():  # whatever its first call has to say
        run()
    return TimedCall(run, net.read)


_SEEN = "MNN 3.6.1"
GAPS = (
    *seen(_SEEN, "no Y", wrong=LAYERS, rewrite="name_outputs"),
    *seen(_SEEN, "direction=reverse", wrong=LAYERS, rewrite="turn_forward"),
    *seen(_SEEN, "direction=bidirectional", wrong=("GRU",), rewrite="split_directions"),
    *seen(_SEEN, "activations", wrong=("RNN",), rewrite="turn_into_scan"),
    *seen(_SEEN, "activations", wrong=("GRU", "LSTM")),
    *seen(_SEEN, "activation_alpha", wrong=("RNN", "GRU"), refused=("LSTM",)),
    *seen(_SEEN, "clip", wrong=LAYERS),
    *seen(_SEEN, "layout", refused=LAYERS),
    *seen(
        _SEEN,
        "sequence_lens",
        wrong=("RNN", "LSTM"),
        refused=("GRU",),
        rewrite="drop_lengths",
    ),
    *seen(_SEEN, "input_forget", wrong=("LSTM",)),
    *seen(_SEEN, "P", refused=("LSTM",), rewrite="write_out_peepholes"),
)

RUNTIME = Runtime(
    title="MNN",
    formats=("onnx", "portable"),
    requires={"MNN": "MNN"},
    load=load,
    modes=("pinned",),  # the file is converted again for each shape of the inputs
    cost="extra",
    engine=True,
    packages=("MNN",),
    coarseness=3.0,  # its tanh is off by up to 1.8e-7
    gaps=GAPS,
    profile=filling(
        GAPS,
        operators=OPERATORS,
        always=("make_explicit_states", "make_explicit_values"),
        once_pinned=("unroll_scans",),
        last=("name_outputs",),
    ),
    timing=Timing("onnx", prepare, rewritten="pinned"),
)
