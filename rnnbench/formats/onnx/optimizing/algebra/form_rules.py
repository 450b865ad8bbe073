"""What each operator does to the normal forms of its arguments."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import Any

from rnnbench.formats.onnx.optimizing.algebra.arithmetic import add, multiply, rows, scale
from rnnbench.formats.onnx.optimizing.algebra.forms import (
    ACTIVATIONS,
    Affine,
    Form,
    Forms,
)
from rnnbench.formats.onnx.optimizing.algebra.layouts import MOVES
from rnnbench.formats.onnx.optimizing.algebra.slicing import (
    data_of,
    element_of,
    slice_bounds,
    split_sizes,
)
from rnnbench.formats.onnx.optimizing.graph import Graph, attribute, is_standard


def forms_of(graph: Graph) -> Forms:
    """The forms of all values of a graph, in its order."""
    forms = Forms(graph)
    for node in graph.nodes:
        own = node.domain in ("", "ai.onnx")
        rule = _RULES.get(node.op_type) if own else None
        for output in filter(None, node.output):
            if not forms.constants.is_fixed(output):
                forms.note(output, rule(forms, node, output) if rule else None)
    return forms


def _operand(forms: Forms, name: str) -> Form | None:
    """A value among others: a number or a vector where it is constant."""
    if forms.graph.original(name) in forms.cut or not forms.constants.is_fixed(name):
        return forms.form(name)
    array = forms.constants.value(name)
    if array is None or array.dtype.kind != "f":
        return None
    if array.size == 1 and array.ndim < 2:
        return Form(None, float(array.ravel()[0]), (), array.ndim)
    if array.ndim and array.size == array.shape[-1]:
        vector = forms.matrices.constant(array.ravel(), name)
        return Form(Affine((), vector, array.size), 0.0, (), array.ndim)
    if array.ndim and array.size and (array == array.reshape(-1, array.shape[-1])[0]).all():
        vector = forms.matrices.constant(array.reshape(-1, array.shape[-1])[0], f"{name} row")
        return Form(Affine((), vector, array.shape[-1]), 0.0, (), array.ndim)
    return forms.opaque(name)


def _activation(forms: Forms, node: Any, output: str) -> Form | None:
    name = forms.root(node.input[0])
    inside = forms.written(name)
    if inside is None:
        return None
    atom = forms.atom(ACTIVATIONS[node.op_type], inside)
    forms.names.setdefault(atom, name)
    return Form(None, 0.0, (((atom,), 1.0),), inside.rank)


def _added(forms: Forms, node: Any, output: str) -> Form | None:
    sign = -1.0 if node.op_type == "Sub" else 1.0
    total: Form | None = None
    for i, name in enumerate(node.input):
        form = _operand(forms, name)
        if form is None:
            return None
        form = scale(forms, form, sign) if i else form
        total = form if total is None else add(forms, total, form)
        if total is None:
            return None
    return total


def _negated(forms: Forms, node: Any, output: str) -> Form | None:
    form = _operand(forms, node.input[0])
    return None if form is None else scale(forms, form, -1.0)


def _multiplied(forms: Forms, node: Any, output: str) -> Form | None:
    a, b = (_operand(forms, name) for name in node.input)
    if a is None or b is None:
        return None
    return multiply(forms, a, b)


def _matmul(forms: Forms, node: Any, output: str) -> Form | None:
    return _product(forms, node.input[0], node.input[1], False)


def _gemm(forms: Forms, node: Any, output: str) -> Form | None:
    if attribute(node, "transA", 0):
        return None
    made = _product(forms, node.input[0], node.input[1], bool(attribute(node, "transB", 0)))
    if made is None:
        return None
    made = scale(forms, made, attribute(node, "alpha", 1.0))
    if len(node.input) < 3 or not node.input[2]:
        return made
    bias = _operand(forms, node.input[2])
    if bias is None:
        return None
    return add(forms, made, scale(forms, bias, attribute(node, "beta", 1.0)))


def _product(forms: Forms, data: str, weight: str, transposed: bool) -> Form | None:
    if not forms.constants.is_fixed(weight):
        return None
    matrix = forms.constants.value(weight)
    if matrix is None or matrix.ndim != 2 or matrix.dtype.kind != "f":
        return None
    number = forms.matrices.constant(matrix, weight, turned=not transposed)  # (out, in)
    out, within = matrix.shape if transposed else matrix.shape[::-1]
    given = forms.form(data)
    if given is None or given.scalar or given.products or not _is_selection(forms, given.affine):
        given = forms.opaque(data)
    if given is None or given.affine is None or given.affine.width not in (None, within):
        return None
    terms = tuple((s, forms.matrices.product(number, m)) for s, m in given.affine.terms)
    return Form(Affine(terms, None, out), 0.0, (), given.rank)


def _is_selection(forms: Forms, affine: Affine | None) -> bool:
    """Whether it is sources, or sources side by side: more than one matrix is not made one."""
    if affine is None or affine.bias is not None or not affine.terms:
        return False
    return all(forms.matrices.is_selection(m) for _, m in affine.terms)


def _joined(forms: Forms, node: Any, output: str) -> Form | None:
    """Values side by side, along the features."""
    parts = [_operand(forms, name) for name in node.input]
    rank = forms.graph.rank(output)
    if not rank or attribute(node, "axis", 0) % rank != rank - 1:
        return None
    affines = [p.affine for p in parts if p is not None and not p.scalar and not p.products]
    known = [a for a in affines if a is not None and a.bias is None and a.width is not None]
    if len(known) < len(node.input) or any(p is None or p.rank != rank for p in parts):
        return None
    widths = [a.width or 0 for a in known]
    total = sum(widths)
    terms: dict[int, int] = {}
    for affine, width, end in zip(known, widths, accumulate(widths), strict=True):
        place = forms.matrices.place(width, end - width, total)
        for source, matrix in affine.terms:
            made = place if forms.matrices.is_eye(matrix) else forms.matrices.product(place, matrix)
            known_matrix = terms.get(source)
            terms[source] = made if known_matrix is None else forms.matrices.sum(known_matrix, made)
    return Form(Affine(tuple(sorted(terms.items())), None, total), 0.0, (), rank)


def _moved(forms: Forms, node: Any, output: str) -> Form | None:
    """What only moves axes, or takes some of the features."""
    form = forms.form(data_of(forms.constants, node))
    if form is None:
        return None
    features = _features(forms, node, output)
    if features is not None:
        return rows(forms, form, *features)
    if not form.products and not form.scalar and forms.source_of(form.affine) is not None:
        return None  # a source is a view of its root
    move = forms.layouts.move(node, output)
    return None if move is None else forms.moved(form, move)


def _features(forms: Forms, node: Any, output: str) -> tuple[int, int] | None:
    """The range of features that a Split or a Slice takes."""
    shape = forms.graph.shape(data_of(forms.constants, node))
    if not shape or not isinstance(shape[-1], int):
        return None
    if is_standard(node, "SequenceAt"):
        part = element_of(forms.constants, node)
        last = part is not None and part.axis % len(shape) == len(shape) - 1
        return (part.start, part.start + part.size) if part is not None and last else None
    if is_standard(node, "Split") and attribute(node, "axis", 0) % len(shape) == len(shape) - 1:
        sizes = split_sizes(forms.constants, node, shape[-1])
        start = sum(sizes[: list(node.output).index(output)])
        return start, start + sizes[list(node.output).index(output)]
    if is_standard(node, "Slice"):
        bounds = slice_bounds(forms.constants, node)
        if bounds is None or bounds.axis % len(shape) != len(shape) - 1 or bounds.step != 1:
            return None
        start, stop, _ = slice(bounds.start, bounds.end).indices(shape[-1])
        return start, stop
    return None


Rule = Callable[[Forms, Any, str], Form | None]
_RULES: dict[str, Rule] = {
    **dict.fromkeys(ACTIVATIONS, _activation),
    **dict.fromkeys(("Add", "Sub", "Sum"), _added),
    "Neg": _negated,
    "Mul": _multiplied,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Concat": _joined,
    **dict.fromkeys(MOVES, _moved),
}
