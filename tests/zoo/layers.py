"""nn.RNN, nn.GRU and nn.LSTM anywhere in a module tree."""

import warnings

import torch
from torch import nn
from torch.nn.utils import parametrizations
from zoo.registry import entry, state, x


class Layer(nn.Module):
    """A recurrent layer whose state comes from outside and goes there."""

    def __init__(self, layer):
        super().__init__()
        self.rnn = layer

    def forward(self, x, h0):
        return self.rnn(x, h0)


class LongShort(Layer):
    def forward(self, x, h0, c0):
        y, (hn, cn) = self.rnn(x, (h0, c0))
        return y, hn, cn


class Head(nn.Module):
    """Features, a recurrent layer without a given state, and a head."""

    def __init__(self, layer, width, classes=3):
        super().__init__()
        self.layer = layer
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        return self.head(self.layer(x)[0])


def streaming(layer, hidden, features=4):
    return {
        "module": Layer(layer),
        "inputs": (x("time", "batch", features), state(layer.num_layers, "batch", hidden)),
        "outputs": ("y", "hn"),
        "states": {"h0": "hn"},
    }


@entry(expect={"rnn_tanh": "fused"}, nodes={"RNN": 1})
def rnn_tanh():
    return streaming(nn.RNN(4, 6), 6)


@entry(expect={"rnn_relu": "fused"}, nodes={"RNN": 2})
def rnn_relu_two_layers():
    return streaming(nn.RNN(4, 6, num_layers=2, nonlinearity="relu"), 6)


@entry(expect={"gru": "fused"}, nodes={"GRU": 1})
def gru_streaming():
    return streaming(nn.GRU(4, 5), 5)


@entry(expect={"lstm": "fused"}, nodes={"LSTM": 2})
def lstm_streaming():
    return {
        "module": LongShort(nn.LSTM(4, 5, num_layers=2)),
        "inputs": (
            x("time", "batch", 4),
            state(2, "batch", 5),
            state(2, "batch", 5, name="c0"),
        ),
        "outputs": ("y", "hn", "cn"),
        "states": {"h0": "hn", "c0": "cn"},
    }


@entry(expect={"gru": "fused"}, nodes={"GRU": 2})
def gru_bidirectional_batch_first():
    layer = nn.GRU(4, 5, num_layers=2, bidirectional=True, batch_first=True, dropout=0.3)
    return {
        "module": Head(layer, 10),
        "inputs": (x("batch", "time", 4),),
        "outputs": ("y",),
    }


@entry(expect={"lstm": "fused"}, nodes={"LSTM": 3})
def lstm_three_layers_without_bias():
    return {
        "module": Head(nn.LSTM(4, 6, num_layers=3, bias=False, dropout=0.1), 6),
        "inputs": (x("time", "batch", 4),),
        "outputs": ("y",),
    }


@entry(expect={"lstm": "scan"})
def lstm_projection():
    return {
        "module": Head(nn.LSTM(4, 8, proj_size=3, batch_first=True), 3),
        "inputs": (x("batch", "time", 4),),
        "outputs": ("y",),
    }


class ProjectedStates(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 8, num_layers=2, proj_size=3, bidirectional=True)

    def forward(self, x, h0, c0):
        y, (hn, cn) = self.lstm(x, (h0, c0))
        return y, hn, cn


@entry(expect={"lstm": "scan"})
def lstm_projection_with_states():
    return {
        "module": ProjectedStates(),
        "inputs": (x("time", "batch", 4), x(4, "batch", 3, name="h0"), x(4, "batch", 8, name="c0")),
        "outputs": ("y", "hn", "cn"),
    }


class Unbatched(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(4, 5, bidirectional=True)

    def forward(self, x):
        y, hn = self.gru(x)
        return y, hn


@entry(expect={"gru": "fused"}, nodes={"GRU": 1})
def gru_unbatched():
    return {"module": Unbatched(), "inputs": (x("time", 4),), "outputs": ("y", "hn")}


class UnbatchedStates(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 5)

    def forward(self, x, h0, c0):
        y, states = self.lstm(x, (h0, c0))
        return y, states


@entry(expect={"lstm": "fused"}, nodes={"LSTM": 1})
def lstm_unbatched_with_states():
    return {
        "module": UnbatchedStates(),
        "inputs": (x("time", 4), state(1, 5), state(1, 5, name="c0")),
        "outputs": ("y", "hn", "cn"),
        "states": {"h0": "hn", "c0": "cn"},
    }


class Memory(nn.Module):
    """Nothing but c_n is used."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 5, batch_first=True, bidirectional=True)

    def forward(self, x):
        _, (_, cn) = self.lstm(x)
        return torch.cat([cn[0], cn[1]], dim=1)


@entry(expect={"lstm": "fused"}, nodes={"LSTM": 1})
def lstm_only_cell_state_used():
    return {"module": Memory(), "inputs": (x("batch", "time", 4),), "outputs": ("memory",)}


class Conditioned(nn.Module):
    """The first state is computed from another input."""

    def __init__(self):
        super().__init__()
        self.start = nn.Linear(3, 2 * 5)
        self.gru = nn.GRU(4, 5, num_layers=2, batch_first=True)

    def forward(self, x, speaker):
        h0 = torch.tanh(self.start(speaker)).view(x.size(0), 2, 5).transpose(0, 1).contiguous()
        y, hn = self.gru(x, h0)
        return y, hn[-1]


@entry(expect={"gru": "fused"}, nodes={"GRU": 2})
def gru_state_computed():
    return {
        "module": Conditioned(),
        "inputs": (x("batch", "time", 4), x("batch", 3, name="speaker")),
        "outputs": ("y", "last"),
    }


class ZerosMadeInside(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 5, num_layers=2, batch_first=True)
        self.fc = nn.Linear(5, 2)

    def forward(self, x):
        h0 = torch.zeros(2, x.size(0), 5, dtype=x.dtype, device=x.device)
        c0 = torch.zeros(2, x.size(0), 5, dtype=x.dtype).to(x.device)
        out, _ = self.lstm(x, (h0, c0))
        return self.fc(out[:, -1, :])


@entry(expect={"lstm": "fused"}, nodes={"LSTM": 2})
def lstm_zeros_made_inside():
    return {"module": ZerosMadeInside(), "inputs": (x("batch", "time", 4),), "outputs": ("y",)}


class Siamese(nn.Module):
    """One layer called twice: two inputs, one set of weights."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(4, 5, batch_first=True)

    def forward(self, left, right):
        _, a = self.gru(left)
        _, b = self.gru(right, a)
        return torch.cosine_similarity(a[0], b[0], dim=-1), b


@entry(expect={"gru": "fused"}, nodes={"GRU": 2})
def gru_called_twice():
    return {
        "module": Siamese(),
        "inputs": (x("batch", "time", 4, name="left"), x("batch", "time2", 4, name="right")),
        "outputs": ("score", "state"),
    }


class ConvFront(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv1d(4, 6, 3, padding=1), nn.BatchNorm1d(6), nn.ReLU(), nn.Conv1d(6, 6, 1)
        )
        self.rnn = nn.LSTM(6, 5, batch_first=True, bidirectional=True)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(10, 3)

    def forward(self, x):
        features = self.conv(x.transpose(1, 2)).permute(0, 2, 1)
        y, (hn, _) = self.rnn(features)
        pooled = torch.cat((hn[0], hn[1]), dim=-1)
        return self.head(self.drop(y)).log_softmax(-1), pooled


@entry(expect={"lstm": "fused"}, nodes={"LSTM": 1})
def conv_front_end():
    return {
        "module": ConvFront(),
        "inputs": (x("batch", "time", 4),),
        "outputs": ("scores", "pooled"),
    }


@entry(expect={"lstm": "fused"}, nodes={"LSTM": 1})
def weight_norm_old():
    layer = nn.LSTM(4, 5, batch_first=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, and in many a released model
        torch.nn.utils.weight_norm(layer, "weight_hh_l0")
        module = Head(layer, 5)
        torch.nn.utils.weight_norm(module.head)
    return {"module": module, "inputs": (x("batch", "time", 4),), "outputs": ("y",)}


class NormedFront(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = parametrizations.weight_norm(nn.Conv1d(4, 6, 3, padding=1))
        self.rnn = parametrizations.weight_norm(nn.GRU(6, 5, batch_first=True), "weight_hh_l0")
        self.head = parametrizations.weight_norm(nn.Linear(5, 2))

    def forward(self, x):
        return self.head(self.rnn(self.conv(x.mT).mT)[0])


@entry(expect={"gru": "fused"}, nodes={"GRU": 1})
def weight_norm_parametrized():
    return {"module": NormedFront(), "inputs": (x("batch", "time", 4),), "outputs": ("y",)}


class Frame(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(4, 5, batch_first=True)

    def forward(self, x):
        y, hn = self.gru(x)
        return torch.relu(y) if y.size(2) > 3 else y


class WithScriptedChild(nn.Module):
    def __init__(self):
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecated, and in use
            self.body = torch.jit.script(Frame())
        self.head = nn.Linear(5, 2)

    def forward(self, x):
        return self.head(self.body(x))


@entry()
def scripted_child():
    return {"module": WithScriptedChild(), "inputs": (x("batch", "time", 4),), "outputs": ("y",)}
