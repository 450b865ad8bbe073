"""What `export` on the command line does with each model: train or import, export, check."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.commands._options import RUNS, split_names
from rnnbench.core import plugins
from rnnbench.core.errors import RnnbenchError, choices
from rnnbench.core.files import recognise
from rnnbench.core.trust import not_recorded
from rnnbench.core.verdicts import Verdict
from rnnbench.core.whole import recover_all
from rnnbench.models import tasks, variants
from rnnbench.models.precision import STATIC
from rnnbench.models.sources import file_of, is_source

if TYPE_CHECKING:
    from rnnbench.checking.report import CheckReport
    from rnnbench.commands._console import Progress
    from rnnbench.core.bundle import Bundle
    from rnnbench.core.model import Model
    from rnnbench.models.files.inputs import FileInputs
    from rnnbench.models.training.train import Trained

Tell = Callable[[str], None]


@dataclass(frozen=True)
class TrainingOptions:
    """How variants are trained; what is None is the task's or the variant's own default.

    Attributes:
        task: one of `tasks.names()`.
        hidden: the size of the state.
        layers: recurrent layers.
        bidirectional: also backwards in time.
        dropout: between layers.
        seed: of weights, order and dropout.
        epochs: how many.
        device: where.
        runs: the folder of the checkpoints; None: none are read or written.
        resume: from the checkpoints that are there.
        progress: show a progress bar on stderr.
    """

    task: str = "hello"
    hidden: int | None = None
    layers: int | None = None
    bidirectional: bool = False
    dropout: float = 0.0
    seed: int = 0
    epochs: int | None = None
    device: str = "cpu"
    runs: Path | None = None
    resume: bool = True
    progress: bool = False

    def checkpoint(self, variant: str) -> Path | None:
        """Where the checkpoint of a variant is, or will be."""
        return None if self.runs is None else self.runs / f"{self.task}-{variant}.pt"


@dataclass(frozen=True)
class ExportOptions:
    """How models are exported.

    Attributes:
        formats: plugins in `rnnbench/formats/`.
        out: the folder that the bundles go to.
        options: further arguments of `rnnbench.export`.
        lift_state: make what a module keeps inputs and outputs.
        written: the names of the models so far, with the targets that they came from.
        inputs: what is said of the inputs of files.
        precisions: of the weights; empty for float32. Of several each has a bundle of its own.
        rounding: what else is said of it: `keep`, `sensitivity`, `calibrate`.
    """

    formats: tuple[str, ...] = ("torchscript", "onnx")
    out: Path = Path("exports")
    options: dict[str, Any] = field(default_factory=dict)
    lift_state: bool = False
    written: dict[str, str] = field(default_factory=dict)
    inputs: FileInputs | None = None
    precisions: tuple[str, ...] = ("",)
    rounding: Mapping[str, Any] = field(default_factory=dict)


def find_targets(given: Sequence[str]) -> tuple[str, ...]:
    """The models that were asked for, every variant where none was.

    Raises:
        RnnbenchError: one is no variant, no file, no FILE.py[:function] and no
            package.module:function.
    """
    given = [plugins.canonical("variants", target) for target in given]
    known = (*variants.names(), *plugins.ALIASES["variants"])
    for target in given:
        if is_checkpoint(target) or is_lone_file(target):
            continue
        if not is_source(target) and target not in variants.names():
            found = recognise(target)
            if found is not None:
                raise RnnbenchError(str(found))
            raise RnnbenchError(
                f"{choices('variant', target, known)}, "
                "or give FILE.py[:function] or package.module:function"
            )
        file = Path(file_of(target))
        if file.suffix == ".py" and not file.is_file():
            raise RnnbenchError(f"there is no file {file}: give FILE.py[:function]")
    return tuple(dict.fromkeys(given)) or variants.names()


def find_formats(given: Sequence[str]) -> tuple[str, ...]:
    """The formats in a list of names, each of which may be several with commas between.

    Raises:
        RnnbenchError: one does not exist.
    """
    found = split_names(given, "formats")
    for name in found:
        if name not in plugins.names("formats"):
            raise choices("format", name, plugins.names("formats"))
    return found or ExportOptions.formats


def check_task(name: str) -> None:
    """Raises where there is no such task, or its data are missing."""
    tasks.load(name)


def train_one(variant: str, training: TrainingOptions, on_progress: Tell) -> Trained:
    """Trains one variant; `on_progress` gets a line per epoch."""
    from rnnbench.models.training.train import train

    return train(
        variant,
        training.task,
        hidden=training.hidden,
        layers=training.layers,
        bidirectional=training.bidirectional,
        dropout=training.dropout,
        seed=training.seed,
        device=training.device,
        epochs=training.epochs,
        checkpoint=training.checkpoint(variant),
        resume=training.resume,
        progress=training.progress,
        report=on_progress,
    )


def continue_one(variant: str, training: TrainingOptions, progress: Progress) -> Trained:
    """Trains one variant from the checkpoint that `train` left, where it is of the same run.

    Sizes that are not asked for are those of the checkpoint.
    """
    from rnnbench.models.training.checkpoint import described

    runs = training.runs or Path(RUNS)
    left = replace(training, runs=runs).checkpoint(variant)
    if left is None or not training.resume or not left.is_file():
        return train_one(variant, training, progress.on_detail)
    try:
        run, epochs = described(left)
        same = replace(
            training,
            runs=runs,
            hidden=run.get("hidden_size") if training.hidden is None else training.hidden,
            layers=run.get("num_layers") if training.layers is None else training.layers,
        )
        trained = train_one(variant, same, progress.on_detail)
    except RnnbenchError as error:
        if training.runs is not None:  # it was asked for
            raise
        why = str(error).partition(": give ")[0]
        progress.on_progress(f"trained anew: {why}: `rnnbench export {left}` takes that one")
        return train_one(variant, training, progress.on_detail)
    progress.on_progress(f"continues from {left}, after {epochs} epochs (--no-resume trains anew)")
    return trained


def is_lone_file(target: str) -> bool:
    """Whether a target is a file that somebody wrote, ONNX or TorchScript."""
    found = recognise(target) if Path(target).is_file() else None
    return found is not None and found.kind in ("onnx", "torchscript")


def is_checkpoint(target: str) -> bool:
    """Whether a target is a file that `train` wrote."""
    found = recognise(target) if Path(target).suffix else None
    return found is not None and found.kind == "checkpoint"


def _of_checkpoint(path: Path, training: TrainingOptions, progress: Progress) -> Trained:
    """The model that a checkpoint is of, as far as it is trained."""
    from rnnbench.models.training.checkpoint import described
    from rnnbench.models.training.train import train

    run, epochs = described(path)
    try:
        sizes = {"hidden": run["hidden_size"], "layers": run["num_layers"]}
        same = {name: run[name] for name in ("bidirectional", "dropout", "seed")}
        variant, task = str(run["variant"]), str(run["task"])
    except KeyError as error:
        raise RnnbenchError(f"{path} does not say its {error}: train the model again") from None
    progress.on_progress(f"{variant} of task {task} as {path} has it, after {epochs} epochs")
    return train(
        variant,
        task,
        **sizes,
        **same,
        epochs=int(run.get("epochs", epochs)),
        device=training.device,
        checkpoint=path,
        progress=training.progress,
        report=progress.on_detail,
    )


def export_one(
    target: str, training: TrainingOptions, exporting: ExportOptions, progress: Progress
) -> tuple[CheckReport, str]:
    """Makes a model, exports it, and checks what came out; the report, and what was found."""
    from rnnbench.checking.report import failed, merge

    model, metadata, source = _make(target, training, exporting, progress)
    reports = []
    found: Sequence[dict[str, Any]] = ()
    for precision in exporting.precisions:
        several = precision and len(exporting.precisions) > 1
        named = replace(model, name=f"{model.name}-{precision}") if several else model
        first = exporting.written.setdefault(named.name, target)
        if first != target:
            raise RnnbenchError(
                f"{first} and {target} are both called {named.name!r}, as which the first is "
                "written: give one of them another Model(..., name=...)"
            )
        options = {"precision": precision, **exporting.rounding} if precision else {}
        if precision != STATIC:
            options.pop("calibrate", None)
        own = replace(exporting, options=exporting.options | options)
        progress.on_stage(f"exporting {precision}".rstrip())
        try:
            report, found = _export_and_check(named, metadata, source, own, progress)
        except RnnbenchError as error:  # a weight that is too large for float16
            if not several:
                raise
            report = failed(named.name, error)
        reports.append(report)
    merged = merge(reports)
    return merged, _in_words(merged, found)


def _export_and_check(
    model: Model,
    metadata: dict[str, Any] | None,
    source: dict[str, Any],
    exporting: ExportOptions,
    progress: Progress,
) -> tuple[CheckReport, Sequence[dict[str, Any]]]:
    """Writes one bundle and checks it; the report, and the recurrences in it."""
    from rnnbench.checking.case_selection import CaseSelection
    from rnnbench.checking.check import CheckOptions, check

    bundle = _export(model, metadata, source, exporting)
    unrecorded = not_recorded(bundle.source)
    if unrecorded:
        progress.on_progress(unrecorded)
    found: Sequence[dict[str, Any]] = bundle.manifest["recurrences"]
    for each in found:
        progress.on_detail("{place}: {kind}, {representation}  {note}".format(**each).rstrip())
    for said in bundle.manifest["notes"]:
        progress.on_progress(said)
    progress.on_stage("checking")
    # In processes of their own: a runtime that dies takes no export with it.
    options = CheckOptions(CaseSelection(empty=False), show_price=False)  # it is said above
    return check(bundle, options=options), found


def _in_words(report: CheckReport, recurrences: Sequence[dict[str, Any]]) -> str:
    """`2 x gru, fused; proved in 4 runs`."""
    counts = Counter(f"{each['kind']}, {each['representation']}" for each in recurrences)
    found = "; ".join(f"{n} x {what}" if n > 1 else what for what, n in counts.items())
    runs = {
        (row.model, row.format, row.runtime) for row in report.rows if row.verdict == Verdict.SAME
    }
    said = f"proved in {len(runs)} runs" if report.ok else "NOT the same"
    return f"{found or 'no recurrence'}; {said}"


def find_bundles(given: Sequence[str], out: Path) -> tuple[Path, ...]:
    """The bundles that were asked for, or all in `out`.

    Raises:
        RnnbenchError: there are none.
    """
    if given:
        return tuple(Path(path) for path in given)
    recover_all(out)
    found = tuple(sorted(manifest.parent for manifest in out.glob("[!.]*/manifest.json")))
    if not found:
        raise RnnbenchError(
            f"there are no bundles in {out}: make some with `rnnbench export`, or give their paths"
        )
    return found


def _make(
    target: str, training: TrainingOptions, exporting: ExportOptions, progress: Progress
) -> tuple[Model, dict[str, Any] | None, dict[str, Any]]:
    """The model, what is known of it, and where its code is."""
    if is_lone_file(target):
        from rnnbench.models.files.declare import declared

        return declared(target, exporting.inputs), None, {}
    if is_checkpoint(target):
        trained = _of_checkpoint(Path(target), training, progress)
        return trained.model, trained.metadata, trained.source
    if not is_source(target):
        progress.on_stage("training")
        trained = continue_one(target, training, progress)
        return trained.model, trained.metadata, trained.source
    from rnnbench.models import sources

    kind = "file" if file_of(target).endswith(".py") else "import"
    lifting: dict[str, Any] = {"lift_state": True} if exporting.lift_state else {}
    model = sources.load(target, lift_state=exporting.lift_state)
    return model, None, {"kind": kind, "spec": target} | lifting


def _export(
    model: Model, metadata: dict[str, Any] | None, source: dict[str, Any], exporting: ExportOptions
) -> Bundle:
    import rnnbench

    return rnnbench.export(
        model,
        formats=exporting.formats,
        out=exporting.out,
        metadata=metadata,
        source=source,
        **exporting.options,
    )
