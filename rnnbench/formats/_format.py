"""What a format is: one record in each module of this folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.requirements import not_installed

if TYPE_CHECKING:
    import torch

    from rnnbench.capture.program import Captured
    from rnnbench.core.model import Arrays, Model


@dataclass(frozen=True)
class WriteOptions:
    """What `export` was asked for; each format takes what is its own.

    Attributes:
        metadata: what a file says of itself.
        opset: of ONNX; the format's own default where it is None.
        profile: of ONNX for other engines; `portable` unless one is named.
        pin: dimensions that become fixed in that file, with their sizes.
        precision: of the weights, which are rounded to it (see `rnnbench.models.precision`);
            float32 where it is empty.
        keep: patterns of layers whose weights stay float32 all the same.
        sensitivity: whether the cost of rounding each layer alone is measured.
        keep_loops: whether each product of a loop stays where the model has it.
        calibration: inputs of calls by name, on which the ranges of values are measured.
    """

    metadata: Mapping[str, str] = field(default_factory=dict)
    opset: int | None = None
    profile: str = "portable"
    pin: Mapping[str, int] = field(default_factory=dict)
    precision: str = ""
    keep: tuple[str, ...] = ()
    sensitivity: bool = False
    keep_loops: bool = False
    calibration: tuple[Arrays, ...] = ()


def _nothing(model: Model, options: WriteOptions) -> None:
    """Refuses nothing."""


def _of_onnx(path: Path, captured: Callable[[], Captured]) -> torch.nn.Module:
    """The graph of an ONNX file."""
    from rnnbench.models.files.declare import module_of

    return module_of(path, "onnx")


@dataclass(frozen=True)
class Format:
    """One way to write a captured program; `FORMAT` in a module here, whose name is its own.

    Attributes:
        suffix: of the file: `model<suffix>`.
        requires: module -> the distribution that brings it, of all that must be installed.
        write: writes the file; returns what the manifest says of the artifact. It raises
            RnnbenchError where the program has no form in it.
        refuse: raises RnnbenchError on options that cannot be, before anything is captured.
        lacks: what else is not here (a compiler), in one line that says what brings it.
        precisions: those of `rnnbench.models.precision` that it keeps rounded weights in.
        levels: of those in which products are of whole numbers, the levels that a weight may have
            on each side of 0.
        evaluated: what computes what a file of it does that rounds values to whole numbers, in any
            precision: of its path, and of what gives the program that it was written of.
    """

    suffix: str
    requires: Mapping[str, str]
    write: Callable[[Captured, Path, WriteOptions], dict[str, Any]]
    refuse: Callable[[Model, WriteOptions], None] = _nothing
    lacks: Callable[[], str | None] = lambda: None
    precisions: tuple[str, ...] = ()
    levels: Mapping[str, int] = field(default_factory=dict)
    evaluated: Callable[[Path, Callable[[], Captured]], torch.nn.Module] = _of_onnx

    def missing(self) -> str | None:
        """Why it cannot be written here, and what brings it; None where it can."""
        return not_installed(self.requires) or self.lacks()
