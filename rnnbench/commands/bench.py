"""`bench`: latency, ratios and cost, of built-in variants and of anybody's models."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnnbench.commands._console import note, print_json, say
from rnnbench.commands._options import DIFFERS, FINE, INTERRUPTED, as_json
from rnnbench.core import plugins
from rnnbench.core.documents import document

if TYPE_CHECKING:
    from rnnbench.benchmarking.plan import Item, Plan

_OUT = Path("benchmarks/results")


@click.command(short_help="Measure latency, ratios and cost.")
@click.argument("targets", metavar="[BUNDLE | VARIANT | FILE.py[:FUNCTION]]...", nargs=-1)
@click.option(
    "--runtime", "runtimes", multiple=True, help="With commas between.  [default: the quick ones]"
)
@click.option("--device", "devices", multiple=True, help="cpu, cuda, cuda:1 ...  [default: cpu]")
@click.option("--batch", help="Rows.  [default: 1]")
@click.option("--time", "time_", help="Steps.  [default: 1,32; quick: 32]")
@click.option("--hidden", help="Sizes of the state.  [default: 32,128; quick: 128]")
@click.option("--layers", help="Recurrent layers.  [default: 1]")
@click.option("--threads", help="Inside one operation, in every runtime.  [default: 1]")
@click.option("--quick", is_flag=True, help="Fewer sizes, and shorter measurements.")
@click.option("--resume", is_flag=True, help="Go on with the run of these options that stopped.")
@click.option("--name", help="Of the results file.  [default: full; quick: quick]")
@click.option("--out", type=click.Path(path_type=Path), default=_OUT, show_default=True)
@as_json
def command(
    targets: tuple[str, ...],
    runtimes: tuple[str, ...],
    devices: tuple[str, ...],
    quick: bool,
    resume: bool,
    name: str | None,
    out: Path,
    as_json: bool,
    **sizes: str | None,
) -> int:
    """Measure latency, ratios and cost; save them, and print the tables.

    Loops against fused layers, runtimes against one another, our ONNX against the stock
    exporter's: built-in variants, your own model, or a bundle. Ctrl-C keeps what is measured.
    """
    from rnnbench.benchmarking.driver import run_plan
    from rnnbench.benchmarking.results import read_file
    from rnnbench.benchmarking.tables import format_results

    plan = _plan(targets, runtimes, devices, quick, sizes)
    check_name(name)
    with _progress(plan) as on_progress:
        outcome = run_plan(plan, out, name=name, resume=resume, on_progress=on_progress)
    if outcome.path is not None:
        if as_json:
            print_json(document("bench", json.loads(outcome.path.read_text("utf-8"))))
        else:
            say(format_results(read_file(outcome.path)))
        note(f"{outcome.measured} of {outcome.total} measured: {outcome.path}")
    if outcome.interrupted:
        note("stopped: go on with the same options and --resume")
        return INTERRUPTED
    for wrong in outcome.wrong:
        note(f"computes something else: {wrong}")
    return DIFFERS if outcome.wrong else FINE


def check_name(name: str | None) -> None:
    """Refuses a name that is no file's."""
    import re

    from rnnbench.core.errors import RnnbenchError

    if name is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise RnnbenchError(
            f"name {name!r}: use letters, digits, '.', '_' and '-' (it becomes a file's name)"
        )


def _plan(
    targets: tuple[str, ...],
    runtimes: tuple[str, ...],
    devices: tuple[str, ...],
    quick: bool,
    sizes: dict[str, str | None],
) -> Plan:
    """What was asked for, over the defaults; `--runtime a,b` is as good as giving it twice."""
    from rnnbench.benchmarking.plan import Plan, numbers

    given: dict[str, Any] = {"time": (32,), "hidden": (128,)} if quick else {}
    for option, value in sizes.items():
        if value is not None:
            key = option.rstrip("_")
            given[key] = numbers(key, value)
    for key, names in (("runtimes", runtimes), ("devices", devices), ("targets", targets)):
        if names:
            split = names if key == "targets" else _split(names)
            kind = "variants" if key == "targets" else key
            given[key] = tuple(plugins.canonical(kind, name) for name in split)
    return Plan(**given, quick=quick)


def _split(names: tuple[str, ...]) -> tuple[str, ...]:
    parts = (part.strip() for name in names for part in name.split(","))
    return tuple(dict.fromkeys(part for part in parts if part))


class _progress:  # noqa: N801  (used as a function)
    """A bar on stderr with the time left; where that is no terminal, nothing moves."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._bar: Any = None

    def __enter__(self) -> Callable[[Item], None]:
        return self._on_progress

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def _on_progress(self, item: Item) -> None:
        from tqdm import tqdm

        from rnnbench.benchmarking.plan import items

        if self._bar is None:
            total = sum(1 for _ in items(self._plan))
            self._bar = tqdm(
                total=total,
                file=sys.stderr,
                disable=None,
                leave=False,
                unit="measurement",
                bar_format="{n_fmt}/{total_fmt} |{bar:20}| {remaining} left  {desc}",
            )
        else:
            self._bar.update()
        self._bar.set_description_str(f"{item.kind} {item.id}"[:70])
