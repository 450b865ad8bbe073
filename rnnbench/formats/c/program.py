"""A captured program as three files of C99: `model.c`, `model.h`, `model_weights.c`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sympy
import torch
from torch import fx

from rnnbench.core.dims import names_of
from rnnbench.formats.c import (
    activations,
    arithmetic,
    complexes,
    control_flow,
    convolutions,
    elementwise,
    filling,
    joining,
    layout,
    masks,
    norms,
    ordering,
    picking,
    pooling,
    products,
    recurrences,
    reductions,
    slicing,
    solving,
    spectra,
)
from rnnbench.formats.c.broadcasting import NotBySizeError, only_all
from rnnbench.formats.c.printing import Port, code_text, field_of, header_text, weights_text
from rnnbench.formats.c.sizes import NoForm, Sizes, size_of
from rnnbench.formats.c.values import C_TYPES, Value
from rnnbench.formats.c.writer import Writer

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from rnnbench.capture.program import Captured

OPERATORS: dict[Any, Any] = (
    elementwise.OPERATORS
    | arithmetic.OPERATORS
    | activations.OPERATORS
    | filling.OPERATORS
    | layout.OPERATORS
    | slicing.OPERATORS
    | joining.OPERATORS
    | picking.OPERATORS
    | masks.OPERATORS
    | reductions.OPERATORS
    | norms.OPERATORS
    | ordering.OPERATORS
    | pooling.OPERATORS
    | products.OPERATORS
    | convolutions.OPERATORS
    | recurrences.OPERATORS
    | control_flow.OPERATORS
    | solving.OPERATORS
    | spectra.OPERATORS
    | complexes.GIVING
)


_BY_SIZE = frozenset(
    {
        *elementwise.OPERATORS,
        *arithmetic.OPERATORS,
        *activations.OPERATORS,
        *(filling.OPERATORS.keys() - {torch.ops.aten.copy.default}),
        *reductions.BY_SIZE,
        *layout.BY_SIZE,
        *slicing.OPERATORS,
    }
)
_BROADCAST = {torch.ops.aten.matmul.default}  # which has a form in some cases only


@dataclass(frozen=True)
class Files:
    """The texts of the three files, and what calls them has to know.

    Attributes:
        code: of `model.c`.
        header: of `model.h`.
        weights: of `model_weights.c`, in parts.
        weight_bytes: what the constants take.
        inputs: name -> field, in order.
        outputs: name -> field, dtype and how many dimensions, in order.
        whole: how many weights multiply whole numbers.
    """

    code: str
    header: str
    weights: Iterator[str]
    weight_bytes: int
    inputs: dict[str, str]
    outputs: dict[str, tuple[str, str, int]]
    whole: int = 0


def files_of(captured: Captured, facts: str, precision: str = "") -> Files:
    """Writes a program as C.

    Args:
        captured: the program.
        facts: what the files say of themselves: names, versions, a hash.
        precision: what the weights of products are kept as.

    Raises:
        RnnbenchError: an operator, a type or a size has no form in C.
    """
    writer, _, inputs, outputs = _written(captured, precision)
    fields = _fields(captured)
    arguments = ", ".join(f"int64_t {field}" for field in fields.values()) or "void"
    return Files(
        code_text(writer, facts, arguments, list(fields.values()), outputs),
        header_text(captured, facts, inputs, outputs, arguments, writer),
        weights_text(writer, facts),
        sum(t.numel() * t.element_size() for t in writer.constants.values()),
        {p.name: p.field for p in inputs},
        {p.name: (p.field, p.dtype, p.rank) for p in outputs},
        sum(writer.whole_weights.values()),
    )


def rounding_of(
    captured: Captured, precision: str
) -> tuple[fx.GraphModule, dict[fx.Node, list[bool]], int]:
    """The program that a file is written of, and which of its products are of whole numbers.

    Args:
        captured: the program.
        precision: what the weights of products are kept as.

    Returns:
        The graph, node -> of each of its products, whether it is one, and how many weights
        these have.
    """
    writer, graph, *_ = _written(captured, precision)
    return graph, writer.whole, sum(writer.whole_weights.values())


def _fields(captured: Captured) -> dict[str, str]:
    """The dynamic dimensions, and what C calls them."""
    return {dim: re.sub(r"\W", "_", dim) for dim in captured.model.dims}


def _written(
    captured: Captured, precision: str
) -> tuple[Writer, fx.GraphModule, list[Port], list[Port]]:
    """The statements of a program, the graph that they are of, its inputs and outputs."""
    from rnnbench.capture.tracing.trace import unlift

    graph = unlift(_decomposed(captured.program))
    try:
        return _written_by(captured, graph, precision, _BY_SIZE)
    except NotBySizeError:
        return _written_by(captured, graph, precision, frozenset())


def _written_by(
    captured: Captured, graph: fx.GraphModule, precision: str, by_size: frozenset[Any]
) -> tuple[Writer, fx.GraphModule, list[Port], list[Port]]:
    model = captured.model
    fields = _fields(captured)
    sizes = Sizes({})
    of_complex = complexes.OPERATORS | spectra.OPERATORS
    writer = Writer(sizes, OPERATORS, model.name, of_complex, by_size)
    writer.precision = precision
    for name in (*fields.values(), "level", "base", "room"):
        writer.fresh(name)
    inputs = _inputs(writer, graph, captured, fields)
    sizes.fixed = frozenset(sizes.names)
    sizes.bounds |= bounds_of(graph)
    sizes.limit = model.max_steps
    writer.write(graph.graph, graph)
    results: Any = graph.graph.output_node().args[0]
    return writer, graph, inputs, _outputs(writer, results, captured)


def _decomposed(program: ExportedProgram) -> ExportedProgram:
    """The program in operators that have a form here, where torch can say it in them.

    With sizes that data say, it loses them on the way (torch 2.13: "Pending unbacked symbols").
    """
    from torch.fx.experimental.symbolic_shapes import PendingUnbackedSymbolNotFound

    from rnnbench.core.known_warnings import export_warnings

    table = torch.export.default_decompositions()
    for operator in OPERATORS.keys() - _BROADCAST:
        table.pop(operator, None)
    with export_warnings():
        try:
            found: ExportedProgram = program.run_decompositions(table)
            return found
        except PendingUnbackedSymbolNotFound:
            return program


def _inputs(
    writer: Writer, graph: fx.GraphModule, captured: Captured, fields: dict[str, str]
) -> list[Port]:
    """The placeholders are arrays that the caller owns; their sizes name the symbols."""
    found = []
    placeholders = graph.graph.find_nodes(op="placeholder")
    for node, spec in zip(placeholders, captured.model.inputs, strict=True):
        value = node.meta["val"]
        if value.dtype not in C_TYPES:
            raise NoForm(f"input {spec.name!r} is {value.dtype}, which has no form in C yet")
        for size, declared in zip(value.shape, spec.shape, strict=True):
            _name_symbol(writer, size_of(size), str(declared), fields)
    for node, spec in zip(placeholders, captured.model.inputs, strict=True):
        value = node.meta["val"]
        sizes = tuple(map(size_of, value.shape))
        name = writer.fresh(f"in_{spec.name}")
        field = field_of(spec.name)
        writer.values[node] = writer.array(name, value.dtype, sizes)
        writer.line(f"const {C_TYPES[value.dtype]} *const {name} = inputs->{field};")
        writer.line(f"(void){name};")
        shape = ", ".join(map(str, spec.shape))
        found.append(Port(spec.name, field, C_TYPES[value.dtype], shape, len(sizes)))
    return found


def _name_symbol(writer: Writer, size: Any, declared: str, fields: dict[str, str]) -> None:
    """s0 -> `time`; 160 * s0 -> `(time / 160)`, where the declared size is a name."""
    if isinstance(size, int):
        return
    if declared not in fields:
        names = names_of(declared)
        if size.is_Symbol and size not in writer.sizes.names and set(names) <= fields.keys():
            text = re.sub(r"[^\W\d]\w*", lambda found: fields[found[0]], declared)
            writer.sizes.names[size] = f"({text})"
        return
    symbols = list(size.free_symbols)
    if len(symbols) != 1 or symbols[0] in writer.sizes.names:
        return
    (symbol,) = symbols
    if size == symbol:
        writer.sizes.names[symbol] = fields[declared]
        return
    factor = size / symbol
    if factor.is_Integer:
        writer.sizes.names[symbol] = f"({fields[declared]} / {int(factor)})"


def _outputs(writer: Writer, results: Sequence[Any], captured: Captured) -> list[Port]:
    """Each output is copied into what the caller gives, with its shape."""
    found = []
    ready = [writer.given(r) for r in results]
    only_all(ready)
    for name, value in zip(captured.model.outputs, ready, strict=True):
        if not isinstance(value, Value):
            raise NoForm(f"output {name!r} is no tensor, which has no form in C yet")
        field = field_of(name)
        own = writer.fresh(f"out_{name}")
        writer.line(f"/* output {name} */")
        writer.line(f"{value.c_type} *const {own} = outputs->{field};")
        writer.store(writer.array(own, value.dtype, value.sizes), value)
        for n, size in enumerate(value.sizes):
            writer.line(f"outputs->{field}_shape[{n}] = {writer.sizes.text(size)};")
        largest = list(map(writer.sizes.most, value.sizes))
        shape = ", ".join(writer.sizes.text(size) for size in largest)
        most = writer.sizes.product(largest)
        dtype = str(value.dtype).removeprefix("torch.")
        found.append(Port(name, field, value.c_type, shape, len(value.sizes), most, dtype))
    return found


def bounds_of(graph: fx.GraphModule) -> dict[Any, Any]:
    """The most that a size can be which data say: `_assert_scalar(u0 <= s0)` -> u0: s0."""
    found: dict[Any, Any] = {}
    for node in graph.graph.nodes:
        if node.target is not torch.ops.aten._assert_scalar.default:
            continue
        value = getattr(node.args[0], "meta", {}).get("val")
        condition = value.node.expr if isinstance(value, torch.SymBool) else None
        if not isinstance(condition, sympy.core.relational.Relational):
            continue
        for rest in _at_most_zero(condition):
            for symbol in rest.free_symbols:
                bound = symbol - rest
                if str(symbol).startswith("u") and symbol not in bound.free_symbols:
                    found.setdefault(symbol, bound)
    return found


def _at_most_zero(condition: Any) -> list[Any]:
    """What a comparison says not to be above 0: `a - b` of `a <= b`, both ways of `a == b`."""
    if isinstance(condition, sympy.Eq):
        a, b = condition.args
        return [a - b, b - a]
    if isinstance(condition, sympy.Ne):
        return []
    return [condition.lts - condition.gts]
