"""ONNX as other engines want it: see formats/onnx/profiles.py."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.formats import onnx

if TYPE_CHECKING:
    from rnnbench.capture import Captured

SUFFIX = ".portable.onnx"

available = onnx.available


def write(
    captured: Captured,
    path: Path,
    *,
    metadata: Mapping[str, str],
    opset: int | None = None,
    profile: str = "portable",
    pin: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Translates a captured program, rewrites the graph and saves it.

    Args:
        captured: the program.
        path: the file.
        metadata: what the file says of itself.
        opset: the ONNX operator set, 17 to 21.
        profile: `portable`, or the engine that is to run it.
        pin: dimensions that become fixed, with their sizes.

    Returns:
        What the manifest says of the artifact.

    Raises:
        RnnbenchError: the model has no such form.
    """
    from rnnbench.formats.onnx.profiles import rewrite

    with tempfile.TemporaryDirectory(prefix="rnnbench-") as folder:
        plain = Path(folder) / "model.onnx"
        said = onnx.write(captured, plain, metadata=metadata, opset=opset)
        return {"opset": said["opset"]} | rewrite(plain, path, profile, pin)
