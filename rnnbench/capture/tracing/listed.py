"""The numbers in a tensor as a list, while a module is traced and they are not known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor


class AsksForNumbers(Exception):  # noqa: N818  (what a model does; it becomes the error of its line)
    """A model that asks for the numbers in a tensor."""


class Listed:
    """`lengths.tolist()`, `.numpy()` and `list(lengths)`, as `pack_padded_sequence` takes them.

    What is in it is not known while a module is traced; a list of it has it as its one element.
    """

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def _refuse(self, *_: Any) -> Any:
        raise AsksForNumbers(
            "what the module does next depends on the values of a tensor (its numbers as a list "
            "or numpy array): keep it a tensor, without .tolist() or .numpy()"
        )

    def __iter__(self) -> Iterator[Listed]:
        yield self

    __len__ = __getitem__ = __contains__ = __array__ = __int__ = __index__ = __float__ = _refuse
    __bool__ = __lt__ = __gt__ = __le__ = __ge__ = __add__ = __sub__ = __mul__ = _refuse
