"""Deliberate damage to TorchScript files: each kind returns False where it does not apply."""

import io
import warnings

import torch
from torch import nn

from rnnbench.core.known_warnings import torchscript_deprecation

OF_STATES = ("zero_initial_state", "old_state_out", "swap_units_of_the_state")
OF_LENGTHS = ("ignore_lengths", "lengths_of_other_rows")


class Damaged(nn.Module):
    """A module around a sound one, wrong in one way."""

    def __init__(self, inner, kind, traced, time, batch):
        super().__init__()
        self.inner, self.kind, self.traced = inner, kind, traced
        self.time, self.batch = time, batch
        self.register_buffer("kept", torch.zeros(1))

    def forward(self, x, *others):
        lengths = [tensor for tensor in others if not tensor.is_floating_point()]
        states = [tensor for tensor in others if tensor.is_floating_point()]
        kind, time = self.kind, self.time
        if kind == "ignore_lengths":
            lengths = [torch.full_like(given, x.shape[time]) for given in lengths]
        if kind == "lengths_of_other_rows":
            lengths = [given.flip(0) for given in lengths]
        if kind == "reverse_direction":
            x = x.flip(time)
        if kind == "zero_initial_state":
            states = [torch.zeros_like(state) for state in states]
        if kind == "swap_units_of_the_state":
            states = [state.flip(-1) for state in states]
        if kind == "late_input":
            x = torch.cat([x.narrow(time, 0, 1), x.narrow(time, 0, x.shape[time] - 1)], time)
        y, *after = self.inner(x, *lengths, *states)
        if kind == "freeze_length":
            y = y.narrow(time, 0, self.traced["time"])
        if kind == "freeze_batch":
            y = y.narrow(self.batch, 0, self.traced["batch"])
        if kind == "late_by_one_step":
            y = torch.cat([y.narrow(time, 0, 1), y.narrow(time, 0, y.shape[time] - 1)], time)
        if kind == "old_state_out":
            after = [states[0], *after[1:]]
        if kind == "rows_leak":
            y = y + 1e-3 * y.mean(self.batch, keepdim=True)
        if kind == "keeps_its_state":
            y = y + self.kept
            self.kept += 1e-3
        if kind == "scale_output":
            y = y * 1.001
        if kind == "cut_long_sequences":
            first = y.transpose(0, time)
            y = torch.cat([first[:100], first[100:] * 0]).transpose(0, time)
        if kind == "half_precision":
            y = y.half().float()
        return (y, *after)


class ResetBefore(nn.Module):
    """GRU layers whose reset gate comes before the product: without `linear_before_reset`."""

    def __init__(self, layers, head):
        super().__init__()
        self.layers = nn.ModuleList(ResetBeforeLayer(*weights) for weights in layers)
        self.head = head

    def forward(self, x: torch.Tensor, h0: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        states: list[torch.Tensor] = []
        for i, layer in enumerate(self.layers):
            x, h = layer(x, h0[i])
            states.append(h)
        return self.head(x), torch.stack(states)


class ResetBeforeLayer(nn.Module):
    def __init__(self, *weights):
        super().__init__()
        for name, tensor in zip(("w", "r", "wb", "rb"), weights, strict=True):
            self.register_buffer(name, tensor)

    def forward(self, x: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        steps: list[torch.Tensor] = []
        n = h.shape[1]
        for given in nn.functional.linear(x, self.w, self.wb):
            gates = nn.functional.linear(h, self.r[: 2 * n], self.rb[: 2 * n])
            both = torch.sigmoid(given[:, : 2 * n] + gates)
            reset, update = both[:, :n], both[:, n:]
            new = nn.functional.linear(reset * h, self.r[2 * n :], self.rb[2 * n :])
            h = update * h + (1 - update) * torch.tanh(given[:, 2 * n :] + new)
            steps.append(h)
        return torch.stack(steps), h


WRAPPED = (
    *("reverse_direction", "late_input", "freeze_length", "freeze_batch", "late_by_one_step"),
    *("rows_leak", "keeps_its_state", "scale_output", "cut_long_sequences", "half_precision"),
    *(OF_STATES + OF_LENGTHS),
)
WEIGHTS = (
    *("swap_gates", "transpose_recurrence", "drop_bias", "scale_one_weight", "scale_weights"),
    "swap_layers",
)
KINDS = (*WRAPPED, *WEIGHTS, "drop_linear_before_reset")


def damage(bundle, kind):
    """Whether the kind applies; the file is damaged then."""
    path = bundle.artifacts["torchscript"].path
    with torchscript_deprecation():
        module = torch.jit.load(str(path))
        if kind in WEIGHTS:
            changed = module if _damage_weights(_layers(module), kind) else None
        elif kind == "drop_linear_before_reset":
            changed = _reset_before(module)
        else:
            changed = _wrapped(bundle, module, kind)
        if changed is None:
            return False
        buffer = io.BytesIO()
        torch.jit.save(changed, buffer)
    path.write_bytes(buffer.getvalue())
    return True


def _wrapped(bundle, module, kind):
    ragged = any(spec.role == "lengths" for spec in bundle.inputs)
    if (kind in OF_STATES and not bundle.states) or (kind in OF_LENGTHS and not ragged):
        return None
    spec = bundle.inputs[0]
    wrapped = Damaged(
        module, kind, bundle.traced, spec.shape.index("time"), spec.shape.index("batch")
    )
    examples = [
        torch.full(
            s.resolve(bundle.traced),
            bundle.traced["time"] if s.role == "lengths" else 1,
            dtype=getattr(torch, s.dtype),
        )
        for s in bundle.inputs
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        return torch.jit.trace(wrapped.eval(), tuple(examples), check_trace=False)


def _calls(graph, *kinds):
    """The calls of these operators, in the order of the code."""
    return [node for kind in kinds for node in graph.findAllNodes(f"aten::{kind}")]


def _layers(module):
    """The weights of each layer, in PyTorch's order: constants of the code, to be edited."""
    graph = module.inlined_graph  # the nodes live as long as it does
    layers = []
    for node in _calls(graph, "rnn_tanh", "rnn_relu", "gru", "lstm"):
        lists = [i.node() for i in node.inputs() if i.node().kind() == "prim::ListConstruct"]
        tensors = [c.node().t("value") for made in lists for c in made.inputs() if _is_weight(c)]
        layers += [tensors[i : i + 4] for i in range(0, len(tensors), 4)]
    return layers


def _is_weight(value):
    return value.node().kind() == "prim::Constant" and value.type().kind() == "TensorType"


@torch.no_grad()
def _damage_weights(layers, kind):
    """Edits the constants of the first layer, or of the first and the last."""
    given, weight, bias, _ = layers[0]
    hidden, before = weight.shape[1], [weight.clone(), bias.clone(), given.clone()]
    if kind == "drop_bias":
        bias.zero_()
    elif kind == "scale_one_weight":
        weight.view(-1)[weight.abs().argmax()] *= 1.001
    elif kind == "scale_weights":
        given *= 1.001
    elif kind == "transpose_recurrence":
        weight.copy_(torch.cat([part.T for part in before[0].split(hidden)]))
    elif kind == "swap_gates":
        parts = list(before[0].split(hidden))
        if len(parts) < 2:
            return False
        weight.copy_(torch.cat([parts[1], parts[0], *parts[2:]]))
    elif kind == "swap_layers" and len(layers) > 1:
        weight.copy_(layers[-1][1])
        layers[-1][1].copy_(before[0])
    return not all(map(torch.equal, before, (weight, bias, given)))


def _reset_before(module):
    """The same weights in a GRU of the other kind; None where there is no GRU without lengths."""
    graph = module.inlined_graph
    if not _calls(graph, "gru") or _calls(graph, "_pack_padded_sequence"):
        return None
    (head,) = _calls(graph, "linear")
    weight, bias = (value.node().t("value") for value in list(head.inputs())[1:])
    changed = ResetBefore(_layers(module), nn.Linear(*weight.shape[::-1]))
    changed.head.load_state_dict({"weight": weight, "bias": bias})
    return torch.jit.script(changed.eval())
