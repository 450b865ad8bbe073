"""`--cluster`: a verb on the machines of a Ray cluster, or on this one."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.commands._console import note, print_json, say
from rnnbench.commands._options import DIFFERS, FINE, INTERRUPTED, option
from rnnbench.core.documents import document
from rnnbench.core.errors import RnnbenchError

if TYPE_CHECKING:
    from rnnbench.benchmarking.cluster.run import ClusterOutcome
    from rnnbench.benchmarking.plan import Plan

GROUP = "Cluster"

_CLUSTER = option(
    "--cluster",
    metavar="local|ADDRESS",
    help="On a Ray cluster: one that runs at HOST:PORT, or is started here for this run.",
    group=GROUP,
)
_ON = option(
    "--on",
    multiple=True,
    metavar="WHAT",
    help="Nodes that are so: gpu, cpu=NAME, gpu=NAME, host=NAME, memory=GB, cores=N; with commas.",
    group=GROUP,
)
_DEADLINE = option(
    "--deadline",
    metavar="SECONDS",
    type=float,
    default=1800.0,
    show_default=True,
    help="After which a measurement on a node is given up.",
    group=GROUP,
)


def cluster_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `cluster` and `on`."""
    for each in (_ON, _CLUSTER):
        command = each(command)
    return command


def deadline_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `deadline`, of a measurement."""
    added: Callable[..., Any] = _DEADLINE(command)
    return added


def refuse_with_cluster(cluster: str | None, on: Sequence[str], given: dict[str, str]) -> None:
    """Refuses what does not go together.

    Args:
        cluster: the option.
        on: the option.
        given: option -> why it is of this machine alone, of those that were given.
    """
    if cluster is None and on:
        raise RnnbenchError(f"--on {on[0]!r} chooses nodes of a cluster: give --cluster as well")
    for flag, why in given.items() if cluster is not None else ():
        raise RnnbenchError(f"{flag} and --cluster: {why}: give one of them")


def on_each_bundle(
    paths: Sequence[Path], function: Callable[[Path], Any], cluster: str, on: Sequence[str]
) -> list[Any]:
    """What a function returns for each bundle on a cluster, in their order; or its RnnbenchError.

    What names the bundle's place on a node names its path here.
    """
    from rnnbench.cluster.tasks import for_each_bundle

    done = 0

    def tell(path: Path) -> None:
        nonlocal done
        done += 1
        note(f"[{done}/{len(paths)}] {path.name}: done")

    found = []
    for path, said in zip(paths, for_each_bundle(paths, function, cluster, on, tell), strict=True):
        if said.error:
            found.append(RnnbenchError(said.error.replace(said.place or "\0", str(path))))
        else:
            found.append(_here(said.value, said.place, str(path)))
    return found


def _here(value: Any, there: str, here: str) -> Any:
    """The same with another path in every text."""
    if type(value) is str:  # a verdict is one as well
        return value.replace(there, here)
    if is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: _here(getattr(value, f.name), there, here) for f in fields(value)}
        return replace(value, **parts)
    if isinstance(value, dict):
        return {key: _here(each, there, here) for key, each in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_here(each, there, here) for each in value)
    return value


def measure_on_cluster(
    plan: Plan,
    address: str,
    on: Sequence[str],
    deadline: float,
    saved: dict[str, Any],
    as_json: bool,
    markdown: bool,
) -> int:
    """`bench` on a cluster: prints what each node measured; the exit code.

    Args:
        plan: what is measured.
        address: of the cluster, or `local`.
        on: which nodes.
        deadline: seconds of a measurement.
        saved: `out`, `name`, `resume` and `store`, as `bench` has them.
        as_json: print JSON.
        markdown: print Markdown.
    """
    from rnnbench.benchmarking.cluster.run import ClusterRun, run_on_cluster

    if not 0 < deadline < math.inf:
        raise RnnbenchError(f"--deadline {deadline:g}: give a number of seconds above 0")
    how = ClusterRun(address, tuple(on), deadline)
    outcome = run_on_cluster(
        plan, saved["out"], how, name=saved["name"], resume=saved["resume"], on_line=note
    )
    _print(outcome, as_json, markdown)
    for node in outcome.nodes if saved["store"] is not None else ():
        add_to_store(saved["store"], node.path, plan)
    if outcome.interrupted:
        note("stopped: go on with the same options and --resume")
        return INTERRUPTED
    if outcome.lost:
        note(f"{outcome.lost} had no node left: --resume tries them again")
    return tell_wrong(outcome.wrong)


def add_to_store(store: Path, results: Path, plan: Plan) -> None:
    """Adds the results of a run that has ended; says how many rows are new."""
    from rnnbench.benchmarking.store.adding import add_run

    note(f"{add_run(store, results, plan.targets)} of them are new in {store}")


def tell_wrong(wrong: Sequence[str]) -> int:
    """Says how many compute something else; the exit code."""
    if not wrong:
        return FINE
    what = "1 computes" if len(wrong) == 1 else f"{len(wrong)} compute"
    note(f"{what} something else: `rnnbench check` or `conform` says more")
    return DIFFERS


def _print(outcome: ClusterOutcome, as_json: bool, markdown: bool) -> None:
    """The tables of each node; one node's are as those of the plain `bench`."""
    from rnnbench.benchmarking.results import read_file
    from rnnbench.benchmarking.tables import BenchReport

    several = len(outcome.nodes) > 1
    if as_json:
        read = [json.loads(node.path.read_text("utf-8")) for node in outcome.nodes]
        if read:
            print_json(document("bench", {"nodes": read} if several else read[0]))
    else:
        for n, node in enumerate(outcome.nodes):
            found = BenchReport(node.path, read_file(node.path))
            text = found.to_markdown() if markdown else str(found)
            if several:
                heading = f"## {node.node}" if markdown else f"On {node.node}"
                text = "\n" * bool(n) + f"{heading}\n\n{text}"
            say(text, whole=markdown)
    for node in outcome.nodes:
        note(f"{node.measured} of {outcome.total} measured on {node.node}: {node.path}")
