"""The verbs of the command line as functions: each returns what it found, which shows itself.

    rnnbench.train("gru", "weather")
    rnnbench.run("exports/Net", csv="days.csv")
    rnnbench.bench(["gru"], quick=True)

`export`, `check`, `inspect`, `load` and `model_of` are where they work: see rnnbench/__init__.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core import plugins
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.shown import Part, Shown

if TYPE_CHECKING:
    from rnnbench.benchmarking.report import Report
    from rnnbench.benchmarking.report.changes import CompareReport
    from rnnbench.benchmarking.tables import BenchReport
    from rnnbench.checking.conformance.rows import ConformanceReport
    from rnnbench.formats.onnx.optimizing.findings import OptimizeReport
    from rnnbench.models.training.train import Trained
    from rnnbench.runtimes.predicting.answers import Answer


def train(
    variant: str,
    task: str = "hello",
    *,
    epochs: int | None = None,
    hidden: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    checkpoint: str | Path | None = None,
    on_progress: Callable[[str], None] | None = None,
) -> Trained:
    """Trains a built-in variant on a task; the same arguments give the same weights.

    Args:
        variant: `gru`, `lstm-loop` ...: see `rnnbench list variants`.
        task: `hello`, `text`, `weather`, `stocks`.
        epochs: the task's default unless given.
        hidden: the size of the state; the task's default unless given.
        seed: of the weights, the order of the data and the dropout.
        device: `cpu`, `cuda`, `cuda:1` ...
        checkpoint: a file that is written after every epoch, and resumed from where it is there.
        on_progress: called with a line per epoch.

    Returns:
        The model (`.model`), its errors beside those of a baseline (`.metrics`).

    Raises:
        RnnbenchError: a name, a size, the device or the checkpoint is not possible.
    """
    from rnnbench.models.training.train import train as train_variant

    return train_variant(
        variant,
        task,
        epochs=epochs,
        hidden=hidden,
        seed=seed,
        device=device,
        checkpoint=None if checkpoint is None else Path(checkpoint),
        progress=False,
        report=on_progress,
    )


def run(  # noqa: PLR0913  (keywords of a public function)
    bundle: Bundle | str | Path,
    *,
    text: str | None = None,
    csv: str | Path | None = None,
    npz: str | Path | None = None,
    wav: str | Path | None = None,
    columns: Sequence[str] = (),
    rows: int | None = None,
    length: int = 80,
    save: str | Path | None = None,
    runtime: str = "onnxruntime",
    device: str = "cpu",
    threads: int | None = None,
) -> Answer:
    """Feeds text, a CSV, a sound or arrays to a bundle, in a process of its own.

    Args:
        bundle: what `export` returned, its folder, or a file that somebody wrote.
        text: characters of the task's alphabet.
        csv: a file with a header: a step a row.
        npz: a file with one array per input.
        wav: a sound (PCM).
        columns: of the CSV, in the order in which a step holds them.
        rows: the last rows; 0 is all. Unless given, 10 are printed, and `.values` has all.
        length: the characters that a text is continued by.
        save: a file that the outputs are written to.
        runtime: what runs it.
        device: where.
        threads: inside one operation; the runtime's own default unless given.

    Returns:
        What came out: `print` shows it, `.values` has the numbers.

    Raises:
        RnnbenchError: nothing or several things are fed, or they do not fit the bundle.
    """
    from rnnbench.exporting.lone_file import opened
    from rnnbench.runtimes.predicting import PredictInput, answer
    from rnnbench.runtimes.predicting.tasks import started_apart

    given = PredictInput(
        text=text,
        csv=_text(csv),
        npz=_text(npz),
        wav=_text(wav),
        columns=",".join(columns) if columns else None,
        length=length,
        rows=rows,
        save=_text(save),
    )
    with (
        opened(bundle) as found,
        started_apart(found, runtime, device=device, threads=threads) as session,
    ):
        return answer(session, given)


def bench(  # noqa: PLR0913  (keywords of a public function)
    targets: Sequence[str | Path] = (),
    *,
    runtimes: Sequence[str] = (),
    batch: Sequence[int] = (1,),
    time: Sequence[int] = (),
    hidden: Sequence[int] = (),
    threads: Sequence[int] = (1,),
    quick: bool = False,
    out: str | Path = "benchmarks/results",
    store: str | Path | None = None,
    on_progress: Callable[[str], None] | None = None,
) -> BenchReport:
    """Measures latency, ratios and cost, and saves them as one results file.

    Args:
        targets: variants, bundles' folders, files that somebody wrote, `FILE.py[:function]`; the
            three cells unless given.
        runtimes: names; the quick ones unless given.
        batch: rows.
        time: steps; 1 and 32 unless given, 32 where it is quick.
        hidden: sizes of the state of built-in variants; 32 and 128 unless given, 128 if quick.
        threads: inside one operation, in every runtime.
        quick: fewer sizes, and shorter measurements.
        out: the folder of the results; one for each sort of machine is made in it.
        store: the folder of a store, which the measurements are added to as well.
        on_progress: called with a line for each measurement.

    Returns:
        The latencies, ratios and costs; `.path` is the file.

    Raises:
        RnnbenchError: something that is asked for does not exist, or nothing could be measured.
    """
    from rnnbench.benchmarking.driver import run_plan
    from rnnbench.benchmarking.plan import Item, Plan
    from rnnbench.benchmarking.results import read_file
    from rnnbench.benchmarking.tables import BenchReport
    from rnnbench.exporting.lone_file import bundles_of

    ran = [plugins.canonical("runtimes", name) for name in runtimes]
    given: dict[str, Any] = {"runtimes": tuple(ran)}
    given |= {"time": tuple(time) or ((32,) if quick else ())}
    given |= {"hidden": tuple(hidden) or ((128,) if quick else ())}
    given |= {"batch": tuple(batch), "threads": tuple(threads)}
    given = {name: value for name, value in given.items() if value}

    def tell(item: Item, said: str) -> None:
        if on_progress is not None:
            on_progress(f"{item.kind} {item.id}: {said}")

    if store is not None:
        from rnnbench.benchmarking.store.adding import check_place

        check_place(Path(store))
    with bundles_of(targets) as found:
        if found:
            given["targets"] = tuple(plugins.canonical("variants", str(each)) for each in found)
        plan = Plan(**given, quick=quick)
        outcome = run_plan(plan, Path(out), name=None, on_result=tell)
        if store is not None and outcome.path is not None:
            from rnnbench.benchmarking.store.adding import add_run

            add_run(Path(store), outcome.path, plan.targets)
    if outcome.interrupted:
        raise KeyboardInterrupt
    if outcome.path is None:
        raise RnnbenchError("nothing was measured: give other targets or runtimes")
    return BenchReport(outcome.path, read_file(outcome.path), ok=not outcome.wrong)


def report(*paths: str | Path, where: str | None = None) -> Report:
    """What the measurements say, and how sure that is.

    Args:
        *paths: results of `bench`, folders of them, stores, what `check --json`, `inspect --json`
            and `conform --json` printed; the newest results of this machine where there are none.
        where: an SQL condition on the rows of stores.

    Returns:
        The answers, the doubts and every table.

    Raises:
        RnnbenchError: a file is damaged or something else, or nothing was measured.
    """
    from rnnbench.benchmarking.report import make_report

    return make_report(paths, where)


def compare(
    old: str | Path,
    new: str | Path,
    *,
    fail_on: str = "5%",
    across_machines: bool = False,
    commits: Sequence[str] = (),
    where: str | None = None,
) -> CompareReport:
    """Which rows changed from one results file to another, with 95 % intervals.

    Args:
        old: a results file of `bench`, or a store.
        new: a later one; the same store where two commits are given.
        fail_on: a row regressed where its whole interval is slower by more.
        across_machines: also where the machines differ; nothing regresses then.
        commits: of stores, the old one's and the new one's.
        where: an SQL condition on the rows of stores.

    Returns:
        The changes; `.ok` where nothing regressed.

    Raises:
        RnnbenchError: a file is damaged, or of another machine.
    """
    from rnnbench.benchmarking.report.changes import CompareReport
    from rnnbench.benchmarking.report.comparison import compare_results, threshold

    limit = threshold(fail_on)
    found = compare_results(old, new, across_machines=across_machines, commits=commits, where=where)
    return CompareReport(found, limit)


@dataclass(frozen=True, repr=False)
class Project(Shown):
    """What `embed` wrote.

    Attributes:
        path: the folder.
        commands: what builds it, and verifies it against the golden cases; run in the folder.
    """

    path: Path
    commands: tuple[tuple[str, ...], ...]

    def parts(self) -> Sequence[Part]:
        """Where it is, and the commands."""
        return [f"written to {self.path}; in it:", *(" ".join(c) for c in self.commands)]

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {"path": str(self.path), "commands": [list(c) for c in self.commands]}


def embed(
    bundle: Bundle | str | Path,
    target: str,
    out: str | Path | None = None,
    *,
    force: bool = False,
) -> Project:
    """Writes a project in another language that runs a bundle and verifies itself.

    Args:
        bundle: what `export` returned, its folder, or a file that somebody wrote.
        target: `cpp-onnxruntime`, `web` ...: see `rnnbench embed --list`.
        out: the project's folder; BUNDLE-TARGET unless given.
        force: replace a folder that is there.

    Raises:
        RnnbenchError: there is no such target, the bundle lacks the format, or the folder is there.
    """
    from rnnbench.embedding.project import embed as write
    from rnnbench.embedding.target import find_target
    from rnnbench.exporting.lone_file import opened

    chosen = find_target(target)
    with opened(bundle) as found:
        path = write(found, chosen, out or f"{found.name}-{target}", force=force)
    return Project(path, (*chosen.build, (*chosen.run, "--verify")))


def conform(
    bundle: Bundle | str | Path,
    *,
    targets: Sequence[str] = (),
    engines: Sequence[str] = (),
    profiles: Sequence[str] = (),
    on_progress: Callable[[str], None] = lambda _: None,
) -> ConformanceReport:
    """Runs a bundle over its golden cases in targets of `embed` and in engines.

    Args:
        bundle: what `export` returned, its folder, or a file that somebody wrote.
        targets: of `embed`; all, and every engine, where nothing is asked for.
        engines: runtimes, as `NAME` or `NAME:MODE`, or `all`.
        profiles: the forms of the file that engines run.
        on_progress: called with what is done.

    Raises:
        RnnbenchError: a name is unknown; nothing has been run then.
    """
    from rnnbench.checking.conformance.rows import ConformanceReport
    from rnnbench.embedding.conform import conform as conform_all
    from rnnbench.exporting.lone_file import opened

    with opened(bundle) as found:
        rows = conform_all(
            found, targets, engines=engines, profiles=profiles, on_progress=on_progress
        )
    return ConformanceReport(tuple(rows))


def optimize(
    path: str | Path,
    out: str | Path,
    *,
    values: Mapping[str, float] | None = None,
    profile: str | None = None,
) -> OptimizeReport:
    """Writes an ONNX file that computes the same as another, its loops as fused operators.

    Args:
        path: an .onnx file, whoever wrote it; it stays as it is.
        out: the new file; a copy where nothing can be improved.
        values: inputs that are one number, with it: it is written down, and they are inputs no
            longer.
        profile: the form that an engine runs, as `export` writes it: `portable`, `tract` ...

    Returns:
        A row for each recurrence and rewrite: what was done, how it was proved, or why not.

    Raises:
        RnnbenchError: the file is no ONNX, damaged or cannot be run, or `out` cannot be written.
    """
    from rnnbench.formats.onnx.optimizing.optimize import optimize as improve

    return improve(path, out, values, profile)


def _text(path: str | Path | None) -> str | None:
    return None if path is None else str(path)
