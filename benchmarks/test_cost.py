"""What comes before the first steady call: export, load, first call, memory, size."""

from __future__ import annotations

import pytest
from conftest import Keep, skip

from rnnbench.bench.measure import measure
from rnnbench.bench.plan import Item
from rnnbench.bench.sampling import Effort
from rnnbench.bench.workshop import Workshop
from rnnbench.errors import Unavailable


def test_cost(
    item: Item, keep: Keep, workshop: Workshop, effort: Effort, request: pytest.FixtureRequest
) -> None:
    try:
        measured = measure(item, workshop, effort)  # raises where the output is wrong
    except Unavailable as error:
        skip(request, f"{item.way.runtime} on {item.conditions.device}", str(error))
    else:
        keep(measured)
