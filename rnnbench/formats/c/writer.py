"""Writes the body of a C function from a captured graph: a call of a node after the other."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import fx

from rnnbench.capture.source_lines import source_line
from rnnbench.core.errors import RnnbenchError
from rnnbench.formats.c.folding import folded_call
from rnnbench.formats.c.literals import folded, literal
from rnnbench.formats.c.names import Names
from rnnbench.formats.c.scalars import ITEMS, scalar
from rnnbench.formats.c.sizes import NoForm, Sizes, size_of
from rnnbench.formats.c.values import C_TYPES, At, Block, Complex, Index, Value, added, scaled

aten = torch.ops.aten

_WIDTH = 112


_CHECKS = ("_assert", "sym_constrain_range")  # what they check, the export has checked


Writing = Callable[["Writer", fx.Node, list[Any], dict[str, Any]], Any]


class Writer:
    """The statements of one function, the arrays that they use, and the constants.

    Args:
        sizes: writes sizes.
        operators: target -> what writes a call of it.
        of_complex: likewise, of those that are given a complex tensor.
        model: the model's name, for errors.

    Attributes:
        fresh: gives a name that nothing else has.
        lines: the statements.
        rooms: the arrays in the workspace: name -> its type and how many elements it has.
        constants: the constant arrays: name -> tensor.
        extras: the functions that it needs beside those of every file.
        products: how many rows, inputs and columns each product has.
        precision: what the weights of products are kept as; floats where it is empty.
    """

    def __init__(
        self,
        sizes: Sizes,
        operators: dict[Any, Writing],
        model: str,
        of_complex: dict[Any, Writing],
    ) -> None:
        self.sizes = sizes
        self.lines: list[str] = []
        self.rooms: dict[str, tuple[str, str]] = {}
        self.constants: dict[str, torch.Tensor] = {}
        self.values: dict[fx.Node, Any] = {}
        self.indent = 1
        self.extras: list[str] = []
        self.products: list[tuple[str, int, int]] = []
        self.precision = ""
        self._operators = operators
        self._of_complex = of_complex
        self._model = model
        self.fresh = Names().fresh
        self._arrays: dict[int, str] = {}
        self._kept: list[torch.Tensor] = []  # so that the ids stay theirs

    def line(self, text: str) -> None:
        """Adds a statement, in as many lines as it takes."""
        pad = "    " * self.indent
        self.lines += [pad + part for part in folded(text, _WIDTH - len(pad))]

    @contextmanager
    def nested(self, head: str) -> Iterator[None]:
        """The statements of a block behind `for (...)` or `if (...)`."""
        self.line(f"{head} {{")
        self.indent += 1
        yield
        self.indent -= 1
        self.line("}")

    @contextmanager
    def loops(self, sizes: Sequence[Any], stem: str = "i") -> Iterator[list[str]]:
        """Nested loops over sizes; yields an index for each, `0` where there is one step."""
        indices = []
        opened = 0
        for size in sizes:
            if size == 1:
                indices.append("0")
                continue
            name = self.fresh(f"{stem}{opened}")
            self.line(f"for (int64_t {name} = 0; {name} < {self.sizes.text(size)}; ++{name}) {{")
            self.indent += 1
            opened += 1
            indices.append(name)
        yield indices
        for _ in range(opened):
            self.indent -= 1
            self.line("}")

    def room(
        self, dtype: torch.dtype, sizes: Sequence[Any], stem: str, held: Sequence[Any] = ()
    ) -> Value:
        """An array of the workspace; `held` is what it has room for, where that can be more."""
        name = self.fresh(stem)
        most = list(map(self.sizes.most, held or sizes))
        self.rooms[name] = C_TYPES[dtype], self.sizes.product(most)
        return self.array(name, dtype, sizes)

    def array(self, name: str, dtype: torch.dtype, sizes: Sequence[Any]) -> Value:
        """What an array holds, its last index the fastest."""

        def at(index: Index, block: Block) -> str:
            return f"{name}[{self.offset(index, sizes)}]"

        return Value(dtype, tuple(sizes), at, array=name)

    def offset(self, index: Index, sizes: Sequence[Any]) -> str:
        """The place of an element: `(i0 * time + i1) * 4 + i2`."""
        text = "0"
        for number, size in zip(index, sizes, strict=True):
            text = added(scaled(text, self.sizes.text(size)), number)
        return text

    def constant(self, tensor: torch.Tensor, name: str) -> Value:
        """A tensor of the model; its array is written only where it is read as one."""
        sizes = tuple(tensor.shape)

        def at(index: Index, block: Block) -> str:
            if tensor.numel() == 1:
                return literal(tensor.item(), tensor.dtype)
            return f"{self._constant_array(tensor, name)}[{self.offset(index, sizes)}]"

        return Value(tensor.dtype, sizes, at, constant=tensor)

    def _constant_array(self, tensor: torch.Tensor, name: str) -> str:
        if tensor.dtype not in C_TYPES:
            raise NoForm(f"a constant of {tensor.dtype} has no form in C yet")
        if id(tensor) not in self._arrays:
            self._arrays[id(tensor)] = self.fresh(f"w_{name}")
            self.constants[self._arrays[id(tensor)]] = tensor
            self._kept.append(tensor)
        return self._arrays[id(tensor)]

    def packed(self, tensor: torch.Tensor, name: str) -> str:
        """The array of a tensor that was packed for a kernel."""
        return self._constant_array(tensor, name)

    def extra(self, text: str) -> None:
        """Functions that the file has to have."""
        if text not in self.extras:
            self.extras.append(text)

    def realize(self, value: Value, stem: str = "t") -> Value:
        """The value as an array: of the workspace, unless it is one."""
        if value.array:
            return value
        if value.constant is not None:
            name = self._constant_array(value.constant, stem)
            return self.array(name, value.dtype, value.sizes)
        made = self.room(value.dtype, value.sizes, stem)
        self.store(made, value)
        return made

    def copied(self, node: fx.Node, value: Value) -> Value:
        """An array of a node's own that holds a value, so that some of it may be written over."""
        self.say(node)
        made = self.room(value.dtype, value.sizes, node.name)
        self.store(made, value)
        return made

    @contextmanager
    def totals(self, into: Value, kind: str, start: At | None) -> Iterator[tuple[list[str], str]]:
        """For each element of an array, the name of a number to which the block adds.

        Args:
            into: the array.
            kind: the C type of the number.
            start: what it begins with; None: 0.
        """
        with self.loops(into.sizes) as index:
            block, total = Block(self.fresh), self.fresh("sum")
            text = "0" if start is None else start(index, block)
            self.block(block)
            self.line(f"{kind} {total} = {text};")
            yield index, total
            cast = "" if kind == into.c_type else f"({into.c_type})"
            self.line(f"{into.at(index, block)} = {cast}{total};")

    def store(self, into: Value, value: Value) -> None:
        """Writes a value into an array of the same sizes."""
        with self.loops(value.sizes) as index:
            block = Block(self.fresh)
            text = value.at(index, block)
            self.block(block)
            self.line(f"{into.at(index, block)} = {self.cast(text, value.dtype, into.dtype)};")

    def block(self, block: Block) -> None:
        """The statements of a block, here."""
        for line in block.lines:
            self.line(line)
        block.lines.clear()

    @staticmethod
    def cast(text: str, of: torch.dtype, to: torch.dtype) -> str:
        """An element as one of another type."""
        if of == to:
            return text
        if to is torch.bool:
            return f"(uint8_t)({text} != 0)"
        return f"({C_TYPES[to]})({text})"

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
        if any(check in str(target) for check in _CHECKS):
            return
        value = node.meta.get("val")
        if isinstance(value, torch.SymInt | int) and not isinstance(value, bool):
            if target in ITEMS:
                self._number(node)
            else:
                self.values[node] = size_of(value)
            return
        if isinstance(value, torch.SymFloat | torch.SymBool | float | bool):
            self.values[node] = scalar(self, node)
            return
        if target is operator.getitem:
            self.values[node] = self.values[node.args[0]][node.args[1]]  # type: ignore[index]
            return
        args = [self.given(a) for a in node.args]
        named = {name: self.given(a) for name, a in node.kwargs.items()}
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
            return self.values[arg]
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

    def _number(self, node: fx.Node) -> None:
        """A size that is a number in a tensor."""
        name = self.fresh(node.name)
        self.line(f"const int64_t {name} = (int64_t){self.single(self.given(node.args[0]))};")
        self.line(f"(void){name};")
        symbol = size_of(node.meta["val"])
        if not isinstance(symbol, int):
            self.sizes.names.setdefault(symbol, name)
        self.values[node] = symbol

    def single(self, value: Value) -> str:
        """The only element of a tensor, after what it needs."""
        block = Block(self.fresh)
        text = value.at(["0"] * len(value.sizes), block)
        self.block(block)
        return text


_DEEP = 24  # operations that may stand in one loop before an array is made
