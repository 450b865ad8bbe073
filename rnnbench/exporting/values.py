"""What the rounding of values to whole numbers costs, beside that of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from rnnbench.core.model import Arrays, Model
from rnnbench.exporting.rounding import errors_of, outputs_of
from rnnbench.models.kept import tensors_in
from rnnbench.models.precision import kept_signal

if TYPE_CHECKING:
    from rnnbench.capture.program import Captured
    from rnnbench.formats._format import Format


def rounding_file(
    folder: Path, artifacts: Mapping[str, Any], writers: Mapping[str, Format], captured: Captured
) -> torch.nn.Module | None:
    """The evaluation of the artifact that rounds values; None where there is none.

    Args:
        folder: of the bundle.
        artifacts: what the manifest says of each.
        writers: the formats, by name.
        captured: the program that they were written of.
    """
    for name, said in artifacts.items():
        if said.get("whole"):
            return writers[name].evaluated(folder / said["file"], lambda: captured)
    return None


def add_price(
    said: dict[str, Any], model: Model, file: torch.nn.Module, calls: Sequence[Arrays] = ()
) -> None:
    """Adds what the rounding of values costs to what the manifest says of the precision.

    `signal_db` and the errors after are then those of the file, and no longer those of the module
    with rounded weights alone.

    Args:
        said: of the precision.
        model: with its rounded weights.
        file: the evaluation of the artifact.
        calls: the inputs that scales were measured on, of which the first is taken; that of the
            first case, where there are none.
    """
    arrays = calls[0] if calls else None
    weights = outputs_of(model, arrays)
    own = outputs_of(replace(model, module=file), arrays)
    values = kept_signal(weights, own)
    for name, db in values.items():
        said["signal_db"][name] = round(_together(said["signal_db"].get(name, db), db), 1)
    if "errors" in said:
        said["errors"]["after"] = errors_of(replace(model, module=_AsTheModule(model, file)))


def _together(one: float, other: float) -> float:
    """The decibels above two changes that have nothing to do with one another."""
    power = sum(10 ** (-db / 10) for db in (one, other))
    return float(-10 * torch.log10(torch.tensor(power, dtype=torch.float64)))


class _AsTheModule(torch.nn.Module):
    """Takes and returns what the module does, and computes what the file does.

    What else is asked of it, the module answers.
    """

    def __init__(self, model: Model, file: torch.nn.Module) -> None:
        super().__init__()
        self._own, self._file = [model.module], file  # a list: its parameters are not ours

    def forward(self, *given: Any, **named: Any) -> Any:
        returned = self._own[0](*given, **named)
        tensors = [t for t in (*given, *named.values()) if isinstance(t, torch.Tensor)]
        computed = iter(self._file(*tensors))
        return _replaced(returned, computed, len(tensors_in(returned)))

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self._own[0], name)


def _replaced(returned: Any, computed: Any, count: int) -> Any:
    """The same nest with other tensors, in reading order."""
    from torch.utils import _pytree

    leaves, spec = _pytree.tree_flatten(returned)
    others = [next(computed) if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
    return _pytree.tree_unflatten(others, spec)
