"""What `export` on the command line does with each model: train or import, export, check."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core import plugins
from rnnbench.core.errors import RnnbenchError, choices, one_line
from rnnbench.models import tasks, variants

if TYPE_CHECKING:
    from rnnbench.checking.check import CheckReport, Row
    from rnnbench.core.bundle import Bundle
    from rnnbench.core.model import Model
    from rnnbench.models.training.train import Trained

Tell = Callable[[str], None]

_VERDICTS = ("failed", "DIFFERS", "not run", "shown", "same")  # the gravest first


@dataclass(frozen=True)
class Training:
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


@dataclass(frozen=True)
class Exporting:
    """How models are exported.

    Attributes:
        formats: plugins in `rnnbench/formats/`.
        out: the folder that the bundles go to.
        options: further arguments of `rnnbench.export`.
        written: the names of the models so far, with the targets that they came from.
    """

    formats: tuple[str, ...] = ("torchscript", "onnx")
    out: Path = Path("exports")
    options: dict[str, Any] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)


def find_targets(given: Sequence[str]) -> tuple[str, ...]:
    """The models that were asked for, every variant where none was.

    Raises:
        RnnbenchError: one is no variant, no FILE.py[:function] and no package.module:function.
    """
    for target in given:
        if not is_source(target) and target not in variants.names():
            raise RnnbenchError(
                f"{choices('variant', target, variants.names())}, "
                "or give FILE.py[:function] or package.module:function"
            )
        file = Path(_file_of(target))
        if file.suffix == ".py" and not file.is_file():
            raise RnnbenchError(f"there is no file {file}: give FILE.py[:function]")
    return tuple(dict.fromkeys(given)) or variants.names()


def find_formats(given: Iterable[str]) -> tuple[str, ...]:
    """The formats in a list of names, each of which may be several with commas between.

    Raises:
        RnnbenchError: one does not exist.
    """
    found = tuple(
        dict.fromkeys(n.strip() for names in given for n in names.split(",") if n.strip())
    )
    for name in found:
        if name not in plugins.names("formats"):
            raise choices("format", name, plugins.names("formats"))
    return found or Exporting.formats


def check_task(name: str) -> None:
    """Raises where there is no such task, or its data are missing."""
    tasks.load(name)


def is_source(target: str) -> bool:
    """Whether a target names somebody's own code, not a variant."""
    return ":" in target or _file_of(target).endswith(".py")


def train_one(variant: str, training: Training, tell: Tell) -> Trained:
    """Trains one variant; `tell` gets a line per epoch."""
    from rnnbench.models.training.train import train

    runs = training.runs
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
        checkpoint=None if runs is None else runs / f"{training.task}-{variant}.pt",
        resume=training.resume,
        progress=training.progress,
        report=tell,
    )


def export_one(target: str, training: Training, exporting: Exporting, tell: Tell) -> CheckReport:
    """Makes a model, exports it, and checks what came out."""
    from rnnbench.checking.check import check

    model, metadata, source = _make(target, training, tell)
    first = exporting.written.setdefault(model.name, target)
    if first != target:
        raise RnnbenchError(
            f"{first} and {target} are both called {model.name!r}, as which the first is written: "
            "give one of them another Model(..., name=...)"
        )
    tell("exporting")
    bundle = _export(model, metadata, source, exporting)
    for recurrence in bundle.manifest["recurrences"]:
        tell("{place}: {kind}, {representation}  {note}".format(**recurrence).rstrip())
    for said in bundle.manifest["notes"]:
        tell(said)
    tell("checking")
    return check(bundle, isolate=False)  # what it has just made itself, and the quick cases


def failed(name: str, error: BaseException) -> CheckReport:
    """The report about a model that there is no bundle of."""
    from rnnbench.checking.check import CheckReport, Row

    row = Row(name, "-", "-", "*", 0, None, None, None, "", "failed", one_line(error))
    return CheckReport((row,), ok=False, skipped={})


def summarise(rows: Iterable[Row]) -> list[Row]:
    """One row for each model, format and runtime: the worst of its outputs, without limits."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if row.verdict != "limit":
            groups.setdefault((row.model, row.format, row.runtime), []).append(row)
    return [_worst(group) for group in groups.values()]


def find_bundles(given: Sequence[str], out: Path) -> tuple[Path, ...]:
    """The bundles that were asked for, or all in `out`.

    Raises:
        RnnbenchError: there are none.
    """
    if given:
        return tuple(Path(path) for path in given)
    found = tuple(sorted(manifest.parent for manifest in out.glob("[!.]*/manifest.json")))
    if not found:
        raise RnnbenchError(
            f"there are no bundles in {out}: make some with `rnnbench export`, or give their paths"
        )
    return found


def _make(
    target: str, training: Training, tell: Tell
) -> tuple[Model, dict[str, Any] | None, dict[str, Any]]:
    """The model, what is known of it, and where its code is."""
    if not is_source(target):
        trained = train_one(target, training, tell)
        return trained.model, trained.metadata, trained.source
    from rnnbench.models import sources

    kind = "file" if _file_of(target).endswith(".py") else "import"
    return sources.load(target), None, {"kind": kind, "spec": target}


def _export(
    model: Model, metadata: dict[str, Any] | None, source: dict[str, Any], exporting: Exporting
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


def _worst(group: list[Row]) -> Row:
    gravest = min(group, key=lambda row: _VERDICTS.index(row.verdict))
    return replace(
        gravest,
        worst_error=_largest(row.worst_error for row in group),
        tolerance_needed=_largest(row.tolerance_needed for row in group),
    )


def _largest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _file_of(target: str) -> str:
    """The part before the function; the colon of a Windows drive belongs to the file."""
    file, _, function = target.rpartition(":")
    return file if file and not function.endswith(".py") else target
