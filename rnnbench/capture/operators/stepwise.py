"""`rnnbench::recurrence` as a scan, for compilers that would unroll the fused layer.

    recurrence(x, lengths, h0, None, [w_ih, w_hh, ...], 'gru', 'forward')
    ->
    run_stepwise(x, lengths, h0, None, [w_ih, w_hh, ...], 'gru', 'forward')

and, traced once more, one `linear` for the inputs of all steps and a `scan` over the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, fx
from torch.nn import functional as F

from rnnbench.capture.operators.recurrence import num_directions, recurrence
from rnnbench.capture.operators.scan import scan

Loop = Callable[..., tuple[Tensor, ...]]
"""As `scan`: of a step, the first states, the sequences, and what is the same in all steps."""


def run_stepwise(
    x: Tensor,
    lengths: Tensor | None,
    h0: Tensor | None,
    c0: Tensor | None,
    weights: Sequence[Tensor],
    kind: str,
    direction: str,
    loop: Loop = scan,
) -> tuple[Tensor, Tensor, Tensor]:
    """What `recurrence.fused` computes, with the same arguments and results.

    The product with the inputs is done for all steps at once; ragged rows keep their state from
    where they end, so that nothing depends on the values of `lengths` but a comparison.
    """
    directions = num_directions(direction)
    per_direction = len(weights) // directions
    zeros = x.new_zeros(directions, x.shape[1], weights[1].shape[1])  # [directions, batch, hidden]
    states = [zeros if s is None else s for s in ((h0, c0) if kind == "lstm" else (h0,))]
    outputs, finals = [], []
    for k in range(directions):
        own = weights[k * per_direction : (k + 1) * per_direction]
        # y [time, batch, hidden], final [batch, hidden] for each state
        y, final = _one_direction(x, lengths, [s[k] for s in states], own, kind, k == 1, loop)
        outputs.append(y)
        finals.append(final)
    # Of each state [directions, batch, hidden]; y [time, batch, directions * hidden].
    after = [torch.stack(states) for states in zip(*finals, strict=True)]
    y = torch.cat(outputs, -1) if directions > 1 else outputs[0]
    return y, after[0], after[1] if kind == "lstm" else x.new_zeros(0)


def replace_recurrences(graph: fx.GraphModule, wanted: Callable[[fx.Node], bool]) -> int:
    """Makes the recurrences that are wanted calls of `run_stepwise`; returns how many."""
    found = graph.graph.find_nodes(op="call_function", target=recurrence)
    chosen = [node for node in found if wanted(node)]
    for node in chosen:
        node.target = run_stepwise
    _own_constants(graph)
    graph.recompile()
    return len(chosen)


def _one_direction(
    x: Tensor,
    lengths: Tensor | None,
    states: list[Tensor],
    weights: Sequence[Tensor],
    kind: str,
    reverse: bool,
    loop: Loop,
) -> tuple[Tensor, list[Tensor]]:
    """One direction: x (time, batch, input), a state (batch, hidden) each."""
    weight_ih, weight_hh = weights[:2]  # [gates * hidden, input], [gates * hidden, hidden]
    bias_ih, bias_hh = weights[2:] or (None, None)  # [gates * hidden] each
    per_step = [F.linear(x, weight_ih, bias_ih)]  # [time, batch, gates * hidden]
    if lengths is not None:
        steps = torch.arange(x.shape[0], device=x.device)  # [time]
        # [time, 1] < [batch] -> [time, batch] -> [time, batch, 1]: whether a row has that step
        per_step.append((steps[:, None] < lengths.to(x.device)).unsqueeze(-1))
    if reverse:  # a row that has ended comes first then, and keeps its first state until it begins
        per_step = [values.flip(0) for values in per_step]

    def step(*arguments: Tensor) -> tuple[Tensor, ...]:
        carry, rest = list(arguments[: len(states)]), arguments[len(states) :]
        now, (weight_hh, *bias_hh) = rest[: len(per_step)], rest[len(per_step) :]
        # now[0] and the product with the state: [batch, gates * hidden] each
        new = _cell(now[0], F.linear(carry[0], weight_hh, *bias_hh), carry, kind)
        y = new[0]  # [batch, hidden]
        if len(now) > 1:  # now[1] [batch, 1]: a row that has ended keeps its state, and gives 0
            new = [torch.where(now[1], a, b) for a, b in zip(new, carry, strict=True)]
            y = torch.where(now[1], y, torch.zeros_like(y))
        # `scan` wants results that share no memory with one another or with the arguments.
        return (*(state.clone() for state in new), y.clone())

    more = [w for w in (weight_hh, bias_hh) if w is not None]
    # final [batch, hidden] for each state, y [time, batch, hidden]
    *final, y = loop(step, [state.clone() for state in states], per_step, more)
    return (y.flip(0) if reverse else y), final


def _cell(gates_x: Tensor, gates_h: Tensor, carry: list[Tensor], kind: str) -> list[Tensor]:
    """The new states; gates in PyTorch's order (documentation of `nn.RNN`, `nn.GRU`, `nn.LSTM`).

    Args:
        gates_x: (batch, gates * hidden), what the inputs give.
        gates_h: (batch, gates * hidden), what the state gives.
        carry: the states, (batch, hidden) each.
        kind: of the cell.
    """
    if kind == "gru":  # the parts of both: [batch, hidden] each
        (r_x, z_x, n_x), (r_h, z_h, n_h) = gates_x.chunk(3, -1), gates_h.chunk(3, -1)
        # n's share of the state is gated by r after its product: ONNX's linear_before_reset=1.
        z = torch.sigmoid(z_x + z_h)
        n = torch.tanh(n_x + torch.sigmoid(r_x + r_h) * n_h)
        return [n + z * (carry[0] - n)]  # (1 - z) n + z h
    gates = gates_x + gates_h  # [batch, gates * hidden]
    if kind == "lstm":
        i, f, g, o = gates.chunk(4, -1)  # [batch, hidden] each
        c = torch.sigmoid(f) * carry[1] + torch.sigmoid(i) * torch.tanh(g)
        return [torch.sigmoid(o) * torch.tanh(c), c]
    return [torch.tanh(gates) if kind == "rnn_tanh" else torch.relu(gates)]


def _own_constants(graph: fx.GraphModule) -> None:
    """Tensors that are plain attributes become buffers: `scan` cannot trace over the former."""
    for node in graph.graph.find_nodes(op="get_attr"):
        path, _, name = str(node.target).rpartition(".")
        owner = graph.get_submodule(path)
        value = vars(owner).get(name)
        if isinstance(value, Tensor):  # parameters and buffers are not among the plain attributes
            delattr(owner, name)
            owner.register_buffer(name, value)
