"""The further proofs of `check`: --drift, --bisect and --against."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from rnnbench.commands._console import note, print_json, say
from rnnbench.commands._files import NAMES as FILE_OPTIONS
from rnnbench.commands._files import number, pairs, sizes
from rnnbench.commands._options import option
from rnnbench.core.errors import RnnbenchError, Unavailable, one_line

if TYPE_CHECKING:
    from rnnbench.checking.bisect.minimise import Minimal
    from rnnbench.checking.pairs.inputs import Given
    from rnnbench.checking.report import CheckReport
    from rnnbench.core.bundle import Bundle

_DRIFT = "Instead: so many steps in chunks, and how the error grows with them."
_BISECT = "Also make each failing case small, and name the first node that is off."
_AGAINST = "Instead: compare FILE with another, as a.onnx with b.ts; neither is the reference."
_CONTEXT = "With --against: an input of one file wants the last N values of the chunk before."
_TOLERANCE = "With --against: how far apart the same may be.  [default: 1e-05]"
_WITH = {
    "drift": ("targets", "drift", "plot", "runtimes", "trust_code", "as_json", *FILE_OPTIONS),
    "against": (
        *("targets", "against", "inputs", "values", "shapes", "context", "tolerance", "as_json"),
    ),
}
_SIZE = re.compile(r"(\w+)=(\d+)")


def proof_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of the further proofs; `check` gets them by name."""
    for each in reversed(
        [
            option(
                "--drift",
                type=click.IntRange(1),
                metavar="STEPS",
                help=_DRIFT,
                group="Other proofs",
            ),
            option(
                "--plot", metavar="FILE.png", help="With --drift: draw it.", group="Other proofs"
            ),
            option("--bisect", is_flag=True, help=_BISECT, group="Other proofs"),
            option("--against", metavar="FILE", help=_AGAINST, group="Other proofs"),
            option(
                "--inputs",
                metavar="FILE.npz",
                help="With --against: what to feed.",
                group="With --against",
            ),
            option(
                "--context", multiple=True, metavar="NAME=N", help=_CONTEXT, group="With --against"
            ),
            option("--tolerance", type=float, help=_TOLERANCE, group="With --against"),
        ]
    ):
        command = each(command)
    return command


def prove(
    targets: Sequence[str], runtimes: Sequence[str] | None, as_json: bool, options: dict[str, Any]
) -> int | None:
    """Takes its options out of `options`; the exit code, or None where none of them was given.

    Raises:
        RnnbenchError: what is given does not fit together, or is bad input.
    """
    asked = {name: options.pop(name) for name in ("drift", "plot", "against")}
    feed = {name: options.pop(name) for name in ("inputs", "context")}
    tolerance = options.pop("tolerance")
    for proof, fitting in _WITH.items():
        if asked[proof] is not None:
            _refuse_others(proof, fitting)
    if asked["against"] is not None:
        if len(targets) != 1:
            raise RnnbenchError(f"--against compares one file with another: {len(targets)} given")
        from rnnbench.checking.pairs import check_pair, format_pair

        tolerance = 1e-5 if tolerance is None else tolerance
        if not tolerance >= 0:
            raise RnnbenchError(f"--tolerance {tolerance:g}: give a number of 0 or more")
        feed |= {name: options.pop(name) for name in ("values", "shapes")}
        pair = check_pair(targets[0], asked["against"], _given(**feed), tolerance=tolerance)
        _print(pair.to_json() if as_json else format_pair(pair))
        return 0 if pair.ok else 1
    for name, value in {**feed, "tolerance": tolerance}.items():
        if value not in (None, ()):
            raise RnnbenchError(f"{_options()[name].opts[0]} goes with --against FILE")
    if asked["drift"] is None:
        if asked["plot"]:
            raise RnnbenchError("--plot draws what --drift STEPS measures: give both")
        return None
    bundle = _only(targets, options["trust_code"])
    return _drift(bundle, runtimes, as_json, asked["drift"], asked["plot"])


def _refuse_others(proof: str, fitting: Sequence[str]) -> None:
    """Raises where the command line has an option that would be ignored."""
    source = click.get_current_context().get_parameter_source
    for name, declared in _options().items():
        if source(name) is ParameterSource.COMMANDLINE and name not in fitting:
            raise RnnbenchError(
                f"{declared.opts[0]} does nothing with --{proof}: leave one of them out"
            )


def _options() -> dict[str, click.Parameter]:
    """What the command takes, by the name of its argument."""
    return {str(option.name): option for option in click.get_current_context().command.params}


def bisect(path: Path, report: CheckReport, trust_code: bool = False) -> list[Minimal]:
    """The smallest failing case of each artifact of a bundle that differs."""
    from rnnbench.cases.stored import read_cases
    from rnnbench.checking.bisect.intermediates import find_reference
    from rnnbench.checking.bisect.locate import format_location, locate
    from rnnbench.checking.bisect.minimise import minimise
    from rnnbench.core.bundle import Bundle

    bundle = Bundle.open(path, trust_code=trust_code)
    rows: dict[tuple[str, str], str] = {}
    for row in report.rows:
        format = row.format.split()[0]
        wrong = row.verdict.is_wrong and row.model == bundle.name
        here = not row.runtime.endswith(("cuda", "-"))  # the case is made small on the CPU
        if wrong and format in bundle.artifacts and here:
            rows.setdefault((format, row.runtime), row.worst_case)
    if not rows:
        return []
    try:
        reference = find_reference(bundle)
    except Unavailable as error:
        note(f"{bundle.name}: no case can be made smaller ({one_line(error)})")
        if any(format == "onnx" for format, _ in rows):
            note(format_location(locate(bundle, read_cases(bundle)[0].inputs)))
        return []
    found = []
    for (format, runtime), case in rows.items():
        runtime, _, mode = runtime.partition(":")
        dims = _dims(bundle.manifest["cases"], case, bundle.traced)
        small = minimise(bundle, format, runtime, dims, mode=mode, reference=reference)
        if not small.reason:  # not there with ordinary inputs: larger ones
            small = minimise(bundle, format, runtime, mode=mode, reference=reference)
        found.append(small)
    return found


def _only(targets: Sequence[str], trust_code: bool) -> Bundle:
    """The bundle that is followed.

    Raises:
        RnnbenchError: there are several, or it is none.
    """
    from rnnbench.core.bundle import Bundle

    if len(targets) != 1:
        raise RnnbenchError(f"--drift follows one bundle over time: {len(targets)} given")
    return Bundle.open(targets[0], trust_code=trust_code)


def _drift(
    bundle: Bundle,
    runtimes: Sequence[str] | None,
    as_json: bool,
    steps: int,
    plot: str | None,
) -> int:
    from rnnbench.checking.drift import drift, format_drift
    from rnnbench.checking.drift.plot import check_plot, plot_drift

    if plot is not None:
        check_plot(Path(plot))
    report = drift(bundle, steps, runtimes)
    if plot is not None:
        plot_drift(report, Path(plot))
        note(f"drawn in {plot}")
    _print(report.to_json() if as_json else format_drift(report))
    return 0 if report.ok else 1


def _print(what: Any) -> None:
    if isinstance(what, str):
        say(what)
    else:
        print_json(what)


def _given(
    inputs: str | None, values: Sequence[str], shapes: Sequence[str], context: Sequence[str]
) -> Given:
    """What the options say of the inputs.

    Raises:
        RnnbenchError: one is written wrong, or the .npz cannot be read.
    """
    from rnnbench.checking.pairs.inputs import Given

    lengths = {k: number(v, "context") for k, v in pairs(context, "context")}
    for name, length in lengths.items():
        if not isinstance(length, int) or length < 1:
            raise RnnbenchError(f"--context {name}={length}: give 1 value or more")
    return Given(
        arrays=_arrays(inputs),
        values={k: number(v, "set") for k, v in pairs(values, "set")},
        shapes=sizes(shapes),
        context={k: int(v) for k, v in lengths.items()},
    )


def _arrays(file: str | None) -> dict[str, Any]:
    from rnnbench.cases.feeding import UNREADABLE, read_inputs

    if file is None:
        return {}
    try:
        return read_inputs(Path(file))
    except UNREADABLE as error:
        raise RnnbenchError(
            f"--inputs {file} is no .npz that can be read ({one_line(error)})"
        ) from None


def _dims(
    cases: Sequence[Mapping[str, Any]], name: str, traced: Mapping[str, int]
) -> dict[str, int] | None:
    """The sizes of a case: from the manifest, or from a name such as `batch=1,time=2`."""
    for entry in cases:
        if entry.get("name") == name:
            return dict(entry["dims"])
    said = {dim: int(n) for dim, n in _SIZE.findall(name) if dim in traced}
    return {**traced, **said} if said else None
