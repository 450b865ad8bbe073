"""One file that is made and proved in a folder of its own, for those who want no bundle."""

from __future__ import annotations

from rnnbench.checking.check import check
from rnnbench.checking.report import CheckReport
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.verdicts import Verdict

_RUNTIMES = {"onnx": "onnxruntime", "pt2": "pt2"}


def prove(bundle: Bundle, format: str) -> None:
    """Runs the one file of a bundle at every size that `check` has, in a process of its own.

    Args:
        bundle: of one format.
        format: `onnx` or `pt2`.

    Raises:
        RnnbenchError: the file gives something else than the module, or ends its process.
    """
    report = check(bundle, (_RUNTIMES[format],))
    if not report.ok:
        raise _unproved(bundle.name, format, report)


def _unproved(name: str, format: str, report: CheckReport) -> RnnbenchError:
    worst = max(report.rows, key=lambda row: row.verdict.severity)
    what = "computes something else" if worst.verdict is Verdict.DIFFERS else "does not run"
    where = f" at {worst.worst_case}" if worst.worst_case else ""
    why = one_line(ValueError(worst.reason)) if worst.reason else str(worst.verdict)
    return RnnbenchError(
        f"model {name!r}: the {format} file {what} in {worst.runtime}{where} ({why}), and is "
        "not written: export and check it with a declaration (docs/own-model.md) to look into it"
    )
