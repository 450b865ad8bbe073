"""A layer that is called on one step at a time is a cell, and a loop over it is a loop over cells.

Of a GRU and steps x_1 [1, batch, 4], h [1, batch, 6]:

    recurrence = recurrence(x_1, None, h, None, [w_ih, w_hh, b_ih, b_hh], 'gru', 'forward')
    y, hn = recurrence[0], recurrence[1]
    ->
    gru_cell = gru_cell(select(x_1, 0, 0), select(h, 0, 0), w_ih, w_hh, b_ih, b_hh)
    y, hn = unsqueeze(gru_cell, 0), unsqueeze(gru_cell, 0)
"""

from __future__ import annotations

import operator
from collections import Counter
from typing import Any

import torch
from torch import fx

from rnnbench.capture.graph_edit import SELECT, UNSQUEEZE, drop_dead, new_node, size_at
from rnnbench.capture.operators.recurrence import num_directions, recurrence
from rnnbench.core.repeats import FEWEST_STEPS

aten = torch.ops.aten

CELLS = {
    "gru": aten.gru_cell.default,
    "lstm": aten.lstm_cell.default,
    "rnn_tanh": aten.rnn_tanh_cell.default,
    "rnn_relu": aten.rnn_relu_cell.default,
}
"""The kind of a layer -> the operator of its cell."""


def layers_of_one_step(graph: fx.Graph) -> None:
    """Makes the layers that a loop calls step by step cells; others stay layers."""
    found = [
        node
        for node in graph.find_nodes(op="call_function", target=recurrence)
        if size_at(node.args[0], 0) == 1 and node.args[1] is None and node.args[2] is not None
    ]
    times = Counter(_weights(node) for node in found)
    for node in found:
        if times[_weights(node)] >= FEWEST_STEPS:
            _as_cells(graph, node)
    drop_dead(graph)


def _weights(node: fx.Node) -> tuple[Any, ...]:
    return tuple(node.args[4])  # type: ignore[arg-type]


def _as_cells(graph: fx.Graph, node: fx.Node) -> None:
    x, _, h0, c0, weights, kind, direction = node.args
    own: Any = weights
    directions = num_directions(str(direction))
    per_direction = len(own) // directions
    step = new_node(graph, node, SELECT, x, 0, 0)  # x [1, batch, input] -> [batch, input]
    after: list[list[fx.Node]] = []  # of each direction, h and, of an LSTM, c: [batch, hidden]
    for k in range(directions):
        # h0 [directions, batch, hidden] -> [batch, hidden]
        states = [new_node(graph, node, SELECT, s, 0, k) for s in (h0, c0) if s is not None]
        parameters = own[k * per_direction : (k + 1) * per_direction]
        given = states if kind == "lstm" else states[0]
        with graph.inserting_before(node):
            cell = graph.call_function(CELLS[str(kind)], (step, given, *parameters))
        # As large as before: run on a trace's values, a cell would make a number of the batch.
        values = tuple(s.meta["val"] for s in states)
        cell.meta = {"val": values if kind == "lstm" else values[0]}
        if "stack_trace" in node.meta:
            cell.meta["stack_trace"] = node.meta["stack_trace"]
        if kind == "lstm":
            after.append([new_node(graph, node, operator.getitem, cell, i) for i in (0, 1)])
        else:
            after.append([cell])
    for user in list(node.users):
        index: Any = user.args[1]
        if index == 0:  # y [1, batch, directions * hidden]
            parts = [states[0] for states in after]
            joined = new_node(graph, node, aten.cat.default, parts, -1) if directions > 1 else None
            new = new_node(graph, node, UNSQUEEZE, joined or parts[0], 0)
        elif index <= len(after[0]):  # hn, cn [directions, batch, hidden]
            parts = [new_node(graph, node, UNSQUEEZE, states[index - 1], 0) for states in after]
            new = new_node(graph, node, aten.cat.default, parts, 0) if directions > 1 else parts[0]
        else:  # the cell state, which a GRU has not
            continue
        user.replace_all_uses_with(new)
    drop_dead(graph)
