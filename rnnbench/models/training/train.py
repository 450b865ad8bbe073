"""Variant x task -> a trained `Model`: seeded, repeatable, and resumable after any epoch."""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from rnnbench.core import plugins
from rnnbench.core.documents import document
from rnnbench.core.errors import RnnbenchError, choices, one_line
from rnnbench.core.model import Model
from rnnbench.core.shown import Part, Shown, Table
from rnnbench.core.tables import without_empty
from rnnbench.core.threads import torch_threads
from rnnbench.models import tasks, variants
from rnnbench.models.task import Task
from rnnbench.models.training import checkpoint as checkpoints
from rnnbench.models.training.checkpoint import Progress
from rnnbench.models.training.epoch import EpochSettings, errors_of, evaluate, measure, train_epoch
from rnnbench.models.training.metrics import metric_rows
from rnnbench.models.variants import Options

ATTEMPT = 1000  # what an attempt adds to the seed


@dataclass(frozen=True, repr=False)
class Trained(Shown):
    """What training leaves.

    Attributes:
        model: the network on the CPU, in eval mode, with the best weights by validation loss.
        metrics: the errors on the test part beside those of the baseline, and the losses.
        metadata: what it takes to run the network on new data, and the metrics; JSON.
        source: what `rebuild` makes the untrained network of; JSON.
    """

    model: Model
    metrics: dict[str, Any]
    metadata: dict[str, Any]
    source: dict[str, Any]

    def parts(self) -> Iterable[Part]:
        """Its errors beside those of the baseline."""
        rows = [(self.model.name, *row) for row in metric_rows(self.metrics)]
        yield Table(*without_empty(["model", "metric", "value", "baseline"], rows))

    def to_json(self) -> dict[str, Any]:
        """What `train --json` prints of one model."""
        rows = [{"model": self.model.name, "metrics": self.metrics}]
        found: dict[str, Any] = document("train", {"models": rows})
        return found


@dataclass(frozen=True)
class _Plan:
    variant: str
    task: Task
    options: Options
    device: torch.device
    epochs: int
    checkpoint: Path | None
    progress: bool

    @property
    def name(self) -> str:
        return f"{self.task.name}-{self.variant}"

    @property
    def identity(self) -> dict[str, Any]:
        """What must be the same for a checkpoint to be resumed."""
        identity = {"variant": self.variant, "task": self.task.name, **asdict(self.options)}
        if self.task.attempts > 1:  # whether to start again is decided after the last epoch
            identity |= {"epochs": self.epochs}
        return identity | {"data": _digest(self.task)}


def train(  # noqa: PLR0913  (keywords of a public function)
    variant: str,
    task: str,
    *,
    hidden: int | None = None,
    layers: int | None = None,
    bidirectional: bool = False,
    dropout: float = 0.0,
    seed: int = 0,
    device: str = "cpu",
    epochs: int | None = None,
    checkpoint: Path | None = None,
    resume: bool = True,
    progress: bool = True,
    quick: bool = False,
    report: Callable[[str], None] | None = None,
) -> Trained:
    """Trains a variant on a task; the same arguments give the same weights.

    Args:
        variant: one of `variants.names()`.
        task: one of `tasks.names()`.
        hidden: the size of the state; the task's default unless given.
        layers: recurrent layers; the variant's default unless given.
        bidirectional: also run backwards in time (fused forms).
        dropout: between layers, while training.
        seed: of the weights, the order of the data and the dropout.
        device: `cpu`, `cuda`, `cuda:1`, `mps` ...
        epochs: the task's default unless given.
        checkpoint: written after every epoch, and resumed from where it exists.
        resume: False starts anew and overwrites the checkpoint.
        progress: show a progress bar on stderr.
        quick: only as many epochs as it takes to see that it works.
        report: called with a line per epoch: what the network says, where that is text, the loss.

    Raises:
        RnnbenchError: a name, a size, the device or the checkpoint is not possible.
    """
    variant = plugins.canonical("variants", variant)
    variants.describe(variant)  # before the data are read, which may be missing
    data = tasks.load(task)
    options = _options(variant, data, hidden, layers, bidirectional, dropout, seed)
    if epochs is not None and epochs < 1:
        raise RnnbenchError(f"epochs={epochs}: give a whole number, 1 or more")
    plan = _Plan(
        variant=variant,
        task=data,
        options=options,
        device=find_device(device),
        epochs=epochs or (data.quick_epochs if quick else data.epochs),
        checkpoint=checkpoint,
        progress=progress,
    )
    saved = _saved(plan) if resume else None
    attempt = saved["attempt"] if saved else 0
    while True:
        lines: list[str] = []
        on_progress = lines.append if data.attempts > 1 else report
        # One sequence at a time keeps one core busy; a second thread would only be waited for.
        with torch_threads(1 if data.batch_size == 1 else None):
            trained = _attempt(plan, attempt, saved, on_progress)
        attempt, saved = attempt + 1, None
        if data.goal == trained.metrics.get("predicted") or attempt == data.attempts:
            _tell_all(lines, attempt, plan, report)
            return trained


def rebuild(source: dict[str, Any]) -> Model:
    """The untrained model that a `Trained.source` describes; its weights are loaded afterwards.

    Raises:
        RnnbenchError: the description is incomplete, or from a version with other options.
    """
    try:
        variant, task = source["variant"], source["task"]
        options = Options(**source["options"])
    except (KeyError, TypeError) as error:
        raise RnnbenchError(
            f"the source of this model cannot be read ({one_line(error)}): "
            "export it again with this version of rnnbench"
        ) from error
    return variants.model(variant, options, bundle_name=f"{task}-{variant}")


def _options(
    variant: str,
    task: Task,
    hidden: int | None,
    layers: int | None,
    bidirectional: bool,
    dropout: float,
    seed: int,
) -> Options:
    """The sizes that fit a variant to a task."""
    ids = variants.reads(variant) == "ids"
    if ids and task.kind != "classify":
        possible = ", ".join(n for n in variants.names() if variants.reads(n) != "ids")
        raise RnnbenchError(
            f"variant {variant!r} reads ids, which task {task.name!r} has not: "
            f"choose from {possible}"
        )
    size = hidden if hidden is not None else task.hidden_size
    headless = not (task.head or ids or bidirectional) and size == task.output_size
    return Options(
        input_size=size if ids else task.input_size,  # an embedding as wide as the state
        hidden_size=size,
        num_layers=layers if layers is not None else variants.layers(variant),
        bidirectional=bidirectional,
        dropout=dropout,
        output_size=None if headless else task.output_size,
        vocabulary=task.input_size if ids else None,
        seed=seed,
    )


def _saved(plan: _Plan) -> dict[str, Any] | None:
    """The checkpoint to go on from, if there is one."""
    if plan.checkpoint is None or not plan.checkpoint.exists():
        return None
    saved = checkpoints.read(plan.checkpoint, plan.identity)
    if saved["epoch"] > plan.epochs:
        raise RnnbenchError(
            f"checkpoint {plan.checkpoint} has {saved['epoch']} epochs, asked are {plan.epochs}: "
            "ask for as many or more, give another path, or do not resume"
        )
    return saved


def _attempt(
    plan: _Plan,
    attempt: int,
    saved: dict[str, Any] | None,
    report: Callable[[str], None] | None,
) -> Trained:
    """Trains from one set of weights; each attempt has its own."""
    options = replace(plan.options, seed=plan.options.seed + attempt * ATTEMPT)
    model = variants.model(plan.variant, options, bundle_name=plan.name)
    fit = EpochSettings(plan.task, model, plan.device)
    module = model.module.to(plan.device)
    optimizer = torch.optim.Adam(module.parameters(), lr=plan.task.learning_rate)
    state = Progress(module, optimizer, attempt)
    if saved is not None and plan.checkpoint is not None:
        checkpoints.restore(plan.checkpoint, state, saved)
    batches = -(-len(plan.task.train.inputs) // plan.task.batch_size)
    with tqdm(
        desc=plan.name,
        total=plan.epochs * batches,
        initial=state.epoch * batches,
        unit="step",
        file=sys.stderr,
        disable=not plan.progress,
        leave=False,
    ) as bar:
        while state.epoch < plan.epochs:
            line = _epoch(fit, state, options.seed, bar.update)
            if plan.checkpoint is not None:
                checkpoints.save(plan.checkpoint, state, plan.identity)
            if report is not None:
                with bar.external_write_mode(file=sys.stderr):
                    report(line)
    return _finish(fit, state, plan.variant, options)


def _epoch(fit: EpochSettings, state: Progress, seed: int, step: Callable[[], Any]) -> str:
    """One epoch of training, then validation; keeps the weights if they are the best so far."""
    trained = train_epoch(fit, state.optimizer, seed, state.epoch, step)
    loss, scores, _ = evaluate(fit, fit.task.validation)
    state.epoch += 1
    if not math.isfinite(loss):
        raise RnnbenchError(
            f"training {fit.model.name} diverged: the loss of epoch {state.epoch} is {loss}; "
            "use another seed or a smaller hidden size"
        )
    if loss < state.best_loss:
        state.best_loss = loss
        weights = state.module.state_dict()
        state.best = {name: weight.detach().cpu().clone() for name, weight in weights.items()}
    if fit.task.show is not None:
        return f"epoch {state.epoch:2d}: {fit.task.show(scores[0])}  loss {loss:.4f}"
    return f"epoch {state.epoch:2d}: loss {trained:.4f}  validation loss {loss:.4f}"


def _tell_all(
    lines: list[str], attempts: int, plan: _Plan, report: Callable[[str], None] | None
) -> None:
    """Hands on the lines of the last attempt; where nobody asked, they go beside the bar."""
    if report is None and not plan.progress:
        return
    on_progress = report or partial(tqdm.write, file=sys.stderr)
    if attempts > 1 and lines:
        on_progress(f"{plan.name}: attempt {attempts}; those before did not say {plan.task.goal!r}")
    for line in lines:
        on_progress(line)


def _finish(fit: EpochSettings, state: Progress, variant: str, options: Options) -> Trained:
    task, module = fit.task, state.module
    module.load_state_dict(state.best)
    module.to("cpu").eval()
    metrics = measure(EpochSettings(task, fit.model, torch.device("cpu")), task.test)
    metrics |= {"epochs": state.epoch, "validation_loss": state.best_loss}
    if task.goal is not None:
        metrics |= {"attempts": state.attempt + 1}
    return Trained(
        model=replace(fit.model, evaluate=partial(errors_of, task, fit.model)),
        metrics=metrics,
        metadata={**task.metadata, "task": task.name, "variant": variant, "metrics": metrics},
        source={
            "kind": "variant",
            "variant": variant,
            "task": task.name,
            "options": asdict(options),
        },
    )


def _digest(task: Task) -> str:
    """A fingerprint of the data: another Python has another text."""
    sha = hashlib.sha256()
    for split in (task.train, task.validation):
        sha.update(split.inputs.tobytes())
        sha.update(split.targets.tobytes())
    return sha.hexdigest()


def find_device(name: str) -> torch.device:
    """A device that can be used on this machine.

    Raises:
        RnnbenchError: it cannot; the message lists those that can.
    """
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    count = torch.accelerator.device_count() if accelerator is not None else 0
    kind = accelerator.type if accelerator is not None else ""
    possible = ["cpu", *([kind] if kind else []), *(f"{kind}:{n}" for n in range(count))]
    if name not in possible:
        raise choices("device", name, possible)
    return torch.device(name)
