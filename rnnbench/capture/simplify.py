"""Removes what a recurrence does not need: initial states that are zero, weights still computed."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram

from rnnbench.capture.loops.steps import arguments
from rnnbench.capture.operators.recurrence import recurrence
from rnnbench.capture.operators.scan import SCAN

aten = torch.ops.aten

Pattern = tuple[str, tuple[str, ...]]
"""An operator with its arguments but for the numbers."""

_ZEROS = (
    aten.zeros.default,
    aten.zeros_like.default,
    aten.new_zeros.default,
)
_FULL = {aten.full.default: 1, aten.full_like.default: 1, aten.new_full.default: 2}
_KEEP_ZERO = (
    aten.slice.Tensor,
    aten.select.int,
    aten.expand.default,
    aten.unsqueeze.default,
    aten.squeeze.dim,
    aten.transpose.int,
    aten.permute.default,
    aten.contiguous.default,
    aten.clone.default,
    aten.view.default,
    aten.reshape.default,
    aten.index_select.default,
    aten.repeat.default,
    aten.detach.default,
    aten.alias.default,
    aten.to.dtype,
    aten.to.device,
    aten.to.dtype_layout,
    aten.cat.default,
    aten.stack.default,
    aten.chunk.default,
    aten.split.Tensor,
    aten.unbind.int,
)
_RANDOM = ("rand", "dropout", "bernoulli", "normal", "multinomial")
_GROWS_AT_MOST = 4


def drop_zero_states(graph: fx.Graph) -> None:
    """A recurrence's initial state that is zero is left out: zero is what the operators assume.

    zeros = new_zeros(x, [1, batch, 4])
    recurrence(x, None, zeros, None, ...)  ->  recurrence(x, None, None, None, ...)
    """
    for node in graph.find_nodes(op="call_function", target=recurrence):
        args = list(node.args)
        for at in (2, 3):  # h0 and c0, [directions, batch, hidden] each
            if isinstance(args[at], fx.Node) and _is_zero(args[at]):
                args[at] = None
        node.args = tuple(args)
    graph.eliminate_dead_code()


def _is_zero(node: fx.Node) -> bool:
    if node.target in _ZEROS:
        return True
    if node.target in _FULL:
        return bool(node.args[_FULL[node.target]] == 0)
    # Views, parts and joins of zeros are zeros.
    if node.target in _KEEP_ZERO or getattr(node.target, "__name__", "") == "getitem":
        tensors = [a for a in node.all_input_nodes if _is_tensor(a)]
        return bool(tensors) and all(_is_zero(a) for a in tensors)
    return False


def _is_tensor(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor | list | tuple) or value is None


def per_step_reads(shorter: fx.GraphModule, longer: fx.GraphModule) -> set[Pattern]:
    """What is made of constants step by step (`table[t]`, `rates * t`): a longer trace goes on.

    In traces of 4 and 7 steps `select(table, 0, 0)` to `select(table, 0, 3)`, and to 6: the call
    without its number is a pattern of this kind, and its calls are not folded.

    (The parts of a joined gate matrix are the same at any length.)
    """
    found = [set(_reads(m.graph).values()) for m in (shorter, longer)]
    return {pattern for pattern, _ in found[1] - found[0]}


def _reads(graph: fx.Graph) -> dict[fx.Node, tuple[Pattern, tuple[float, ...]]]:
    """Steps of constants, and numbers with them: each call without its numbers, and those."""
    spelt: dict[fx.Node, str] = {}  # constants, in a way that is the same in both traces
    found = {}
    for node in graph.nodes:
        if node.op == "get_attr":
            spelt[node] = str(node.target)
        inputs = node.all_input_nodes
        if node.op != "call_function" or not inputs or any(n not in spelt for n in inputs):
            continue
        leaves = arguments(node)
        words = [spelt[leaf] if isinstance(leaf, fx.Node) else str(leaf) for leaf in leaves]
        spelt[node] = f"{node.target}({', '.join(words)})"
        at = _numbers(node.target, leaves)
        if at:
            rest = tuple(word for i, word in enumerate(words) if i not in at)
            found[node] = (str(node.target), rest), tuple(leaves[i] for i in at)
    return found


def _numbers(target: Any, leaves: list[Any]) -> list[int]:
    """Where a call has the number of a step, if it has one."""
    if target is aten.select.int:
        return [2] if isinstance(leaves[2], int) else []
    if isinstance(target, torch._ops.OpOverload) and torch.Tag.pointwise in target.tags:
        return [i for i, leaf in enumerate(leaves) if type(leaf) in (int, float)]
    return []


def fold_constants(module: fx.GraphModule, but: Collection[Pattern] = ()) -> None:
    """What depends on parameters alone (a weight norm, a joined gate matrix) is computed now.

        exp = exp(w)
        matmul = matmul(x, exp)          folded_exp = get_attr folded_exp
        exp_1 = exp(w)               ->  matmul = matmul(x, folded_exp)
        matmul_1 = matmul(x, exp_1)      matmul_1 = matmul(x, folded_exp)

    Args:
        module: the graph.
        but: what is made step by step, and stays so.
    """
    graph = module.graph
    _share_constants(graph)
    steps = {n for n, (pattern, _) in _reads(graph).items() if pattern in but} if but else set()
    values: dict[fx.Node, Any] = {}
    for node in list(graph.nodes):
        if node.op == "get_attr":
            value = _attribute(module, str(node.target))
            if isinstance(value, torch.Tensor):
                values[node] = value
        elif node.op == "call_function" and node not in steps and _foldable(node, values):
            with torch.no_grad():
                target: Callable[..., Any] = node.target
                args, kwargs = fx.node.map_arg((node.args, dict(node.kwargs)), values.__getitem__)
                values[node] = target(*args, **kwargs)
    # Of what was computed, that which something else than a constant reads is stored.
    for node in list(graph.nodes):
        value = values.get(node)
        needed = node.op == "call_function" and any(u not in values for u in node.users)
        if needed and isinstance(value, torch.Tensor):
            _store(module, node, value)
    graph.eliminate_dead_code()
    module.recompile()


def _share_constants(graph: fx.Graph) -> None:
    """What is computed in the same way from the same parameters is computed once.

    exp = exp(w)
    exp_1 = exp(w)
    matmul_1 = matmul(x, exp_1)  ->  matmul_1 = matmul(x, exp)
    """
    constant: set[fx.Node] = set(graph.find_nodes(op="get_attr"))
    known: dict[Any, fx.Node] = {}
    for node in list(graph.nodes):
        inputs = node.all_input_nodes
        if node.op != "call_function" or not inputs or any(n not in constant for n in inputs):
            continue
        # The names of constants stand in the arguments: equal text is an equal value.
        key = (str(node.target), str(node.args), str(node.kwargs))
        if key in known:
            node.replace_all_uses_with(known[key])
            graph.erase_node(node)
        else:
            known[key] = node
            constant.add(node)


def _store(module: fx.GraphModule, node: fx.Node, value: torch.Tensor) -> None:
    name = f"folded_{node.name}"
    module.register_buffer(name, value.detach().clone())
    with module.graph.inserting_before(node):
        constant = module.graph.get_attr(name)
    constant.meta = dict(node.meta)
    node.replace_all_uses_with(constant)
    module.graph.erase_node(node)


def _foldable(node: fx.Node, values: dict[fx.Node, Any]) -> bool:
    inputs = node.all_input_nodes
    if not inputs or any(n not in values for n in inputs):
        return False
    if node.target is recurrence or not isinstance(node.target, torch._ops.OpOverload):
        return str(getattr(node.target, "__name__", "")) == "getitem"
    if any(word in node.target.name() for word in _RANDOM):  # drawn anew at each call
        return False
    value = node.meta.get("val")
    if any(isinstance(a, torch.SymInt) for a in arguments(node)):
        return False
    if isinstance(value, torch.Tensor):
        # An expanded weight would be stored as large as it was expanded.
        sizes = [v.numel() for v in values.values() if isinstance(v, torch.Tensor)]
        return all(isinstance(s, int) for s in value.shape) and (
            value.numel() <= _GROWS_AT_MOST * max(sizes)
        )
    return isinstance(value, list | tuple)


def _attribute(module: torch.nn.Module, path: str) -> Any:
    value: Any = module
    for part in path.split("."):
        value = getattr(value, part)
    return value


def drop_size_arguments(program: ExportedProgram) -> None:
    """Scans get their sizes from tensors: a size of its own as an argument has no ONNX form.

    size = sym_size(x, 1)
    scan(body, [h0], [x], (size,))    ->  scan(body, [h0], [x], ())
    def body(h, x_t, size):               def body(h, x_t):
        ones = ones([size, 4])                size = sym_size(h, 0)
        ...                                   ones = ones([size, 4])
                                              ...
    """
    for node in program.graph.find_nodes(op="call_function", target=SCAN):
        body_node, init, xs, extras = node.args
        body = getattr(program.graph_module, str(body_node.target))
        # A body's arguments: the states, the inputs of the step, then these.
        holders = list(body.graph.find_nodes(op="placeholder"))[len(init) + len(xs) :]
        kept = []
        for holder, extra in zip(holders, extras, strict=True):
            value = extra.meta.get("val") if isinstance(extra, fx.Node) else extra
            if isinstance(value, torch.Tensor) or not _without(body.graph, holder, value):
                kept.append(extra)
        node.args = (body_node, init, xs, tuple(kept))
        body.recompile()
    program.graph.eliminate_dead_code()
    program.graph_module.recompile()


def _without(body: fx.Graph, holder: fx.Node, value: Any) -> bool:
    """Takes a size out of a body's arguments; False where no tensor there has it."""
    if holder.users:
        found = next(
            (
                (other, dim)
                for other in body.find_nodes(op="placeholder")
                for dim, size in enumerate(getattr(other.meta.get("val"), "shape", ()))
                if str(size) == str(value)  # two objects may be one symbol
            ),
            None,
        )
        if found is None:
            return False
        last = list(body.find_nodes(op="placeholder"))[-1]
        with body.inserting_after(last):
            size = body.call_function(aten.sym_size.int, found)
        size.meta["val"] = value
        holder.replace_all_uses_with(size)
    body.erase_node(holder)
    return True
