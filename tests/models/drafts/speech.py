"""Speech and music: enhancement, recognition, voice activity, separation, speakers."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class MaskEnhancer(nn.Module):
    """A mask on a spectrogram [batch, bins, frames]."""

    def __init__(self, n_bins, hidden_size, num_layers, dropout):
        super().__init__()
        self.norm = nn.BatchNorm1d(n_bins)
        self.rnn = nn.LSTM(n_bins, hidden_size, num_layers, batch_first=True, dropout=dropout)
        self.mask = nn.Linear(hidden_size, n_bins)

    def forward(self, noisy):
        y, _ = self.rnn(self.norm(noisy).transpose(1, 2))
        return noisy * torch.sigmoid(self.mask(y)).transpose(1, 2)


class WaveDenoiser(nn.Module):
    """Convolutions down and up around an LSTM: waveforms [batch, 1, samples]."""

    def __init__(self, channels=8, depth=2, kernel_size=8, stride=4):
        super().__init__()
        self.down, self.up, self.stride = nn.ModuleList(), nn.ModuleList(), stride
        size = 1
        for _ in range(depth):
            self.down.append(nn.Conv1d(size, channels, kernel_size, stride))
            self.up.insert(0, nn.ConvTranspose1d(channels, size, kernel_size, stride))
            size = channels
        self.rnn = nn.LSTM(channels, channels)

    def forward(self, mix):
        x = mix
        for layer in self.down:
            x = F.relu(layer(x))
        x = self.rnn(x.permute(2, 0, 1))[0].permute(1, 2, 0)
        for layer in self.up:
            x = layer(x)
        return x


class Encoder(nn.Module):
    """Packed bidirectional layers over padded features [batch, time, idim]."""

    def __init__(self, idim, elayers, cdim, hdim, dropout, typ="blstm"):
        super().__init__()
        self.nbrnn = nn.LSTM(
            idim, cdim, elayers, batch_first=True, dropout=dropout, bidirectional="b" in typ
        )
        self.last = nn.Linear(2 * cdim, hdim)

    def forward(self, xs_pad, ilens, prev_state=None):
        packed = pack_padded_sequence(xs_pad, ilens, batch_first=True)
        ys, _ = self.nbrnn(packed, prev_state)
        ys, _ = pad_packed_sequence(ys, batch_first=True)
        return torch.tanh(self.last(ys))


class Predictor(nn.Module):
    """The label encoder of a transducer."""

    def __init__(self, vocab_size, embed_dim, hidden_size, blank=0):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, embed_dim, padding_idx=blank)
        self.lstm = nn.LSTM(embed_dim, hidden_size, batch_first=True)

    def forward(self, y, state=None):
        out, (h, c) = self.lstm(self.embed(y), state)
        return out, (h, c)


class ListenAttend(nn.Module):
    """One step of a speller that attends to an encoded sequence."""

    def __init__(self, n_chars, enc_dim, dec_dim):
        super().__init__()
        self.embed = nn.Embedding(n_chars, dec_dim)
        self.cell = nn.LSTMCell(dec_dim + enc_dim, dec_dim)
        self.query = nn.Linear(dec_dim, enc_dim)
        self.out = nn.Linear(dec_dim + enc_dim, n_chars)

    def forward(self, prev_token, hidden, encoder_out):
        h, c = hidden
        score = torch.einsum("bd,btd->bt", self.query(h), encoder_out)
        context = torch.einsum("bt,btd->bd", score.softmax(-1), encoder_out)
        h, c = self.cell(torch.cat([self.embed(prev_token), context], -1), (h, c))
        return self.out(torch.cat([h, context], -1)), (h, c)


class VoiceActivity(nn.Module):
    """Chunks of waveforms, the state handed on as one tensor of two."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv1d(1, 8, 16, 8), nn.ReLU(), nn.Conv1d(8, 16, 3))
        self.rnn = nn.LSTM(16, 12, batch_first=True)
        self.decoder = nn.Linear(12, 1)

    def forward(self, x, state):
        features = self.encoder(x.unsqueeze(1)).transpose(1, 2)
        y, (h, c) = self.rnn(features, (state[0:1], state[1:2]))
        return torch.sigmoid(self.decoder(y)).mean(1), torch.cat([h, c])


class Separator(nn.Module):
    """Magnitudes [batch, channels, bins, frames] of music, scaled by statistics of the data."""

    def __init__(self, nb_bins=33, nb_channels=2, hidden_size=16):
        super().__init__()
        self.nb_bins, self.hidden = nb_bins, hidden_size
        self.mean = nn.Parameter(torch.zeros(nb_bins))
        self.fc1 = nn.Linear(nb_bins * nb_channels, hidden_size, bias=False)
        self.bn1 = nn.BatchNorm1d(hidden_size)
        self.lstm = nn.LSTM(hidden_size, hidden_size // 2, 2, bidirectional=True)
        self.fc2 = nn.Linear(hidden_size, nb_bins * nb_channels)

    def forward(self, x):
        x = x.permute(3, 0, 1, 2)
        frames, batch, channels, bins = x.shape
        mix = x
        x = x + self.mean
        x = self.fc1(x.reshape(-1, channels * bins))
        x = torch.tanh(self.bn1(x)).reshape(frames, batch, self.hidden)
        x = self.fc2(self.lstm(x)[0].reshape(-1, self.hidden))
        return (F.relu(x.reshape(frames, batch, channels, bins)) * mix).permute(1, 2, 3, 0)


class SpeakerEncoder(nn.Module):
    """A vector of length 1 of an utterance [batch, frames, mels]."""

    def __init__(self, mel_n_channels=10, model_hidden_size=12, model_embedding_size=6):
        super().__init__()
        self.lstm = nn.LSTM(mel_n_channels, model_hidden_size, 2, batch_first=True)
        self.linear = nn.Linear(model_hidden_size, model_embedding_size)

    def forward(self, utterances, hidden_init=None):
        _, (hidden, _) = self.lstm(utterances, hidden_init)
        raw = F.relu(self.linear(hidden[-1]))
        return raw / (raw.norm(dim=1, keepdim=True) + 1e-5)


class DualPathBlock(nn.Module):
    """Within frames, then across them: [batch, channels, frames, bins]."""

    def __init__(self, channels=6, hidden=5, bins=9):
        super().__init__()
        self.intra = nn.GRU(channels, hidden, batch_first=True, bidirectional=True)
        self.intra_out = nn.Linear(2 * hidden, channels)
        self.inter = nn.GRU(channels, hidden, batch_first=True)
        self.inter_out = nn.Linear(hidden, channels)
        self.norm = nn.LayerNorm((bins, channels))

    def forward(self, x):
        b, c, t, f = x.shape
        y = x.permute(0, 2, 3, 1)
        z = self.intra_out(self.intra(y.reshape(b * t, f, c))[0]).reshape(b, t, f, c)
        y = y + self.norm(z)
        z = y.permute(0, 2, 1, 3).reshape(b * f, t, c)
        z = self.inter_out(self.inter(z)[0]).reshape(b, f, t, c).permute(0, 2, 1, 3)
        return (y + self.norm(z)).permute(0, 3, 1, 2)


class Vocoder(nn.Module):
    """Samples from mels and a speaker's vector."""

    def __init__(self, feat_dims, rnn_dims, speaker_dim, out_dim):
        super().__init__()
        self.input = nn.Linear(feat_dims + 1 + speaker_dim, rnn_dims)
        self.rnn = nn.GRU(rnn_dims, rnn_dims, batch_first=True)
        self.out = nn.Linear(rnn_dims, out_dim)

    def forward(self, x, mels, speaker):
        speaker = speaker.unsqueeze(1).expand(-1, mels.size(1), -1)
        y = self.input(torch.cat([x.unsqueeze(-1), mels, speaker], -1))
        return self.out(y + self.rnn(y)[0])
