"""Bundle -> CheckReport: does every artifact compute what the module computes?

All inferences come first and all comparisons after, each artifact over all cases, so that an
artifact that keeps or overwrites something between calls is found. Nothing is printed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from rnnbench import plugins, runtimes
from rnnbench.bundle import Bundle
from rnnbench.cases import Case, read_cases
from rnnbench.compare import Difference, compare
from rnnbench.errors import Unavailable, choices
from rnnbench.inference import Ran, run_everything

Verdict = Literal["same", "DIFFERS", "failed", "not run"]


@dataclass(frozen=True)
class Row:
    """One output of one artifact in one runtime, over all cases.

    Attributes:
        model: the bundle's name.
        format: of the artifact; `eager` is the module itself, `twin` its other form.
        runtime: what ran it.
        output: its name; `*` where no output came into being.
        cases: how many cases were compared.
        worst_error: the largest absolute difference to the float64 reference.
        floor: the largest that the module itself has in its own precision.
        tolerance_needed: the smallest rtol = atol with which `np.allclose` agrees everywhere.
        worst_case: where `worst_error` is, or where the reason was seen first.
        verdict: `same`, `DIFFERS`, `failed` (no output) or `not run` (something is not installed).
        reason: what is wrong, in one line.
    """

    model: str
    format: str
    runtime: str
    output: str
    cases: int
    worst_error: float | None
    floor: float | None
    tolerance_needed: float | None
    worst_case: str
    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True)
class CheckReport:
    """What `check` found.

    Attributes:
        rows: one for each output of each artifact in each runtime.
        ok: something was compared, and nothing differs or failed.
        skipped: case -> why the module itself cannot run it.
    """

    rows: tuple[Row, ...]
    ok: bool
    skipped: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values; an infinite error is the string "inf"."""
        rows = [
            {key: "inf" if value == math.inf else value for key, value in asdict(row).items()}
            for row in self.rows
        ]
        return {"ok": self.ok, "rows": rows, "skipped": self.skipped}


def check(bundle: Bundle | str | Path, runtimes: Sequence[str] | None = None) -> CheckReport:
    """Compares each artifact in each runtime with the module in float64.

    Args:
        bundle: what `export` returned, or its folder.
        runtimes: which to use; all unless given. One that is asked for and missing is an error.

    Raises:
        RnnbenchError: the bundle is damaged, or a runtime is unknown or missing.
    """
    bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    _check_runtimes(runtimes)
    cases = read_cases(bundle)
    everything = list(run_everything(bundle, cases, runtimes))
    rows = [row for ran in everything for row in _rows(bundle, cases, ran)]
    for format, why in (bundle.manifest.get("failed") or {}).items():
        rows.append(_row(bundle, format, "-", "failed", f"not exported: {why}"))
    verdicts = [row.verdict for row in rows]
    ok = "same" in verdicts and not {"DIFFERS", "failed"} & set(verdicts)
    skipped = {
        str(entry["name"]): str(entry["skipped"])
        for entry in bundle.manifest["cases"]
        if "skipped" in entry
    }
    return CheckReport(tuple(rows), ok, skipped)


def merge(reports: Sequence[CheckReport]) -> CheckReport:
    """The reports of several bundles as one; its cases' names get those of the bundles."""
    rows = tuple(row for report in reports for row in report.rows)
    skipped = {
        f"{report.rows[0].model}/{case}" if report.rows else case: why
        for report in reports
        for case, why in report.skipped.items()
    }
    return CheckReport(rows, all(report.ok for report in reports), skipped)


def format_report(report: CheckReport) -> str:
    """The report as a table, with a line for each case that could not be compared."""
    from tabulate import tabulate

    headers = ["model", "format", "runtime", "output", "cases", "worst error", "noise floor"]
    headers += ["tolerance needed", "worst case", "verdict"]
    table = [
        [
            *(row.model, row.format, row.runtime, row.output, row.cases),
            *map(_number, (row.worst_error, row.floor, row.tolerance_needed)),
            *(row.worst_case, row.verdict + (f": {row.reason}" if row.reason else "")),
        ]
        for row in report.rows
    ]
    text = tabulate(table, headers=headers, disable_numparse=True)
    notes = [f"not compared at {case}: {why}" for case, why in report.skipped.items()]
    return "\n".join([text, *notes])


def _check_runtimes(wanted: Sequence[str] | None) -> None:
    for name in wanted or ():
        if name not in runtimes.names():
            raise choices("runtime", name, runtimes.names())
        why = plugins.load("runtimes", name).available()
        if why is not None:
            raise Unavailable(why)


def _rows(bundle: Bundle, cases: list[Case], ran: Ran) -> Iterator[Row]:
    if ran.unavailable:
        yield _row(bundle, ran.format, ran.runtime, "not run", ran.unavailable)
    elif not ran.outputs:
        worst_case, why = next(iter(ran.errors.items()))
        row = _row(bundle, ran.format, ran.runtime, "failed", why)
        yield replace(row, worst_case=worst_case)
    else:
        for output in bundle.outputs:
            yield _output_row(bundle, cases, ran, output)


def _output_row(bundle: Bundle, cases: list[Case], ran: Ran, output: str) -> Row:
    missing = {
        name: f"there is no output {output!r}" for name, o in ran.outputs.items() if output not in o
    }
    failed = ran.errors | missing
    compared = {
        case.name: compare(
            ran.outputs[case.name][output], case.reference[output], case.eager[output]
        )
        for case in cases
        if case.name not in failed
    }
    wrong = {name: difference.reason for name, difference in compared.items() if difference.reason}
    label = f"{ran.format} ({ran.note})" if ran.note else ran.format
    row = _row(bundle, label, ran.runtime, "same", "", output)
    if compared:
        row = _measured(row, compared, wrong)
    if failed:
        name, why = next(iter(failed.items()))
        where = f"{len(failed)} of {len(cases)} cases, first {name}"
        return replace(row, worst_case=name, verdict="failed", reason=f"{where}: {why}")
    if wrong:
        where = f"{len(wrong)} of {len(cases)} cases"
        return replace(
            row, verdict="DIFFERS", reason=f"{where}, at {row.worst_case}: {wrong[row.worst_case]}"
        )
    return row


def _measured(row: Row, compared: dict[str, Difference], wrong: dict[str, str]) -> Row:
    worst = max(wrong or compared, key=lambda name: compared[name].error)
    return replace(
        row,
        cases=len(compared),
        worst_error=max(d.error for d in compared.values()),
        floor=max(d.floor for d in compared.values()),
        tolerance_needed=max(d.tolerance for d in compared.values()),
        worst_case=worst,
    )


def _row(
    bundle: Bundle, format: str, runtime: str, verdict: Verdict, reason: str, output: str = "*"
) -> Row:
    return Row(bundle.name, format, runtime, output, 0, None, None, None, "", verdict, reason)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1e}"
