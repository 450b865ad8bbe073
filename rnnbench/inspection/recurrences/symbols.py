"""One step of a loop in symbols: sums, products, matrix products and activations.

Every value is a polynomial: how often each product of atoms is in it. An atom is a state, a value
from outside, a weight, a matrix product with a weight, an activation, or a part of one of these.
What is no sum, product, matrix product or activation is an atom of its own, which says nothing but
what it depends on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from rnnbench.inspection.dataflow import Flow, data_of
from rnnbench.inspection.operators import COLLECT, MATRIX, MULTIPLY, PASS, RELU, SIGMOID, TANH
from rnnbench.inspection.program import Node, Ref, refs_in, walk

Monomial = tuple[int, ...]
Poly = dict[Monomial, float]
Atom = tuple[Any, ...]
"""Its kind (`state`, `outer`, `constant`, `matrix`, `sigmoid`, `tanh`, `relu` ...), and of what."""

_MOST_TERMS, _HIGHEST = 64, 8  # a cell has four terms, of two factors
_ACTIVATIONS = {"sigmoid": SIGMOID, "tanh": TANH, "relu": RELU}
_ADD = ("Add", "aten.add")
_SUBTRACT = ("Sub", "aten.sub")


class Symbols:
    """The values of one step.

    Attributes:
        atoms: what each number in a monomial stands for.
        states: how many states there are.
    """

    def __init__(self, flow: Flow, nodes: Sequence[Node], states: Sequence[str]) -> None:
        self.atoms: list[Atom] = []
        self.states = len(states)
        self._flow = flow
        self._numbers: dict[Atom, int] = {}
        self._depends: list[frozenset[int]] = []
        self._known: dict[str, Poly] = {}
        self._parts: dict[tuple[int, str], Poly] = {}
        for i, name in enumerate(states):
            self._known[name] = self._atom("state", i, depends=frozenset([i]))
        for node in nodes:
            self._run(node)

    def value(self, value: Any) -> Poly:
        """What a value is; a number is itself."""
        if not isinstance(value, Ref):
            return {(): float(value)} if isinstance(value, int | float) else {}
        if value not in self._known:
            self._known[value] = self._outside(value)
        return self._known[value]

    def depends(self, monomials: Mapping[Monomial, float]) -> frozenset[int]:
        """The states that something depends on, however indirectly."""
        return frozenset(s for m in monomials for a in m for s in self._depends[a])

    def inside(self, atom: int) -> Poly:
        """What an activation is of, or a matrix is multiplied with."""
        return dict(self.atoms[atom][-1])

    def _atom(self, kind: str, *what: Any, depends: frozenset[int] = frozenset()) -> Poly:
        key = (kind, *what)
        if key not in self._numbers:
            self._numbers[key] = len(self.atoms)
            self.atoms.append(key)
            self._depends.append(depends)
        return {(self._numbers[key],): 1.0}

    def _of(self, kind: str, *what: Any, of: Poly) -> Poly:
        """An atom that is made of a polynomial, which is the last thing that its key has."""
        return self._atom(kind, *what, tuple(sorted(of.items())), depends=self.depends(of))

    def _outside(self, value: Ref) -> Poly:
        value = self._flow.outer(value)  # a weight may be handed into a body under another name
        known = self._flow.program.constants.get(value)
        if known is not None and known.values and known.size == 1:
            return {(): float(known.values[0])}
        kind = "constant" if self._flow.constant_only(value) else "outer"
        return self._atom(kind, value)

    def _is_constant(self, value: Any) -> bool:
        return all(self.atoms[a][0] == "constant" for m in self.value(value) for a in m)

    def _run(self, node: Node) -> None:
        found = None if node.bodies else self._compute(node)
        if found and (len(found) > _MOST_TERMS or max(map(len, found)) > _HIGHEST):
            found = None
        for name in filter(None, node.outputs):
            if found is None:
                of = frozenset(s for r in _reads(node) for s in self.depends(self.value(r)))
                self._known[name] = self._atom("operation", name, depends=of)
            elif node.op in PASS and not self._hands_on(node, name):
                self._known[name] = self._part(found, name)
            else:
                self._known[name] = found

    def _compute(self, node: Node) -> Poly | None:
        """The first result of a node; None where it is an atom of its own."""
        return _RULES[node.op](self, node) if node.op in _RULES else None

    def activation(self, node: Node, kind: str) -> Poly:
        """What an activation gives: an atom."""
        return self._of(kind, of=self.value(node.args[0]))

    def scaled(self, node: Node) -> Poly:
        """`a * b`, element by element."""
        return multiply(self.value(node.args[0]), self.value(node.args[1]))

    def total(self, node: Node) -> Poly:
        """ONNX's `Sum`: of any number of values, without the alpha of aten.add."""
        total: Poly = {}
        for value in node.args:
            total = add(total, self.value(value))
        return total

    def combined(self, node: Node, first: int, second: int, sign: float) -> Poly | None:
        """`a + alpha b` or `a - alpha b`, of the arguments at two places."""
        if len(node.args) < 2:
            return None
        times = sign * self._number(node.arg(2, "alpha", 1))
        return add(self.value(node.args[first]), self.value(node.args[second]), times)

    def negated(self, node: Node) -> Poly:
        """`-a`."""
        return add({}, self.value(node.args[0]), -1.0)

    def handed_on(self, node: Node) -> Poly | None:
        """What is handed on as it is; of several values, all of them side by side: an atom."""
        if self._leaves_floats(node):
            return None
        data = refs_in(data_of(node))
        if len(data) == 1:
            return self.value(data[0])
        if node.op not in (*COLLECT, "prim.ListConstruct"):
            return None
        parts = tuple(tuple(sorted(self.value(r).items())) for r in data)
        of = frozenset(s for r in data for s in self.depends(self.value(r)))
        return self._atom("joined", parts, depends=of)

    def product(self, node: Node) -> Poly | None:
        """A matrix product with a weight: of values side by side, one for each of them."""
        given = list(node.args)
        bias = given.pop(0) if node.op == "aten.addmm" else given[2] if len(given) > 2 else None
        constant = [self._is_constant(v) for v in given[:2]]
        if len(constant) < 2 or constant[0] == constant[1]:
            return None
        first, second = given[:2]
        weight, data = (first, self.value(second)) if constant[0] else (second, self.value(first))
        total: Poly = {} if bias is None else self.value(bias)
        ((only, times), *others) = data.items() or [((), 0.0)]
        if not others and times == 1.0 and len(only) == 1 and self.atoms[only[0]][0] == "joined":
            parts = [dict(part) for part in self.atoms[only[0]][1]]
        else:
            parts = [data]
        for i, part in enumerate(parts):
            total = add(total, self._of("matrix", str(weight), i, of=part))
        return total

    def _part(self, poly: Poly, name: str) -> Poly:
        """A part of every atom: to take one goes with sums, products and activations."""
        taken: Poly = {}
        for monomial, times in poly.items():
            product: Poly = {(): times}
            for atom in monomial:
                key = atom, name
                if key not in self._parts:
                    self._parts[key] = self._part_of_atom(atom, name)
                product = multiply(product, self._parts[key])
            taken = add(taken, product)
        return taken

    def _part_of_atom(self, atom: int, name: str) -> Poly:
        kind = self.atoms[atom][0]
        if kind in _ACTIVATIONS:
            return self._of(kind, of=self._part(self.inside(atom), name))
        if kind == "matrix":
            _, *what, inside = self.atoms[atom]
            return self._of("matrix", *what, name, of=dict(inside))
        if kind == "constant":
            return self._atom("constant", self.atoms[atom][1], name)
        return self._atom("part", atom, name, depends=self._depends[atom])

    def _hands_on(self, node: Node, output: str) -> bool:
        """Whether a node hands on all that there is in its order, dimensions of size 1 aside."""
        op = node.op.rpartition(".")[2]
        if op not in (*_TURNS, *_INDEXES, *_RESHAPES, *_RANGES):
            return True
        data = refs_in(data_of(node))[:1]
        shapes = [self._flow.program.shape(v) for v in (*data, Ref(output))]
        if len(shapes) < 2 or shapes[0] is None or shapes[1] is None:
            return False
        before, after = ([n for n in shape if n != 1] for shape in shapes if shape is not None)
        if op in _TURNS:
            return len(before) < 2 and op != "flip"
        if op in _INDEXES and len(shapes[0]) == len(shapes[1]):
            return False  # the same number of elements, maybe in another order
        steps = self._flow.program.constants.get(node.arg(4)) if op == "Slice" else None
        forwards = steps is None or set(steps.values or ()) == {1}
        return before == after and forwards

    def _leaves_floats(self, node: Node) -> bool:
        """Whether it is a cast whose result is not, or may not be, of a floating-point type.

        Between these a cast only rounds; to whole numbers or truths it is a step function. A file
        that does not say the type (TorchScript's `h.to(x.dtype)`) shows nothing.
        """
        if node.op == "Cast":
            return node.attributes.get("to") not in _FLOATS_OF_ONNX
        if node.op == "aten.view":  # whose other form reads the same bits as another type
            return not isinstance(node.arg(1, "size"), list | Ref)
        if node.op not in ("aten.to", "aten._to_copy"):
            return False
        given = [node.attributes.get("dtype"), node.attributes.get("other"), *node.args[1:]]
        said = (self._says_float(value) for value in given)
        return not next((floats for floats in said if floats is not None), True)

    def _says_float(self, value: Any) -> bool | None:
        """Whether an argument of a cast says a floating-point type; None: it says no type."""
        if isinstance(value, Ref):
            makers = self._flow.makers.get(value, [])
            if any(maker.op == "prim.device" for maker in makers):
                return None
            of = next((m.args[0] for m in makers if m.op == "prim.dtype"), value)
            outer = self._flow.outer(of) if isinstance(of, Ref) else of
            return self._flow.program.dtype(outer) in _FLOATS
        if isinstance(value, str) and value.startswith("dtype:"):
            return value.removeprefix("dtype:") in _FLOATS
        if isinstance(value, int) and not isinstance(value, bool):
            return value in _FLOATS_OF_TORCHSCRIPT
        return None

    def _number(self, value: Any) -> float:
        return self.value(value).get((), 1.0)


Rule = Callable[[Symbols, Node], Poly | None]
_RULES: dict[str, Rule] = {
    **dict.fromkeys(PASS, Symbols.handed_on),
    **{
        op: partial(Symbols.activation, kind=kind)
        for kind, ops in _ACTIVATIONS.items()
        for op in ops
    },
    **dict.fromkeys(MATRIX, Symbols.product),
    **dict.fromkeys(MULTIPLY, Symbols.scaled),
    **dict.fromkeys(_ADD, partial(Symbols.combined, first=0, second=1, sign=1.0)),
    **dict.fromkeys(_SUBTRACT, partial(Symbols.combined, first=0, second=1, sign=-1.0)),
    "aten.rsub": partial(Symbols.combined, first=1, second=0, sign=-1.0),
    "Sum": Symbols.total,
    "Neg": Symbols.negated,
    "aten.neg": Symbols.negated,
}

_FLOATS = ("float16", "bfloat16", "float32", "float64")
_FLOATS_OF_ONNX = (10, 16, 1, 11)  # TensorProto.DataType
_FLOATS_OF_TORCHSCRIPT = (5, 15, 6, 7)  # c10::ScalarType

# Operators of `PASS` that may hand on a part, or all in another order.
_TURNS = ("Transpose", "transpose", "permute", "t", "flip")
_INDEXES = ("Gather", "index_select")
_RESHAPES = ("Reshape", "Flatten", "view", "reshape", "flatten")
_RANGES = (
    *("Slice", "Split", "select", "slice", "__getitem__", "unbind", "split", "chunk", "narrow"),
    *("split_with_sizes", "unsafe_chunk", "unsafe_split", "getitem", "TupleUnpack"),
)


def _reads(node: Node) -> list[Ref]:
    """What a node reads, and what its bodies take from around them."""
    inner = [n for body in node.bodies for n in walk(body)]
    results = [body.outputs for n in (node, *inner) for body in n.bodies]
    return [*node.refs, *(r for n in inner for r in n.refs), *refs_in(results)]


def add(a: Poly, b: Poly, times: float = 1.0) -> Poly:
    """The sum a + times b."""
    total = dict(a)
    for monomial, count in b.items():
        total[monomial] = total.get(monomial, 0.0) + times * count
    return {m: n for m, n in total.items() if n}


def multiply(a: Poly, b: Poly) -> Poly:
    """The product of a and b, element by element."""
    total: Poly = {}
    for m, x in a.items():
        for n, y in b.items():
            monomial = tuple(sorted((*m, *n)))
            total[monomial] = total.get(monomial, 0.0) + x * y
    return {m: n for m, n in total.items() if n}
