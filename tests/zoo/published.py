"""Published architectures, written anew and small."""

import torch
import torch.nn.functional as F
from torch import nn

from rnnbench import Dim, TensorSpec
from tests.zoo import TOKENS, XB, entry

H = 4


@entry(TensorSpec("image", ("batch", 1, 16, "time")), expect="fused fused")
class TextRecognition(nn.Module):
    """CRNN, https://arxiv.org/abs/1507.05717."""

    def __init__(self):
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d((2, 1)), nn.BatchNorm2d(4)
        )
        self.rnn = nn.LSTM(32, H, 2, bidirectional=True)
        self.out = nn.Linear(2 * H, 5)

    def forward(self, image):
        y = self.convolutions(image)
        batch, channels, height, width = y.shape
        y = y.reshape(batch, channels * height, width).permute(2, 0, 1)
        return self.out(self.rnn(y)[0]).log_softmax(2)


@entry(TensorSpec("spectrum", ("batch", "time", 16)), expect="fused fused")
class DeepSpeech(nn.Module):
    """Convolution over time and frequency, bidirectional GRUs, https://arxiv.org/abs/1512.02595."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, (5, 3), stride=(1, 2), padding=(2, 1))
        self.norm = nn.BatchNorm2d(2)
        self.rnn = nn.GRU(16, H, 2, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * H, 6)

    def forward(self, spectrum):
        y = F.hardtanh(self.norm(self.conv(spectrum.unsqueeze(1))), 0, 20)
        y = y.permute(0, 2, 1, 3).flatten(2)
        return self.out(self.rnn(y)[0])


@entry(
    TensorSpec("memory", ("batch", "text", 5)),
    TensorSpec("mels", ("batch", "time", 3)),
    outputs="y weights",
    expect="fused scan",
)
class Tacotron(nn.Module):
    """The decoder: attention and two LSTM cells in a step, https://arxiv.org/abs/1712.05884."""

    def __init__(self):
        super().__init__()
        self.prenet = nn.Sequential(nn.Linear(3, H), nn.ReLU(), nn.Dropout(0.5))
        self.attend, self.decode = nn.LSTMCell(H + 5, H), nn.LSTMCell(H + 5, H)
        self.query, self.key, self.energy = nn.Linear(H, 4), nn.Linear(5, 4), nn.Linear(4, 1)
        self.out = nn.Linear(H + 5, 3)

    def forward(self, memory, mels):
        batch = memory.size(0)
        frames = self.prenet(mels)
        keys = self.key(memory)
        a = (memory.new_zeros(batch, H), memory.new_zeros(batch, H))
        d = (memory.new_zeros(batch, H), memory.new_zeros(batch, H))
        context = memory.new_zeros(batch, 5)
        outputs, weights = [], []
        for t in range(mels.size(1)):
            a = self.attend(torch.cat([frames[:, t], context], 1), a)
            energy = self.energy(torch.tanh(self.query(a[0]).unsqueeze(1) + keys)).squeeze(2)
            weight = torch.softmax(energy, 1)
            context = torch.bmm(weight.unsqueeze(1), memory).squeeze(1)
            d = self.decode(torch.cat([a[0], context], 1), d)
            outputs.append(self.out(torch.cat([d[0], context], 1)))
            weights.append(weight)
        return torch.stack(outputs, 1), torch.stack(weights, 1)


@entry(
    TensorSpec("source", ("batch", "source_time"), dtype="int64", high=9),
    TensorSpec("target", ("batch", "time"), dtype="int64", high=9),
    expect="fused scan",
)
class Translator(nn.Module):
    """Attention over an encoder's outputs, https://arxiv.org/abs/1409.0473."""

    def __init__(self):
        super().__init__()
        self.embed, self.encoder = nn.Embedding(9, H), nn.GRU(H, H, batch_first=True)
        self.cell, self.out = nn.GRUCell(2 * H, H), nn.Linear(2 * H, 9)

    def forward(self, source, target):
        memory, h = self.encoder(self.embed(source))
        h, scores = h[0], []
        for t in range(target.size(1)):
            weight = torch.softmax(torch.bmm(memory, h.unsqueeze(2)).squeeze(2), 1)
            context = torch.bmm(weight.unsqueeze(1), memory).squeeze(1)
            h = self.cell(torch.cat([self.embed(target[:, t]), context], 1), h)
            scores.append(self.out(torch.cat([h, context], 1)))
        return torch.stack(scores, 1)


@entry(TensorSpec("spectrum", ("batch", 1, "time", 16)))
class Enhancement(nn.Module):
    """A U-Net with a causal LSTM in the middle, after https://arxiv.org/abs/1805.00579."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(1, 4, (1, 3), stride=(1, 2), padding=(0, 1))
        self.rnn = nn.LSTM(32, 32, batch_first=True)
        self.up = nn.ConvTranspose2d(8, 1, (1, 4), stride=(1, 2), padding=(0, 1))

    def forward(self, spectrum):
        e = F.elu(self.down(spectrum))
        y = self.rnn(e.permute(0, 2, 1, 3).flatten(2))[0]
        y = y.unflatten(2, (4, 8)).permute(0, 2, 1, 3)
        return torch.sigmoid(self.up(torch.cat([y, e], 1))) * spectrum


@entry(TensorSpec("x", ("batch", 3, "chunk", "time")), expect="fused fused")
class DualPath(nn.Module):
    """Recurrence along two axes, https://arxiv.org/abs/1910.06379."""

    def __init__(self):
        super().__init__()
        self.within = nn.LSTM(3, H, batch_first=True, bidirectional=True)
        self.between = nn.LSTM(3, H, batch_first=True)
        self.one, self.two = nn.Linear(2 * H, 3), nn.Linear(H, 3)

    def forward(self, x):
        batch, channels, chunk, time = x.shape
        y = x.permute(0, 3, 2, 1).reshape(batch * time, chunk, channels)
        y = self.one(self.within(y)[0]).reshape(batch, time, chunk, channels)
        x = x + y.permute(0, 3, 2, 1)
        y = x.permute(0, 2, 3, 1).reshape(batch * chunk, time, channels)
        y = self.two(self.between(y)[0]).reshape(batch, chunk, time, channels)
        return x + y.permute(0, 3, 1, 2)


@entry(TensorSpec("mels", ("batch", "time", 3)), expect="scan")
class Vocoder(nn.Module):
    """A GRU that hears its own last sample, https://arxiv.org/abs/1802.08435."""

    def __init__(self):
        super().__init__()
        self.cell, self.out = nn.GRUCell(4, H), nn.Linear(H, 1)

    def forward(self, mels):
        h, sample, wave = mels.new_zeros(mels.size(0), H), mels.new_zeros(mels.size(0), 1), []
        for t in range(mels.size(1)):
            h = self.cell(torch.cat([mels[:, t], sample], 1), h)
            sample = torch.tanh(self.out(h))
            wave.append(sample)
        return torch.cat(wave, 1)


@entry(
    XB,
    TensorSpec("item", ("batch",), dtype="int64", high=5),
    outputs="mean scale",
    expect="fused fused",
)
class Forecast(nn.Module):
    """DeepAR: a distribution for every step, https://arxiv.org/abs/1704.04110."""

    def __init__(self):
        super().__init__()
        self.embed, self.rnn = nn.Embedding(5, 2), nn.LSTM(5, H, 2, batch_first=True)
        self.mean, self.scale = nn.Linear(H, 1), nn.Linear(H, 1)

    def forward(self, x, item):
        scale = 1 + x.abs().mean(1, keepdim=True)
        same = self.embed(item).unsqueeze(1).expand(-1, x.size(1), -1)
        y = self.rnn(torch.cat([x / scale, same], -1))[0]
        return self.mean(y) * scale[:, :, :1], F.softplus(self.scale(y))


@entry(TensorSpec("mels", ("batch", "time", 10)))
class KeywordSpotter(nn.Module):
    """Convolution, GRU and the last state, https://arxiv.org/abs/1703.05390."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, (3, 5), padding=(1, 2))
        self.rnn, self.out = nn.GRU(20, H, batch_first=True), nn.Linear(H, 3)

    def forward(self, mels):
        y = torch.relu(self.conv(mels.unsqueeze(1))).permute(0, 2, 1, 3).flatten(2)
        return self.out(self.rnn(y)[1][-1]).softmax(-1)


@entry(TensorSpec("frames", ("batch", "time", 2, 5, 5)), outputs="y", expect="scan")
class Nowcast(nn.Module):
    """A convolutional LSTM, https://arxiv.org/abs/1506.04214."""

    def __init__(self):
        super().__init__()
        self.gates = nn.Conv2d(2 + 3, 4 * 3, 3, padding=1)

    def forward(self, frames):
        batch, time = frames.shape[:2]
        h = c = frames.new_zeros(batch, 3, 5, 5)
        steps = []
        for t in range(time):
            i, f, o, g = self.gates(torch.cat([frames[:, t], h], 1)).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            steps.append(h)
        return torch.stack(steps, 1)


@entry(TOKENS, expect="fused fused")
class LanguageModel(nn.Module):
    """Tied weights, https://arxiv.org/abs/1608.05859."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(9, H)
        self.rnn = nn.LSTM(H, H, 2, batch_first=True, dropout=0.2)
        self.out = nn.Linear(H, 9)
        self.out.weight = self.embed.weight

    def forward(self, tokens):
        return self.out(self.rnn(self.embed(tokens))[0])


@entry(
    XB,
    TensorSpec("words", ("batch", "tokens"), dtype="int64", high=9),
    outputs="logits",
    expect="fused fused scan",
    dims={"time": Dim(min=4, multiple_of=4)},
)
class ListenAttendSpell(nn.Module):
    """A pyramid that cuts to even lengths and halves them, https://arxiv.org/abs/1508.01211."""

    def __init__(self):
        super().__init__()
        self.pyramid = nn.ModuleList(
            [
                nn.LSTM(6, H, bidirectional=True, batch_first=True),
                nn.LSTM(4 * H, H, bidirectional=True, batch_first=True),
            ]
        )
        self.embed, self.query = nn.Embedding(9, 5), nn.Linear(2 * H, 2 * H)
        self.speller, self.out = nn.LSTM(5 + 2 * H, 2 * H, batch_first=True), nn.Linear(4 * H, 9)

    def forward(self, x, words):
        for layer in self.pyramid:
            if x.size(1) % 2:
                x = x[:, :-1]
            x = layer(x.reshape(x.size(0), x.size(1) // 2, 2 * x.size(2)))[0]
        context, state, seen = x[:, :1], None, []  # a view, which the next ones are not
        for t in range(words.size(1)):
            y, state = self.speller(
                torch.cat([self.embed(words[:, t : t + 1]), context], -1), state
            )
            context = torch.softmax(self.query(y) @ x.transpose(1, 2), -1) @ x
            seen.append(self.out(torch.cat([y, context], -1)))
        return torch.cat(seen, 1)


@entry(
    TensorSpec("x", ("time*envs", 3)),
    TensorSpec("h0", ("envs", H), role="state"),
    TensorSpec("masks", ("time*envs", 1)),
    outputs="actions values hn",
    states={"h0": "hn"},
    batch_dim="envs",
    expect="scan",
)
class RecurrentPolicy(nn.Module):
    """Resets the state where an episode began; its distribution checks what it is given."""

    def __init__(self):
        super().__init__()
        self.rnn, self.pi, self.value = nn.GRU(3, H), nn.Linear(H, 2), nn.Linear(H, 1)

    def forward(self, x, h0, masks):
        envs = h0.size(0)
        x, masks = x.view(-1, envs, 3), masks.view(-1, envs, 1)
        h, seen = h0.unsqueeze(0), []
        for t in range(x.size(0)):
            y, h = self.rnn(x[t : t + 1], h * masks[t])
            seen.append(y)
        y = torch.cat(seen).flatten(0, 1)
        chosen = torch.distributions.Categorical(logits=self.pi(y))
        return chosen.probs, self.value(y), h.squeeze(0)
