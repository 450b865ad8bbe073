"""The items of a plan, as `rnnbench bench` measures them. Each raises where its output is wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from conftest import Keep, skip

from rnnbench.benchmarking.measuring.artifacts import Artifacts
from rnnbench.benchmarking.measuring.measure import measure
from rnnbench.benchmarking.measuring.sampling import Effort
from rnnbench.benchmarking.plan import Item
from rnnbench.core.errors import Unavailable

Run = Callable[[Item], None]


@pytest.fixture
def run(keep: Keep, artifacts: Artifacts, effort: Effort, request: pytest.FixtureRequest) -> Run:
    def run(item: Item) -> None:
        try:
            measured = measure(item, artifacts, effort)
        except Unavailable as error:
            skip(request, f"{item.way.runtime} on {item.conditions.device}", str(error))
        else:
            keep(measured)

    return run


def test_latency(item: Item, run: Run) -> None:
    """One form in one runtime: what a call takes in the steady state."""
    run(item)


def test_ratio(item: Item, run: Run) -> None:
    """Two of them, interleaved: loop/fused, runtime/runtime, ours/stock exporter."""
    run(item)


def test_cost(item: Item, run: Run) -> None:
    """What comes before the first steady call: export, load, first call, memory, size."""
    run(item)
