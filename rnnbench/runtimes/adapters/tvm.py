"""A .pt2 program in TVM, compiled by LLVM for one shape at a time; layers and loops are unrolled.

It reads a negative index of one element (`x[:, -1]`) from outside of the tensor, without a word
(pitfall 30b): `rnnbench.formats.pt2.indices` counts them from the front first.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.model import Arrays

if TYPE_CHECKING:
    from rnnbench.core.bundle import Bundle
    from rnnbench.formats.pt2.unroll import Compiled

FORMATS: tuple[str, ...] = ("pt2",)
MODES: tuple[str, ...] = ()
SLOW = True
PINS = True
ENGINE = True
PACKAGES: tuple[str, ...] = ("apache-tvm",)


def available() -> str | None:
    """Why TVM or PyTorch, which reads the file, is not here; None where both are."""
    wanted = {"torch": "torch", "tvm": "apache-tvm"}
    missing = [package for module, package in wanted.items() if not find_spec(module)]
    return f"{missing[0]} is not installed: pip install {' '.join(missing)}" if missing else None


def devices() -> tuple[str, ...]:
    """Where it runs."""
    return ("cpu",)


def load(
    bundle: Bundle | None,
    path: Path | None,
    *,
    device: str = "cpu",
    threads: int | None = None,
    mode: str = "",
) -> Callable[[Arrays], Arrays]:
    """Compiles a function for each shape of the inputs as it comes.

    `threads` is for all that TVM runs in this process.

    Raises:
        RnnbenchError: the file is damaged, or TVM cannot compile it.
    """
    from rnnbench.formats.pt2.unroll import by_shape

    if device != "cpu":
        raise RnnbenchError(f"device {device!r}: TVM is run on cpu here")

    return by_shape(bundle, path, lambda program: compile(program, path, threads))


def compile(program: Any, path: Path | None, threads: int | None) -> Compiled:
    """A program of fixed sizes as a function of machine code.

    Raises:
        RnnbenchError: TVM cannot compile it.
    """
    import tvm
    from tvm import relax
    from tvm.relax.frontend.torch import from_exported_program

    from rnnbench.core.known_warnings import export_warnings
    from rnnbench.formats.pt2.indices import count_from_front
    from rnnbench.formats.pt2.unroll import Compiled

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
