"""Time series, trajectories, and cells of unusual algebra."""

import itertools
from dataclasses import dataclass

import torch
from torch import nn


@dataclass
class ForecastConfig:
    """What a forecaster is made of."""

    input_size: int
    hidden_size: int = 12
    horizon: int = 4


class Forecaster(nn.Module):
    """The next steps of a series [batch, time, variables]."""

    def __init__(self, config: ForecastConfig):
        super().__init__()
        self.horizon = config.horizon
        self.rnn = nn.GRU(config.input_size, config.hidden_size, batch_first=True)
        self.head = nn.Linear(config.hidden_size, config.horizon)

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


class DeepAutoregression(nn.Module):
    """Mean and spread of each step, a category beside the covariates."""

    def __init__(self, num_series, embedding_dim, cov_dim, lstm_hidden_dim, lstm_layers):
        super().__init__()
        self.embedding = nn.Embedding(num_series, embedding_dim)
        self.lstm = nn.LSTM(1 + cov_dim + embedding_dim, lstm_hidden_dim, lstm_layers)
        self.mu, self.sigma = nn.Linear(lstm_hidden_dim, 1), nn.Linear(lstm_hidden_dim, 1)

    def forward(self, x, idx, hidden, cell):
        static = self.embedding(idx).unsqueeze(0).expand(x.shape[0], -1, -1)
        y, (hidden, cell) = self.lstm(torch.cat([x, static], -1), (hidden, cell))
        mu, sigma = self.mu(y), nn.functional.softplus(self.sigma(y))
        return mu.squeeze(-1), sigma.squeeze(-1), hidden, cell


class Autoencoder(nn.Module):
    """Anomalies: a sequence into a vector and back."""

    def __init__(self, seq_len, n_features, embedding_dim=6):
        super().__init__()
        self.encoder = nn.LSTM(n_features, embedding_dim, batch_first=True)
        self.decoder = nn.LSTM(embedding_dim, embedding_dim, batch_first=True)
        self.output_layer = nn.Linear(embedding_dim, n_features)
        self.seq_len = seq_len

    def forward(self, x):
        _, (h, _) = self.encoder(x)
        y, _ = self.decoder(h[-1].unsqueeze(1).repeat(1, x.shape[1], 1))
        return self.output_layer(y)


class Trajectory(nn.Module):
    """Positions of walkers, [time, walkers, 2]."""

    def __init__(self, embedding_dim=6, h_dim=8):
        super().__init__()
        self.spatial_embedding = nn.Linear(2, embedding_dim)
        self.encoder = nn.LSTM(embedding_dim, h_dim, 1)
        self.hidden2pos = nn.Linear(h_dim, 2)
        self.h_dim = h_dim

    def forward(self, obs_traj):
        batch = obs_traj.size(1)
        embedded = self.spatial_embedding(obs_traj.reshape(-1, 2)).view(-1, batch, 6)
        zeros = obs_traj.new_zeros(1, batch, self.h_dim)
        _, (h, _) = self.encoder(embedded, (zeros, zeros))
        return self.hidden2pos(h.view(-1, self.h_dim))


class LiquidCell(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.backbone = nn.Linear(input_size + hidden_size, 16)
        self.ff1, self.ff2 = nn.Linear(16, hidden_size), nn.Linear(16, hidden_size)
        self.time_a = nn.Linear(16, hidden_size)

    def forward(self, x, hx):
        z = torch.tanh(self.backbone(torch.cat([x, hx], 1)))
        gate = torch.sigmoid(self.time_a(z))
        return self.ff1(z).tanh() * (1 - gate) + gate * self.ff2(z).tanh()


class Liquid(nn.Module):
    """A cell in closed form, walked over [batch, time, features]; a state if one is given."""

    def __init__(self, input_size: int, units: int, batch_first: bool = True):
        super().__init__()
        self.units, self.batch_first = units, batch_first
        self.cell = LiquidCell(input_size, units)

    def forward(self, input, hx=None):
        along = 1 if self.batch_first else 0
        if hx is None:
            hx = input.new_zeros(input.size(1 - along), self.units)
        steps = []
        for t in range(input.size(along)):
            hx = self.cell(input.select(along, t), hx)
            steps.append(hx)
        return torch.stack(steps, along), hx


class StackedCells(nn.Module):
    """Several cells, their states a list of pairs; time first."""

    def __init__(self, input_dim, hidden_dims):
        super().__init__()
        sizes = [input_dim, *hidden_dims]
        self.cells = nn.ModuleList(nn.LSTMCell(a, b) for a, b in itertools.pairwise(sizes))

    def forward(self, x, states):
        steps = []
        for frame in x.unbind(0):
            new = []
            for cell, state in zip(self.cells, states, strict=True):
                state = cell(frame, state)
                frame = state[0]
                new.append(state)
            states = new
            steps.append(frame)
        return torch.stack(steps), states


class LeakyLayer(nn.Module):
    """Spikes of leaky neurons whose membrane stays in a buffer."""

    def __init__(self, num_inputs=6, num_outputs=5, beta=0.9):
        super().__init__()
        self.fc = nn.Linear(num_inputs, num_outputs)
        self.beta = beta
        self.register_buffer("mem", torch.zeros(1, num_outputs))

    def forward(self, x):
        self.mem = self.beta * self.mem + self.fc(x)
        spikes = (self.mem > 1.0).to(x.dtype)
        self.mem = self.mem - spikes
        return spikes


class SpikingNet(nn.Module):
    """Currents [time, batch, inputs] through two layers of leaky neurons."""

    def __init__(self, n_in, n_hidden, n_out, tau=0.8, threshold=1.0):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(n_in, n_hidden), nn.Linear(n_hidden, n_out)
        self.tau, self.threshold = tau, threshold

    def forward(self, current):
        v1 = current.new_zeros(current.shape[1], self.fc1.out_features)
        v2 = current.new_zeros(current.shape[1], self.fc2.out_features)
        spikes = []
        for step in current:
            v1 = self.tau * v1 + self.fc1(step)
            s1 = (v1 > self.threshold).float()
            v1 = v1 * (1 - s1)
            v2 = self.tau * v2 + self.fc2(s1)
            s2 = (v2 > self.threshold).float()
            v2 = v2 * (1 - s2)
            spikes.append(s2)
        return torch.stack(spikes)


class Gap(nn.Module):
    """Missing values: what was seen, a mask, and the time since."""

    def __init__(self, input_size=5, hidden_size=7):
        super().__init__()
        self.gamma = nn.Linear(input_size, hidden_size)
        self.cell = nn.GRUCell(2 * input_size, hidden_size)
        self.register_buffer("mean", torch.zeros(input_size))

    def forward(self, values, masks, deltas):
        h = values.new_zeros(values.size(0), self.cell.hidden_size)
        for t in range(values.size(1)):
            x, m, d = values[:, t], masks[:, t], deltas[:, t]
            h = h * torch.exp(-torch.relu(self.gamma(d)))
            h = self.cell(torch.cat([torch.where(m > 0, x, self.mean), m], 1), h)
        return h
