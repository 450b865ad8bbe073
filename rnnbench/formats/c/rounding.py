"""What a file of `int8-dynamic` computes, in float64: its program, which rounds where the C does.

Every product of the C that is one of whole numbers was written by `products.product`, and the
writer knows of which node. So the reference of the file's arithmetic is the program it was written
of, run node by node, with the rows of these products rounded as the C rounds them:

    step = max |x| / most                       over the k numbers of a row
    y = round(x / step) * step @ w [k, n] + b   w as it was rounded at the export

Without the rounding it is the program itself, which is how it is proved to be the module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves, tree_map

from rnnbench.capture.operators.recurrence import num_directions, recurrence
from rnnbench.capture.operators.scan import COND, SCAN, WHILE_LOOP
from rnnbench.formats.c.products import most_of
from rnnbench.formats.c.reductions import each_of
from rnnbench.formats.c.values import complete
from rnnbench.formats.c.writer import is_check

aten = torch.ops.aten

Array = np.ndarray[Any, Any]
Change = Callable[[Array, str], Array]

_LEFT = {  # of a product: which argument has the rows
    aten.mm.default: 0,
    aten.matmul.default: 0,
    aten.linear.default: 0,
    aten.addmm.default: 1,
}
_CONVOLUTIONS = (aten.convolution.default, aten.conv1d.default, aten.conv2d.default)
_VIEWS = (aten.view.default, aten._unsafe_view.default)  # whose strides may be others here
_FUNCTIONS = {aten.sigmoid.default: "sigmoid", aten.tanh.default: "tanh"}


class RoundingProgram(nn.Module):
    """Takes the tensors of the model's inputs, in their order, and returns those of its outputs.

    Args:
        program: its parameters are attributes, and it returns one flat tuple; it is changed.
        whole: node -> of each of its products, whether it is one of whole numbers.
        weights: how many weights these have.
    """

    def __init__(
        self, program: fx.GraphModule, whole: Mapping[fx.Node, Sequence[bool]], weights: int = 0
    ) -> None:
        super().__init__()
        self.weights = weights
        self.off: Change | None = None
        self.rounds = True
        self.register_buffer("_kind", torch.zeros((), dtype=torch.float32), persistent=False)
        # A plain one: a module of torch.export refuses eval().
        self.program = fx.GraphModule(program, program.graph)
        for part in self.program.modules():  # of its own: the module's may be moved elsewhere
            for name, parameter in part.named_parameters(recurse=False):
                own = nn.Parameter(parameter.detach().clone(), requires_grad=False)
                part.register_parameter(name, own)
        for graph in self.program.modules():
            if isinstance(graph, fx.GraphModule):
                graph.graph.set_codegen(fx.graph.CodeGen())
                for node in list(graph.graph.nodes):
                    self._prepare(node, whole.get(node, ()))
                graph.recompile()

    @property
    def kind(self) -> torch.dtype:
        """What stands for float32."""
        return self.get_buffer("_kind").dtype

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """One run, in the precision that the module is in."""
        with torch.no_grad(), np.errstate(all="ignore"):
            return tuple(self.program(*tensors))

    @contextmanager
    def off_by(self, change: Change) -> Iterator[None]:
        """What sigmoid and tanh give, and what is rounded, is changed so meanwhile."""
        self.off = change
        try:
            yield
        finally:
            self.off = None

    @contextmanager
    def unrounded(self) -> Iterator[None]:
        """No row is rounded meanwhile: it is the program as it was captured."""
        self.rounds = False
        try:
            yield
        finally:
            self.rounds = True

    def rounded(self, x: Array) -> Array:
        """The rows of x [..., k] as multiples of a step of their own.

        A row of nothing, of too little to divide by, or with what is no number, is 0 or NaN.
        """
        if not self.rounds or not x.size:
            return x
        most = most_of(x.shape[-1])
        largest = np.abs(x).max(-1, keepdims=True)  # [..., 1]; NaN where there is one
        by = most / largest
        fine = (by > 0) & (by < np.inf)
        every = bool(fine.all())
        quotients = x * by if every else x * np.where(fine, by, 0)
        found = np.rint(self.changed(quotients, "round")) * (largest / most)
        return np.asarray(found if every else np.where(fine, found, largest - largest))

    def changed(self, x: Array, name: str) -> Array:
        """What stands for the result of a function, or for what is rounded."""
        return x if self.off is None else np.asarray(self.off(x, name))

    def sigmoid(self, x: Array) -> Array:
        """The function."""
        return self.changed(1 / (1 + np.exp(-x)), "sigmoid")

    def tanh(self, x: Array) -> Array:
        """The function."""
        return self.changed(np.tanh(x), "tanh")

    def _prepare(self, node: fx.Node, whole: Sequence[bool]) -> None:
        """Gives a node what it calls here in the place of its operator.

        mm(x, w)                     ->  mm(rounded(x), w)
        scan(body, ...), recurrence  ->  a loop of Python, whose body is prepared as well
        zeros(..., dtype=float32)    ->  ... of the precision that the module is in
        """
        target: Any = node.target
        if node.op != "call_function":
            return
        if is_check(target):
            node.graph.erase_node(node)
        elif target in _BODIES:
            node.target = _BODIES[target]
        elif target is recurrence:
            node.target = _named(partial(_recurrence, self, whole))
        elif any(whole) and target in _CONVOLUTIONS:
            node.target = _named(partial(_convolution, self))
        elif any(whole):
            place = _LEFT[target]
            with node.graph.inserting_before(node):
                rows = node.graph.call_function(_of_arrays(self.rounded), (node.args[place],))
            node.update_arg(place, rows)
        elif target in _VIEWS:
            node.target = aten.reshape.default
        elif target in _FUNCTIONS:
            node.target = _of_arrays(getattr(self, _FUNCTIONS[target]))
        elif torch.float32 in tree_leaves((node.args, node.kwargs)):
            node.target = _named(partial(self._in_kind, target))

    def _in_kind(self, target: Any, *args: Any, **named: Any) -> Any:
        """A call to which float32 was given."""

        def of(value: Any) -> Any:
            return self.kind if value is torch.float32 else value

        return target(*tree_map(of, args), **tree_map(of, named))


def _named(call: Callable[..., Any]) -> Callable[..., Any]:
    """A function with a name, which a graph's code needs."""

    def called(*args: Any, **named: Any) -> Any:
        return call(*args, **named)

    return called


def _of_arrays(call: Callable[[Array], Array]) -> Callable[[Tensor], Tensor]:
    """A function of arrays as one of tensors."""

    def called(x: Tensor) -> Tensor:
        return torch.from_numpy(np.asarray(call(x.numpy()))).to(x.dtype)

    return called


def _scan(body: Any, init: Any, xs: Any, more: Any = ()) -> list[Tensor]:
    """The last carry, then every y_t stacked [time, ...]; the step is run once to see no steps."""
    carry, ys = list(init), list[list[Tensor]]()
    for step in range(xs[0].shape[0]):
        found = list(body(*carry, *(x[step] for x in xs), *more))
        carry, given = found[: len(carry)], found[len(carry) :]
        ys.append(given)
    if ys:
        return [*carry, *(torch.stack(values) for values in zip(*ys, strict=True))]
    shown = body(*carry, *(x.new_zeros(x.shape[1:]) for x in xs), *more)
    return [*carry, *(y.new_zeros((0, *y.shape)) for y in shown[len(carry) :])]


def _while(going: Any, body: Any, init: Any, more: Any = ()) -> list[Any]:
    carry = list(init)
    while bool(_only(going(*carry, *more))):
        carry = list(body(*carry, *more))
    return carry


def _only(found: Any) -> Any:
    return found[0] if isinstance(found, list | tuple) else found


def _cond(asked: Any, yes: Any, no: Any, operands: Any = ()) -> list[Any]:
    return list((yes if bool(asked) else no)(*operands))


_BODIES: dict[Any, Callable[..., list[Any]]] = {SCAN: _scan, WHILE_LOOP: _while, COND: _cond}


def _recurrence(
    own: RoundingProgram, whole: Sequence[bool], *args: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """`rnnbench::recurrence` step by step: shapes as there, two products of each direction."""
    x, lengths, h0, c0, weights, kind, direction = args
    directions = num_directions(direction)
    hidden = weights[1].shape[1]
    per = len(weights) // directions
    zeros = x.new_zeros(directions, x.shape[1], hidden)
    starts = [zeros if s is None else s for s in (h0, c0)]
    steps = None if lengths is None else lengths.clamp(0, x.shape[0]).numpy()  # [batch]
    ys: list[Array] = []  # [time, batch, hidden] each
    last: list[list[Array]] = []
    for d in range(directions):
        w_ih, w_hh, *biases = (w.numpy() for w in weights[d * per : (d + 1) * per])
        b_ih, b_hh = biases or (0, 0)
        of_x, of_h = whole[2 * d : 2 * d + 2] or (False, False)
        given = own.rounded(x.numpy()) if of_x else x.numpy()
        xs = given @ w_ih.T + b_ih  # [time, batch, gates * hidden]
        y = np.zeros((*xs.shape[:2], hidden), xs.dtype)
        states = [s[d].numpy() for s in starts]  # [batch, hidden] each
        for step in range(len(xs)):
            at, inside = _place(step, len(xs), d, steps)
            h = own.rounded(states[0]) if of_h else states[0]
            new = _STEPS[kind](own, xs[at], h @ w_hh.T + b_hh, *states)
            if inside is not None:
                new = [np.where(inside, n, s) for n, s in zip(new, states, strict=False)]
            states = [*new, *states[len(new) :]]
            y[at] = new[0] if inside is None else new[0] * inside
        ys.append(y)
        last.append(states)
    hn, cn = (np.stack([states[n] for states in last]) for n in (0, 1))
    made = (np.concatenate(ys, -1), hn, cn if kind == "lstm" else np.zeros(0, hn.dtype))
    y_all, hn_all, cn_all = (torch.from_numpy(np.array(a)) for a in made)
    return y_all, hn_all, cn_all


def _place(step: int, time: int, direction: int, steps: Array | None) -> tuple[Any, Array | None]:
    """Where each row is in time at a step, and whether it still runs [batch, 1]; None: all do."""
    if steps is None:
        return time - 1 - step if direction else step, None
    inside = step < steps
    at = np.where(inside, steps - 1 - step, step) if direction else np.full_like(steps, step)
    return (at, np.arange(len(steps))), inside[:, None]


def _rnn_tanh(own: RoundingProgram, x: Array, h: Array, *_: Array) -> list[Array]:
    return [own.tanh(x + h)]  # [batch, hidden] each


def _rnn_relu(own: RoundingProgram, x: Array, h: Array, *_: Array) -> list[Array]:
    return [np.maximum(x + h, 0)]


def _gru(own: RoundingProgram, x: Array, h: Array, state: Array, _: Array) -> list[Array]:
    """`n = tanh(x_n + r * h_n)`, the bias of h inside of the reset gate, as in PyTorch."""
    hidden = state.shape[1]
    both = own.sigmoid((x + h)[:, : 2 * hidden])  # x and h [batch, 3 * hidden]: r, z, n
    r, z = both[:, :hidden], both[:, hidden:]
    new = own.tanh(x[:, 2 * hidden :] + r * h[:, 2 * hidden :])
    return [z * state + (1 - z) * new]


def _lstm(own: RoundingProgram, x: Array, h: Array, _: Array, cell: Array) -> list[Array]:
    hidden = cell.shape[1]
    gates = x + h  # [batch, 4 * hidden]: i, f, g, o
    both = own.sigmoid(gates[:, : 2 * hidden])
    g, o = own.tanh(gates[:, 2 * hidden : 3 * hidden]), own.sigmoid(gates[:, 3 * hidden :])
    cell = both[:, hidden:] * cell + both[:, :hidden] * g
    return [o * own.tanh(cell), cell]


_STEPS: dict[str, Callable[..., list[Array]]] = {
    "rnn_tanh": _rnn_tanh,
    "rnn_relu": _rnn_relu,
    "gru": _gru,
    "lstm": _lstm,
}


def _of_convolution(args: list[Any]) -> tuple[Tensor, Tensor, Tensor | None, list[Any]]:
    """X, weight and bias, and stride, padding and dilation, each of every dimension."""
    x, weight, bias, stride, padding, dilation = complete(args, 6, None, 1, 0, 1)[:6]
    rank = weight.dim() - 2
    return x, weight, bias, [each_of(v, rank) for v in (stride, padding, dilation)]


def _convolution(own: RoundingProgram, *args: Any) -> Tensor:
    """The windows of x [batch, channels, ...] as rows [channels * kernel], by a matrix."""
    x, weight, bias, (stride, padding, dilation) = _of_convolution(list(args))
    rank = weight.dim() - 2
    x = nn.functional.pad(x, [p for size in reversed(padding) for p in (size, size)])
    for n in reversed(range(rank)):
        kernel, dim = weight.shape[2 + n], 2 + n
        places = (x.shape[dim] - dilation[n] * (kernel - 1) - 1) // stride[n] + 1
        at = torch.arange(places)[:, None] * stride[n] + torch.arange(kernel) * dilation[n]
        x = x.index_select(dim, at.flatten()).unflatten(dim, (places, kernel))
    # [batch, channels, places, kernel, ...] -> [batch, places, ..., channels, kernel, ...]
    order = [0, *range(2, 2 + 2 * rank, 2), 1, *range(3, 3 + 2 * rank, 2)]
    rows = _of_arrays(own.rounded)(x.permute(order).flatten(1 + rank))
    made = rows @ weight.flatten(1).t()
    return (made if bias is None else made + bias).movedim(-1, 1).contiguous()
