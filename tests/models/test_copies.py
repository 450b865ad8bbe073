"""What somebody writes to a module's tensors is put back, also where copies are in a file."""

import tempfile
from contextlib import suppress

import pytest
import torch

from rnnbench.models import copies
from rnnbench.models.copies import copies_of

SHAPE = (1100, 1200)  # 5 MB of float32: a file
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.complex64)


def made(dtype):
    """A plain one, a transposed one, every second row of one, a small one, one without numbers."""
    torch.manual_seed(0)
    values = [torch.randn(*SHAPE) * 100 for _ in range(3)]
    wide = torch.randn(2 * SHAPE[0], SHAPE[1])
    whole = [values[0], values[1].t(), wide[::2], torch.randn(3), torch.zeros(0, 4)]
    return [w.to(dtype) if w.numel() else w for w in whole]


def places(tensors):
    return [(t.data_ptr(), t.stride()) for t in tensors]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_what_was_written_to_is_put_back(dtype):
    tensors = made(dtype)
    before = [t.clone() for t in tensors]
    at = places(tensors)
    with suppress(ValueError), copies_of(tensors):
        for tensor in tensors[:4]:
            tensor.mul_(3).add_(1)
        raise ValueError("of itself")
    assert all(torch.equal(t, b) for t, b in zip(tensors, before, strict=True))
    assert places(tensors) == at


def test_what_was_not_written_to_is_not_written_to():
    """Their versions would tell, and pages of a file cannot be written to."""
    tensors = made(torch.float32)
    with copies_of(tensors):
        tensors[1].add_(1)
    assert [t._version for t in tensors[:3]] == [0, 2, 0]


def test_copies_are_in_memory_where_no_file_can_be_written(monkeypatch):
    class Full(tempfile.SpooledTemporaryFile):
        def write(self, *_):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(copies.tempfile, "SpooledTemporaryFile", Full)
    tensors = made(torch.float32)
    before = [t.clone() for t in tensors]
    with copies_of(tensors):
        tensors[0].zero_()
    assert all(torch.equal(t, b) for t, b in zip(tensors, before, strict=True))
