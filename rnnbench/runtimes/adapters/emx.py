"""ONNX as plain C by emx-onnx-cgen, compiled here, for one shape at a time: it takes no other."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.gaps import seen
from rnnbench.core.model import Arrays, Run
from rnnbench.core.temporary import temporary_folder
from rnnbench.formats.onnx.profile import ONE_DIRECTION, filling
from rnnbench.runtimes.adapters._by_shape import by_shape
from rnnbench.runtimes.adapters._compiling import compile_library, no_compiler
from rnnbench.runtimes.runtime import Runtime, Timing
from rnnbench.runtimes.timed import (
    Source,
    TimedCall,
    one_thread,
    path_of,
)

if TYPE_CHECKING:
    import numpy as np

    from rnnbench.core.bundle import Bundle


_FLAGS = ("-std=c11", "-O2", "-fPIC", "-shared", "-w")
_INLINE_BYTES = 2**31
"""Weights are written into the C file up to here, so that there is nothing to load beside it."""


def load(
    bundle: Bundle | None,
    path: Path | None,
    *,
    device: str = "cpu",
    threads: int | None = None,
    mode: str = "",
) -> Run:
    """Compiles a function for each shape of the inputs as it comes; it runs in one thread.

    Raises:
        RnnbenchError: the file is damaged, or emx-onnx-cgen has no C for it.
    """
    from rnnbench.formats.onnx.profiles import pinned

    assert path is not None
    return by_shape(lambda shapes: Compiled(path, pinned(path, dict(shapes))))


class Compiled:
    """A C function of a graph whose shapes are fixed.

    Attributes:
        inputs: the names of those that it takes, in order.
        outputs: name -> shape and dtype.
        function: takes the addresses of the inputs, then those of the outputs.
    """

    def __init__(self, path: Path, proto: Any) -> None:
        from onnx import helper

        self.function = _link(code_of(path, proto))
        self.inputs = [value.name for value in proto.graph.input]
        self.outputs = {
            value.name: (
                [dim.dim_value for dim in value.type.tensor_type.shape.dim],
                helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type),
            )
            for value in proto.graph.output
        }

    def __call__(self, arrays: Arrays) -> Arrays:
        """Computes once."""
        import numpy as np

        given = [np.ascontiguousarray(arrays[name]) for name in self.inputs]
        results = self.empty()
        self.function(*addresses([*given, *results.values()]))
        return results

    def empty(self) -> Arrays:
        """Room for the outputs."""
        import numpy as np

        return {name: np.empty(shape, dtype) for name, (shape, dtype) in self.outputs.items()}


def addresses(arrays: list[np.ndarray[Any, Any]]) -> list[ctypes.c_void_p]:
    """Where arrays lie, as C takes them; somebody else keeps them."""
    return [ctypes.c_void_p(array.ctypes.data) for array in arrays]


def code_of(path: Path, proto: Any) -> str:
    """The C of a graph whose shapes are fixed: a function `model`.

    Raises:
        RnnbenchError: emx-onnx-cgen has none for it.
    """
    from emx_onnx_cgen import Compiler
    from emx_onnx_cgen.compiler import CompilerOptions

    options = CompilerOptions(model_name="model", large_weight_threshold=_INLINE_BYTES)
    try:
        code: str = Compiler(options).compile(proto)
    except Exception as error:  # its own, and what its lowering stumbles over
        said = one_line(error).split(" (while lowering")[0]
        raise RnnbenchError(
            f"{path} is not ONNX that emx-onnx-cgen turns into C ({said}): export with --for emx"
        ) from None
    return code


def _link(code: str) -> Any:
    """The function of a C file, in a library that is loaded into this process."""
    with temporary_folder() as folder:
        source, library = Path(folder) / "model.c", Path(folder) / "model.so"
        source.write_text(code, encoding="utf-8")
        compile_library([source], library, _FLAGS)
        function = ctypes.CDLL(str(library)).model
    function.restype = None
    return function


def prepare(source: Source, arrays: Arrays, device: str, threads: int, mode: str = "") -> TimedCall:
    """The C function with its inputs, and with room for its outputs.

    Raises:
        Unavailable: more than one thread is asked for.
    """
    import numpy as np

    one_thread("emx-onnx-cgen's C", threads)
    import onnx

    path = path_of(source)
    compiled = Compiled(path, onnx.load(str(path)))
    given = [np.ascontiguousarray(arrays[name]) for name in compiled.inputs]
    results = compiled.empty()
    places = addresses([*given, *results.values()])
    function = compiled.function

    def run() -> None:
        function(*places)

    def read(_: None, kept: object = given) -> Arrays:  # C keeps no memory alive
        return {name: array.copy() for name, array in results.items()}

    return TimedCall(run, read)


_SEEN = "emx-onnx-cgen 1.4.0"
GAPS = (
    *seen(_SEEN, "direction=forward", refused=("RNN", "GRU"), rewrite="drop_default_direction"),
    *seen(
        _SEEN,
        "direction=reverse",
        wrong=("LSTM",),
        refused=("RNN", "GRU"),
        rewrite="turn_forward",
    ),
    *seen(
        _SEEN,
        "direction=bidirectional",
        wrong=("LSTM",),
        refused=("RNN", "GRU"),
        rewrite="split_directions",
    ),
    *seen(_SEEN, "activation_alpha", refused=("GRU", "LSTM")),
)

RUNTIME = Runtime(
    title="emx-onnx-cgen",
    formats=("onnx", "portable"),
    requires={"emx_onnx_cgen": "emx-onnx-cgen"},
    load=load,
    lacks=no_compiler,
    cost="slow",
    shapes="pinned",
    engine=True,
    packages=("emx-onnx-cgen",),
    gaps=GAPS,
    profile=filling(
        GAPS,
        always=("make_explicit_values",),
        once_pinned=(*ONE_DIRECTION, "gather_backward_slices", "drop_default_direction"),
    ),
    timing=Timing("onnx", prepare, rewritten="pinned"),
)
