"""What a step computes, in a normal form that does not depend on how it was written.

A value is affine in the step's inputs and states (a matrix for each, and a bias), or a polynomial,
element by element, in nonlinearities of such values. So `n + z * (h - n)`, `(1 - z) * n + z * h`
and `torch.lerp(n, h, z)` are one thing, and so are gates from one big matrix, from four small
ones, or from a matrix over the input and the state side by side.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from rnnbench.capture.canonical import shape_of
from rnnbench.capture.steps import Block

aten = torch.ops.aten

# Where a value comes from: ("carry", position), ("step", position) or ("outside", node).
Source = tuple[str, Any]
Atom = tuple[str, Any]
Monomial = tuple[Atom, ...]

_NONLINEAR = {
    aten.sigmoid.default: "sigmoid",
    aten.tanh.default: "tanh",
    aten.relu.default: "relu",
}


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
        rows, columns = matrix.shape
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


class Algebra:
    """The normal forms of a body's values, worked out on demand."""

    def __init__(self, module: fx.GraphModule, block: Block, inside: Sequence[int]) -> None:
        self.module = module
        self.block = block
        self.body = block.body
        self.position = {n: j for j, n in enumerate(self.body)}
        self.inside = set(inside)
        self.affine: list[Affine] = []
        self._values: dict[int, Value] = {}
        self._parts: dict[tuple[int, int, int], int] = {}

    def value(self, j: int) -> Value:
        """The value at a position of the body.

        Raises:
            Unknown: it has no normal form.
        """
        if j not in self._values:
            self._values[j] = self._work_out(j)
        return self._values[j]

    def _work_out(self, j: int) -> Value:
        node = self.body[j]
        rule = _RULES.get(node.target)
        if rule is None or any(reader == j for reader, _ in self.block.counts):
            if j in self.inside:
                raise Unknown(str(node.target))
            return self._source(("step", j), node)
        try:
            places = iter(range(10**6))
            args = [self._argument(j, a, places) for a in node.args]
            kwargs = {k: node.kwargs[k] for k in node.kwargs}
            if j not in self.inside and not _one_matrix(node, args):
                return self._source(("step", j), node)
            return rule(self, *args, **kwargs)  # type: ignore[no-any-return]
        except (Unknown, TypeError, RuntimeError, ValueError, AttributeError, IndexError):
            if j in self.inside:
                raise Unknown(str(node.target)) from None
            return self._source(("step", j), node)

    def _argument(self, j: int, a: Any, places: Any) -> Any:
        if isinstance(a, list | tuple):
            return [self._argument(j, i, places) for i in a]
        place = next(places)
        if not isinstance(a, fx.Node):
            return a
        before = self.block.previous.get((j, place))
        if before is not None:
            if before not in self.inside:
                raise Unknown("a value of the step before, from outside")
            return self._source(("carry", before), self.body[before])
        if a in self.position:
            k = self.position[a]
            return self._source(("step", k), a) if k in self.block.inputs else self.value(k)
        constant = self._constant(a)
        return self._source(("outside", a), a) if constant is None else constant

    def _constant(self, node: fx.Node) -> Tensor | None:
        if node.op != "get_attr":
            return None
        value: Any = self.module
        for part in str(node.target).split("."):
            value = getattr(value, part)
        return value.detach().double().cpu() if isinstance(value, Tensor) else None

    def _source(self, source: Source, node: fx.Node) -> Affine:
        shape = shape_of(node)
        if shape is None or len(shape) != 2 or not isinstance(shape[1], int):
            raise Unknown("not (batch, features)")
        eye = torch.eye(shape[1], dtype=torch.float64)
        return Affine({source: eye}, torch.zeros(shape[1], dtype=torch.float64))

    def part(self, index: int, start: int, stop: int) -> int:
        """The number of some features of an affine value."""
        key = (index, start, stop)
        if key not in self._parts:
            self.affine.append(_rows(self, self.affine[index], start, stop))  # type: ignore[arg-type]
            self._parts[key] = len(self.affine) - 1
        return self._parts[key]

    def atom(self, value: Value) -> Poly:
        """A value as a polynomial."""
        if isinstance(value, Poly):
            return value
        if not isinstance(value, Affine):
            raise Unknown("a tuple")
        source = value.source
        if source is not None and source[0] == "carry":
            return Poly({(source,): 1.0})
        known = next((i for i, a in enumerate(self.affine) if a is value), None)
        if known is None:
            self.affine.append(value)
            known = len(self.affine) - 1
        return Poly({(("affine", known),): 1.0})


def _one_matrix(node: fx.Node, args: list[Any]) -> bool:
    """Before the recurrence, one matrix is taken into it; of several, the last."""
    if node.target not in (aten.linear.default, aten.addmm.default, aten.mm.default):
        return True
    inputs = [a for a in args if isinstance(a, Affine)]
    return all(a.source is not None or _joined(a) for a in inputs)


def _joined(value: Affine) -> bool:
    """Whether a value is sources side by side: each row has one 1 and else zeros."""
    rows = torch.cat(list(value.matrices.values()), 1)
    ones = (rows == 1).sum(1) == 1
    return bool(ones.all() and (rows.abs().sum(1) == 1).all() and not value.bias.any())


def _linear(algebra: Algebra, x: Any, weight: Any, bias: Any = None) -> Affine:
    if not isinstance(x, Affine) or not isinstance(weight, Tensor):
        raise Unknown("linear")
    shift = weight @ x.bias
    if bias is not None:
        shift = shift + bias
    return Affine({s: weight @ m for s, m in x.matrices.items()}, shift)


def _matmul(algebra: Algebra, x: Any, weight: Any) -> Affine:
    return _linear(algebra, x, weight.T)


def _addmm(algebra: Algebra, bias: Any, x: Any, weight: Any) -> Affine:
    return _linear(algebra, x, weight.T, bias)


def _add(algebra: Algebra, a: Any, b: Any, alpha: float = 1) -> Value:
    if isinstance(b, Tensor):
        a, b = b, a
        if alpha != 1:
            raise Unknown("alpha")
    if isinstance(a, Tensor):
        if not isinstance(b, Affine) or a.shape != b.bias.shape:
            raise Unknown("a constant")
        return Affine(b.matrices, b.bias + a)
    if isinstance(a, int | float):
        a, b, alpha = (b, a, 1) if alpha == 1 else (_scale(algebra, b, alpha), a, 1)
    if isinstance(a, Affine) and isinstance(b, int | float):
        return Affine(a.matrices, a.bias + alpha * b)
    if isinstance(a, Affine) and isinstance(b, Affine):
        matrices = dict(a.matrices)
        for source, matrix in b.matrices.items():
            known = matrices.get(source)
            matrices[source] = alpha * matrix if known is None else known + alpha * matrix
        return Affine(matrices, a.bias + alpha * b.bias)
    terms = dict(_poly(algebra, a).terms)
    for monomial, coefficient in _poly(algebra, b).terms.items():
        terms[monomial] = terms.get(monomial, 0.0) + alpha * coefficient
    return Poly({m: c for m, c in terms.items() if c})


def _poly(algebra: Algebra, value: Any) -> Poly:
    if isinstance(value, int | float):
        return Poly({(): float(value)} if value else {})
    return algebra.atom(value)


def _scale(algebra: Algebra, a: Value, factor: float) -> Value:
    if isinstance(a, Affine):
        return Affine({s: factor * m for s, m in a.matrices.items()}, factor * a.bias)
    return Poly({m: factor * c for m, c in _poly(algebra, a).terms.items()})


def _mul(algebra: Algebra, a: Any, b: Any) -> Value:
    if isinstance(a, int | float):
        a, b = b, a
    if isinstance(b, int | float):
        return _scale(algebra, a, float(b))
    terms: dict[Monomial, float] = {}
    for p, c in _poly(algebra, a).terms.items():
        for q, d in _poly(algebra, b).terms.items():
            monomial = tuple(sorted(p + q, key=repr))
            terms[monomial] = terms.get(monomial, 0.0) + c * d
    return Poly(terms)


def _sub(algebra: Algebra, a: Any, b: Any, alpha: float = 1) -> Value:
    return _add(algebra, a, b, -alpha)


def _rsub(algebra: Algebra, a: Any, b: Any, alpha: float = 1) -> Value:
    return _add(algebra, b, a, -alpha)


def _lerp(algebra: Algebra, start: Any, end: Any, weight: Any) -> Value:
    return _add(algebra, start, _mul(algebra, weight, _sub(algebra, end, start)))


def _addcmul(algebra: Algebra, a: Any, b: Any, c: Any, value: float = 1) -> Value:
    return _add(algebra, a, _mul(algebra, b, c), value)


def _nonlinear(name: str) -> Callable[..., Value]:
    def rule(algebra: Algebra, a: Any) -> Value:
        return Poly({((name, algebra.atom(a).key),): 1.0})

    return rule


def _rows(algebra: Algebra, value: Any, start: int, stop: int) -> Value:
    """Some of the features: of a polynomial, what each of its affine values has there."""
    if isinstance(value, Affine):
        return Affine({s: m[start:stop] for s, m in value.matrices.items()}, value.bias[start:stop])
    if not isinstance(value, Poly):
        raise Unknown("a part of a tuple")

    def atom(a: Atom) -> Atom:
        if a[0] == "affine":
            return ("affine", algebra.part(a[1], start, stop))
        if a[0] in _NONLINEAR.values():
            return (a[0], _rows(algebra, Poly(dict(a[1])), start, stop).key)  # type: ignore[union-attr]
        raise Unknown("a part of a state")

    def product(monomial: Monomial) -> Monomial:
        return tuple(sorted(map(atom, monomial), key=repr))

    return Poly({product(m): c for m, c in value.terms.items()})


def _width(algebra: Algebra, value: Any) -> int:
    if isinstance(value, Affine):
        return len(value.bias)
    atom: Any = next(iter(value.terms))[0]
    while atom[0] in _NONLINEAR.values():
        atom = next(iter(atom[1]))[0][0]
    return len(algebra.affine[atom[1]].bias)


def _last(dim: int) -> None:
    if dim not in (1, -1):
        raise Unknown("not along the features")


def _split(algebra: Algebra, a: Any, size: Any, dim: int = 0) -> Value:
    _last(dim)
    width = _width(algebra, a)
    sizes = size if isinstance(size, list) else [size] * (width // size)
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    if ends[-1] != width:
        raise Unknown("unequal parts")
    return tuple(_rows(algebra, a, e - s, e) for s, e in zip(sizes, ends, strict=True))


def _chunk(algebra: Algebra, a: Any, chunks: int, dim: int = 0) -> Value:
    return _split(algebra, a, -(-_width(algebra, a) // chunks), dim)


def _slice(
    algebra: Algebra, a: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Value:
    _last(dim)
    first, stop, stride = slice(start, end, step).indices(_width(algebra, a))
    if stride != 1:
        raise Unknown("a stride")
    return _rows(algebra, a, first, stop)


def _cat(algebra: Algebra, parts: list[Any], dim: int = 0) -> Value:
    _last(dim)
    if not all(isinstance(p, Affine) for p in parts):
        raise Unknown("joined parts that are not affine")
    total = sum(len(p.bias) for p in parts)
    matrices: dict[Source, Tensor] = {}
    row = 0
    for part in parts:
        for source, matrix in part.matrices.items():
            whole = matrices.setdefault(
                source, torch.zeros(total, matrix.shape[1], dtype=matrix.dtype)
            )
            whole[row : row + len(part.bias)] += matrix
        row += len(part.bias)
    return Affine(matrices, torch.cat([p.bias for p in parts]))


def _ones(algebra: Algebra, a: Any, **_: Any) -> Value:
    return Poly({(): 1.0})


_RULES: dict[Any, Callable[..., Any]] = {
    aten.linear.default: _linear,
    aten.mm.default: _matmul,
    aten.matmul.default: _matmul,
    aten.addmm.default: _addmm,
    aten.add.Tensor: _add,
    aten.add.Scalar: _add,
    aten.sub.Tensor: _sub,
    aten.sub.Scalar: _sub,
    aten.rsub.Scalar: _rsub,
    aten.rsub.Tensor: _rsub,
    aten.mul.Tensor: _mul,
    aten.mul.Scalar: _mul,
    aten.neg.default: lambda algebra, a: _scale(algebra, a, -1.0),
    aten.lerp.Tensor: _lerp,
    aten.addcmul.default: _addcmul,
    aten.split.Tensor: _split,
    aten.split_with_sizes.default: _split,
    aten.chunk.default: _chunk,
    aten.slice.Tensor: _slice,
    aten.cat.default: _cat,
    aten.ones_like.default: _ones,
    operator.getitem: lambda algebra, a, index: a[index],
    **{target: _nonlinear(name) for target, name in _NONLINEAR.items()},
}
