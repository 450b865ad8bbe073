"""The one place that calls `torch._inductor` (AOTInductor): tried on torch 2.13 and 2.14."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import SymInt, Tensor, fx
from torch.export import ExportedProgram

from rnnbench.capture.operators.scan import SCAN
from rnnbench.core.known_warnings import export_warnings, torchscript_deprecation

_CHECK_INPUTS = "AOTI_RUNTIME_CHECK_INPUTS"


def compile_package(
    program: ExportedProgram, path: Path, metadata: Mapping[str, str], compiler: str
) -> None:
    """Compiles a program into a package for this machine's CPU; it must end in `.pt2`."""
    _name_sizes(program.graph_module)
    configs = {
        # Otherwise batch 1 and one step are refused, though the code is right there.
        "aot_inductor.check_lowerbound": False,
        "aot_inductor.metadata": dict(metadata),
        "cpp.cxx": (compiler,),
    }
    with _own_warnings(), torch.no_grad():
        torch._inductor.aoti_compile_and_package(
            program, package_path=str(path), inductor_configs=configs
        )


@contextmanager
def compiling_here() -> Iterator[None]:
    """`torch.compile` compiles in this process, not in a pool of others that would outlive it."""
    from torch._inductor import config

    with config.patch(compile_threads=1):
        yield


def import_compiler() -> None:
    """What `torch.compile` imports, which would warn in the first call."""
    with torchscript_deprecation():  # it has scripts of its own
        from torch._inductor import compile_fx, config  # noqa: F401


class Package:
    """A loaded package. It refuses inputs of shapes that it was not compiled for."""

    def __init__(self, path: Path) -> None:
        with _own_warnings():
            self._run = torch._inductor.aoti_load_package(str(path))
        self._called = False

    def __call__(self, *tensors: Tensor) -> Any:
        """Runs it, without gradients."""
        if self._called:
            return self._run(*tensors)
        with _checking_inputs():  # a package reads the variable at its first call, and never again
            self._called = True
            return self._run(*tensors)


@contextmanager
def _own_warnings() -> Iterator[None]:
    """Silences what PyTorch says of its own code; Inductor imports some that scripts itself."""
    with export_warnings(), torchscript_deprecation():
        yield


@contextmanager
def _checking_inputs() -> Iterator[None]:
    before = os.environ.get(_CHECK_INPUTS)
    os.environ[_CHECK_INPUTS] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_CHECK_INPUTS]
        else:
            os.environ[_CHECK_INPUTS] = before


def _name_sizes(graph: fx.GraphModule) -> None:
    """Gives each scan the sizes that its results' shapes are made of, as arguments.

    Inductor turns a scan into a `while_loop` and looks the symbols of those shapes up among the
    scan's arguments; one that is not there is a `KeyError: 's27'`.
    """
    sizes: dict[Any, tuple[fx.Node, int]] = {}
    for node in list(graph.graph.nodes):
        if node.target is SCAN:
            _pass_sizes(graph, node, sizes)
        value = node.meta.get("val")
        if isinstance(value, Tensor):
            for i, size in enumerate(value.shape):
                if isinstance(size, SymInt):
                    sizes.setdefault(size.node.expr, (node, i))
    graph.graph.lint()
    graph.recompile()


def _pass_sizes(
    graph: fx.GraphModule, node: fx.Node, sizes: Mapping[Any, tuple[fx.Node, int]]
) -> None:
    body, init, xs, extra = node.args
    step = getattr(graph, str(body.target))  # type: ignore[union-attr]
    given = list(extra)  # type: ignore[arg-type]
    for symbol in _symbols(node.meta["val"]):
        if symbol not in sizes:  # the length itself, which Inductor knows
            continue
        source, i = sizes[symbol]
        with graph.graph.inserting_before(node):
            size = graph.graph.call_function(torch.ops.aten.sym_size.int, (source, i))
        size.meta["val"] = source.meta["val"].shape[i]
        last = step.graph.find_nodes(op="placeholder")[-1]
        with step.graph.inserting_after(last):
            unused = step.graph.placeholder(f"size_{len(given)}")
        unused.meta["val"] = size.meta["val"]
        given.append(size)
    node.args = (body, init, xs, tuple(given))
    step.graph.lint()
    step.recompile()


def _symbols(values: Any) -> list[Any]:
    """The symbols in the shapes of tensors, in a fixed order."""
    found = {
        symbol
        for value in values
        for size in value.shape
        if isinstance(size, SymInt)
        for symbol in size.node.expr.free_symbols
    }
    return sorted(found, key=str)
