"""A .pt2 program in ExecuTorch, lowered for one shape at a time; layers and loops are unrolled."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
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


_NO_KERNEL = "error: 0x:14"


def load(
    bundle: Bundle | None,
    path: Path | None,
    *,
    device: str = "cpu",
    threads: int | None = None,
    mode: str = "",
) -> Run:
    """Lowers the program for each shape of the inputs as it comes.

    `threads` is for all that ExecuTorch runs in this process.

    Raises:
        RnnbenchError: the file is damaged, or ExecuTorch cannot lower it.
    """
    from rnnbench.runtimes.adapters._pt2_by_shape import by_shape

    return by_shape(bundle, path, lambda program: compile(program, path, threads, mode))


def compile(program: Any, path: Path | None, threads: int | None, mode: str = "") -> Compiled:
    """A program of fixed sizes as a method that is loaded.

    Raises:
        RnnbenchError: ExecuTorch cannot run it.
    """
    try:
        with _quiet():
            return _method(_lower(program, mode), threads)
    except Exception as error:
        raise RnnbenchError(
            f"{path} is not a program that ExecuTorch {metadata.version('executorch')} runs "
            f"({_cause(error)}): choose another of `rnnbench list runtimes`"
        ) from None


def _lower(program: Any, mode: str) -> bytes:
    """The program as the content of a .pte file."""
    from executorch.exir import to_edge_transform_and_lower

    partitioners = [_xnnpack()] if mode == "xnnpack" else []
    edge = to_edge_transform_and_lower(program, partitioner=partitioners)
    return bytes(edge.to_executorch().buffer)


def _xnnpack() -> Any:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    return XnnpackPartitioner()


def _method(file: bytes, threads: int | None) -> Compiled:
    import numpy as np
    import torch
    from executorch.extension.pybindings import portable_lib
    from executorch.runtime import Runtime

    from rnnbench.runtimes.adapters._pt2_by_shape import Compiled

    if threads is not None and portable_lib._threadpool_get_thread_count() != threads:
        portable_lib._unsafe_reset_threadpool(threads)
    program = Runtime.get().load_program(file)
    method = program.load_method("forward")

    def run(tensors: list[Any], kept: Any = program) -> Any:
        return method.execute(tensors)

    return Compiled(
        lambda arrays: [torch.from_numpy(np.array(array)) for array in arrays],
        run,
        lambda results: [np.array(result.numpy()) for result in results],
    )


def _cause(error: BaseException) -> str:
    """What is wrong; it names an operator that it lacks on stderr only."""
    said = one_line(error)
    return f"it has no kernel for an operator: {said}" if _NO_KERNEL in said else said


@contextmanager
def _quiet() -> Iterator[None]:
    """What its converter says of itself and of its optional parts is not for our users."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def prepare(source: Source, arrays: Arrays, device: str, threads: int, mode: str = "") -> TimedCall:
    """A function of inputs that are the engine's own tensors."""
    from rnnbench.runtimes.adapters._pt2_by_shape import timed_call

    path = path_of(source)
    return timed_call(source, arrays, lambda program: compile(program, path, threads, mode))


RUNTIME = Runtime(
    title="ExecuTorch",
    formats=("pt2",),
    requires={"torch": "torch", "executorch": "executorch"},
    load=load,
    modes=("xnnpack",),  # what XNNPACK can take is handed to it; else its portable kernels do it
    cost="slow",
    shapes="pinned",
    engine=True,
    packages=("executorch",),
    timing=Timing("pt2", prepare, modes={"": ("cpu",), "xnnpack": ("cpu",)}),
)
