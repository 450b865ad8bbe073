"""ONNX in IREE, compiled for one shape at a time: it takes no other RNN or GRU (pitfall 30b)."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.model import Arrays

if TYPE_CHECKING:
    from rnnbench.core.bundle import Bundle

FORMATS: tuple[str, ...] = ("onnx", "portable")
ENGINE = True
PACKAGES: tuple[str, ...] = ("iree-base-compiler", "iree-base-runtime")
MODES: tuple[str, ...] = ()
SLOW = True
PINS = True

_FLAGS = ["--iree-llvmcpu-target-cpu=host"]


def available() -> str | None:
    """Why IREE is not here; None where it is."""
    wanted = {"iree.compiler": "iree-base-compiler", "iree.runtime": "iree-base-runtime"}
    missing = [package for module, package in wanted.items() if not _found(module)]
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
    """Compiles a module for each shape of the inputs as it comes.

    `threads` of 1 is the thread that calls; more leave the number to IREE.

    Raises:
        RnnbenchError: the file is damaged, or IREE cannot compile it.
    """
    if device != "cpu":
        raise RnnbenchError(f"device {device!r}: IREE is run on cpu here")
    from rnnbench.formats.onnx.profiles import pinned

    assert path is not None
    known: dict[Any, Callable[[Arrays], Arrays]] = {}
    driver = "local-sync" if threads == 1 else "local-task"

    def run(arrays: Arrays) -> Arrays:
        key = tuple(sorted((name, array.shape) for name, array in arrays.items()))
        if key not in known:
            shapes = {name: array.shape for name, array in arrays.items()}
            known[key] = Compiled(path, pinned(path, shapes), driver)
        return known[key](arrays)

    return run


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
        given = [np.ascontiguousarray(arrays[name]) for name in self.inputs]
        return self.read(self.function(*given))

    def read(self, results: Any) -> Arrays:
        """What `function` returned, by name."""
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


def _found(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the namespace
        return False
