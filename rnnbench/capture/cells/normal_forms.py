"""The normal forms of a step's values: affine, or a polynomial in nonlinearities.

With x ("step", 0) and h ("carry", 4), `z = sigmoid(x @ W.T + h @ R.T + b)` has the forms

    a = Affine({("step", 0): W, ("carry", 4): R}, b), which is the atom ("affine", 0)
    z = Poly({(("sigmoid", a's key),): 1.0})
    z * h = Poly({(("carry", 4), ("sigmoid", a's key)): 1.0})
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

# Where a value comes from: ("carry", position), ("step", position) or ("outside", node).
Source = tuple[str, Any]
Atom = tuple[str, Any]
Monomial = tuple[Atom, ...]


class Unknown(Exception):  # noqa: N818  (an answer, not an error)
    """The value has no such form."""


@dataclass(frozen=True)
class Affine:
    """`sum(matrix @ source) + bias` of (batch, features) values, in float64.

    Attributes:
        matrices: (features out, features in) of each source.
        bias: (features out,).
    """

    matrices: dict[Source, Tensor]
    bias: Tensor

    @property
    def source(self) -> Source | None:
        """The source that this value is, unchanged; else None."""
        if len(self.matrices) != 1 or self.bias.any():
            return None
        (source, matrix), *_ = self.matrices.items()
        rows, columns = matrix.shape  # [features out, features in]: the unit matrix changes nothing
        same = rows == columns and bool((matrix == torch.eye(rows, dtype=matrix.dtype)).all())
        return source if same else None


@dataclass(frozen=True)
class Poly:
    """A polynomial in atoms, element by element: monomial -> coefficient."""

    terms: dict[Monomial, float]

    @property
    def key(self) -> frozenset[tuple[Monomial, float]]:
        """The same for equal polynomials."""
        return frozenset(self.terms.items())


Value = Affine | Poly | tuple[Any, ...]


class AtomTable(Protocol):
    """What a rule needs of the algebra that it works for: the affine values inside of atoms.

    Attributes:
        affine: the atom `("affine", i)` stands for the value at i.
    """

    affine: list[Affine]

    def atom(self, value: Value) -> Poly:
        """A value as a polynomial; an affine one becomes an atom."""

    def part(self, index: int, start: int, stop: int) -> int:
        """The number of some features of an affine value."""
