"""What functions keep is as it was after a trace, and none of it comes from the trace."""

import torch
from torch._subclasses import FakeTensor

from rnnbench.capture.pipeline import capture
from tests.zoo import MODELS
from tests.zoo.masks import numbers, ramp


def test_functions_keep_what_they_kept():
    ramp.cache_clear()
    numbers.held = torch.arange(4)
    capture(MODELS["TablesThatFunctionsKeep"].build())
    assert not isinstance(numbers.held, FakeTensor)
    assert torch.equal(numbers(3), torch.arange(3))
    assert all(not isinstance(ramp(size), FakeTensor) for size in range(1, 20))
