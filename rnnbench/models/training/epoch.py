"""One epoch of training, and the scores on data that were not trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_

from rnnbench.core.model import Model
from rnnbench.models.task import Split, Task, decode_values, errors

EVALUATION_BATCH = 256


@dataclass(frozen=True)
class EpochSettings:
    """A network, what it learns, and where.

    Attributes:
        task: the data and the loss.
        model: the network, whose inputs say which layout it reads; its module is on `device`.
        device: where it is trained.
    """

    task: Task
    model: Model
    device: torch.device

    @property
    def batch_first(self) -> bool:
        """Whether the network reads ids [batch, time], rather than features [time, batch, ...]."""
        return self.model.inputs[0].name == "ids"

    def batches(self, split: Split, size: int, order: NDArray[Any]) -> Iterator[tuple[Any, Tensor]]:
        """The network's inputs and its targets in its own layout, `size` sequences at a time."""
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            x = torch.from_numpy(split.inputs[rows]).to(self.device)
            targets = torch.from_numpy(split.targets[rows]).to(self.device)
            if not self.batch_first:
                if self.task.kind == "classify":
                    x = functional.one_hot(x, self.task.input_size).to(torch.float32)
                x, targets = x.transpose(0, 1).contiguous(), targets.transpose(0, 1).contiguous()
            states = (
                torch.zeros(spec.resolve({"batch": len(rows)}), device=self.device)
                for spec in self.model.inputs[1:]
            )
            yield (x, *states), targets

    def scores(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """The network's first output, in its own layout."""
        outputs = self.model.module(*inputs)
        y: Tensor = outputs[0] if isinstance(outputs, tuple) else outputs
        return y

    def loss(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy in nats, or mean squared error of the normalised values."""
        if self.task.kind == "classify":
            return functional.cross_entropy(scores.flatten(0, 1), targets.flatten())
        return functional.mse_loss(scores, targets)


def train_epoch(
    fit: EpochSettings,
    optimizer: torch.optim.Optimizer,
    seed: int,
    epoch: int,
    step: Callable[[], Any],
) -> float:
    """Trains on every sequence once, in an order that `seed` and `epoch` alone decide.

    Returns:
        The mean loss; `step` is called after each batch.
    """
    task, module = fit.task, fit.model.module
    order = np.random.default_rng((seed, epoch)).permutation(len(task.train.inputs))
    total = 0.0
    module.train()
    with _seeded(fit.device, int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0])):
        for inputs, targets in fit.batches(task.train, task.batch_size, order):
            loss = fit.loss(fit.scores(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            clip_grad_norm_(module.parameters(), task.clip)
            optimizer.step()
            total += loss.item()
            step()
    return total / -(-len(order) // task.batch_size)


def evaluate(fit: EpochSettings, split: Split) -> tuple[float, NDArray[Any], NDArray[Any]]:
    """The mean loss, the scores [sequence, time, output] and targets [sequence, time, ...].

    Only the last step of each sequence where the task says so.
    """
    total, scores, wanted = 0.0, [], []
    fit.model.module.eval()
    with torch.no_grad():
        for inputs, targets in fit.batches(split, EVALUATION_BATCH, np.arange(len(split.inputs))):
            y = fit.scores(inputs)
            if not fit.batch_first:
                y, targets = y.transpose(0, 1), targets.transpose(0, 1)
            if fit.task.scored == "last":
                y, targets = y[:, -1:], targets[:, -1:]
            total += fit.loss(y, targets).item() * len(y)
            scores.append(y.cpu().numpy())
            wanted.append(targets.cpu().numpy())
    return total / len(split.inputs), np.concatenate(scores), np.concatenate(wanted)


def measure(fit: EpochSettings, split: Split) -> dict[str, Any]:
    """The errors on a split, each beside the baseline's."""
    loss, scores, targets = evaluate(fit, split)
    metrics: dict[str, Any] = {"loss": loss}
    if fit.task.kind == "classify":
        metrics["accuracy"] = float((scores.argmax(axis=-1) == targets).mean())
    else:
        metadata = fit.task.metadata
        difference = decode_values(metadata, scores) - decode_values(metadata, targets)
        metrics |= {**errors("", difference), "unit": metadata["target"]["unit"]}
    if fit.task.show is not None:
        metrics["predicted"] = fit.task.show(scores[0])
    return metrics | fit.task.baseline


def errors_of(task: Task, model: Model, module: torch.nn.Module) -> dict[str, float]:
    """The errors of a network on the test part of its task, with their units.

    Args:
        task: on whose data.
        model: as it is declared.
        module: of it, with weights that may be others.
    """
    there = EpochSettings(task, replace(model, module=module), torch.device("cpu"))
    found = measure(there, task.test)
    if task.kind == "classify":
        return {"loss, nats": found["loss"], "accuracy": found["accuracy"]}
    return {f"{name}, {found['unit']}": found[name] for name in ("mae", "rmse") if name in found}


@contextmanager
def _seeded(device: torch.device, seed: int) -> Iterator[None]:
    """Seeds what dropout draws from on `device`, and puts the global state back."""
    forked = [device] if device.type in ("cuda", "xpu") else []
    kind = device.type if forked else "cuda"
    with torch.random.fork_rng(devices=forked, device_type=kind):
        torch.default_generator.manual_seed(seed)
        if device.type != "cpu":
            torch.get_device_module(device).manual_seed(seed)
        yield
