"""Builds and runs the targets of `embed` over a bundle's golden cases, and tells what they said.

The engines of rnnbench/checking/conformance/engines.py run over the same cases.

A runtime that nobody here thought of joins with a result file of the same form: see
exports/README.md.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path

from rnnbench.checking.conformance.engines import ALL, find_engine_jobs, run_engines
from rnnbench.checking.conformance.rows import ConformanceRow, format_conformed
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError, Unavailable, one_line
from rnnbench.core.processes import run_apart
from rnnbench.core.temporary import temporary_folder
from rnnbench.core.trust import refuse_machine_code
from rnnbench.core.verdicts import Verdict
from rnnbench.embedding.project import embed
from rnnbench.embedding.results import read_result
from rnnbench.embedding.target import Target, find_target, targets
from rnnbench.runtimes.known_gaps import with_gaps

__all__ = ["ConformanceRow", "conform", "format_conformed"]

BUILD_S, RUN_S = 600.0, 120.0
_MACHINE_CODE = {"aoti": "compiled", "c": "written"}
"""Format -> how its files were made, of those that are machine code, or become it."""


def conform(
    bundle: Bundle,
    names: Sequence[str] = (),
    *,
    results: Sequence[str | Path] = (),
    engines: Sequence[str] = (),
    profiles: Sequence[str] = (),
    on_progress: Callable[[str], None] = lambda _: None,
) -> list[ConformanceRow]:
    """Embeds, builds, runs and compares; every failure is a row.

    Only what is asked for; everything where nothing is.

    Args:
        bundle: what `export` wrote.
        names: targets of `embed`.
        results: result files of other runtimes.
        engines: runtimes that read such files, as `NAME`, `NAME:MODE` or `all`.
        profiles: the forms of the file that engines run; every one unless given.
        on_progress: gets a line as each ends.

    Raises:
        RnnbenchError: a name is unknown, or a file is no result file; nothing has been run then.
    """
    every = not (names or results or engines or profiles)
    chosen = [*targets().values()] if every else [find_target(name) for name in names]
    jobs = find_engine_jobs(engines or (ALL,), profiles) if every or engines or profiles else []
    read = [replace(read_result(Path(path)), model=bundle.name) for path in results]
    rows = []
    for target in chosen:
        row = replace(_conform(bundle, target, on_progress), model=bundle.name)
        if row.verdict != Verdict.NOT_RUN:
            on_progress(f"{target.name}: {row.verdict}")
        rows.append(row)
    return rows + (run_engines(bundle, jobs, on_progress) if jobs else []) + read


def _conform(bundle: Bundle, target: Target, on_progress: Callable[[str], None]) -> ConformanceRow:
    missing = _missing(bundle, target)
    if missing:
        return ConformanceRow(target.name, verdict=Verdict.NOT_RUN, reason=missing)
    try:
        project = _project(bundle, target)
    except RnnbenchError as error:
        return ConformanceRow(target.name, verdict=Verdict.FAILED, reason=str(error))
    start = time.perf_counter()
    for command in target.build:
        on_progress(f"{target.name}: {' '.join(command)}")
        failed = _run(command, project, BUILD_S)
        if failed:
            return ConformanceRow(
                target.name, verdict=Verdict.FAILED, reason=f"{' '.join(command)}: {failed}"
            )
    build_s = time.perf_counter() - start if target.build else 0.0
    result = project / "result.json"
    on_progress(f"{target.name}: {' '.join(target.run)}")
    failed = _run((*target.run, "--verify", "result.json"), project, RUN_S, wrong=1)
    if not result.is_file():
        why = failed or "it wrote no result"
        return ConformanceRow(target.name, verdict=Verdict.FAILED, build_s=build_s, reason=why)
    row = replace(read_result(result), target=target.name, build_s=build_s)
    if target.engine and row.verdict != Verdict.SAME:
        path = bundle.artifacts[target.format_in(bundle)].path
        row = replace(row, reason=with_gaps(row.reason, target.engine, path))
    return row


def _missing(bundle: Bundle, target: Target) -> str:
    """Why a target is not run: a tool, the file, or trust in the file; nothing where it is."""
    missing = target.missing()
    if missing or target.format_in(bundle) in bundle.artifacts:
        if not missing and target.format in _MACHINE_CODE and not bundle.trust_code:
            done = _MACHINE_CODE[target.format]
            try:
                refuse_machine_code(bundle.artifacts[target.format].path, done)
            except Unavailable as error:
                return one_line(error)
        return missing or ""
    return f"the bundle has no {target.format} file"


@cache
def _workshop() -> Path:
    """Where projects are built; it goes when the process ends."""
    until_the_end = ExitStack()
    atexit.register(until_the_end.close)
    return until_the_end.enter_context(temporary_folder())


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
        done = run_apart(words, folder, limit, environment)
    except (OSError, subprocess.TimeoutExpired) as error:
        return one_line(error)
    if done.returncode in (0, wrong):
        return ""
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    telling = [line for line in said if "error" in line.lower()] or said
    return f"exit code {done.returncode}: {(telling or ['it said nothing'])[0][:300]}"
