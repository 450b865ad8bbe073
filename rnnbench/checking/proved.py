"""One file that is made and proved in a folder of its own, for those who want no bundle."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rnnbench.checking.check import CheckOptions, check
from rnnbench.checking.report import CheckReport
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.verdicts import Verdict
from rnnbench.models.calls import on_cpu

if TYPE_CHECKING:
    from rnnbench.core.model import Model
    from rnnbench.models.example.declare import Declared

_RUNTIMES = {"onnx": "onnxruntime", "pt2": "pt2"}


def prove(bundle: Bundle, format: str, declared: Declared) -> None:
    """Runs the one file of a bundle at every size that `check` has, in a process of its own.

    Args:
        bundle: of one format.
        format: `onnx` or `pt2`.
        declared: what was exported: it is asked about weights that the file does not hold as they
            are, and no other thread exports meanwhile.

    Raises:
        RnnbenchError: the file gives something else than the module, or ends its process.
    """
    options = CheckOptions(at_hand=lambda: _ready(declared))
    report = check(bundle, (_RUNTIMES[format],), options=options)
    if not report.ok:
        raise _unproved(bundle.name, format, report)


@contextmanager
def _ready(declared: Declared) -> Iterator[Model]:
    """The module as it was exported: called with tensors one by one, and afterwards as it was."""
    from rnnbench.capture.this_thread import exporting_alone
    from rnnbench.models.as_it_was import left_as_it_was
    from rnnbench.models.example.call import called_flat

    module = declared.model.module
    with exporting_alone(), left_as_it_was(module), on_cpu(module), called_flat(declared.call):
        yield declared.model


def _unproved(name: str, format: str, report: CheckReport) -> RnnbenchError:
    worst = max(report.rows, key=lambda row: row.verdict.severity)
    why = one_line(ValueError(worst.reason)) if worst.reason else str(worst.verdict)
    look = "export and check it with a declaration (docs/own-model.md) to look into it"
    if worst.is_about_weights:
        return RnnbenchError(
            f"model {name!r}: the {format} file holds other weights than the module ({why}), and "
            f"is not written: {look}"
        )
    what = "computes something else" if worst.verdict is Verdict.DIFFERS else "does not run"
    where = f" at {worst.worst_case}" if worst.worst_case else ""
    return RnnbenchError(
        f"model {name!r}: the {format} file {what} in {worst.runtime}{where} ({why}), and is "
        f"not written: {look}"
    )
