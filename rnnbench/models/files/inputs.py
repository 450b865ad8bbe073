"""What can be said of the inputs of a file that somebody wrote, and which files can stand alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rnnbench.core.signature import Shape

KINDS = ("onnx", "torchscript")
"""Of files that can stand for a module."""


@dataclass(frozen=True)
class FileInputs:
    """What the user says of a file's inputs.

    Attributes:
        values: inputs that are one number (a sampling rate), by name.
        shapes: input -> its shape; a number is fixed, a name is open.
        high: input of whole numbers -> their exclusive bound.
        states: state input -> its output; an empty one says that it is none.
        name: of the model; the file's own unless given.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    high: Mapping[str, int] = field(default_factory=dict)
    states: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
