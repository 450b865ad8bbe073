"""`bench`: latency, ratios and cost, of built-in variants and of anybody's models."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click

from rnnbench.commands._cluster import (
    add_to_store,
    cluster_options,
    deadline_option,
    measure_on_cluster,
    refuse_with_cluster,
    tell_wrong,
)
from rnnbench.commands._console import note, print_json, say
from rnnbench.commands._files import NAMES, bundles, file_options
from rnnbench.commands._options import (
    INTERRUPTED,
    as_json,
    as_markdown,
    completes,
    option,
    split_names,
    verb,
)
from rnnbench.core import plugins
from rnnbench.core.collector import importing
from rnnbench.core.documents import document
from rnnbench.core.errors import RnnbenchError

if TYPE_CHECKING:
    from rnnbench.benchmarking.plan import Item, Plan

_OUT = Path("benchmarks/results")


@verb(
    "Measure latency, ratios and cost.",
    "rnnbench bench --quick                       # three cells; about a minute",
    "rnnbench bench my_model.py --batch 1,8 --time 1,100",
    "rnnbench bench lstm --runtime eager,onnxruntime,openvino --threads 1,2",
    "rnnbench bench my_model.py --streams 1,8,64  # how many a core holds",
    "rnnbench bench my_model.py --precision float16,int8-weights",
    "rnnbench bench lstm --crossover hidden=8..1024",
    "rnnbench bench --quick --resume              # go on with a run that stopped",
    "rnnbench bench --quick --store results/      # add it to a store of many runs",
    "rnnbench bench --cluster auto --on gpu       # every kind of node with a GPU",
)
@click.argument("targets", metavar="[BUNDLE | FILE | VARIANT | FILE.py[:FUNCTION]]...", nargs=-1)
@option(
    "--runtime",
    "runtimes",
    multiple=True,
    help="With commas between.  [default: the quick ones]",
    group="What",
    shell_complete=completes("runtimes"),
)
@option(
    "--device", "devices", multiple=True, help="cpu, cuda, cuda:1 ...  [default: cpu]", group="What"
)
@option("--batch", help="Rows.  [default: 1]", group="Sizes")
@option("--time", "time_", help="Steps.  [default: 1,32; quick: 32; streams: 1]", group="Sizes")
@option(
    "--hidden", help="Sizes of the state.  [default: 32,128; quick, streams: 128]", group="Sizes"
)
@option("--layers", help="Recurrent layers.  [default: 1]", group="Sizes")
@option("--threads", help="Inside one operation, in every runtime.  [default: 1]", group="Sizes")
@option(
    "--training",
    is_flag=True,
    help="Time forward and backward, in eager and compile.",
    group="What",
)
@option(
    "--streams",
    metavar="N,N",
    help="Time so many at once, step by step: in one batch, one session, N sessions.",
    group="What",
)
@option(
    "--precision",
    "precisions",
    metavar="NAME,...",
    help="Of the weights, each beside float32: size, time and error.",
    group="What",
)
@option(
    "--crossover",
    metavar="SIZE=N..N",
    help="Search where two change places: hidden=8..1024, time=1..256.",
    group="What",
)
@option("--quick", is_flag=True, help="Fewer sizes, and shorter measurements.", group="How")
@option(
    "--resume", is_flag=True, help="Go on with the run of these options that stopped.", group="How"
)
@option("--name", help="Of the results file.  [default: full; quick: quick]", group="Output")
@option("--out", type=click.Path(path_type=Path), default=_OUT, show_default=True, group="Output")
@option(
    "--store",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Add each measurement to a store as well; needs the extra store.",
    group="Output",
)
@cluster_options
@deadline_option
@file_options
@as_markdown
@as_json
def command(
    targets: tuple[str, ...],
    as_json: bool,
    markdown: bool,
    **options: Any,
) -> int:
    """Measure latency, ratios and cost; save them, and print the tables.

    Loops against fused layers, runtimes against one another, our ONNX against the stock
    exporter's: built-in variants, your own model, a bundle, or a file that somebody wrote (.onnx,
    TorchScript). Ctrl-C keeps what is measured.
    """
    if as_json and markdown:
        raise RnnbenchError("--json and --markdown: give one of them")
    inputs = {key: options.pop(key) for key in NAMES}
    with bundles(targets, inputs) as found:
        return _measure(found, as_json, markdown, **options)


def _measure(
    targets: tuple[str, ...],
    as_json: bool,
    markdown: bool,
    *,
    runtimes: tuple[str, ...],
    devices: tuple[str, ...],
    quick: bool,
    training: bool,
    precisions: str | None,
    crossover: str | None,
    resume: bool,
    name: str | None,
    out: Path,
    store: Path | None,
    cluster: str | None,
    on: tuple[str, ...],
    deadline: float,
    **sizes: str | None,
) -> int:
    """Runs the plan, and prints what was measured; the exit code."""
    with importing():  # torch as well, whose threads are measured
        from rnnbench.benchmarking.driver import run_plan
        from rnnbench.benchmarking.results import read_file
        from rnnbench.benchmarking.tables import BenchReport

    sizes |= _sizes_of_a_search(crossover, sizes)
    plan = _plan(targets, runtimes, devices, quick or crossover is not None, sizes)
    plan = replace(plan, quick=quick, training=training)
    plan = replace(plan, precisions=_precisions(precisions), crossover=crossover or "")
    check_name(name)
    if store is not None:
        from rnnbench.benchmarking.store.adding import check_place

        check_place(store)
    of_here = {"--crossover": "a search goes from one measurement to the next, here"}
    refuse_with_cluster(cluster, on, of_here if crossover is not None else {})
    if cluster is not None:
        saved = {"out": out, "name": name, "resume": resume, "store": store}
        return measure_on_cluster(plan, cluster, on, deadline, saved, as_json, markdown)
    with _Progress(plan) as progress:
        outcome = run_plan(
            plan,
            out,
            name=name,
            resume=resume,
            on_progress=progress.on_progress,
            on_result=progress.on_result,
        )
    if outcome.path is not None:
        if as_json:
            print_json(document("bench", json.loads(outcome.path.read_text("utf-8"))))
        else:
            found = BenchReport(outcome.path, read_file(outcome.path))
            say(found.to_markdown() if markdown else str(found), whole=markdown)
        note(f"{outcome.measured} of {outcome.total} measured: {outcome.path}")
    if outcome.path is not None and store is not None:
        add_to_store(store, outcome.path, plan)
    if outcome.interrupted:
        note("stopped: go on with the same options and --resume")
        return INTERRUPTED
    return tell_wrong(outcome.wrong)


def check_name(name: str | None) -> None:
    """Refuses a name that is no file's."""
    import re

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
    if sizes["streams"] is not None:
        given |= {"time": (1,), "hidden": (128,)}
    for named, value in sizes.items():
        if value is not None:
            key = named.rstrip("_")
            given[key] = numbers(key, value)
    for key, names in (("runtimes", runtimes), ("devices", devices), ("targets", targets)):
        if names:
            own = [plugins.canonical("variants", name) for name in names]
            given[key] = tuple(own) if key == "targets" else split_names(names, key)
    return Plan(**given, quick=quick)


def _sizes_of_a_search(
    crossover: str | None, sizes: dict[str, str | None]
) -> dict[str, str | None]:
    """The size that is searched along, which the search chooses, as a size like the others."""
    from rnnbench.benchmarking.axis import Axis

    if crossover is None:
        return {}
    axis = Axis.parse(crossover)
    key = "time_" if axis.name == "time" else axis.name
    if sizes[key] is not None:
        raise RnnbenchError(
            f"--{axis.name} and --crossover {axis.name}: the search chooses it: give the other "
            "sizes alone"
        )
    return {key: str(axis.low)}


def _precisions(given: str | None) -> tuple[str, ...]:
    """Those beside float32, which is always measured."""
    names = dict.fromkeys(name.strip() for name in (given or "").split(","))
    found = tuple(name for name in names if name and name != "float32")
    if given is not None and not found:
        raise RnnbenchError(f"--precision {given!r}: give one beside float32, as int8-weights")
    return found


class _Progress:
    """How far it is, on stderr: a bar with the time left, or a line for each measurement.

    Before the first the forecast is made of what each may take, then of what those before took.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._bar: Any = None
        self._todo: list[Item] = []
        self._done = 0
        self._begun = False
        self._start = time.perf_counter()

    def __enter__(self) -> Self:
        from rnnbench.benchmarking.refusals import check_plan
        from rnnbench.benchmarking.searching import items_of

        check_plan(self._plan)
        self._todo = items_of(self._plan)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def on_progress(self, item: Item) -> None:
        """An item's turn comes."""
        if not self._begun:
            from rnnbench.benchmarking.driver import forecast_s

            self._begun = True
            seconds = forecast_s(self._todo, self._plan.quick)
            least = " or more" if self._plan.crossover else ""
            note(f"{len(self._todo)} measurements{least}, about {_minutes(seconds)}{least}")
        if not sys.stderr.isatty():
            return
        from tqdm import tqdm

        if self._bar is None:
            self._bar = tqdm(
                total=None if self._plan.crossover else len(self._todo),
                file=sys.stderr,
                leave=False,
                unit="measurement",
                bar_format="{n_fmt} measured  {desc}"
                if self._plan.crossover
                else "{n_fmt}/{total_fmt} |{bar:20}| {remaining} left  {desc}",
            )
        self._bar.set_description_str(f"{item.kind} {item.id}"[:70])

    def on_result(self, item: Item, said: str) -> None:
        """It is measured."""
        self._done += 1
        if self._bar is not None:
            self._bar.update()
            return
        if self._plan.crossover:  # how many there will be depends on what is found
            note(f"[{self._done}] {item.kind} {item.id}: {said}")
            return
        more = f", about {_minutes(self._left())} left" if self._done < len(self._todo) else ""
        note(f"[{self._done}/{len(self._todo)}] {item.kind} {item.id}: {said}{more}")

    def _left(self) -> float:
        """Seconds that the rest takes: the forecast of it, by how wrong that was so far."""
        from rnnbench.benchmarking.driver import forecast_s

        quick, took = self._plan.quick, time.perf_counter() - self._start
        done = forecast_s(self._todo[: self._done], quick)
        total = forecast_s(self._todo, quick)
        trust = 0.1 * total  # the first few say little
        return max(total - done, 0.0) * (took + trust) / (done + trust)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
