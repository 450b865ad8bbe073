"""As people export with the TorchScript-based exporter: dynamic_axes, and names for everything."""

import torch
from torch import nn, onnx
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(6, 8, num_layers=2, batch_first=True, dropout=0.1)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        y, _ = self.gru(x)
        return self.head(y[:, -1])


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(6, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x, state):
        y, state = self.lstm(x, state)
        return self.head(y), state


class Walker(nn.Module):
    """Of which torch's own file has the example's number of steps, without a word."""

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(6, 8)

    def forward(self, x):
        h = c = x.new_zeros(x.size(0), 8)
        for t in range(x.size(1)):
            h, c = self.cell(x[:, t], (h, c))
        return h


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(30, 6)
        self.lstm = nn.LSTM(6, 8, batch_first=True)

    def forward(self, tokens, lengths):
        packed = pack_padded_sequence(self.embed(tokens), lengths, batch_first=True)
        y, (hn, _) = self.lstm(packed)
        y, _ = pad_packed_sequence(y, batch_first=True, total_length=tokens.size(1))
        return y, hn


classifier, tagger, walker, reader = Classifier(), Tagger(), Walker(), Reader()

classifier.eval()
dummy_input = torch.randn(1, 10, 6)
onnx.export(
    classifier,
    dummy_input,
    "classifier.onnx",
    export_params=True,
    opset_version=17,
    do_constant_folding=True,
    input_names=["input"],
    output_names=["output"],
    dynamic_axes={"input": {0: "batch_size", 1: "seq-len"}, "output": {0: "batch_size"}},
    dynamo=False,
)

h0, c0 = torch.zeros(1, 1, 8), torch.zeros(1, 1, 8)
onnx.export(
    tagger,
    (torch.randn(10, 1, 6), (h0, c0)),
    "tagger.onnx",
    input_names=["input.1", "h0", "c0"],
    output_names=["output", "hn", "cn"],
    dynamic_axes={
        "input.1": [0, 1],
        "h0": [1],
        "c0": [1],
        "output": {0: "steps", 1: "rows"},
        "hn": {1: "rows"},
    },
    dynamo=False,
)

onnx.export(
    walker,
    (torch.randn(1, 10, 6),),
    "walker.onnx",
    input_names=["x"],
    output_names=["h"],
    dynamic_axes={"x": {0: "batch", 1: "time"}, "h": {0: "batch"}},
    dynamo=False,
)

tokens, lengths = torch.zeros(3, 7, dtype=torch.long), torch.tensor([7, 5, 2])
onnx.export(
    reader,
    (tokens, lengths),
    "reader.onnx",
    input_names=["tokens", "lengths"],
    dynamic_axes={"tokens": {0: "batch", 1: "time"}, "lengths": {0: "batch"}},
    dynamo=False,
)
