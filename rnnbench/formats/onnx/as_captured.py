"""A program whose operators PyTorch's ONNX library has goes to it as it was captured.

`torch.onnx.export` traces a program once more, to take apart what the library lacks. Of most
recurrent models there is nothing, and that trace is a third of what their translation takes.
Calls private functions of torch (tried: torch 2.13.0 and 2.14.1); another release of it traces.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rnnbench.core.one_thread import replaced

if TYPE_CHECKING:
    from torch import fx
    from torch.export import ExportedProgram


@contextmanager
def traced_where_needed() -> Iterator[None]:
    """Programs that would be the same after that trace are not traced."""
    try:
        from torch._export.utils import _is_cia_op, _is_preservable_cia_op  # noqa: F401
        from torch.onnx._internal.exporter import _decomp, _fx_passes

        trace, implemented = (
            _fx_passes.decompose_with_registry,
            _decomp.get_onnx_implemented_overloads,
        )
    except (ImportError, AttributeError):  # another release of torch
        yield
        return

    def where_needed(program: ExportedProgram, registry: Any) -> ExportedProgram:
        same = _in_words_of(program, set(implemented(registry)))
        return trace(program, registry) if same is None else same

    with replaced(_fx_passes, "decompose_with_registry", where_needed):
        yield


def _in_words_of(program: ExportedProgram, known: set[Any]) -> ExportedProgram | None:
    """A copy in operators that are known; None where only a trace can make one.

        movedim(x, 0, 1)   ->  permute(x, [1, 0, 2])
        to(x, float64)     ->  _to_copy(x, dtype=float64)
        item(x)            ->  _local_scalar_dense(x)
        __and__(x, y)      ->  bitwise_and(x, y)

    The exporter writes into what it gets, bodies of loops too, which other formats read.
    """
    from torch import fx

    from rnnbench.capture.operators.copying import copy_of

    graphs = copy_of(program)
    for part in [m for m in graphs.modules() if isinstance(m, fx.GraphModule)]:
        for node in list(part.graph.nodes):
            if node.op == "call_function":
                _plainly(node)
                if _is_taken_apart(node.target, known):
                    return None
        part.recompile()
    made = copy.copy(program)
    made._graph_module = graphs
    return made


def _plainly(node: fx.Node) -> None:
    """Says what a trace would, of a few operators that most loops have."""
    import torch

    from rnnbench.capture.graph_edit import casts_to_the_same, replace, shape_of

    aten = torch.ops.aten
    given = any(user.op == "output" for user in node.users)  # whose name the signature has
    rank = len(shape_of(node.args[0]) or ()) if node.args else 0
    if casts_to_the_same(node) and not given:
        replace(node.graph, node, node.args[0])  # type: ignore[arg-type]
    elif node.target is aten.movedim.int and rank and len(node.args) == 3:
        x = node.args[0]
        source, to = (dim % rank for dim in node.args[1:])  # type: ignore[operator]
        order = [i for i in range(rank) if i != source]
        order.insert(to, source)  # type: ignore[arg-type]
        node.target, node.args = aten.permute.default, (x, order)
    elif node.target is aten.to.dtype and len(node.args) == 2 and not node.kwargs:
        node.target, node.kwargs = aten._to_copy.default, {"dtype": node.args[1]}
        node.args = node.args[:1]
    elif node.target is aten.item.default:
        node.target = aten._local_scalar_dense.default
    elif node.target in (aten.__and__.Tensor, aten.__or__.Tensor):
        both = node.target is aten.__and__.Tensor
        node.target = aten.bitwise_and.Tensor if both else aten.bitwise_or.Tensor


def _is_taken_apart(target: Any, known: set[Any]) -> bool:
    """Whether a trace would leave an operator as it is."""
    import torch
    from torch._export.utils import _is_cia_op, _is_preservable_cia_op

    if not isinstance(target, torch._ops.OperatorBase):
        return False  # a number of Python, or an element of a tuple
    if not isinstance(target, torch._ops.OpOverload):
        return target not in known
    composite: bool = _is_cia_op(target)
    if target in known:
        return composite and not _is_preservable_cia_op(target)
    return composite or target in torch._decomp.decomposition_table
