"""The rival: the ONNX file that `torch.onnx.export(dynamo=False)` writes for the same model.

The default (dynamo) exporter is none: it refuses recurrent layers and loops of any length. The file
is traced at exactly the sizes that are measured, which is the best case of an unrolled loop.
"""

from __future__ import annotations

from pathlib import Path

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.model import Arrays, Model
from rnnbench.core.one_thread import ignoring
from rnnbench.models.calls import undisturbed


def export_stock(model: Model, arrays: Arrays, path: Path) -> None:
    """Writes it, with the same names and dynamic dimensions.

    Raises:
        RnnbenchError: the exporter refuses the model.
    """
    import torch

    names = [spec.name for spec in model.inputs]
    axes = {
        spec.name: {i: dim for i, dim in enumerate(spec.shape) if isinstance(dim, str)}
        for spec in model.inputs
    }
    tensors = tuple(torch.from_numpy(arrays[name]) for name in names)
    try:
        # It is deprecated, and warns of every recurrent layer.
        with ignoring(("", Warning)), undisturbed(model.module):
            torch.onnx.export(
                model.module,
                tensors,
                str(path),
                input_names=names,
                output_names=list(model.outputs),
                dynamic_axes=axes,
                dynamo=False,
            )
    except Exception as error:  # it raises types of torch's own
        raise RnnbenchError(
            f"torch.onnx.export(dynamo=False) refuses the model ({one_line(error)})"
        ) from error
