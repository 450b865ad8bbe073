"""ONNX: a fused layer is one RNN, GRU or LSTM node, any other loop a Scan."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.one_thread import ignoring, quiet_loggers
from rnnbench.formats._format import Format, WriteOptions
from rnnbench.models.precision import STATIC, WHOLE

if TYPE_CHECKING:
    import onnx_ir as ir
    import torch
    from torch.export import ExportedProgram

    from rnnbench.capture.program import Captured

OPSETS = range(17, 22)
# The CUDA kernels of RNN, GRU and LSTM stop at opset 21 (onnxruntime#27729), and torch's operator
# library is written for 18, so 18 needs no conversion.
DEFAULT_OPSET = 18
IR_VERSION = 10
"""Of ONNX's file format: the first in which nodes have metadata, which `check --bisect` reads."""
_FOLD_BYTES = 2**28


def write(captured: Captured, path: Path, options: WriteOptions) -> dict[str, Any]:
    """Translates a captured program and saves it.

    Args:
        captured: the program.
        path: the file; weights above 2 GB go to a file beside it (`.data`).
        options: the metadata, and the ONNX operator set, 17 to 21.

    Returns:
        What the manifest says of the artifact.

    Raises:
        RnnbenchError: the opset is out of range, or an operator has no ONNX form.
    """
    check_opset(options.opset)
    opset = DEFAULT_OPSET if options.opset is None else options.opset
    import onnx_ir as ir

    from rnnbench.formats.onnx.fused_loops import fuse_loops, unusual_layers
    from rnnbench.formats.onnx.graph import finish, replace_recurrences
    from rnnbench.formats.onnx.saving import save
    from rnnbench.formats.onnx.steps import lighten_steps

    model = translate(captured, max(opset, 18)).model
    replace_recurrences(model)
    _fold(model)
    if not options.keep_loops and options.precision not in WHOLE:  # which rounds at each step
        model = fuse_loops(model)
        _remove_unread(model)
    whole = options.precision in WHOLE
    if not options.keep_loops and lighten_steps(model, whole=whole):
        _remove_unread(model)
    if opset < 18:
        model = _convert_down(model, opset)
    finish(model, captured, options.metadata)
    model.ir_version = IR_VERSION
    if options.precision == STATIC:
        from rnnbench.formats.onnx.integers.static import make_static

        small = make_static(model, captured.model.states, options)
    elif options.precision in WHOLE:
        from rnnbench.formats.onnx.integers import make_whole

        small = make_whole(model, captured.model.module, options)
    else:
        small = small_in(model, options.precision)
    said = {"opset": opset} | small | unusual_layers(model)
    beside = save(model, path)
    nodes = sum(1 for _ in ir.traversal.RecursiveGraphIterator(model.graph))
    return said | {"nodes": nodes} | beside


def small_in(model: ir.Model, precision: str) -> dict[str, Any]:
    """Keeps the rounded weights of a graph in fewer bits; what the manifest says of that.

    Raises:
        RnnbenchError: it has none that it could.
    """
    if not precision:
        return {}
    from rnnbench.formats.onnx.smaller import keep_small

    count = keep_small(model, precision)
    if not count:
        raise RnnbenchError(
            f"no weight of the graph is kept as {precision}: each is computed from others, or has "
            "too few numbers: export without --precision"
        )
    return {"precision": precision, "weights": count}


def check_opset(opset: int | None) -> None:
    """Raises where an operator set is not one of those that can be written."""
    if opset is not None and opset not in OPSETS:
        raise RnnbenchError(
            f"opset {opset}: choose from {OPSETS[0]} to {OPSETS[-1]} "
            "(later ones have no CUDA kernels for RNN, GRU and LSTM)"
        )


def translate(captured: Captured, opset: int = DEFAULT_OPSET) -> torch.onnx.ONNXProgram:
    """The captured program in ONNX's operators; each recurrence is still a node of our own.

    Its `exported_program` is what was translated, in operators that ONNX has: a value of the graph
    has the name of the node that it came from.

    Raises:
        RnnbenchError: an operator has no ONNX form.
    """
    import torch

    from rnnbench.capture.operators.recurrence import recurrence
    from rnnbench.capture.tracing.regions import refuse_autocast
    from rnnbench.formats.onnx.as_captured import traced_where_needed
    from rnnbench.formats.onnx.decompositions import spell_out
    from rnnbench.formats.onnx.graph import translate_recurrence
    from rnnbench.formats.onnx.sizes import exact_sizes, round_to_whole
    from rnnbench.formats.onnx.torchlib import parsed_when_needed, read_once

    refuse_autocast(captured.program.graph_module, captured.model.name, "ONNX")
    source = spell_out(captured)
    _forget_pending(source)
    try:
        with _quiet(), torch.no_grad(), parsed_when_needed(), read_once(), traced_where_needed():
            program = torch.onnx.export(
                source,
                (),
                dynamo=True,
                opset_version=opset,
                optimize=True,
                verbose=False,
                custom_translation_table={recurrence: translate_recurrence, round: round_to_whole},
            )
    except Exception as error:
        cause = error.__cause__ or error
        raise RnnbenchError(
            f"model {captured.model.name!r} has no ONNX form: {_what_has_none(cause, source)}"
        ) from error
    assert program is not None
    exact_sizes(program)
    return program


def _what_has_none(cause: BaseException, program: ExportedProgram) -> str:
    """The operation that could not be translated, where that is known, by its line in the model."""
    from rnnbench.capture.source_lines import source_line

    at = re.search(r"node %(\w+) :.*target=torch\.ops\.(\w+)\.(\w+)", one_line(cause))
    if at is None:
        return one_line(cause)[:300]
    modules = (g for g in program.graph_module.modules() if hasattr(g, "graph"))
    nodes = (n for module in modules for n in module.graph.nodes if n.name == at[1])
    place = next((line for node in nodes if (line := source_line(node))), "")
    name = f"torch.{at[3]}" if at[2] == "aten" else f"{at[2]}::{at[3]}"
    return (
        f"{name}{' at ' + place if place else ''} is not known to PyTorch's ONNX library, or not "
        "with these arguments: write it in other operations, or export torchscript or pt2"
    )


def _forget_pending(program: ExportedProgram) -> None:
    """Sizes that the translation before this one made and left behind: torch would stop at them."""
    for node in program.graph.nodes:
        mode = getattr(node.meta.get("val"), "fake_mode", None)
        if mode is not None and mode.shape_env is not None:
            mode.shape_env.pending_fresh_unbacked_symbols.clear()
            return


def _fold(model: ir.Model) -> None:
    """Weights are plain initializers: those behind nodes are passed by when a file is quantised."""
    from onnxscript.optimizer import fold_constants

    fold_constants(model, input_size_limit=_FOLD_BYTES, output_size_limit=_FOLD_BYTES)
    _remove_unread(model)


def _remove_unread(model: ir.Model) -> None:
    from onnx_ir.passes import common

    common.RemoveUnusedNodesPass()(model)


def _convert_down(model: ir.Model, opset: int) -> ir.Model:
    import onnx
    import onnx_ir as ir

    try:
        return ir.from_proto(onnx.version_converter.convert_version(ir.to_proto(model), opset))
    except Exception as error:
        raise RnnbenchError(
            f"the graph cannot be converted to opset {opset} ({one_line(error)}): use opset 18"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's remarks on itself are not for our users."""
    names = ("torch.onnx", "onnxscript", "onnx_ir")
    with ignoring(("", Warning)), quiet_loggers(names, logging.ERROR):
        yield


FORMAT = Format(
    suffix=".onnx",
    requires={"onnx": "onnx", "onnxscript": "onnxscript"},
    write=write,
    refuse=lambda _, options: check_opset(options.opset),
    precisions=("float16", "bfloat16", "int8-weights", *WHOLE),
    levels=dict.fromkeys(WHOLE, 63),
)
