import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnnbench import Model, TensorSpec


class Packed(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = torch.nn.GRU(3, 4)

    def forward(self, x, lengths, h0):
        packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
        y, hn = self.gru(packed, h0)
        return pad_packed_sequence(y, total_length=x.size(0))[0], hn


def build():
    torch.manual_seed(0)
    inputs = (
        TensorSpec("x", ("time", "batch", 3)),
        TensorSpec("lengths", ("batch",), "int64", role="lengths"),
        TensorSpec("h0", (1, "batch", 4), role="state"),
    )
    return Model(Packed(), inputs, ("y", "hn"), states={"h0": "hn"}, name="ragged")
