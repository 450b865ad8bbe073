"""`rnnbench::recurrence` in PyTorch's own operators, for the formats that PyTorch itself reads.

    recurrence(x, None, h0, None, [w_ih, w_hh, b_ih, b_hh], 'gru', 'forward')
    ->
    gru.input(x, h0, [w_ih, w_hh, b_ih, b_hh], True, 1, 0.0, False, False, False)

and with lengths

    sort, argsort      rows by their length, and the way back           [batch]
    index_select       of x and of the states                           [time, batch, input]
    _pack_padded_sequence(x, lengths, False)                            [rows of all steps, input]
    gru.data(data, sizes, h0, [w_ih, ...], True, 1, 0.0, False, False)  [rows of all steps, hidden]
    _pad_packed_sequence(data, sizes, False, 0.0, time)                 [time, batch, hidden]
    index_select       of the results, back into the given order
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram

from rnnbench.capture.operators.copying import copy_of
from rnnbench.capture.operators.recurrence import num_directions, recurrence
from rnnbench.capture.operators.sizes import spell_rounding
from rnnbench.capture.source_lines import source_line
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.known_warnings import export_warnings

aten = torch.ops.aten

_PADDED = {
    "lstm": aten.lstm.input,
    "gru": aten.gru.input,
    "rnn_tanh": aten.rnn_tanh.input,
    "rnn_relu": aten.rnn_relu.input,
}
_PACKED = {
    "lstm": aten.lstm.data,
    "gru": aten.gru.data,
    "rnn_tanh": aten.rnn_tanh.data,
    "rnn_relu": aten.rnn_relu.data,
}


def lower(program: ExportedProgram) -> ExportedProgram:
    """The same program without operators of rnnbench; the given one stays as it is."""
    root = copy_of(program)
    # The bodies of scans and branches, too.
    for part in [m for m in root.modules() if isinstance(m, fx.GraphModule)]:
        for node in list(part.graph.find_nodes(op="call_function", target=recurrence)):
            _Lowering(part.graph, node).rewrite()
        if part is root:
            spell_rounding(root.graph)
        part.graph.lint()
        part.recompile()
    with export_warnings():
        signature = copy.deepcopy(program.graph_signature)
        calls = copy.deepcopy(program.module_call_graph)
    lowered = ExportedProgram(
        root,
        root.graph,
        signature,
        _complete(program.state_dict),
        {symbol: _from_one(sizes) for symbol, sizes in program.range_constraints.items()},
        calls,
        program.example_inputs,
        _complete(program.constants),
    )
    lowered._guards_code = []  # see _from_one; tried on torch 2.11 to 2.14
    refuse_own_operators(lowered.graph_module)
    return lowered


def _complete(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Tensors with a storage of their own where theirs is larger, which would be saved with it.

    `torch.hann_window(16)` is the first 16 of 17 values.
    """
    made: dict[int, Any] = {}
    for value in tensors.values():
        if isinstance(value, torch.Tensor) and id(value) not in made:
            own = value.numel() * value.element_size() == value.untyped_storage().nbytes()
            complete = value if own else value.detach().clone()
            is_parameter = isinstance(value, torch.nn.Parameter) and not own
            made[id(value)] = torch.nn.Parameter(complete, False) if is_parameter else complete
    return {name: made.get(id(value), value) for name, value in tensors.items()}


def refuse_own_operators(module: torch.nn.Module) -> None:
    """A file with an operator of ours would not load where rnnbench is not.

    Raises:
        RnnbenchError: there is one.
    """
    for part in module.modules():
        for node in part.graph.nodes if isinstance(part, fx.GraphModule) else ():
            if getattr(node.target, "namespace", "") == "rnnbench":
                where = f" at {source_line(node)}" if source_line(node) else ""
                raise RnnbenchError(
                    f"the program holds {node.target}{where}, an operator that only rnnbench has: "
                    "nothing is written"
                )


def _from_one(sizes: Any) -> Any:
    """The range of a size, from 1.

    The trace guards against sizes like 1 that PyTorch could treat specially; that the program is
    right there as well is proved by running it (`rnnbench.capture.tracing.prove`).
    """
    return type(sizes)(min(1, sizes.lower), sizes.upper)


class _Lowering:
    """Rewrites one recurrence; `recurrence.fused` is the same in Python."""

    def __init__(self, graph: fx.Graph, node: fx.Node) -> None:
        self.graph = graph
        self.node = node
        self.fake_mode = node.args[0].meta["val"].fake_mode  # type: ignore[union-attr]

    def rewrite(self) -> None:
        """Replaces the node; its results keep their names, which the signature has too."""
        x, lengths, h0, c0, weights, kind, direction = self.node.args
        directions = num_directions(str(direction))
        bias = len(weights) == 4 * directions  # type: ignore[arg-type]
        # [directions, batch, hidden] each
        states = [self._state(x, s, weights, directions) for s in (h0, c0)[: 1 + (kind == "lstm")]]
        flags = (bias, 1, 0.0, False, directions == 2)  # layers, dropout, training, bidirectional
        if lengths is None:
            hx = states if kind == "lstm" else states[0]
            outs = self._layer(_PADDED[str(kind)], (x, hx, weights, *flags, False), len(states))
        else:
            outs = self._ragged(str(kind), x, lengths, states, weights, flags)
        for user in list(self.node.users):
            assert user.target is operator.getitem
            if not user.users:  # the cell state, which a GRU has not
                self.graph.erase_node(user)
                continue
            new = outs[user.args[1]]  # type: ignore[index]
            user.replace_all_uses_with(new)
            self.graph.erase_node(user)
            new.name = user.name  # the program's own, by which check --bisect finds it
        self.graph.erase_node(self.node)

    def _state(self, x: Any, state: Any, weights: Any, directions: int) -> fx.Node:
        if isinstance(state, fx.Node):
            return state
        hidden = weights[1].meta["val"].shape[1]  # weight_hh [gates * hidden, hidden]
        batch = self._call(aten.sym_size.int, x, 1)  # x [time, batch, input]
        return self._call(aten.new_zeros.default, x, [directions, batch, hidden])

    def _layer(self, target: Callable[..., Any], args: Any, states: int) -> list[fx.Node]:
        """A fused layer; its results have the shapes of the recurrence's."""
        with self.graph.inserting_before(self.node):
            call = self.graph.call_function(target, args)
            outs = [
                self.graph.call_function(operator.getitem, (call, i)) for i in range(1 + states)
            ]
        call.meta = copy.copy(self.node.meta)
        # y [time, batch, directions * hidden], then the states [directions, batch, hidden]
        call.meta["val"] = self.node.meta["val"][: 1 + states]
        for out, value in zip(outs, call.meta["val"], strict=True):
            out.meta["val"] = value
        return outs

    def _ragged(
        self, kind: str, x: Any, lengths: Any, states: list[fx.Node], weights: Any, flags: Any
    ) -> list[fx.Node]:
        """Rows sorted by length, packed, run, padded, and put back in their order."""
        ordered = self._call(aten.sort.default, lengths, 0, True)
        # `longest` is the lengths [batch], the longest first; `order` the rows [batch] they are of.
        longest, order = (self._call(operator.getitem, ordered, i) for i in (0, 1))
        back = self._call(aten.argsort.default, order)  # [batch]
        x = self._call(aten.index_select.default, x, 1, order)  # [time, batch, input]
        states = [self._call(aten.index_select.default, s, 1, order) for s in states]
        on_cpu = self._call(aten.to.device, longest, torch.device("cpu"), torch.int64)
        packed = self._packed(x, on_cpu)  # data [rows of all steps, input], sizes [time]
        data, sizes = (self._call(operator.getitem, packed, i) for i in (0, 1))
        hx = states if kind == "lstm" else states[0]
        outs = self._layer(_PACKED[kind], (data, sizes, hx, weights, *flags), len(states))
        time = self._call(aten.sym_size.int, x, 0)
        # What `_layer` noted is the padded y; here it gives packed rows.
        y_shape = outs[0].meta["val"]  # [time, batch, directions * hidden]
        outs[0].meta["val"] = self._like_rows(data, y_shape.shape[-1])
        outs[0].args[0].meta["val"] = (outs[0].meta["val"], *outs[0].args[0].meta["val"][1:])  # type: ignore[union-attr]
        with self.graph.inserting_before(self.node):
            padded = self.graph.call_function(
                aten._pad_packed_sequence.default, (outs[0], sizes, False, 0.0, time)
            )
        # As long as x is, not as its longest row: a later row would miss the padding otherwise.
        padded.meta["val"] = (y_shape, lengths.meta["val"])
        y = self._call(operator.getitem, padded, 0)
        return [self._call(aten.index_select.default, v, 1, back) for v in (y, *outs[1:])]

    def _packed(self, x: fx.Node, lengths: fx.Node) -> fx.Node:
        """The packed rows: how many there are depends on the lengths."""
        with self.graph.inserting_before(self.node):
            node = self.graph.call_function(aten._pack_padded_sequence.default, (x, lengths, False))
        # Sizes that stand for what the lengths decide: nothing that follows depends on them, and a
        # symbol of their own would not survive being saved.
        value = x.meta["val"]
        time, batch, width = value.shape
        with self.fake_mode:
            data = value.new_empty((time * batch, width))
            sizes = torch.empty((time,), dtype=torch.int64)
        node.meta["val"] = (data, sizes)
        return node

    def _like_rows(self, data: fx.Node, width: int) -> torch.Tensor:
        value = data.meta["val"]
        with self.fake_mode:
            return value.new_empty((value.shape[0], width))  # type: ignore[no-any-return]

    def _call(self, target: Callable[..., Any], *args: Any) -> fx.Node:
        """A call whose value is worked out from its arguments'."""
        with self.graph.inserting_before(self.node):
            node = self.graph.call_function(target, args)
        values = fx.node.map_arg(args, lambda n: n.meta["val"])
        with self.fake_mode:
            node.meta["val"] = target(*values)
        return node
