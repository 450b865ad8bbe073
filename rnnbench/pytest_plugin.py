"""A fixture for tests of your own models; nothing heavy is imported before it is used.

def test_my_model(rnnbench_check):
rnnbench_check(build())          # exported, then proved in every runtime that is here
rnnbench_check("exports/Net")    # a bundle
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from rnnbench.checking.report import CheckReport
    from rnnbench.core.bundle import Bundle
    from rnnbench.core.model import Model

    Check = Callable[..., CheckReport]


@pytest.fixture
def rnnbench_check(tmp_path: Path) -> Check:
    """Checks a model or a bundle, and fails with the table where something differs.

    The function that it gives takes a `rnnbench.Model`, a bundle or its folder, and `formats` (of
    a model: torchscript and onnx unless given), `runtimes` (the usual ones unless given) and
    `cases` (`quick` or `full`); it returns the `CheckReport`.
    """

    def check(
        model_or_bundle: Model | Bundle | str | Path,
        *,
        formats: Sequence[str] = ("torchscript", "onnx"),
        runtimes: Sequence[str] | None = None,
        cases: str = "quick",
    ) -> CheckReport:
        __tracebackhide__ = True
        import rnnbench
        from rnnbench.core.model import Model

        if isinstance(model_or_bundle, Model):
            bundle = rnnbench.export(model_or_bundle, formats, tmp_path / "rnnbench")
            report = rnnbench.check(bundle, runtimes, cases=cases, model=model_or_bundle)
        else:
            report = rnnbench.check(model_or_bundle, runtimes, cases=cases)
        if not report.ok:
            pytest.fail(f"not the same as the module in float64:\n{report}", pytrace=False)
        return report

    return check
