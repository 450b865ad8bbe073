"""`check`: do the artifacts of a bundle compute the same?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnnbench.commands._cluster import cluster_options, on_each_bundle, refuse_with_cluster
from rnnbench.commands._console import Progress, RunsBar, loudness, print_json, say
from rnnbench.commands._files import bundles as bundles_of
from rnnbench.commands._files import file_options
from rnnbench.commands._imports import large_imports
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

if TYPE_CHECKING:
    from rnnbench.checking.check import CheckOptions
    from rnnbench.checking.report import CheckReport

_GB = 2**30
_FILES = (".onnx", ".ts", ".pt", ".pth", ".pt2")


@verb(
    "Prove that every artifact computes the same.",
    "rnnbench check exports/hello-gru             # a row for each artifact",
    "rnnbench check exports/hello-gru --details --cases full",
    "rnnbench check model.onnx --runtime ort,tract  # a file that somebody wrote",
    "rnnbench check a.onnx --against b.ts         # two files of one network",
    "rnnbench check exports/Net --bisect          # which node is off",
    "rnnbench check --cluster auto                # every bundle, a core each",
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
@option(
    "--max-price",
    metavar="40dB,1%",
    help="What rounded weights may cost: decibels above the change, a share of errors.",
    group="Limits",
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
@cluster_options
@file_options
@proof_options
@as_markdown
@as_json
def command(
    targets: tuple[str, ...],
    runtimes: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> int:
    """Compare what BUNDLEs (all in --bundles unless given) compute with the module in float64.

    Each artifact runs in each runtime in a process of its own, at once and in chunks. A process
    that ends, hangs or fills its memory is a row, and the others go on. A FILE that somebody wrote
    (.onnx, TorchScript) is compared with an evaluation of itself in float64.
    """
    if as_json and options["markdown"]:
        raise RnnbenchError("--json and --markdown: give one of them")
    wanted = split_names(runtimes, "runtimes") or None
    refuse_with_cluster(options["cluster"], options["on"], _of_this_machine(options))
    if options["against"] is not None:
        return prove(targets, wanted, as_json, options) or FINE
    for target in targets:
        if _is_missing(target):
            raise RnnbenchError(f"{target} is not there: give a bundle's folder, or a file")
    with bundles_of(targets, options) as found:
        code = prove(found, wanted, as_json, options)
        return _compare(found, wanted, as_json, options) if code is None else code


def _compare(
    targets: Sequence[str], runtimes: tuple[str, ...] | None, as_json: bool, options: dict[str, Any]
) -> int:
    """Checks the bundles, and prints what was found; the exit code."""
    with large_imports():
        from rnnbench.checking.report import merge
        from rnnbench.commands._pipeline import find_bundles

    junit, bisect = options["junit"], options["bisect"]
    if junit is not None and not Path(junit).absolute().parent.is_dir():
        raise RnnbenchError(f"--junit {junit}: {Path(junit).parent} is not there: make it first")
    wanted, trusted = _check_options(options), options["trust_code"]
    wanted = replace(wanted, formats=split_names(options["formats"], "formats"))
    paths = find_bundles(targets, Path(options["bundles"]))
    if options["cluster"] is None:
        report = merge(_check_all(paths, runtimes, wanted))
    else:
        report = merge(_check_there(paths, runtimes, wanted, options["cluster"], options["on"]))
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
    details = options["details"] or loudness() > 0
    code = finish("check", report, as_json, details, options["markdown"])
    if smallest:
        from rnnbench.checking.bisect.minimise import format_minimal

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


def _check_there(
    paths: tuple[Path, ...],
    runtimes: tuple[str, ...] | None,
    options: CheckOptions,
    cluster: str,
    on: Sequence[str],
) -> list[CheckReport]:
    """The same on a cluster: each bundle has a core, as its processes do one after the other."""
    from rnnbench.checking.check import check as check_bundle
    from rnnbench.checking.report import failed

    isolation = options.isolation and replace(options.isolation, workers=1)
    function = partial(
        check_bundle, runtimes=runtimes, options=replace(options, isolation=isolation)
    )
    reports = []
    for path, said in zip(paths, on_each_bundle(paths, function, cluster, on), strict=True):
        if isinstance(said, RnnbenchError) and len(paths) == 1:
            raise said
        reports.append(failed(path.name, said) if isinstance(said, RnnbenchError) else said)
    return reports


def _of_this_machine(options: dict[str, Any]) -> dict[str, str]:
    """The options that were given, and are of no use on another: why."""
    reasons = {
        "--save-failures": ("save_failures", "the files would be on the nodes"),
        "--against": ("against", "two files are compared here"),
        "--drift": ("drift", "the drift is measured here"),
        "--bisect": ("bisect", "a bundle is bisected here"),
    }
    return {flag: why for flag, (name, why) in reasons.items() if options.get(name)}


def _check_options(options: dict[str, Any]) -> CheckOptions:
    with large_imports():
        from rnnbench.checking.case_selection import CaseSelection
        from rnnbench.checking.check import CheckOptions
    from rnnbench.checking.price import MaxPrice
    from rnnbench.runtimes.pool import Isolation

    for name in ("factor", "timeout", "memory"):
        if not 0 < options[name] < math.inf:
            raise RnnbenchError(f"--{name} {options[name]:g}: give a number above 0")
    save, dear = options["save_failures"], options["max_price"]
    return CheckOptions(
        CaseSelection(options["cases"], options["extra"], options["only"], options["seed"]),
        options["factor"],
        Isolation(options["timeout"], int(options["memory"] * _GB)),
        options["trust_code"],
        None if save is None else Path(save),
        max_price=None if dear is None else MaxPrice.parse(dear),
    )


def _is_missing(target: str) -> bool:
    """Whether a target is called as a file is, and there is none."""
    return Path(target).suffix in _FILES and not Path(target).exists()
