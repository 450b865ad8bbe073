"""`check`: do the artifacts of a bundle compute the same?"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnnbench.commands._console import Progress, RunsBar, loudness, print_json, say
from rnnbench.commands._options import (
    DIFFERS,
    FINE,
    as_json,
    as_markdown,
    completes,
    finish,
    option,
    split_names,
    trust_code,
    verb,
)
from rnnbench.commands._proofs import bisect as bisect_bundle
from rnnbench.commands._proofs import proof_options, prove
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.files import recognise

if TYPE_CHECKING:
    from rnnbench.checking.check import CheckOptions
    from rnnbench.checking.report import CheckReport

_GB = 2**30
_FILES = (".onnx", ".ts", ".pt", ".pth", ".pt2")


@verb(
    "Prove that every artifact computes the same.",
    "rnnbench check exports/hello-gru             # a row for each artifact",
    "rnnbench check exports/hello-gru --details --cases full",
    "rnnbench check a.onnx --against b.ts         # two files of one network",
    "rnnbench check exports/Net --bisect          # which node is off",
)
@click.argument("targets", metavar="[BUNDLE | FILE]...", nargs=-1)
@option(
    "--runtime",
    "runtimes",
    multiple=True,
    metavar="NAME[:MODE]",
    help="Only these, as onnxruntime:basic or eager:cuda; see: list runtimes.",
    group="What",
    shell_complete=completes("runtimes"),
)
@option(
    "--cases",
    default="quick",
    show_default=True,
    type=click.Choice(("quick", "full")),
    help="full: every size, state and kind of value, and every runtime and mode that is here.",
    group="What",
)
@option(
    "--case", "extra", multiple=True, help="One more: batch=3,time=17,inputs=large.", group="What"
)
@option("--only", multiple=True, metavar="CASE", help="Only these cases.", group="What")
@option(
    "--seed", type=click.IntRange(0), default=0, help="Of the inputs of --cases full.", group="What"
)
@option(
    "--factor",
    default=10.0,
    show_default=True,
    help="How many times the noise floor is allowed.",
    group="Limits",
)
@option(
    "--timeout",
    default=60.0,
    show_default=True,
    help="CPU seconds for loading, and for each call.",
    group="Limits",
)
@option(
    "--memory",
    default=4.0,
    show_default=True,
    help="GB that each process may allocate.",
    group="Limits",
)
@option(
    "--save-failures", metavar="DIR", help="An .npz of each case that is wrong.", group="Output"
)
@option("--junit", metavar="FILE", help="Also write JUnit XML, a row per case.", group="Output")
@option(
    "--bundles",
    default="exports",
    show_default=True,
    help="Where bundles are looked for.",
    group="What",
)
@option(
    "--format",
    "formats",
    multiple=True,
    help="Only artifacts of these; with commas.",
    group="What",
    shell_complete=completes("formats"),
)
@option(
    "--details", is_flag=True, help="A row for each output, with its noise floor.", group="Output"
)
@trust_code
@proof_options
@as_markdown
@as_json
def command(
    targets: tuple[str, ...],
    runtimes: tuple[str, ...],
    bundles: str,
    formats: tuple[str, ...],
    details: bool,
    as_json: bool,
    markdown: bool,
    junit: str | None,
    bisect: bool,
    **options: Any,
) -> int:
    """Compare what BUNDLEs (all in --bundles unless given) compute with the module in float64.

    Each artifact runs in each runtime in a process of its own, at once and in chunks. A process
    that ends, hangs or fills its memory is a row, and the others go on.
    """
    from rnnbench.checking.bisect.minimise import format_minimal
    from rnnbench.checking.report import merge
    from rnnbench.commands._pipeline import find_bundles

    if as_json and markdown:
        raise RnnbenchError("--json and --markdown: give one of them")
    code = prove(targets, runtimes or None, as_json, options)
    if code is not None:
        return code
    files = [target for target in targets if _is_file(target)]
    if files:
        raise RnnbenchError(
            str(recognise(files[0]) or "")
            or f"{files[0]} is a file, and check compares the artifacts of a bundle: "
            "give a folder that `rnnbench export` wrote, or another file with --against"
        )
    if junit is not None and not Path(junit).absolute().parent.is_dir():
        raise RnnbenchError(f"--junit {junit}: {Path(junit).parent} is not there: make it first")
    wanted, trusted = _check_options(options), options["trust_code"]
    wanted = replace(wanted, formats=split_names(formats, "formats"))
    paths = find_bundles(targets, Path(bundles))
    report = merge(_check_all(paths, runtimes or None, wanted))
    if junit is not None:
        from rnnbench.checking.junit import write_junit

        write_junit(report, Path(junit))
    smallest = (
        [found for path in paths for found in bisect_bundle(path, report, trusted)]
        if bisect
        else []
    )
    if as_json and bisect:
        print_json(report.to_json() | {"bisect": [found.to_json() for found in smallest]})
        return FINE if report.ok else DIFFERS
    code = finish("check", report, as_json, details or loudness() > 0, markdown)
    for found in smallest:
        say("\n" + format_minimal(found))
    return code


def _check_all(
    paths: tuple[Path, ...], runtimes: tuple[str, ...] | None, options: CheckOptions
) -> list[CheckReport]:
    """Checks one bundle after the other; a damaged one of several becomes a row."""
    from rnnbench.checking.check import check as check_bundle
    from rnnbench.checking.report import failed

    progress = Progress(len(paths))
    reports = []
    for path in paths:
        progress.on_start(path.name)
        with RunsBar(path.name, progress.on_progress) as bar:
            told = replace(
                options, on_start=bar.on_start, on_progress=bar.on_progress, on_rows=bar.on_rows
            )
            try:
                reports.append(check_bundle(path, runtimes, options=told))
            except RnnbenchError as error:
                if len(paths) == 1:
                    raise
                reports.append(failed(path.name, error))
        progress.on_end("checked")
    return reports


def _check_options(options: dict[str, Any]) -> CheckOptions:
    from rnnbench.checking.case_selection import CaseSelection
    from rnnbench.checking.check import CheckOptions
    from rnnbench.runtimes.pool import Isolation

    for name in ("factor", "timeout", "memory"):
        if not 0 < options[name] < math.inf:
            raise RnnbenchError(f"--{name} {options[name]:g}: give a number above 0")
    save = options["save_failures"]
    return CheckOptions(
        CaseSelection(options["cases"], options["extra"], options["only"], options["seed"]),
        options["factor"],
        Isolation(options["timeout"], int(options["memory"] * _GB)),
        options["trust_code"],
        None if save is None else Path(save),
    )


def _is_file(target: str) -> bool:
    path = Path(target)
    return path.is_file() or (path.suffix in _FILES and not path.is_dir())
