"""Copies of tensors that are put back where somebody wrote to them; large ones are in a file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    Read = Callable[[], torch.Tensor]

_LARGE = 2**22  # bytes of a tensor from which on its copy is in the file


@contextmanager
def copies_of(tensors: Sequence[torch.Tensor]) -> Iterator[None]:
    """Puts the numbers of tensors back at the end, to the last bit.

    What nobody wrote to is not written to: it may be a file's pages, or shared. The weights of a
    large model are in memory once: their copies are in a file without a name, or in memory where
    there is no room for one.

    Args:
        tensors: strided ones, of any shape and device.
    """
    import torch

    with tempfile.SpooledTemporaryFile(_LARGE) as file:  # none on the disk where all are small
        kept = [(tensor, _copy(tensor, file)) for tensor in tensors]
        try:
            yield
        finally:
            with torch.no_grad():
                for tensor, read in kept:
                    before = read()
                    if not torch.equal(tensor.cpu(), before):
                        tensor.copy_(before)


def _copy(tensor: torch.Tensor, file: IO[bytes]) -> Read:
    """Keeps a copy; what reads it again, on the CPU."""
    if tensor.nbytes >= _LARGE:
        try:
            return _in_file(tensor, file)
        except OSError:  # no folder for such files, or no room in it
            pass
    copy = tensor.to("cpu", copy=True)
    return lambda: copy


def _in_file(tensor: torch.Tensor, file: IO[bytes]) -> Read:
    import numpy as np
    import torch

    whole = tensor.detach().cpu().contiguous()
    at = file.seek(0, 2)
    file.write(whole.reshape(-1).view(torch.uint8).numpy().data)
    file.flush()
    shape, dtype, size = whole.shape, whole.dtype, whole.nbytes

    def read() -> torch.Tensor:
        file.seek(at)
        numbers = np.empty(size, np.uint8)
        for begin in range(0, size, _LARGE):
            part = numbers[begin : begin + _LARGE]
            part[:] = np.frombuffer(file.read(len(part)), np.uint8)
        return torch.from_numpy(numbers).view(dtype).reshape(shape)

    return read
