"""ONNX in IREE, compiled for one shape at a time: it takes no other RNN or GRU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.gaps import LAYERS, seen
from rnnbench.core.model import Arrays, Run
from rnnbench.core.operators import WrongOperator, refuse_operators
from rnnbench.formats.onnx.profile import ONE_DIRECTION, filling
from rnnbench.runtimes.adapters._by_shape import by_shape
from rnnbench.runtimes.runtime import Runtime, Timing
from rnnbench.runtimes.timed import (
    Source,
    TimedCall,
    one_thread,
    path_of,
)

if TYPE_CHECKING:
    from rnnbench.core.bundle import Bundle


OPERATORS = (
    WrongOperator(
        "MatMulInteger", "IREE 3.13.0", "computes wrong, without a word, of one row of uint8", 3
    ),
)
"""findings/iree_one_row_of_uint8.sh"""

_FLAGS = ["--iree-llvmcpu-target-cpu=host"]


def load(
    bundle: Bundle | None,
    path: Path | None,
    *,
    device: str = "cpu",
    threads: int | None = None,
    mode: str = "",
) -> Run:
    """Compiles a module for each shape of the inputs as it comes.

    `threads` of 1 is the thread that calls; more leave the number to IREE.

    Raises:
        RnnbenchError: the file is damaged, or IREE cannot compile it.
    """
    from rnnbench.formats.onnx.profiles import pinned

    assert path is not None
    driver = "local-sync" if threads == 1 else "local-task"
    return by_shape(lambda shapes: Compiled(path, pinned(path, dict(shapes)), driver))


class Compiled:
    """A module of a graph whose shapes are fixed.

    Attributes:
        inputs: the names of those that it takes, in order.
        outputs: the names.
        function: IREE's, from arrays to one or several.
        device: IREE's.
    """

    def __init__(self, path: Path, proto: Any, driver: str) -> None:
        import iree.runtime

        refuse_operators(path, proto, OPERATORS)
        proto.graph.name = "main"
        self.inputs = [value.name for value in proto.graph.input]
        self.outputs = [value.name for value in proto.graph.output]
        context = iree.runtime.SystemContext(config=iree.runtime.Config(driver))
        module = iree.runtime.VmModule.copy_buffer(context.instance, _build(path, proto))
        context.add_vm_module(module)
        self.device: Any = context.config.device
        self.function: Any = context.modules.module["main"]

    def __call__(self, arrays: Arrays) -> Arrays:
        """Computes once."""
        import numpy as np

        given = [np.ascontiguousarray(arrays[name]) for name in self.inputs]
        return self.read(self.function(*given))

    def read(self, results: Any) -> Arrays:
        """What `function` returned, by name."""
        import numpy as np

        several = results if isinstance(results, list | tuple) else (results,)
        return {n: np.array(r.to_host()) for n, r in zip(self.outputs, several, strict=True)}


def _build(path: Path, proto: Any) -> bytes:
    """IREE's own importer, then its compiler."""
    from iree.compiler import ir, tools
    from iree.compiler.extras import onnx_importer

    try:
        info = onnx_importer.ModelInfo(proto)
        module = info.create_module(context=ir.Context()).operation
        onnx_importer.NodeImporter.define_function(info.main_graph, module).import_all()
        built: bytes = tools.compile_str(
            str(module), target_backends=["llvm-cpu"], input_type="auto", extra_args=_FLAGS
        )
    except Exception as error:
        raise RnnbenchError(
            f"{path} is not ONNX that IREE compiles ({_cause(error)}): export with --for iree"
        ) from None
    return built


def _cause(error: BaseException) -> str:
    """The compiler's first error, without the file's name and place."""
    lines = [line for line in str(error).splitlines() if "error: " in line]
    return lines[0].split("error: ", 1)[1] if lines else one_line(error)


def prepare(source: Source, arrays: Arrays, device: str, threads: int, mode: str = "") -> TimedCall:
    """The compiled module with its inputs on IREE's device, in the thread that calls.

    Raises:
        Unavailable: more than one thread is asked for.
    """
    import numpy as np

    one_thread("IREE", threads)
    import iree.runtime
    import onnx

    path = path_of(source)
    compiled = Compiled(path, onnx.load(str(path)), "local-sync")
    given = [
        iree.runtime.asdevicearray(compiled.device, np.ascontiguousarray(arrays[name]))
        for name in compiled.inputs
    ]
    function = compiled.function

    def run() -> Any:
        return function(*given)

    return TimedCall(run, compiled.read)


_SEEN = "IREE 3.13.0"
GAPS = (
    *seen(_SEEN, "direction=reverse", refused=LAYERS, rewrite="turn_forward"),
    *seen(_SEEN, "direction=bidirectional", refused=("RNN", "GRU"), rewrite="split_directions"),
    *seen(_SEEN, "activation_alpha", wrong=LAYERS),
    *seen(_SEEN, "clip", wrong=("RNN",), refused=("GRU", "LSTM")),
    *seen(_SEEN, "sequence_lens", wrong=LAYERS, rewrite="drop_lengths"),
    *seen(_SEEN, "input_forget", refused=("LSTM",)),
    *seen(_SEEN, "P", wrong=("LSTM",)),
)

RUNTIME = Runtime(
    title="IREE",
    formats=("onnx", "portable"),
    requires={"iree.compiler": "iree-base-compiler", "iree.runtime": "iree-base-runtime"},
    load=load,
    cost="slow",
    shapes="pinned",
    engine=True,
    packages=("iree-base-compiler", "iree-base-runtime"),
    coarseness=4.0,  # its tanh is off by up to 2.2e-7
    gaps=GAPS,
    profile=filling(
        GAPS,
        always=("make_explicit_values",),
        once_pinned=ONE_DIRECTION,
        operators=OPERATORS,
    ),
    timing=Timing("onnx", prepare, rewritten="pinned"),
)
