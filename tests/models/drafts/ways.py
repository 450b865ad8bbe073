"""Calls as published packages want them: flat rows, subsampled lengths, one step, parts drawn."""

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class FlatRows(nn.Module):
    """Rows of features times steps, as tables of a stock's days are."""

    def __init__(self, d_feat=6, hidden_size=9):
        super().__init__()
        self.d_feat = d_feat
        self.rnn = nn.GRU(d_feat, hidden_size, batch_first=True)

    def forward(self, x):
        x = x.reshape(len(x), self.d_feat, -1).permute(0, 2, 1)
        return self.rnn(x)[0][:, -1]


class Subsampled(nn.Module):
    """Two strides of 2 before a packed layer: rows of few steps have none left."""

    def __init__(self, idim=10, size=8):
        super().__init__()
        self.convs = nn.Sequential(
            nn.Conv1d(idim, size, 3, stride=2), nn.ReLU(), nn.Conv1d(size, size, 3, stride=2)
        )
        self.rnn = nn.GRU(size, size, batch_first=True)

    def forward(self, x, x_lens):
        x = self.convs(x.transpose(1, 2)).transpose(1, 2)
        x_lens = ((x_lens - 1) // 2 - 1) // 2
        packed = pack_padded_sequence(x, x_lens.cpu(), batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.rnn(packed)[0], batch_first=True)[0]


class EventCell(nn.Module):
    """One step of a cell whose states have names of their own."""

    def __init__(self, hidden_dim):
        super().__init__()
        self.gates = nn.Linear(2 * hidden_dim, 4 * hidden_dim)

    def forward(self, x_i, h_ti, c_ti, c_bar):
        i, f, f_bar, z = self.gates(torch.cat((x_i, h_ti), dim=1)).chunk(4, dim=-1)
        c = torch.sigmoid(f) * c_ti + torch.sigmoid(i) * torch.tanh(z)
        return c, torch.sigmoid(f_bar) * c_bar + torch.sigmoid(i) * torch.tanh(z)


class SamplingPolicy(nn.Module):
    """Scores of actions, and one that is drawn."""

    def __init__(self, obs_dim=7, num_actions=4):
        super().__init__()
        self.rnn = nn.LSTM(obs_dim, 12, batch_first=True)
        self.policy = nn.Linear(12, num_actions)

    def forward(self, obs_seq):
        logits = self.policy(self.rnn(obs_seq)[0])
        chances = torch.softmax(logits, -1)
        action = torch.multinomial(chances.flatten(0, 1), 1).view(logits.shape[:2])
        return action, logits


class MixedRows(nn.Module):
    """Attention whose query mixes rows: a state [2, batch, size] is reshaped as it is."""

    def __init__(self, input_dim=8, hidden_dim=6):
        super().__init__()
        self.rnn = nn.LSTM(input_dim, hidden_dim, bidirectional=True, batch_first=True)

    def forward(self, x):
        keys, (h, _) = self.rnn(x)
        query = h.reshape(h.shape[1], -1)
        weights = torch.softmax(torch.bmm(keys, query.unsqueeze(2)), dim=1)
        return (keys * weights).sum(1)


class LineReader(nn.Module):
    """A picture of a line of text [batch, 1, height, time]: strides leave one of its height."""

    def __init__(self, classes=11):
        super().__init__()
        self.convs = nn.Sequential(
            *(nn.Conv2d(i, 6, 3, (2, s), 1) for i, s in ((1, 2), (6, 2), (6, 1), (6, 1), (6, 1)))
        )
        self.rnn = nn.GRU(6, 7, bidirectional=True, batch_first=True)
        self.head = nn.Linear(14, classes)

    def forward(self, images):
        x = self.convs(images).squeeze(2).permute(0, 2, 1)
        return self.head(self.rnn(x)[0])


class Beside(nn.Module):
    """A memory that is a tuple."""

    def __init__(self, size=8):
        super().__init__()
        self.rnn = nn.GRU(size, size, batch_first=True)

    def forward(self, x, memory):
        keys, mask = memory
        scores = (self.rnn(x)[0] @ keys.transpose(1, 2)).masked_fill(~mask[:, None], -1e4)
        return torch.softmax(scores, -1) @ keys


class NamedLayer(nn.Module):
    """A name by default, which has to be a class."""

    def __init__(self, size, rnn_class="lstm"):
        super().__init__()
        self.rnn = rnn_class(size, size, batch_first=True)

    def forward(self, x):
        return self.rnn(x)[0]


class Refused(nn.Module):
    """What has a default makes the module refuse to be exported."""

    def __init__(self, size=8):
        super().__init__()
        self.rnn = nn.GRU(size, size, batch_first=True)

    def forward(self, x, h=None):
        if h is not None:
            h = torch.from_numpy(np.cumsum(h.detach().numpy(), 0))
        return self.rnn(x, h)


class Listed(nn.Module):
    """Steps from a list whose length is looked up: one length alone can be exported."""

    def __init__(self, size=8):
        super().__init__()
        self.rnn = nn.GRU(size, size, batch_first=True)
        self.register_buffer("scale", torch.linspace(0.5, 1.5, 4000))

    def forward(self, x):
        return self.rnn(x)[0] * float(self.scale[x.shape[1]])


class LazyPolicy(nn.Module):
    """A layer that learns how many features there are from the first frames that it sees."""

    def __init__(self, channels=4, size=12):
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 8, stride=4)
        self.flat = nn.LazyLinear(size)
        self.rnn = nn.GRU(size, size, batch_first=True)

    def forward(self, frames):
        x = torch.relu(self.conv(frames.flatten(0, 1))).flatten(1)
        return self.rnn(self.flat(x).unflatten(0, frames.shape[:2]))[0]


class Counting(nn.Module):
    """Packs as many words as are not 0, and wants the longest first."""

    def __init__(self, words=30, size=8):
        super().__init__()
        self.embedding = nn.Embedding(words, size, padding_idx=0)
        self.rnn = nn.LSTM(size, size, batch_first=True)

    def forward(self, xs):
        lengths = xs.ne(0).sum(1).cpu()
        packed = pack_padded_sequence(self.embedding(xs), lengths, batch_first=True)
        y, _ = self.rnn(packed)
        return pad_packed_sequence(y, batch_first=True, total_length=xs.size(1))[0]
