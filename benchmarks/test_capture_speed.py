"""How long a long step takes to be captured: 400 nodes over 12 steps, and twice of either.

The time is that of the processor, in this process: two traces, the search for the loop, the proof.
"""

from __future__ import annotations

from time import process_time

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor, nn

from rnnbench import Model, TensorSpec
from rnnbench.capture.pipeline import capture
from rnnbench.capture.tracing import sizes

NODES, STEPS = 400, 12
MOST_S, MOST_TIMES = 20.0, 2.3


class LongStep(nn.Module):
    """A step of about so many nodes, with a state of two tensors."""

    def __init__(self, nodes: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(nodes // 5))

    def forward(self, x: Tensor) -> Tensor:
        h = c = x.new_zeros(x.shape[0], 8)
        seen = []
        for t in range(x.shape[1]):
            y = x[:, t]
            for layer in self.layers:  # five nodes
                y = torch.tanh(layer(y + h) * 0.5) - c
            h, c = y, torch.sin(h)
            seen.append(h)
        return torch.stack(seen, 1)


def _seconds(nodes: int, steps: int, monkeypatch: pytest.MonkeyPatch) -> float:
    # No size is another's: the batch is 3, and the steps are what is asked for.
    monkeypatch.setattr(sizes, "_OTHERS", (steps,))
    model = Model(LongStep(nodes), (TensorSpec("x", ("batch", "time", 8)),), ("y",))
    began = process_time()
    captured = capture(model)
    assert [r.representation for r in captured.recurrences] == ["scan"]
    return process_time() - began


def test_a_step_of_400_nodes(benchmark: BenchmarkFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark.group = "capture"
    _seconds(10, 4, monkeypatch)  # what is imported
    seconds = benchmark.pedantic(_seconds, (NODES, STEPS, monkeypatch), rounds=1)
    more_nodes = _seconds(2 * NODES, STEPS, monkeypatch)
    more_steps = _seconds(NODES, 2 * STEPS, monkeypatch)
    benchmark.extra_info |= {
        "seconds": seconds,
        "twice_the_nodes": more_nodes / seconds,
        "twice_the_steps": more_steps / seconds,
    }
    if benchmark.enabled:
        assert seconds <= MOST_S
        assert more_nodes / seconds <= MOST_TIMES
        assert more_steps / seconds <= MOST_TIMES
