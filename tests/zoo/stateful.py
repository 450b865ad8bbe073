"""Modules that keep a state from one call to the next; lifted, it is an input and an output."""

import torch
from torch import nn

from rnnbench import TensorSpec
from tests.zoo import XB, entry

H = 4


@entry(XB, lift_state=True, expect="fused fused")
class KeepsItsHidden(nn.Module):
    """An LSTM's pair, made anew where the batch has changed."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(3, H, num_layers=2, batch_first=True)
        self.hidden = None

    def forward(self, x):
        if self.hidden is None or self.hidden[0].size(1) != x.size(0):
            zeros = x.new_zeros(2, x.size(0), H)
            self.hidden = (zeros, zeros)
        y, hidden = self.rnn(x, self.hidden)
        self.hidden = tuple(h.detach() for h in hidden)
        self.last = y.detach()  # kept to be looked at
        return y


@entry(XB, lift_state=True, outputs="spikes", expect="scan")
class LeakyNeurons(nn.Module):
    """Membrane potentials in a buffer, which rest at -65 mV, are reset in place, and broadcast."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, H)
        self.register_buffer("mem", torch.full((1, H), -65.0))
        self.register_buffer("count", torch.zeros(H))

    def forward(self, x):
        spikes = []
        for t in range(x.size(1)):
            self.mem = self.mem + 0.2 * (-65.0 - self.mem) + 20 * self.fc(x[:, t])
            fired = (self.mem > -55.0).to(x.dtype)
            self.mem = torch.where(fired > 0, torch.full_like(self.mem, -70.0), self.mem)
            spikes.append(fired + 0.01 * self.mem)
        self.count += torch.stack(spikes, 1).sum((0, 1))  # nobody reads it
        return torch.stack(spikes, 1)


class _Filter(nn.Module):
    """A causal convolution that keeps the last samples."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv1d(channels, H, 3)
        self.tail = None

    def forward(self, x):
        if self.tail is None:
            self.tail = x.new_zeros(x.size(0), x.size(1), 2)
        x = torch.cat([self.tail, x], -1)
        self.tail = x[..., -2:]
        return self.conv(x)


@entry(XB, lift_state=True, expect="fused fused")
class StreamingFilters(nn.Module):
    """Two that keep their last samples, and a list of states, one for each layer."""

    def __init__(self):
        super().__init__()
        self.filters = nn.Sequential(_Filter(3), nn.Tanh(), _Filter(H))
        self.cells = nn.ModuleList([nn.GRU(H, H, batch_first=True), nn.GRU(H, H, batch_first=True)])
        self._states = [None, None]

    def forward(self, x):
        y = self.filters(x.transpose(1, 2)).transpose(1, 2)
        for i, cell in enumerate(self.cells):
            y, self._states[i] = cell(y, self._states[i])
        return y


@entry(
    TensorSpec("x", ("batch", H)),
    TensorSpec("spike", ("batch", H), role="state"),
    TensorSpec("voltage", ("batch", H), role="state"),
    outputs="spike_next voltage_next",
    states={"spike": "spike_next", "voltage": "voltage_next"},
    expect="",
)
class BuffersWithoutAShape(nn.Module):
    """States that are arguments are kept in buffers as well, which are empty at first."""

    def __init__(self):
        super().__init__()
        self.recurrent = nn.Linear(H, H)
        self.register_buffer("spike", torch.zeros(0), persistent=False)
        self.register_buffer("voltage", torch.zeros(0), persistent=False)

    def forward(self, x, spike=None, voltage=None):
        if spike is not None:
            self.spike, self.voltage = spike, voltage
        if self.spike.shape != x.shape:
            self.spike, self.voltage = torch.zeros_like(x), torch.zeros_like(x)
        fired = (self.voltage > 1).float()
        self.voltage = 0.9 * self.voltage + x + self.recurrent(self.spike) - fired
        self.spike = (self.voltage > 1).float()
        return self.spike, self.voltage


@entry(XB, expect="scan", lift_state=True)
class StatesAmongItsBuffers(nn.Module):
    """A step is given all buffers by their names; what it leaves is kept in them."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3 + H, H)
        self.register_buffer("voltage", torch.zeros(0))

    def forward(self, x):
        if self.voltage.shape != (x.size(0), H):
            self.voltage = x.new_zeros(x.size(0), H)
        state, seen = dict(self.named_buffers()), []
        for step in x.unbind(1):
            now = torch.sin(self.inner(torch.cat([step, state["voltage"]], -1)))
            state["voltage"] = 0.9 * state["voltage"] + now
            seen.append(state["voltage"])
        self.voltage = state["voltage"]
        return torch.stack(seen, 1)
