"""For engines that compile a .pt2 program for one shape of its inputs at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.export import ExportedProgram

from rnnbench.core.model import Arrays
from rnnbench.formats.pt2.reading import load_program, signature_of
from rnnbench.formats.pt2.unroll import unrolled
from rnnbench.runtimes.timed import Source, TimedCall, path_of

if TYPE_CHECKING:
    from rnnbench.core.bundle import Bundle


@dataclass(frozen=True)
class Compiled:
    """A program in an engine, for inputs of one shape.

    Attributes:
        give: the engine's tensors of arrays, in the order of the inputs.
        run: computes what the program returns from such tensors.
        take: arrays of what `run` returned, in the order of the outputs; copies.
    """

    give: Callable[[Sequence[Any]], list[Any]]
    run: Callable[[list[Any]], Any]
    take: Callable[[Any], list[Any]]


Compile = Callable[[ExportedProgram], Compiled]


def by_shape(
    bundle: Bundle | None, path: Path | None, compile: Compile
) -> Callable[[Arrays], Arrays]:
    """Runs a .pt2 file in an engine that wants its program anew for each shape of the inputs.

    Args:
        bundle: whose file it is; the file itself names its inputs where it is None.
        path: the file.
        compile: makes a function of the program for these shapes.

    Raises:
        RnnbenchError: the file is damaged.
    """
    program = load_program(path)
    declared = signature_of(program)
    inputs = [port.name for port in (bundle.inputs if bundle else declared.inputs)]
    outputs = bundle.outputs if bundle else [port.name for port in declared.outputs]
    known: dict[Any, Compiled] = {}

    def run(arrays: Arrays) -> Arrays:
        given = [arrays[name] for name in inputs]
        key = tuple(array.shape for array in given)
        if key not in known:
            known[key] = compile(unrolled(program, _tensors(given)))
        engine = known[key]
        results = engine.take(engine.run(engine.give(given)))
        return dict(zip(outputs, results, strict=True))

    return run


def timed_call(source: Source, arrays: Arrays, compile: Compile) -> TimedCall:
    """A .pt2 file in an engine, ready to be timed: its inputs are the engine's own already."""
    given = [arrays[spec.name] for spec in source.inputs]
    engine = compile(unrolled(load_program(path_of(source)), _tensors(given)))
    inputs = engine.give(given)
    return TimedCall(
        lambda: engine.run(inputs),
        lambda returned: dict(zip(source.outputs, engine.take(returned), strict=True)),
    )


def _tensors(arrays: Sequence[Any]) -> list[Tensor]:
    return [torch.from_numpy(np.array(array)) for array in arrays]
