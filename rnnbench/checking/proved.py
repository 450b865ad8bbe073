"""One file that is made and proved in a folder of its own, for those who want no bundle."""

from __future__ import annotations

from pathlib import Path

from rnnbench.checking.check import check
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.model import Model
from rnnbench.exporting import export

_RUNTIMES = {"onnx": "onnxruntime", "pt2": "pt2"}
# ONNX Runtime may abort its process; PyTorch is here already, and slow to start elsewhere.
_APART = ("onnx",)


def export_proved(model: Model, format: str, folder: Path, *, opset: int | None = None) -> Bundle:
    """Exports a model in one format, and runs the file at every size that `check` has.

    Args:
        model: what to export.
        format: `onnx` or `pt2`.
        folder: gets the bundle.
        opset: of ONNX.

    Raises:
        RnnbenchError: it cannot be exported, or the file gives something else than the module.
    """
    bundle = export(model, (format,), folder, opset=opset)
    report = check(bundle, (_RUNTIMES[format],), isolate=format in _APART)
    if not report.ok:
        worst = max(report.rows, key=lambda row: row.verdict.severity)
        where = f"at {worst.worst_case}" if worst.worst_case else ""
        raise RnnbenchError(
            f"model {model.name!r}: the {format} file does not compute the same "
            f"({worst.runtime}, output {worst.output}: {worst.reason or worst.verdict} {where}): "
            "nothing was written; please report it with the model"
        )
    return bundle
