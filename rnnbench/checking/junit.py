"""A report as JUnit XML: a row per case in CI systems."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

from rnnbench.checking.report import CheckReport
from rnnbench.checking.verdicts import CaseResult
from rnnbench.core.text import harmless
from rnnbench.core.verdicts import Verdict
from rnnbench.core.whole import write_file

_ILLEGAL = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def format_junit(report: CheckReport) -> str:
    """A test suite for each artifact in each runtime, with a test case for each case.

    What differs is a failure, what gave no output an error; what is not installed and what is a
    limit of the runtime are skipped, with the reason.
    """
    groups: dict[str, list[CaseResult]] = {}
    for result in report.results:
        name = _name(result.model, result.format, result.runtime)
        groups.setdefault(name, []).append(result)
    root = ElementTree.Element("testsuites", {"name": "rnnbench check", **_counts(report.results)})
    for name, results in groups.items():
        suite = ElementTree.SubElement(root, "testsuite", {"name": name, **_counts(results)})
        for result in results:
            _add(suite, name, result)
    for row in report.rows:
        if row.runtime == "-" and row.verdict == Verdict.FAILED:  # no bundle, or no artifact
            counts = {"tests": "1", "failures": "0", "errors": "1", "skipped": "0"}
            name = _name(row.model, row.format)
            suite = ElementTree.SubElement(root, "testsuite", {"name": name, **counts})
            case = ElementTree.SubElement(suite, "testcase", classname=name, name="export")
            ElementTree.SubElement(case, "error", message=_clean(row.reason))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def write_junit(report: CheckReport, path: Path) -> None:
    """Writes the file whole or not at all.

    Raises:
        RnnbenchError: it cannot be written.
    """
    write_file(path, format_junit(report).encode(), "give another --junit")


def _add(suite: ElementTree.Element, name: str, result: CaseResult) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=name, name=_name(result.case))
    kind = {Verdict.DIFFERS: "failure", Verdict.FAILED: "error", Verdict.SAME: ""}.get(
        result.verdict, "skipped"
    )
    if kind:
        said = ElementTree.SubElement(case, kind, message=_clean(result.reason))
        if result.repeat:
            said.text = _clean(result.repeat)


def _counts(results: Iterable[CaseResult]) -> dict[str, str]:
    verdicts = [result.verdict for result in results]
    return {
        "tests": str(len(verdicts)),
        "failures": str(verdicts.count(Verdict.DIFFERS)),
        "errors": str(verdicts.count(Verdict.FAILED)),
        "skipped": str(verdicts.count(Verdict.LIMIT) + verdicts.count(Verdict.NOT_RUN)),
    }


def _name(*parts: str) -> str:
    """A name in one line, with a point between its parts."""
    return _clean(harmless(".".join(parts)))


def _clean(text: str) -> str:
    return _ILLEGAL.sub("?", text)
