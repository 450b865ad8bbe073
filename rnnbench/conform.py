"""Builds and runs the targets of `embed` over a bundle's golden cases, and tells what they said.

A runtime that nobody here thought of joins with a result file of the same form: see
exports/README.md.
"""

from __future__ import annotations

import atexit
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from rnnbench.bundle import Bundle
from rnnbench.embed import Target, embed, find_target, targets
from rnnbench.errors import RnnbenchError, one_line

RESULT = "rnnbench-result-1"
BUILD_S, RUN_S = 600.0, 120.0

Verdict = Literal["same", "DIFFERS", "failed", "not run"]


@dataclass(frozen=True)
class Conformed:
    """What one target said.

    Attributes:
        target: its name, or that of a result file.
        verdict: `same`, `DIFFERS`, `failed` (to build or to run) or `not run`.
        versions: of the runtime, as it says itself.
        cases: how many were compared, at once and streamed.
        worst_error: the largest absolute error; None where there is none.
        allowed: for that output of that case.
        build_s: seconds to build; 0 where nothing is built.
        load_s: seconds to load the model.
        step_s: seconds for the smallest call.
        reason: why it was not run, failed or differs.
    """

    target: str
    verdict: Verdict
    versions: dict[str, str] = field(default_factory=dict)
    cases: int = 0
    worst_error: float | None = None
    allowed: float | None = None
    build_s: float = 0.0
    load_s: float | None = None
    step_s: float | None = None
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """As JSON values; an infinite error is the string "inf"."""
        inf = self.worst_error == math.inf
        return asdict(self) | ({"worst_error": "inf"} if inf else {})


def conform(
    bundle: Bundle,
    names: Sequence[str] = (),
    *,
    results: Sequence[str | Path] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> list[Conformed]:
    """Embeds, builds, runs and compares; every failure is a row.

    Args:
        bundle: what `export` wrote.
        names: targets; every one unless given.
        results: result files of other runtimes.
        tell: gets a line as each target ends.
    """
    rows = []
    chosen = [find_target(name) for name in names] if names else [*targets().values()]
    for target in chosen if names or not results else []:
        row = _conform(bundle, target)
        tell(f"{target.name}: {row.verdict} {row.reason}".rstrip())
        rows.append(row)
    return rows + [_read_result(Path(path)) for path in results]


def _conform(bundle: Bundle, target: Target) -> Conformed:
    missing = target.missing()
    if missing:
        return Conformed(target.name, "not run", reason=missing)
    if target.format not in bundle.artifacts:
        return Conformed(target.name, "not run", reason=f"the bundle has no {target.format} file")
    project = _project(bundle, target)
    start = time.perf_counter()
    for command in target.build:
        failed = _run(command, project, BUILD_S)
        if failed:
            return Conformed(target.name, "failed", reason=f"{' '.join(command)}: {failed}")
    build_s = time.perf_counter() - start if target.build else 0.0
    result = project / "result.json"
    failed = _run((*target.run, "--verify", "result.json"), project, RUN_S, wrong=1)
    if not result.is_file():
        why = failed or "it wrote no result"
        return Conformed(target.name, "failed", build_s=build_s, reason=why)
    row = _read_result(result)
    return Conformed(**asdict(row) | {"target": target.name, "build_s": build_s})


@cache
def _workshop() -> Path:
    """Where projects are built; it goes when the process ends."""
    folder = tempfile.mkdtemp(prefix="rnnbench-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _project(bundle: Bundle, target: Target) -> Path:
    """The project, with what the build for the last bundle left: sources that are the same, which
    keep the time of their last change, are not compiled again, nor is anything downloaded.
    """
    project = _workshop() / target.name
    kept = project.with_suffix(".kept")
    names = ("build", *target.keep)
    if project.is_dir():
        _move(names, project, kept)
    embed(bundle, target, project, force=True)
    _move(names, kept, project)
    return project


def _move(names: Sequence[str], source: Path, destination: Path) -> None:
    destination.mkdir(exist_ok=True)
    for name in names:
        if (source / name).exists() and not (destination / name).exists():
            (source / name).rename(destination / name)


def _run(command: Sequence[str], folder: Path, limit: float, wrong: int = 0) -> str:
    """Why a command failed; empty where it did not (`wrong` is an exit code that is an answer)."""
    words = [sys.executable if word == "python" else word for word in command]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    # A build that asks python3 for a package asks this Python.
    python = str(Path(sys.executable).parent)
    environment["PATH"] = os.pathsep.join((python, environment.get("PATH", os.defpath)))
    try:
        done = subprocess.run(
            words, cwd=folder, timeout=limit, capture_output=True, text=True, env=environment
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return one_line(error)
    if done.returncode in (0, wrong):
        return ""
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    telling = [line for line in said if "error" in line.lower()] or said
    return f"exit code {done.returncode}: {(telling or ['it said nothing'])[0][:300]}"


def _read_result(path: Path) -> Conformed:
    try:
        said = json.loads(path.read_text("utf-8"))
        if said["format"] != RESULT:
            raise ValueError(f"format {said['format']!r}")
        rows = [dict(row) for row in said["rows"]]
        errors = [math.inf if r["error"] is None else float(r["error"]) for r in rows]
        allowed = [float(row["allowed"]) for row in rows]
        wrong = [
            f"{r['case']} ({r['how']}), {r['output']}"
            for r, error, limit in zip(rows, errors, allowed, strict=True)
            if not error <= limit
        ]
        load_s, step_s = (said.get(key) for key in ("load_s", "step_s"))
        versions = {str(k): str(v) for k, v in said.get("versions", {}).items()}
        name = str(said["target"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RnnbenchError(
            f"{path} is no result file ({one_line(error)}): see exports/README.md"
        ) from None
    if not rows:
        return Conformed(name, "failed", versions, reason="it compared nothing")
    worst = max(
        range(len(rows)), key=lambda i: (errors[i] / allowed[i]) if allowed[i] else errors[i]
    )
    return Conformed(
        name,
        "DIFFERS" if wrong else "same",
        versions,
        len({(row["case"], row["how"]) for row in rows}),
        errors[worst],
        allowed[worst],
        0.0,
        load_s,
        step_s,
        f"{len(wrong)} of {len(rows)} are off, first {wrong[0]}" if wrong else "",
    )


def format_conformed(rows: Sequence[Conformed]) -> str:
    """One table; reasons below it."""
    from tabulate import tabulate

    columns = {
        "target": [r.target for r in rows],
        "runtime": [", ".join(f"{k} {v}" for k, v in r.versions.items()) for r in rows],
        "cases": [r.cases or "" for r in rows],
        "worst error": ["" if r.worst_error is None else f"{r.worst_error:.1e}" for r in rows],
        "allowed": ["" if r.allowed is None else f"{r.allowed:.1e}" for r in rows],
        "verdict": [r.verdict for r in rows],
        "build s": [f"{r.build_s:.1f}" if r.build_s else "" for r in rows],
        "load ms": ["" if r.load_s is None else f"{1e3 * r.load_s:.1f}" for r in rows],
        "call us": ["" if r.step_s is None else f"{1e6 * r.step_s:.1f}" for r in rows],
    }
    right = ("left", "left", "right", "right", "right", "left", "right", "right", "right")
    table = tabulate(columns, headers="keys", disable_numparse=True, colalign=right)
    reasons = [f"{r.target}: {r.reason}" for r in rows if r.reason]
    return "\n".join([table, *(["", *reasons] if reasons else [])])
