"""What a file itself declares: its inputs and outputs by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Shape = tuple[int | str | None, ...]


@dataclass(frozen=True)
class Port:
    """One input or output.

    Attributes:
        name: as the file has it; `output_0` ... where the format has no names for outputs.
        dtype: a numpy dtype's name; `int`, `float` or `bool` for a Python number; empty where the
            file does not say (a TorchScript tensor).
        shape: sizes; a name or None where one is dynamic; None where not even the rank is known.
    """

    name: str
    dtype: str
    shape: Shape | None


@dataclass(frozen=True)
class Signature:
    """The inputs, in the order of the call, and the outputs of a file."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    def to_json(self) -> dict[str, Any]:
        """As JSON values, for another process."""
        return {
            part: [[port.name, port.dtype, port.shape] for port in ports]
            for part, ports in (("inputs", self.inputs), ("outputs", self.outputs))
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Signature:
        """What `to_json` made."""
        inputs, outputs = (
            tuple(Port(n, d, None if s is None else tuple(s)) for n, d, s in value[part])
            for part in ("inputs", "outputs")
        )
        return cls(inputs, outputs)
