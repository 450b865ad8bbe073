"""An AOTInductor package: machine code that PyTorch, or C++ with libtorch, loads and calls.

What works (torch 2.13, CPU): every recurrence at any batch and length. A GRU, an Elman network, a
reverse layer and any with ragged lengths are compiled as a loop over their steps, because Inductor
unrolls the fused layers at the traced length; an LSTM over whole rows stays oneDNN's fused kernel.
What does not: what Inductor has no code for. A package is only kept where it computed the same as
the module at other batch sizes and lengths; otherwise the error says what it did instead.

Compiling takes 8 to 15 s for a layer. A package is for the operating system, CPU and torch version
that it was made with, and its own loops run on one thread.
"""

from __future__ import annotations

import os
import shutil
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.model import Arrays, sample_inputs
from rnnbench.core.trust import remember_machine_code
from rnnbench.formats._format import Format, WriteOptions

if TYPE_CHECKING:
    from torch import fx

    from rnnbench.capture.program import Captured
    from rnnbench.formats.aoti.inductor import Package

_ROWS = 17
# Another order of summation moves a float32 result by parts in 10^6; a wrong program by parts in
# 10. `check` is stricter: it knows the noise of the module itself.
_TOLERANCE = 1e-4


def write(captured: Captured, path: Path, options: WriteOptions) -> dict[str, Any]:
    """Compiles the program, and proves the package at other batch sizes and lengths.

    Returns:
        What the manifest says of the artifact.

    Raises:
        RnnbenchError: Inductor has no code for it, or what it made is wrong at other sizes.
    """
    from rnnbench.capture.operators.lowering import lower
    from rnnbench.formats.aoti.inductor import Package, compile_package

    name = captured.model.name
    program, stepwise = _prepare(captured)
    try:
        lowered = lower(program)
        compile_package(lowered, path, options.metadata, _compiler() or "")
        package = Package(path)
    except Exception as error:
        raise RnnbenchError(
            f"model {name!r} has no AOTInductor package: {_cause(error)}; use pt2 or torchscript"
        ) from error
    _prove(captured, package)
    remember_machine_code(path)  # where it cannot, whoever runs it says what to do
    frozen = {"frozen": list(captured.frozen)} if captured.frozen else {}
    return {"nodes": len(lowered.graph.nodes), "stepwise": stepwise} | frozen


def _prepare(captured: Captured) -> tuple[Any, int]:
    """The program with its recurrences as scans, but for those that stay one kernel."""
    from rnnbench.capture.operators.stepwise import replace_recurrences
    from rnnbench.capture.tracing.trace import retrace, unlift

    graph = unlift(captured.program)
    count = replace_recurrences(graph, lambda node: not _stays_fused(node))
    if not count:
        return captured.program, 0
    return retrace(graph, captured.model, captured.dims, captured.frozen), count


def _stays_fused(node: fx.Node) -> bool:
    """Whether Inductor has a kernel for the recurrence that takes any length."""
    import torch

    _, lengths, *_, kind, _ = node.args
    return kind == "lstm" and lengths is None and torch.backends.mkldnn.is_available()


def _prove(captured: Captured, package: Package) -> None:
    """Compares the package with the module at every size of the cases."""
    from rnnbench.models.calls import call, undisturbed

    model = captured.model
    compared = 0
    for dims, seed in _sizes(captured):
        arrays = sample_inputs(model, dims, seed)
        at = ", ".join(f"{d}={n}" for d, n in dims.items())
        with undisturbed(model.module):
            try:
                expected = call(model.module, model.inputs, model.outputs, arrays)
            except Exception:  # a convolution longer than its input: nothing to compare with
                continue
        try:
            given = call(package, model.inputs, model.outputs, arrays)
        except Exception as error:
            raise _wrong(captured, f"fails at {at} ({one_line(error)})") from error
        compared += 1
        for output in model.outputs:
            difference = _difference(expected, given, output)
            if difference:
                raise _wrong(captured, f"gives {output!r} {difference} at {at}")
    if not compared:
        raise RnnbenchError(f"model {model.name!r} itself fails at every size: correct it")


def _sizes(captured: Captured) -> Iterator[tuple[dict[str, int], int]]:
    from rnnbench.cases.cases import plan_cases

    model = captured.model
    fixed = {d: captured.dims[d] for d in captured.frozen}
    for plan in plan_cases(model, captured.dims):
        if fixed.items() <= plan.dims.items():
            yield plan.dims, plan.seed
    if model.batch_dim in captured.dims and model.batch_dim not in fixed:
        # What Inductor chooses for few rows it may hold fast: a convolution, to fewer than 16.
        yield {**captured.dims, **model.fit({model.batch_dim: _ROWS})}, 0


def _difference(expected: Arrays, given: Arrays, output: str) -> str:
    import numpy as np

    a, b = expected[output], given[output]
    if a.shape != b.shape or a.dtype != b.dtype:
        return f"as {b.dtype}{list(b.shape)} for {a.dtype}{list(a.shape)}"
    x, y = a.astype(np.float64), b.astype(np.float64)
    scale = max(1.0, float(np.abs(x[np.isfinite(x)]).max(initial=0.0)))
    close = np.isclose(x, y, rtol=0.0, atol=_TOLERANCE * scale, equal_nan=True)
    return "" if close.all() else f"off by {np.abs(x - y).max():.2g}"


def _wrong(captured: Captured, what: str) -> RnnbenchError:
    return RnnbenchError(
        f"model {captured.model.name!r}: the package that AOTInductor made {what}, "
        "so it is not kept; use pt2 or torchscript"
    )


def _compiler() -> str | None:
    """`$CXX`, or the first usual one on the path."""
    usual = (os.environ.get("CXX"), "c++", "g++", "clang++")
    return next((c for c in usual if c and shutil.which(c)), None)


def _cause(error: Exception) -> str:
    """What Inductor says went wrong; where it says nothing, the function that stopped."""
    import torch

    cause = error.__cause__ or error
    said = one_line(cause)[:200]
    frames = traceback.extract_tb(cause.__traceback__)
    if said.rstrip(": ").endswith("Error") and frames:
        return f"{said.rstrip(': ')} in {frames[-1].name} of torch {torch.__version__}"
    return said


def _lacks() -> str | None:
    """Why it cannot be compiled here; None where it can."""
    return None if _compiler() else "there is no C++ compiler: install g++ or clang++, or set CXX"


FORMAT = Format(
    suffix=".aoti.pt2",
    requires={"torch": "torch"},
    write=write,
    lacks=_lacks,
)
