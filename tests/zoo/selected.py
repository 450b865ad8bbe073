"""Modules that select rows by a mask, so that data say how many there are."""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnnbench import TensorSpec
from tests.zoo import LENGTHS, XB, entry

H = 4


@entry(TensorSpec("chars", ("batch", "time", "letters"), dtype="int64", high=9))
class WordsThatHaveLetters(nn.Module):
    """Only words with letters go through the layer; the result goes back to their places."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(9, 3)
        self.rnn = nn.LSTM(3, H, batch_first=True, bidirectional=True)

    def forward(self, chars):
        counts = chars.ne(0).sum(-1)
        there = counts.gt(0)
        words = self.embed(chars[there])
        packed = pack_padded_sequence(words, counts[there].tolist(), True, enforce_sorted=False)
        found = torch.cat(torch.unbind(self.rnn(packed)[1][0]), -1)
        empty = found.new_zeros(*counts.shape, 2 * H)
        return empty.masked_scatter_(there.unsqueeze(-1), found)


@entry(XB, LENGTHS)
class RowsThatHaveSteps(nn.Module):
    """Rows without steps are taken out before packing, and there may be none left."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, H, batch_first=True)

    def forward(self, x, lengths):
        batch, steps, features = x.shape
        there = lengths > 0
        kept = lengths[there]
        if kept.shape[0] == 0:
            return torch.zeros(batch, H)
        rows = torch.masked_select(x, there.view(-1, 1, 1)).view(-1, steps, features)
        packed = pack_padded_sequence(rows, kept.cpu(), batch_first=True, enforce_sorted=False)
        y = pad_packed_sequence(self.rnn(packed)[0], batch_first=True, total_length=steps)[0]
        return x.new_zeros(batch, steps, H).masked_scatter(there.view(-1, 1, 1), y)
