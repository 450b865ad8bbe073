"""What the values of a graph are, in a normal form that does not depend on how it was written.

A value is affine in others (a matrix for each, and a bias), or a sum of products, element by
element, of activations of such values. So `n + z * (h - n)` and `(1 - z) * n + z * h` are one
thing, and so are gates from one big matrix, from four small ones, or from a matrix over the input
and the state side by side.

    a = W x + R h + b      Form(Affine(((x, W), (h, R)), b), 0, ())
    1 - sigmoid(a)         Form(None, 1, (((s,), -1),)), s the atom ("sigmoid", a)
    h sigmoid(a)           Form(None, 0, (((h, s), 1),)), h the atom ("affine", h alone)

What goes into a matrix product, or into an activation and elsewhere too, is a source of its own
there: a step's state is not what the step before computed it from.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from rnnbench.formats.onnx.optimizing.algebra.constants import Constants
from rnnbench.formats.onnx.optimizing.algebra.layouts import Layouts
from rnnbench.formats.onnx.optimizing.algebra.matrices import Matrices
from rnnbench.formats.onnx.optimizing.algebra.views import Move, View, apply
from rnnbench.formats.onnx.optimizing.graph import Graph, is_standard

Monomial = tuple[int, ...]
_MOST_PRODUCTS, _HIGHEST = 16, 6  # a cell has three, of two factors
ACTIVATIONS = {"Sigmoid": "sigmoid", "Tanh": "tanh", "Relu": "relu"}


class Affine(NamedTuple):
    """`sum(matrix @ source) + bias`.

    Attributes:
        terms: (source, matrix) pairs, in order.
        bias: a vector; None: zeros.
        width: how many features it has, if that is known.
    """

    terms: tuple[tuple[int, int], ...]
    bias: int | None
    width: int | None


class Form(NamedTuple):
    """`affine + scalar + sum(coefficient * product of atoms)`, of so many dimensions."""

    affine: Affine | None
    scalar: float
    products: tuple[tuple[Monomial, float], ...]
    rank: int


class Forms:
    """The normal forms of a graph's values.

    Attributes:
        sources: what a number in `Affine.terms` stands for.
        atoms: what one in a product does: an activation and its form, `affine` and an `Affine`.
        names: activation's atom -> the value inside of it.
        inner: what a source was computed as.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.constants, self.matrices = Constants(graph), Matrices()
        self.layouts = Layouts(graph, self.constants)
        self.sources: list[View] = []
        self.atoms: list[tuple[str, Any]] = []
        self.names: dict[int, str] = {}
        self.inner: dict[str, Form] = {}
        self._source_numbers: dict[View, int] = {}
        self._atom_numbers: dict[tuple[str, Any], int] = {}
        self._moved: dict[tuple[Form, Move], Form | None] = {}
        self._forms: dict[str, Form | None] = {}
        self.cut = self._find_cut()

    def note(self, name: str, form: Form | None) -> None:
        """Remembers what a value is; None: a source of its own."""
        if form is not None and (
            len(form.products) > _MOST_PRODUCTS or any(len(m) > _HIGHEST for m, _ in form.products)
        ):
            form = None
        if form is not None and name in self.cut and (form.products or self._is_part(form)):
            self.inner[name] = form
            form = None
        self._forms[name] = self.opaque(name) if form is None else form

    def _is_part(self, form: Form) -> bool:
        """Whether it is some features of a source alone."""
        affine = form.affine
        if affine is None or affine.bias is not None or len(affine.terms) != 1:
            return False
        return self.matrices.is_part(affine.terms[0][1])

    def _find_cut(self) -> set[str]:
        """What goes into a matrix product or an activation."""
        cut = set()
        for node in self.graph.nodes:
            if is_standard(node, "MatMul", "Gemm"):
                view = self.layouts.view(node.input[0])
                cut |= {node.input[0]} | ({view.root} if view else set())
                maker = self.graph.makers.get(node.input[0])
                if maker is not None and is_standard(maker, "Concat"):
                    views = [self.layouts.view(i) for i in maker.input]
                    cut |= {v.root for v in views if v}
            elif is_standard(node, *ACTIVATIONS):
                cut.add(self.root(node.input[0]))
        return cut

    def root(self, name: str) -> str:
        """What a value is called where it was made: behind Casts to the type that it has."""
        view = self.layouts.view(name)
        return view.root if view is not None and view.whole else name

    def form(self, name: str) -> Form | None:
        """What a value is, where it stands among others; None where not even its rank is known."""
        if name not in self._forms:
            self._forms[name] = self.opaque(name)
        return self._forms[name]

    def written(self, name: str) -> Form | None:
        """What a value is computed as, also where it is a source elsewhere."""
        return self.inner.get(name) or self.form(name)

    def opaque(self, name: str) -> Form | None:
        """A value as a source: of what it is a view of."""
        view = self.layouts.view(name)
        if view is None or not view.axes:
            return None
        return self.pure(self.source(view))

    def source(self, view: View) -> int:
        """The number of a source."""
        if view not in self._source_numbers:
            self._source_numbers[view] = len(self.sources)
            self.sources.append(view)
        return self._source_numbers[view]

    def pure(self, number: int) -> Form:
        """A source alone."""
        view = self.sources[number]
        last = view.axes[-1]
        shape = self.graph.shape(view.root) or ()
        size = 1 if last is None else shape[last]
        width = size if isinstance(size, int) else None
        eye = self.matrices.eye(width if width is not None else -1)
        return Form(Affine(((number, eye),), None, width), 0.0, (), len(view.axes))

    def source_of(self, affine: Affine | None) -> int | None:
        """The source that an affine value is, unchanged; None: it is more than that."""
        if affine is None or affine.bias is not None or len(affine.terms) != 1:
            return None
        ((source, matrix),) = affine.terms
        return source if self.matrices.is_eye(matrix) else None

    def atom(self, kind: str, of: Any) -> int:
        """The number of an atom."""
        key = (kind, of)
        if key not in self._atom_numbers:
            self._atom_numbers[key] = len(self.atoms)
            self.atoms.append(key)
        return self._atom_numbers[key]

    def moved(self, form: Form, move: Move) -> Form | None:
        """A form whose axes were moved, but for the last; None where it cannot be said."""
        key = (form, move)
        if key not in self._moved:
            self._moved[key] = self._move(form, move)
        return self._moved[key]

    def _move(self, form: Form, move: Move) -> Form | None:
        affine = None if form.affine is None else self._move_affine(form.affine, move, form.rank)
        if form.affine is not None and affine is None:
            return None
        products = []
        for monomial, times in form.products:
            atoms = [self._move_atom(a, move, form.rank) for a in monomial]
            if any(a is None for a in atoms):
                return None
            products.append((tuple(sorted(a for a in atoms if a is not None)), times))
        return Form(affine, form.scalar, tuple(sorted(products)), _rank(form.rank, move))

    def _move_affine(self, affine: Affine, move: Move, rank: int) -> Affine | None:
        terms = []
        for source, matrix in affine.terms:
            view = self.sources[source]
            if len(view.axes) != rank:
                return None
            after = apply(move, view)
            # The features stay where they are.
            if after is None or not after.axes or after.axes[-1] != view.axes[-1]:
                return None
            terms.append((self.source(after), matrix))
        return Affine(tuple(sorted(terms)), affine.bias, affine.width)

    def _move_atom(self, atom: int, move: Move, rank: int) -> int | None:
        kind, of = self.atoms[atom]
        if kind == "affine":
            affine = self._move_affine(of, move, rank)
            return None if affine is None else self.atom("affine", affine)
        inside = self.moved(of, move)
        return None if inside is None else self.atom(kind, inside)


def _rank(rank: int, move: Move) -> int:
    kind, *what = move
    if kind == "add":
        return rank + len(what[0])
    if kind == "drop":
        return rank - len(what[0])
    if kind == "fit":
        return int(what[2])
    return rank - 1 if kind == "pick" and not what[2] else rank
