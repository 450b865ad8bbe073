"""The ranges of values in a graph, measured by ONNX Runtime's calibrator on a user's arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.model import Arrays
from rnnbench.core.one_thread import ignoring
from rnnbench.core.temporary import temporary_folder

Ranges = Mapping[str, tuple[float, float]]
"""Of each value the least and the greatest number, 0 among them; never two equal ones."""


def ranges_of(model: ir.Model, names: Sequence[str], calls: Sequence[Arrays]) -> Ranges:
    """Runs a graph of floats on each call's inputs.

    Args:
        model: stays as it is.
        names: of values in the outermost graph.
        calls: the inputs by name, each of a call.

    Raises:
        RnnbenchError: a value is not finite, or ONNX Runtime fails.
    """
    from onnxruntime.quantization.calibrate import CalibrationMethod, create_calibrator

    from rnnbench.formats.onnx.saving import save

    found: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    with temporary_folder(failed="cannot calibrate") as folder, ignoring(("", RuntimeWarning)):
        path = Path(folder) / "floats.onnx"
        beside = save(model, path)
        try:
            calibrator = create_calibrator(
                path,
                ("MatMul", "Conv"),
                augmented_model_path=str(Path(folder) / "measured.onnx"),
                calibrate_method=CalibrationMethod.MinMax,
                use_external_data_format=bool(beside),
            )
            for call in calls:  # of several it leaves out what is no number
                calibrator.calibrate_tensors_range = None
                calibrator.collect_data(_Calls([call]))
                ranges = calibrator.compute_data()
                for name in names:
                    found[name].append(_bounds(ranges[name].range_value))
        except Exception as error:  # ONNX Runtime raises types of its own
            raise RnnbenchError(
                f"the graph does not run on the arrays of --calibrate ({one_line(error)}): give "
                "what `rnnbench run --npz` takes"
            ) from error
    return {name: _range(name, each) for name, each in found.items()}


def _bounds(found: Any) -> tuple[float, float]:
    least, most = (float(np.reshape(bound, -1)[0]) for bound in found)
    return least, most


def _range(name: str, calls: Sequence[tuple[float, float]]) -> tuple[float, float]:
    for number, bounds in enumerate(calls, 1):
        if not np.isfinite(bounds).all():
            raise RnnbenchError(
                f"call {number} of --calibrate gives {name} from {bounds[0]:g} to {bounds[1]:g}: "
                "leave out what is not finite"
            )
    least, most = min(0.0, *(low for low, _ in calls)), max(0.0, *(high for _, high in calls))
    return (least, most) if most > least else (0.0, 1.0)


class _Calls:
    """What ONNX Runtime takes its inputs from."""

    def __init__(self, calls: Sequence[Arrays]) -> None:
        self._left: Iterator[Arrays] = iter(calls)

    def get_next(self) -> dict[str, Any] | None:
        """The inputs of the next call; None behind the last."""
        arrays = next(self._left, None)
        return None if arrays is None else dict(arrays)
