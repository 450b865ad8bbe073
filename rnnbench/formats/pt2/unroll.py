"""A .pt2 program with its sizes fixed and its loops as their steps, for engines without loops."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram

from rnnbench.capture.operators.scan import SCAN, scan_in_python
from rnnbench.capture.operators.stepwise import run_stepwise
from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.known_warnings import export_warnings

aten = torch.ops.aten

_PACKED = {
    aten.lstm.data: "lstm",
    aten.gru.data: "gru",
    aten.rnn_tanh.data: "rnn_tanh",
    aten.rnn_relu.data: "rnn_relu",
}


def unrolled(program: ExportedProgram, inputs: Sequence[Tensor]) -> ExportedProgram:
    """The program for inputs of these shapes only.

    Each `scan` becomes its steps, and a layer over packed rows one over padded rows that stops
    each row at its length. A fused layer stays what it is: the engines' own decompositions unroll
    it.

    Args:
        program: what `torch.export.load` returned; it stays as it is.
        inputs: a tensor for each of its inputs, in order.

    Raises:
        RnnbenchError: the program does not take these shapes.
    """
    module = program.module()
    _unpack(module.graph)
    _compare_lengths(module.graph)
    _unroll(module)
    try:
        with export_warnings(), torch.no_grad():
            return torch.export.export(module, tuple(inputs), strict=False)
    except Exception as error:
        shapes = ", ".join(str(list(tensor.shape)) for tensor in inputs)
        raise RnnbenchError(
            f"the program does not take inputs of the shapes {shapes} ({one_line(error)}): "
            "give others, or use the runtime pt2"
        ) from None


def _unroll(module: fx.GraphModule) -> None:
    """Makes each scan a loop of Python, which a trace unrolls.

        hn, y = scan(step, [h0], [x [2, ...]])
            ->  h1, y1 = step(h0, x[0]); hn, y2 = step(h1, x[1]); y = stack([y1, y2])

    The program keeps its own bodies.
    """
    for node in module.graph.find_nodes(op="call_function", target=SCAN):
        node.target = scan_in_python
        name = node.args[0].target
        body: Any = module.get_submodule(name)
        own = fx.GraphModule(body, copy.deepcopy(body.graph))  # the program keeps the other
        _unroll(own)
        _drop_clones(own)
        setattr(module, name, own)
    module.recompile()


def _drop_clones(body: fx.GraphModule) -> None:
    """Copies that `scan` asks for, since it returns nothing twice; steps may."""
    for node in body.graph.find_nodes(op="call_function", target=aten.clone.default):
        node.replace_all_uses_with(node.args[0])
        body.graph.erase_node(node)
    body.recompile()


def _unpack(graph: fx.Graph) -> None:
    """Layers over packed rows take padded ones, with the lengths in place of the batch sizes.

        packed, sizes = _pack_padded_sequence(x, lengths)
        y, hn = gru.data(packed, sizes, h0, ...)
        padded, n = _pad_packed_sequence(y, sizes)
            ->  padded, hn = run_ragged(x, lengths, h0, ...)

    That the lengths are possible is not asserted any more: engines have no such thing.
    """
    layers = [node for node in graph.nodes if node.target in _PACKED and _is_alone(node)]
    for layer in layers:
        packing = layer.args[0].args[0]
        packing.target = _keep_padded
        layer.args = (*layer.args, _PACKED[layer.target])
        layer.target = _run_ragged
        for user in [user for out in layer.users if out.args[1] == 0 for user in out.users]:
            user.target = _keep_padded_too
    for node in graph.find_nodes(op="call_function", target=aten._assert_scalar.default):
        graph.erase_node(node)
    graph.eliminate_dead_code()


def _is_alone(layer: fx.Node) -> bool:
    """Whether it is one layer, time first, and nothing else reads the packed rows around it."""
    data, sizes = layer.args[:2]
    packing = getattr(data, "args", [None])[0]
    if getattr(packing, "target", None) is not aten._pack_padded_sequence.default:
        return False
    first = [out for out in layer.users if out.args[1] == 0]
    padded = [user for out in first for user in out.users]
    return bool(
        not packing.args[2]
        and layer.args[5] == 1
        and set(data.users) == {layer}  # type: ignore[union-attr]
        and set(sizes.users) <= {layer, *padded}  # type: ignore[union-attr]
        and all(user.target is aten._pad_packed_sequence.default for user in padded)
        and all(tuple(user.args[2:4]) == (False, 0.0) for user in padded)
    )


def _keep_padded(x: Tensor, lengths: Tensor, batch_first: bool) -> tuple[Tensor, Tensor]:
    return x, lengths


def _keep_padded_too(
    y: Tensor, lengths: Tensor, batch_first: bool, padding: float, total: int
) -> tuple[Tensor, Tensor]:
    return y, lengths


def _run_ragged(  # noqa: PLR0913  (the operator's own arguments)
    x: Tensor,
    lengths: Tensor,
    hx: Any,
    weights: Sequence[Tensor],
    has_bias: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    kind: str,
) -> tuple[Tensor, ...]:
    h0, c0 = hx if kind == "lstm" else (hx, None)
    direction = "bidirectional" if bidirectional else "forward"
    results = run_stepwise(x, lengths, h0, c0, weights, kind, direction, scan_in_python)
    return results if kind == "lstm" else results[:2]


def _compare_lengths(graph: fx.Graph) -> None:
    """Whole numbers in a row, as lengths are, are sorted by comparing them: not all can sort."""
    for target, ours in ((aten.sort.default, _sorted), (aten.argsort.default, _argsorted)):
        for node in graph.find_nodes(op="call_function", target=target):
            value = node.args[0].meta["val"]
            if value.ndim == 1 and value.dtype in (torch.int32, torch.int64):
                node.target = ours


def _sorted(x: Tensor, dim: int = -1, descending: bool = False) -> tuple[Tensor, Tensor]:
    """What `torch.sort(x, stable=True)` gives: x (rows,)."""
    at = torch.arange(x.shape[0], device=x.device)
    mine, other = x.unsqueeze(0), x.unsqueeze(1)
    before = other > mine if descending else other < mine
    before = before | ((other == mine) & (at.unsqueeze(1) < at.unsqueeze(0)))
    place = before.to(torch.int64).sum(0)
    chosen = (place.unsqueeze(0) == at.unsqueeze(1)).to(torch.int64)
    return (chosen * x).sum(1).to(x.dtype), (chosen * at).sum(1)


def _argsorted(x: Tensor, dim: int = -1, descending: bool = False) -> Tensor:
    return _sorted(x, dim, descending)[1]
