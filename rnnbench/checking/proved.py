"""One file that is made and proved in a folder of its own, for those who want no bundle."""

from __future__ import annotations

from pathlib import Path

from rnnbench.checking.check import check
from rnnbench.checking.report import CheckReport
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.model import Model
from rnnbench.core.verdicts import Verdict
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
        raise _unproved(model, format, report)
    return bundle


def _unproved(model: Model, format: str, report: CheckReport) -> RnnbenchError:
    worst = max(report.rows, key=lambda row: row.verdict.severity)
    what = "computes something else" if worst.verdict is Verdict.DIFFERS else "does not run"
    where = f" at {worst.worst_case}" if worst.worst_case else ""
    why = one_line(ValueError(worst.reason)) if worst.reason else str(worst.verdict)
    return RnnbenchError(
        f"model {model.name!r}: the {format} file {what} in {worst.runtime}{where} ({why}), and is "
        "not written: export and check it with a declaration (docs/own-model.md) to look into it"
    )
