"""Policies, images in time, and text in images."""

import torch
from torch import nn
from torch.distributions import Categorical


class RecurrentPolicy(nn.Module):
    """One step of an agent: an observation and a state, a distribution and a value."""

    def __init__(self, obs_dim, action_dim, hidden_size=16):
        super().__init__()
        self.body = nn.Linear(obs_dim, hidden_size)
        self.rnn = nn.GRUCell(hidden_size, hidden_size)
        self.actor, self.critic = nn.Linear(hidden_size, action_dim), nn.Linear(hidden_size, 1)

    def forward(self, obs, rnn_hxs):
        h = self.rnn(torch.relu(self.body(obs)), rnn_hxs)
        return Categorical(logits=self.actor(h)), self.critic(h), h


class SequenceCritic(nn.Module):
    """Values of whole episodes; the state starts anew where one ended."""

    def __init__(self, state_dim, action_dim, hidden_dim=12):
        super().__init__()
        self.embed = nn.Linear(state_dim + action_dim, hidden_dim)
        self.cell = nn.GRUCell(hidden_dim, hidden_dim)
        self.value = nn.Linear(hidden_dim, 1)

    def forward(self, states, actions, dones):
        x = torch.tanh(self.embed(torch.cat([states, actions], -1)))
        h, steps = x.new_zeros(x.shape[1], x.shape[2]), []
        for t in range(x.shape[0]):
            h = self.cell(x[t], h * (1 - dones[t].float()).unsqueeze(-1))
            steps.append(self.value(h))
        return torch.stack(steps)


class TextInImage(nn.Module):
    """Columns of an image [batch, 1, 32, width] as a sequence."""

    def __init__(self, img_h, nc, nclass, nh):
        super().__init__()
        self.cnn = nn.Sequential(
            nn.Conv2d(nc, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(4, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
            nn.MaxPool2d((img_h // 2, 1)),
        )  # fmt: skip
        self.rnn = nn.LSTM(8, nh, bidirectional=True)
        self.embedding = nn.Linear(2 * nh, nclass)

    def forward(self, input):
        conv = self.cnn(input)
        _, _, height, _ = conv.size()
        assert height == 1, "the height of conv must be 1"
        return self.embedding(self.rnn(conv.squeeze(2).permute(2, 0, 1))[0])


class VideoClassifier(nn.Module):
    """Frames [batch, time, 3, 16, 16], each through a small network, then an LSTM."""

    def __init__(self, num_classes, latent_dim=8, hidden_dim=6):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(4, latent_dim),
        )  # fmt: skip
        self.lstm = nn.LSTM(latent_dim, hidden_dim, batch_first=True)
        self.head = nn.Linear(hidden_dim, num_classes)

    def forward(self, frames):
        b, t = frames.shape[:2]
        z = self.encoder(frames.flatten(0, 1)).view(b, t, -1)
        return self.head(self.lstm(z)[0][:, -1])


class KeywordSpotter(nn.Module):
    """Spectrograms [batch, bins, frames], two convolutions and a GRU."""

    def __init__(self, n_mels=12, n_keywords=4, conv=8, hidden=10):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv1d(n_mels, conv, 5, stride=2), nn.ReLU(), nn.Conv1d(conv, conv, 9)
        )
        self.gru = nn.GRU(conv, hidden, batch_first=True, bidirectional=True)
        self.classify = nn.Linear(2 * hidden, n_keywords)

    def forward(self, spectrogram, return_hidden=False):
        y, h = self.gru(self.conv(spectrogram).transpose(1, 2))
        scores = self.classify(y.mean(1))
        return (scores, h) if return_hidden else scores


class FlatImageReader(nn.Module):
    """A spectrogram as an image [batch, 1, time, bins]: pooled, flattened, bidirectional."""

    def __init__(self, n_class=5):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.AvgPool2d((1, 2)),
            nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AvgPool2d((1, 2)),
        )  # fmt: skip
        self.fc = nn.Linear(6 * 10, 8)
        self.gru = nn.GRU(8, 6, batch_first=True, bidirectional=True)
        self.out = nn.Linear(12, n_class)

    def forward(self, mel):
        x = self.conv(mel).transpose(1, 2).flatten(2)
        return torch.sigmoid(self.out(self.gru(torch.relu(self.fc(x)))[0]))


class WorldModel(nn.Module):
    """A latent and an action to what comes next, a state of its own in a pair."""

    def __init__(self, latents, actions, hiddens, gaussians=3):
        super().__init__()
        self.rnn = nn.LSTM(latents + actions, hiddens)
        self.gmm = nn.Linear(hiddens, 2 * gaussians * latents + gaussians)

    def forward(self, action, latent):
        outs, _ = self.rnn(torch.cat([action, latent], -1))
        return self.gmm(outs)


class JoinedMemory(nn.Module):
    """Both states of its layer in one tensor; `train()` is a step of its own, and takes no mode."""

    def __init__(self, features=6, memory_size=16):
        super().__init__()
        self.half = memory_size // 2
        self.lstm = nn.LSTM(features, self.half, batch_first=True)

    def train(self):
        self.lstm.train()

    def eval(self):
        self.lstm.eval()

    def to(self, device):
        self.lstm.to(device)

    def forward(self, input_tensor, memories):
        h0, c0 = torch.split(memories, self.half, dim=-1)
        y, (h, c) = self.lstm(input_tensor, (h0.contiguous(), c0.contiguous()))
        return y, torch.cat([h, c], dim=-1)


class Nowcaster(nn.Module):
    """Images, time first, and a state of other channels, which it cannot do without."""

    def __init__(self, input_channels=12, output_channels=4):
        super().__init__()
        self.gate = nn.Conv2d(input_channels, output_channels, 3, padding=1)
        self.new = nn.Conv2d(input_channels, output_channels, 3, padding=1)

    def forward(self, x, hidden_state=None):
        outputs = []
        for step in range(len(x)):
            gate = torch.sigmoid(self.gate(torch.cat([x[step], hidden_state], dim=1)))
            new = torch.relu(self.new(torch.cat([x[step], gate * hidden_state], dim=1)))
            hidden_state = gate * hidden_state + (1 - gate) * new
            outputs.append(hidden_state)
        return torch.stack(outputs, dim=0)
