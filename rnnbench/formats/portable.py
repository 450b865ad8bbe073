"""ONNX rewritten for other engines: what `export --profile` and `--for` write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import RnnbenchError, choices
from rnnbench.core.temporary import temporary_folder
from rnnbench.formats import onnx
from rnnbench.formats._format import Format, WriteOptions

if TYPE_CHECKING:
    from rnnbench.capture.program import Captured
    from rnnbench.core.model import Model


def write(captured: Captured, path: Path, options: WriteOptions) -> dict[str, Any]:
    """Translates a captured program, rewrites the graph and saves it.

    Args:
        captured: the program.
        path: the file.
        options: the metadata, the operator set, the engine that is to run it (`portable`: any), and
            dimensions that become fixed.

    Returns:
        What the manifest says of the artifact.

    Raises:
        RnnbenchError: the model has no such form.
    """
    from rnnbench.formats.onnx.profiles import rewrite

    with temporary_folder() as folder:
        plain = Path(folder) / "model.onnx"
        said = onnx.write(captured, plain, options)
        same = {key: said[key] for key in ("opset", "precision", "weights") if key in said}
        return same | rewrite(plain, path, options.profile, options.pin)


def refuse(model: Model, options: WriteOptions) -> None:
    """Stops at a profile that there is not, and at sizes that cannot be.

    Raises:
        RnnbenchError: one of them.
    """
    from rnnbench.formats.onnx.profiles import check_profile

    onnx.check_opset(options.opset)
    check_profile(options.profile, opset=options.opset or onnx.DEFAULT_OPSET)
    for dim, size in options.pin.items():
        if dim not in model.dims:
            raise choices("dimension", dim, model.dims)
        if size < 1:
            raise RnnbenchError(f"dimension {dim}={size}: give 1 or more")


_PRECISIONS = ("float16", "bfloat16", "int8-weights")

FORMAT = Format(".portable.onnx", onnx.FORMAT.requires, write, refuse, precisions=_PRECISIONS)
