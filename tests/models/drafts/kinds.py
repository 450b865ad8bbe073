"""Arguments as published packages have them: states of any name, unread masks, configs."""

import itertools
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from rnnbench.core.known_warnings import torchscript_deprecation


class GroupedLayers(nn.Module):
    """Features in groups, one layer for each."""

    def __init__(self, input_size=64, hidden_size=32, groups=4):
        super().__init__()
        self.size = input_size // groups
        self.layers = nn.ModuleList(
            nn.GRU(self.size, hidden_size // groups, batch_first=True) for _ in range(groups)
        )

    def forward(self, x):
        parts = x.split(x.shape[-1] // len(self.layers) or 1, dim=-1)
        rest = x.shape[-1] % self.size
        if x.shape[-1] < self.size * len(self.layers):
            raise RuntimeError(f"size of a group: expected {self.size}, got {rest}")
        return torch.cat([layer(p)[0] for layer, p in zip(self.layers, parts, strict=False)], -1)


class WordsOfAnyType(nn.Module):
    """Ids [batch, time] that the module itself makes whole numbers of."""

    def __init__(self, vocab_size=50, size=8):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, size)
        self.rnn = nn.LSTM(size, size, batch_first=True)

    def forward(self, X):  # noqa: N803
        return self.rnn(self.embed(X.long()))[1][0][-1]


class StyleEncoder(nn.Module):
    """Spectrograms [batch, time, mels] that are seen as images of one channel."""

    def __init__(self, num_mel=16, size=12):
        super().__init__()
        self.num_mel = num_mel
        sizes = (1, 4, 4, 6, 6)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in itertools.pairwise(sizes))
        self.rnn = nn.GRU(6 * -(-num_mel // 16), size, batch_first=True)

    def forward(self, inputs):
        x = inputs.view(inputs.size(0), 1, -1, self.num_mel)
        for conv in self.convs:
            x = torch.relu(conv(x))
        x = x.transpose(1, 2)
        return self.rnn(x.reshape(x.size(0), x.size(1), -1))[1][0]


class SynapticCell(nn.Module):
    """One step of a spiking neuron: spikes, and two states that are zero where they are not given.

    A state of another size than the input is thrown away without a word.
    """

    def __init__(self, size=16, alpha=0.7, beta=0.9):
        super().__init__()
        self.recurrent = nn.Linear(size, size)
        self.alpha, self.beta = alpha, beta

    def forward(self, input_, syn=None, trace=None):
        if syn is None or syn.shape != input_.shape:
            syn = torch.zeros_like(input_)
        if trace is None or trace.shape != input_.shape:
            trace = torch.zeros_like(input_)
        syn = self.alpha * syn + self.recurrent(input_)
        trace = self.beta * trace + syn
        spikes = (trace > 1.0).to(input_.dtype)
        return spikes, syn, trace - spikes


class UnreadMask(nn.Module):
    """A mask [batch, time] is demanded, and not looked at."""

    def __init__(self, emb_size=12, hidden_size=9):
        super().__init__()
        self.rnn = nn.GRU(emb_size, hidden_size, batch_first=True, bidirectional=True)

    def forward(self, src_embed, src_length, mask):
        packed = nn.utils.rnn.pack_padded_sequence(src_embed, src_length, batch_first=True)
        y, h = self.rnn(packed)
        return nn.utils.rnn.pad_packed_sequence(y, batch_first=True)[0], h[-1]


class DecayImputer(nn.Module):
    """Gaps are filled by the last value, which decays to the mean of each feature."""

    def __init__(self, n_features=5, hidden_size=16):
        super().__init__()
        self.decay = nn.Linear(n_features, n_features)
        self.cell = nn.GRUCell(3 * n_features, hidden_size)

    def forward(self, X, missing_mask, deltas, empirical_mean, last):  # noqa: N803
        h, found = X.new_zeros(X.size(0), self.cell.hidden_size), []
        for t in range(X.size(1)):
            m, gamma = missing_mask[:, t, :], torch.exp(-torch.relu(self.decay(deltas[:, t, :])))
            filled = gamma * last[:, t, :] + (1 - gamma) * empirical_mean
            x = m * X[:, t, :] + (1 - m) * filled
            h = self.cell(torch.cat([x, m, gamma], dim=1), h)
            found.append(h)
        return torch.stack(found, 1)


@dataclass
class CellConfig:
    """Of a cell, whose size the user has to give."""

    embedding_dim: int = -1
    heads: int = 4
    backend: Literal["eager", "cuda"] = "cuda"


@dataclass
class StackConfig:
    """Of cells on one another."""

    cell: CellConfig | None = None
    blocks: list[int] = field(default_factory=lambda: [0, 1])


class ConfiguredStack(nn.Module):
    """Layers that a config in a config says."""

    def __init__(self, config: StackConfig):
        super().__init__()
        if config.cell.backend == "cuda":
            raise RuntimeError("no CUDA here")
        size = config.cell.embedding_dim
        self.heads = nn.Linear(size, size // config.cell.heads)
        self.layers = nn.ModuleList(nn.GRU(size, size, batch_first=True) for _ in config.blocks)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)[0]
        return self.heads(x)


class AttributeConfigured(nn.Module):
    """Entries of a config are read as attributes; options are None, and have to be a dict."""

    def __init__(self, input_size: int, mlp_cfg: dict[str, Any], options: Any = None, norm=None):
        super().__init__()
        self.rnn = nn.LSTM(input_size, mlp_cfg.units, batch_first=True, **options)
        self.head = nn.Linear(mlp_cfg.units, mlp_cfg.head.size)
        self.norm = norm(mlp_cfg.head.size) if norm else nn.Identity()

    def forward(self, x):
        return self.norm(self.head(self.rnn(x)[0]))


class UnsetWeights(nn.Module):
    """A cell whose weights are memory as it was until some are loaded."""

    def __init__(self, input_size=6, hidden_size=8):
        super().__init__()
        self.weight_ih = nn.Parameter(torch.empty(hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(hidden_size, hidden_size))

    def forward(self, x):
        h, found = x.new_zeros(x.size(0), self.weight_hh.size(0)), []
        for t in range(x.size(1)):
            h = torch.tanh(x[:, t] @ self.weight_ih.t() + h @ self.weight_hh.t())
            found.append(h)
        return torch.stack(found, 1)


class SampleVocoder(nn.Module):
    """Samples [batch, 10 time] beside frames [batch, time, mels] that are made as long."""

    def __init__(self, n_mels=12, hop_length=10, classes=20):
        super().__init__()
        self.hop_length = hop_length
        self.embedding = nn.Embedding(classes, 8)
        self.frames = nn.GRU(n_mels, 6, batch_first=True)
        self.rnn = nn.GRU(8 + 6, 16, batch_first=True)

    def forward(self, x, mels):
        mels, _ = self.frames(mels)
        long = nn.functional.interpolate(mels.transpose(1, 2), scale_factor=self.hop_length)
        x = self.embedding(x)
        return self.rnn(torch.cat((x, long.transpose(1, 2)), dim=2))[0]


class PackedCells(nn.Module):
    """Takes a packed sequence and packed scores of its steps, and gives a packed sequence."""

    def __init__(self, input_size=5, hidden_size=8):
        super().__init__()
        self.cell = nn.GRUCell(input_size, hidden_size)

    def forward(self, inputs, att_scores=None):
        packed = isinstance(inputs, nn.utils.rnn.PackedSequence)
        if not packed or not isinstance(att_scores, nn.utils.rnn.PackedSequence):
            raise NotImplementedError("PackedCells only supports packed input and att_scores")
        x, sizes, order, back = inputs
        h = x.new_zeros(int(sizes[0]), self.cell.hidden_size)
        found, begin = [], 0
        for size in sizes:
            now = self.cell(x[begin : begin + size], h[:size])
            score = att_scores.data[begin : begin + size, None]
            now = (1 - score) * h[:size] + score * now
            h = torch.cat([now, h[size:]])
            found.append(now)
            begin += size
        return nn.utils.rnn.PackedSequence(torch.cat(found), sizes, order, back)


class NothingBeside(nn.Module):
    """The steps, and None where no lengths were given."""

    def __init__(self, size=8):
        super().__init__()
        self.rnn = nn.GRU(size, size, batch_first=True)

    def forward(self, inputs, seq_len=None):
        return self.rnn(inputs)[0], seq_len


class Padded:
    """Sequences and their lengths in one object."""

    def __init__(self, data, sizes, left=False):
        self._data, self._sizes, self.left = data, sizes, left

    @property
    def data(self):
        return self._data

    @property
    def sizes(self):
        return self._sizes


class ReadsPadded(nn.Module):
    """Takes an object of a class of its own file, and returns another."""

    def __init__(self, size=6, hidden=8):
        super().__init__()
        self.rnn = nn.GRU(size, hidden, batch_first=True)

    def forward(self, padded):
        y = self.rnn(padded.data)[0]
        steps = torch.arange(y.shape[1])
        inside = steps < padded.sizes.unsqueeze(1)
        return Padded(y * inside.unsqueeze(-1), padded.sizes)


class AttentiveCell(nn.Module):
    """One step, and how much of it counts in each row; it cannot do without a state."""

    def __init__(self, input_size=6, hidden_size=8):
        super().__init__()
        self.of_input = nn.Linear(input_size, 3 * hidden_size)
        self.of_state = nn.Linear(hidden_size, 3 * hidden_size)

    def forward(self, x, hx, weight):
        a, b, c = self.of_input(x).chunk(3, 1)
        d, e, f = self.of_state(hx).chunk(3, 1)
        update = torch.sigmoid(a + d) * weight.unsqueeze(-1)
        return hx + update * (torch.tanh(c + torch.sigmoid(b + e) * f) - hx)


class Durations(nn.Module):
    """Features before the steps, and where the padding is, called m: a mask that has to be bool."""

    def __init__(self, style_size=4, size=8):
        super().__init__()
        self.lstm = nn.LSTM(size + style_size, size, batch_first=True)

    def forward(self, x, style, text_lengths, m):
        beside = style.unsqueeze(1).expand(-1, x.shape[-1], -1)
        x = torch.cat([x.transpose(1, 2), beside], dim=-1)
        x = x.masked_fill(m.unsqueeze(-1), 0.0)
        packed = nn.utils.rnn.pack_padded_sequence(
            x, text_lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        y, _ = nn.utils.rnn.pad_packed_sequence(
            self.lstm(packed)[0], batch_first=True, total_length=m.shape[-1]
        )
        return y


with torchscript_deprecation():

    class ScriptedCell(torch.jit.ScriptModule):
        """A class whose methods are scripted: they are no longer on the class."""

        def __init__(self, input_size=6, hidden_size=8):
            super().__init__()
            self.mix = nn.Linear(input_size + hidden_size, hidden_size)

        @torch.jit.script_method
        def forward(self, input: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
            return torch.tanh(self.mix(torch.cat([input, state], -1)))


class Model(nn.Module):
    """A class that is called as one that the draft imports."""

    def __init__(self, size, kinds=(nn.Tanh,), of=None):
        super().__init__()
        self.rnn = nn.GRU(size, 8, batch_first=True)
        self.after = nn.Sequential(*(kind() for kind in kinds))

    def forward(self, x):
        return self.after(self.rnn(x)[0])


class Settings:
    """A config that takes its fields as one dict."""

    def __init__(self, fields, strict=False):
        if not isinstance(fields, dict):
            raise TypeError(f"a dict, not {type(fields).__name__}")
        self.fields, self.strict = fields, strict

    @property
    def hidden_size(self):
        return self.fields["hidden_size"]


class Catchment(nn.Module):
    """What falls in a catchment, by name, and what it is like, [batch, features], in dicts."""

    def __init__(self, cfg: Settings):
        super().__init__()
        self.names = cfg.fields["dynamic_inputs"]
        self.gate = nn.Linear(2, cfg.hidden_size)
        self.cell = nn.GRUCell(len(self.names), cfg.hidden_size)

    def forward(self, data: dict[str, torch.Tensor | dict[str, torch.Tensor]]):
        steps = torch.cat([data["dynamic"][name] for name in self.names], dim=-1).transpose(0, 1)
        if "x_static" not in data:
            raise ValueError("x_static is needed")
        gate, found = torch.sigmoid(self.gate(data["x_static"])), []
        h = steps.new_zeros(steps.shape[1], self.cell.hidden_size)
        for x in steps:
            h = gate * self.cell(x, h)
            found.append(h)
        return {"hidden": torch.stack(found, 1)}


class ReadsArguments(nn.Module):
    """A namespace, of which parts are read here, in what it is given to, and in `forward`."""

    def __init__(self, args):
        super().__init__()
        self.args = args
        self.embed = WordsOfArguments(args)
        self.rnn = getattr(nn, args.rnn_type.upper())(args.emsize, args.nhid, batch_first=True)
        self.out = nn.Linear(args.nhid, args.model.num_classes)

    def forward(self, tokens):
        return self.out(self.rnn(self.embed(tokens))[0]) * self.args.gain_of_all


class WordsOfArguments(nn.Module):
    """Embedded words."""

    def __init__(self, args):
        super().__init__()
        self.table = nn.Embedding(args.vocab_size, args.emsize)

    def forward(self, tokens):
        return self.table(tokens)


class ReadsKeys(nn.Module):
    """A dict, of which a value has to be one of those of its name."""

    def __init__(self, config):
        super().__init__()
        if config["cell"] not in ("GRU", "gru"):
            raise ValueError("no such cell")
        self.rnn = nn.GRU(config["input_dim"], config["hidden_dim"], batch_first=True)
        self.scale = config.get("scale", 1.0)

    def forward(self, x):
        return self.rnn(x)[0] * self.scale


class SomeOfTheFeatures(nn.Module):
    """Features in groups, which are sliced out of as many as there are; a state of each group."""

    def __init__(self, input_size=16, hidden_size=8, groups=4):
        super().__init__()
        self.size = input_size // groups
        self.layers = nn.ModuleList(
            nn.GRU(self.size, hidden_size, batch_first=True) for _ in range(groups)
        )

    def forward(self, input, state=None):
        rows, _, _ = input.shape
        if state is None:
            state = input.new_zeros(len(self.layers), rows, self.layers[0].hidden_size)
        found = [
            layer(input[..., i * self.size : (i + 1) * self.size], state[i : i + 1])
            for i, layer in enumerate(self.layers)
        ]
        return torch.cat([y for y, _ in found], -1), torch.cat([h for _, h in found])


class ContextBeside(nn.Module):
    """Rows [time, batch, data] with a context [batch, context] beside each step."""

    def __init__(self, data_size=7, context_size=3):
        super().__init__()
        self.rnn = nn.GRU(data_size + context_size, 12)

    def forward(self, x, c):
        return self.rnn(torch.cat([x, c.expand(x.shape[0], *c.shape)], 2))[0]


class CountsOfSteps(nn.Module):
    """Ids [batch, time], packed by numbers whose name says nothing; a spelling of one line."""

    def __init__(self, size=8):
        super().__init__()
        self.embed = nn.Embedding(20, size)
        self.rnn = nn.GRU(size, size, batch_first=True)

    def forward(self, x, of_each):
        packed = nn.utils.rnn.pack_padded_sequence(
            self.embed(x), of_each, batch_first=True, enforce_sorted=False
        )
        return nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0], batch_first=True)[0]


class LinesOfText(nn.Module):
    """Images of lines [batch, 1, height, width], of which strides leave a row and its columns."""

    def __init__(self, size=8):
        super().__init__()
        sizes = (1, 4, 4, 4, 6)
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, (2, 1), (0, 1)) for a, b in itertools.pairwise(sizes)
        )
        self.pool = nn.AdaptiveAvgPool2d((1, None))
        self.rnn = nn.LSTM(6, size, batch_first=True, bidirectional=True)

    def forward(self, image):
        for conv in self.convs:
            image = torch.relu(conv(image))
        return self.rnn(self.pool(image).squeeze(2).transpose(1, 2))[0]


class RoundedBins(nn.Module):
    """Bins of spectrograms [batch, 1, time, bins] that strides make fewer, then a layer of each."""

    def __init__(self, size=12 * 5):
        super().__init__()
        sizes = (1, 4, 8, 12)
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, (3, 3), padding=1) for a, b in itertools.pairwise(sizes)
        )
        self.dense = nn.Linear(size, 16)
        self.rnn = nn.GRU(16, 16, batch_first=True)

    def forward(self, input):
        for conv in self.convs:
            input = nn.functional.avg_pool2d(torch.relu(conv(input)), (1, 2))
        return self.rnn(self.dense(input.transpose(1, 2).flatten(2)))[0]


class FlatDays(nn.Module):
    """Rows of 6 numbers a day, [batch, 6 * time]; its last layer drops the axis of a single row."""

    def __init__(self, d_feat=6, hidden_size=8):
        super().__init__()
        self.d_feat = d_feat
        self.rnn = nn.GRU(d_feat, hidden_size, batch_first=True)
        self.out = nn.Linear(hidden_size, 1)

    def forward(self, x):
        x = x.reshape(len(x), self.d_feat, -1).permute(0, 2, 1)
        return self.out(self.rnn(x)[0][:, -1]).squeeze()


class WindowOfInputs(nn.Module):
    """Attention over inputs, by their whole window: all of its steps but the one forecast."""

    def __init__(self, input_size=6, hidden_size=16, T=10):  # noqa: N803
        super().__init__()
        self.steps, self.input_size = T - 1, input_size
        self.cell = nn.LSTMCell(input_size, hidden_size)
        self.score = nn.Linear(2 * hidden_size + T - 1, 1)

    def forward(self, input_data):
        rows = input_data.size(0)
        h = c = input_data.new_zeros(rows, self.cell.hidden_size)
        found = []
        for t in range(self.steps):
            state = torch.cat((h, c), 1).repeat(self.input_size, 1, 1).permute(1, 0, 2)
            x = torch.cat((state, input_data.permute(0, 2, 1)), dim=2)
            x = self.score(x.view(-1, self.score.in_features)).view(-1, self.input_size)
            h, c = self.cell(torch.softmax(x, 1) * input_data[:, t, :], (h, c))
            found.append(h)
        return torch.stack(found, 1)
