"""A .pt2 program in TVM, compiled by LLVM for one shape at a time; layers and loops are unrolled.

It reads a negative index of one element (`x[:, -1]`) from outside of the tensor, without a word:
`rnnbench.formats.pt2.indices` counts them from the front first.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.model import Arrays, Run
from rnnbench.runtimes.runtime import Runtime, Timing
from rnnbench.runtimes.timed import (
    Source,
    TimedCall,
    path_of,
)

if TYPE_CHECKING:
    from rnnbench.core.bundle import Bundle
    from rnnbench.runtimes.adapters._pt2_by_shape import Compiled


def load(
    bundle: Bundle | None,
    path: Path | None,
    *,
    device: str = "cpu",
    threads: int | None = None,
    mode: str = "",
) -> Run:
    """Compiles a function for each shape of the inputs as it comes.

    `threads` is for all that TVM runs in this process.

    Raises:
        RnnbenchError: the file is damaged, or TVM cannot compile it.
    """
    from rnnbench.runtimes.adapters._pt2_by_shape import by_shape

    return by_shape(bundle, path, lambda program: compile(program, path, threads))


def compile(program: Any, path: Path | None, threads: int | None) -> Compiled:
    """A program of fixed sizes as a function of machine code.

    Raises:
        RnnbenchError: TVM cannot compile it.
    """
    import numpy as np
    import tvm
    from tvm import relax
    from tvm.relax.frontend.torch import from_exported_program

    from rnnbench.core.known_warnings import export_warnings
    from rnnbench.formats.pt2.indices import count_from_front
    from rnnbench.runtimes.adapters._pt2_by_shape import Compiled

    try:
        with export_warnings():
            program = program.run_decompositions()
        count_from_front(program)
        module = from_exported_program(program, run_ep_decomposition=False)
        machine = relax.VirtualMachine(relax.build(module, tvm.target.Target("llvm")), tvm.cpu())
    except Exception as error:
        raise RnnbenchError(
            f"{path} is not a program that TVM {metadata.version('apache-tvm')} compiles "
            f"({_cause(error)}): choose another of `rnnbench list runtimes`"
        ) from None
    if threads is not None:
        tvm.get_global_func("runtime.config_threadpool")(1, threads)
    main = machine["main"]

    def run(tensors: list[Any], kept: Any = machine) -> Any:
        return main(*tensors)

    return Compiled(
        lambda arrays: [tvm.runtime.tensor(np.ascontiguousarray(array)) for array in arrays],
        run,
        lambda results: [np.array(result.numpy()) for result in results],
    )


def _cause(error: BaseException) -> str:
    """The last line, which says it; TVM's own traces come before."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else one_line(error)


def prepare(source: Source, arrays: Arrays, device: str, threads: int, mode: str = "") -> TimedCall:
    """A function of inputs that are the engine's own tensors."""
    from rnnbench.runtimes.adapters._pt2_by_shape import timed_call

    path = path_of(source)
    return timed_call(source, arrays, lambda program: compile(program, path, threads))


RUNTIME = Runtime(
    title="TVM",
    formats=("pt2",),
    requires={"torch": "torch", "tvm": "apache-tvm"},
    load=load,
    cost="slow",
    shapes="pinned",
    engine=True,
    packages=("apache-tvm",),
    timing=Timing("pt2", prepare),
)
