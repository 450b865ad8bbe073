"""What each operator does to the normal forms of its arguments.

A rule takes the `AtomTable` that it works for and the operator's arguments, and raises `Unknown`
where there is no form.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rnnbench.capture.cells.normal_forms import (
    Affine,
    Atom,
    AtomTable,
    Monomial,
    Poly,
    Source,
    Unknown,
    Value,
)

aten = torch.ops.aten

_NONLINEAR = {
    aten.sigmoid.default: "sigmoid",
    aten.tanh.default: "tanh",
    aten.relu.default: "relu",
}


def _linear(algebra: AtomTable, x: Any, weight: Any, bias: Any = None) -> Affine:
    if not isinstance(x, Affine) or not isinstance(weight, Tensor):
        raise Unknown("linear")
    # W (M s + c) + b = (W M) s + (W c + b): weight [out, features], x.bias [features]
    shift = weight @ x.bias  # [out]
    if bias is not None:
        shift = shift + bias
    # [out, features] @ [features, features in] -> [out, features in] of each source
    return Affine({s: weight @ m for s, m in x.matrices.items()}, shift)


def _matmul(algebra: AtomTable, x: Any, weight: Any) -> Affine:
    return _linear(algebra, x, weight.T)  # mm's weight is [features, out]


def _addmm(algebra: AtomTable, bias: Any, x: Any, weight: Any) -> Affine:
    return _linear(algebra, x, weight.T, bias)


def _add(algebra: AtomTable, a: Any, b: Any, alpha: float = 1) -> Value:
    if isinstance(b, Tensor):
        a, b = b, a
        if alpha != 1:
            raise Unknown("alpha")
    if isinstance(a, Tensor):  # [features]: a constant beside an affine value goes into its bias
        if not isinstance(b, Affine) or a.shape != b.bias.shape:
            raise Unknown("a constant")
        return Affine(b.matrices, b.bias + a)
    if isinstance(a, int | float):  # the number second
        a, b, alpha = (b, a, 1) if alpha == 1 else (_scale(algebra, b, alpha), a, 1)
    if isinstance(a, Affine) and isinstance(b, int | float):
        return Affine(a.matrices, a.bias + alpha * b)
    if isinstance(a, Affine) and isinstance(b, Affine):
        matrices = dict(a.matrices)
        for source, matrix in b.matrices.items():
            known = matrices.get(source)  # [features, features in] both: the same source twice
            matrices[source] = alpha * matrix if known is None else known + alpha * matrix
        return Affine(matrices, a.bias + alpha * b.bias)
    terms = dict(_poly(algebra, a).terms)
    for monomial, coefficient in _poly(algebra, b).terms.items():
        terms[monomial] = terms.get(monomial, 0.0) + alpha * coefficient
    return Poly({m: c for m, c in terms.items() if c})  # n - n is nothing


def _poly(algebra: AtomTable, value: Any) -> Poly:
    if isinstance(value, int | float):
        return Poly({(): float(value)} if value else {})
    return algebra.atom(value)


def _scale(algebra: AtomTable, a: Value, factor: float) -> Value:
    if isinstance(a, Affine):
        return Affine({s: factor * m for s, m in a.matrices.items()}, factor * a.bias)
    return Poly({m: factor * c for m, c in _poly(algebra, a).terms.items()})


def _mul(algebra: AtomTable, a: Any, b: Any) -> Value:
    if isinstance(a, int | float):
        a, b = b, a
    if isinstance(b, int | float):
        return _scale(algebra, a, float(b))
    terms: dict[Monomial, float] = {}
    for p, c in _poly(algebra, a).terms.items():
        for q, d in _poly(algebra, b).terms.items():
            monomial = tuple(sorted(p + q, key=repr))  # z * h and h * z are one
            terms[monomial] = terms.get(monomial, 0.0) + c * d
    return Poly(terms)


def _sub(algebra: AtomTable, a: Any, b: Any, alpha: float = 1) -> Value:
    return _add(algebra, a, b, -alpha)


def _rsub(algebra: AtomTable, a: Any, b: Any, alpha: float = 1) -> Value:
    return _add(algebra, b, a, -alpha)


def _lerp(algebra: AtomTable, start: Any, end: Any, weight: Any) -> Value:
    return _add(algebra, start, _mul(algebra, weight, _sub(algebra, end, start)))


def _addcmul(algebra: AtomTable, a: Any, b: Any, c: Any, value: float = 1) -> Value:
    return _add(algebra, a, _mul(algebra, b, c), value)


def _nonlinear(name: str) -> Callable[..., Value]:
    def rule(algebra: AtomTable, a: Any) -> Value:
        return Poly({((name, algebra.atom(a).key),): 1.0})

    return rule


def rows(algebra: AtomTable, value: Any, start: int, stop: int) -> Value:
    """Some of the features: of a polynomial, what each of its affine values has there."""
    if isinstance(
        value, Affine
    ):  # rows of its matrices [features, features in] and bias [features]
        return Affine({s: m[start:stop] for s, m in value.matrices.items()}, value.bias[start:stop])
    if not isinstance(value, Poly):
        raise Unknown("a part of a tuple")

    def atom(a: Atom) -> Atom:
        # sigmoid(a)[:, :4] is sigmoid(a[:, :4]): what works element by element goes with parts.
        if a[0] == "affine":
            return ("affine", algebra.part(a[1], start, stop))
        if a[0] in _NONLINEAR.values():
            return (a[0], rows(algebra, Poly(dict(a[1])), start, stop).key)  # type: ignore[union-attr]
        raise Unknown("a part of a state")

    def product(monomial: Monomial) -> Monomial:
        return tuple(sorted(map(atom, monomial), key=repr))

    return Poly({product(m): c for m, c in value.terms.items()})


def _width(algebra: AtomTable, value: Any) -> int:
    if isinstance(value, Affine):
        return len(value.bias)
    atom: Any = next(iter(value.terms))[0]  # any atom: all have the same features
    while atom[0] in _NONLINEAR.values():
        atom = next(iter(atom[1]))[0][0]
    return len(algebra.affine[atom[1]].bias)


def _last(dim: int) -> None:
    if dim not in (1, -1):  # of values [batch, features]
        raise Unknown("not along the features")


def _split(algebra: AtomTable, a: Any, size: Any, dim: int = 0) -> Value:
    _last(dim)
    width = _width(algebra, a)
    # [batch, 4 * hidden] in parts of [batch, hidden]: the gates of one big matrix
    sizes = size if isinstance(size, list) else [size] * (width // size)
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    if ends[-1] != width:
        raise Unknown("unequal parts")
    return tuple(rows(algebra, a, e - s, e) for s, e in zip(sizes, ends, strict=True))


def _chunk(algebra: AtomTable, a: Any, chunks: int, dim: int = 0) -> Value:
    return _split(algebra, a, -(-_width(algebra, a) // chunks), dim)  # rounded up, as torch does


def _slice(
    algebra: AtomTable, a: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Value:
    _last(dim)
    first, stop, stride = slice(start, end, step).indices(_width(algebra, a))
    if stride != 1:
        raise Unknown("a stride")
    return rows(algebra, a, first, stop)


def _cat(algebra: AtomTable, parts: list[Any], dim: int = 0) -> Value:
    _last(dim)
    if not all(isinstance(p, Affine) for p in parts):
        raise Unknown("joined parts that are not affine")
    total = sum(len(p.bias) for p in parts)  # the features side by side
    matrices: dict[Source, Tensor] = {}
    row = 0
    for part in parts:
        for source, matrix in part.matrices.items():
            # [total, features in]: zeros where other parts are
            whole = matrices.setdefault(
                source, torch.zeros(total, matrix.shape[1], dtype=matrix.dtype)
            )
            whole[row : row + len(part.bias)] += matrix
        row += len(part.bias)
    return Affine(matrices, torch.cat([p.bias for p in parts]))


def _ones(algebra: AtomTable, a: Any, **_: Any) -> Value:
    return Poly({(): 1.0})


RULES: dict[Any, Callable[..., Any]] = {
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
