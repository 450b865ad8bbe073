"""Writes the body of a C function from a captured graph: a call of a node after the other."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx

from rnnbench.capture.source_lines import source_line
from rnnbench.core.errors import RnnbenchError
from rnnbench.formats.c.broadcasting import (
    OneOrAll,
    is_dimension,
    keep_said,
    only_all,
    said_by_data,
)
from rnnbench.formats.c.folding import folded_call
from rnnbench.formats.c.literals import literal
from rnnbench.formats.c.scalars import ITEMS, scalar
from rnnbench.formats.c.sizes import NoForm, Sizes, size_of
from rnnbench.formats.c.statements import Statements
from rnnbench.formats.c.values import C_TYPES, Block, Complex, Value

aten = torch.ops.aten

_CHECKS = ("_assert", "sym_constrain_range")  # what they check, the export has checked


def is_check(target: Any) -> bool:
    """Whether a node only makes sure of sizes."""
    return any(check in str(target) for check in _CHECKS)


Writing = Callable[["Writer", fx.Node, list[Any], dict[str, Any]], Any]


class Writer(Statements):
    """Writes the calls of a graph, one after the other.

    Args:
        sizes: writes sizes.
        operators: target -> what writes a call of it.
        model: the model's name, for errors.
        of_complex: as `operators`, of those that are given a complex tensor.
        by_size: those of `operators` that go by the sizes of what they are given.

    Attributes:
        values: node -> what it gives.
        products: the sizes that say how many rows, the inputs and the columns of each product.
        whole: node -> of each of its products, whether it is one of whole numbers.
        whole_weights: array of whole numbers -> how many weights it holds.
        said: node -> the size that it gives, made of what a tensor says, where the program has
            a dimension for that.
        named_sizes: what such a size is read of -> it.
        goes_by_size: whether there are any; else such a size is the dimension.
        precision: what the weights of products are kept as; floats where it is empty.
    """

    def __init__(
        self,
        sizes: Sizes,
        operators: dict[Any, Writing],
        model: str,
        of_complex: dict[Any, Writing],
        by_size: frozenset[Any] = frozenset(),
    ) -> None:
        super().__init__(sizes)
        self.values: dict[fx.Node, Any] = {}
        self.products: list[tuple[Sequence[Any], int, int]] = []
        self.whole: dict[fx.Node, list[bool]] = {}
        self.whole_weights: dict[str, int] = {}
        self.said: dict[fx.Node, Any] = {}
        self.named_sizes: dict[Any, OneOrAll] = {}
        self.goes_by_size = bool(by_size)
        self.precision = ""
        self._operators = operators
        self._of_complex = of_complex
        self._by_size = by_size
        self._model = model
        self._at: fx.Node | None = None

    def note_product(self, array: str, weights: int) -> None:
        """Says of the node that is written which kind of product it has.

        Args:
            array: of its whole numbers; empty where it is one of floats.
            weights: how many it has.
        """
        assert self._at is not None
        self.whole.setdefault(self._at, []).append(bool(array))
        if array:
            self.whole_weights[array] = weights

    def copied(self, node: fx.Node, value: Value) -> Value:
        """An array of a node's own that holds a value, so that some of it may be written over."""
        self.say(node)
        made = self.room(value.dtype, value.sizes, node.name)
        self.store(made, value)
        return made

    def write(self, graph: fx.Graph, module: fx.GraphModule) -> None:
        """The calls of a graph whose placeholders have their values."""
        for node in graph.nodes:
            if node.op == "get_attr":
                self._attribute(node, module)
            elif node.op == "call_function":
                self._call(node, module)

    def _attribute(self, node: fx.Node, module: fx.GraphModule) -> None:
        held: Any = module
        for part in str(node.target).split("."):
            held = getattr(held, part)
        if isinstance(held, torch.Tensor):
            parts = (
                torch.view_as_real(held.resolve_conj()).unbind(-1) if held.is_complex() else [held]
            )
            made = [self.constant(p.detach().contiguous(), str(node.target)) for p in parts]
            self.values[node] = Complex(*made) if held.is_complex() else made[0]
        else:
            self.values[node] = held

    def _constant(self, tensor: torch.Tensor, name: str) -> Value | Complex:
        if not tensor.is_complex():
            return self.constant(tensor, name)
        parts = torch.view_as_real(tensor.resolve_conj()).unbind(-1)
        return Complex(*(self.constant(p.contiguous(), name) for p in parts))

    def _call(self, node: fx.Node, module: fx.GraphModule) -> None:
        target: Any = node.target
        if is_check(target):
            return
        value = node.meta.get("val")
        if isinstance(value, torch.SymInt | int) and not isinstance(value, bool):
            self._size(node, size_of(value))
            return
        if isinstance(value, torch.SymFloat | torch.SymBool | float | bool):
            self.values[node] = scalar(self, node)
            return
        if target is operator.getitem:
            self.values[node] = self.values[node.args[0]][node.args[1]]  # type: ignore[index]
            return
        args = [self.given(a) for a in node.args]
        named = {name: self.given(a) for name, a in node.kwargs.items()}
        if target not in self._by_size:
            only_all(args)
        known = folded_call(self, node, args, named)
        if known is not None:
            self.values[node] = known
            return
        leaves = torch.utils._pytree.tree_leaves(args)
        is_complex = any(isinstance(leaf, Complex) for leaf in leaves)
        writing = (self._of_complex if is_complex else self._operators).get(target)
        if writing is None:
            of = " of complex numbers" if is_complex else ""
            raise self.refusal(node, f"{target}{of} has no form in C yet")
        result = self._written(writing, node, args, named)
        if isinstance(result, Value):
            result = self._settled(node, result)
        elif isinstance(result, Complex):
            parts = (self._settled(node, p) for p in (result.real, result.imaginary))
            result = Complex(*parts)
        self.values[node] = result

    def _written(
        self, writing: Writing, node: fx.Node, args: list[Any], named: dict[str, Any]
    ) -> Any:
        """What a node gives; a type or a size without a form is said of its line."""
        known = list(C_TYPES)
        if isinstance(node.target, torch._ops.OpOverload):
            known.append(torch.complex64)
        if node.target is aten._to_copy.default:
            known.append(torch.bfloat16)
        values = torch.utils._pytree.tree_leaves(node.meta.get("val"))
        values = [v for v in values if isinstance(v, torch.Tensor)]
        for value in values:
            if value.dtype not in known:
                raise self.refusal(node, f"{value.dtype} has no form in C yet")
        self._at = node
        try:
            result = writing(self, node, args, named)
        except NoForm as error:
            raise self.refusal(node, str(error)) from error
        if any(v.is_complex() for v in values) and isinstance(result, Value):
            raise self.refusal(node, f"{node.target} to complex numbers has no form in C yet")
        return result

    def refusal(self, node: fx.Node, why: str) -> RnnbenchError:
        """The line of a node that has no form."""
        place = source_line(node)
        return RnnbenchError(
            f"model {self._model!r}{' at ' + place if place else ''}: {why}: export to onnx, "
            "torchscript or pt2"
        )

    def say(self, node: fx.Node, more: str = "") -> None:
        """A comment before the statements of a node: its name and its shape."""
        value = node.meta.get("val")
        first = value[0] if isinstance(value, tuple | list) and value else value
        shape = ""
        if isinstance(first, torch.Tensor):
            shape = f" [{', '.join(self.sizes.said(size_of(s)) for s in first.shape)}]"
        place = source_line(node).rpartition("/")[2]
        text = f"{node.name}{shape}{' ' + more if more else ''}{', ' + place if place else ''}"
        self.line(f"/* {text.replace('*/', '* /')} */")

    def _settled(self, node: fx.Node, value: Value) -> Value:
        """An array, where more than one reads what takes some work."""
        if value.array or value.constant is not None:
            return value
        if (value.cost and len(node.users) > 1) or value.cost > _DEEP:
            self.say(node)
            return self.realize(value, node.name)
        return value

    def given(self, arg: Any) -> Any:
        """An argument: a Value, an expression of C, or what it is."""
        if isinstance(arg, fx.Node):
            return self.said.get(arg, self.values[arg])
        if isinstance(arg, list | tuple):
            return [self.given(a) for a in arg]
        return arg

    def number(self, arg: Any) -> str:
        """A number as an expression of C."""
        if isinstance(arg, str):
            return arg
        if isinstance(arg, bool):
            return str(int(arg))
        if isinstance(arg, float):
            return literal(arg, torch.float64)
        return self.sizes.text(arg)

    def _size(self, node: fx.Node, size: Any) -> None:
        self.values[node] = size
        if node.target in ITEMS:
            self._number(node)
        else:
            keep_said(self, node)

    def _number(self, node: fx.Node) -> None:
        """A size that is a number in a tensor: another one, or a dimension in the program."""
        size = self.values[node]
        text = f"(int64_t){self.single(self.given(node.args[0]))}"
        if self.goes_by_size and is_dimension(self, size):
            self.said[node] = said_by_data(self, node, size, text)
            return
        name = self.fresh(node.name)
        self.line(f"const int64_t {name} = {text};")
        self.line(f"(void){name};")
        if not isinstance(size, int):
            self.sizes.names.setdefault(size, name)

    def single(self, value: Value) -> str:
        """The only element of a tensor, after what it needs."""
        block = Block(self.fresh)
        text = value.at(["0"] * len(value.sizes), block)
        self.block(block)
        return text


_DEEP = 24  # operations that may stand in one loop before an array is made
