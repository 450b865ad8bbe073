"""Models whose C the tests of `embed` build: streams, lengths, names, sizes of several."""

from dataclasses import replace

import torch
from torch import nn

from rnnbench import Model, TensorSpec
from rnnbench.models import variants
from rnnbench.models.variants import Options
from tests.zoo import MODELS as ZOO


class Keywords(nn.Module):
    """Names that C or C++ has for something else; states of two layers, an output of one number."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(3, 5, num_layers=2, batch_first=True)

    def forward(self, new, long, template):
        y, (hn, cn) = self.rnn(new, (long, template))
        return y, hn, cn, new.new_full((), 2.0)


def keywords():
    states = [TensorSpec(name, (2, "batch", 5), role="state") for name in ("long", "template")]
    inputs = (TensorSpec("new", ("batch", "time", 3)), *states)
    handed = {"long": "short", "template": "this"}
    return Model(Keywords().eval(), inputs, ("inputs", "short", "this", "double"), handed)


class Ragged(nn.Module):
    """Integers, lengths, and a time axis that is not the first."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(7, 5)
        self.layer = nn.GRU(5, 6, batch_first=True)

    def forward(self, ids, lengths, h0):
        steps = torch.arange(ids.shape[1])[None, :] < lengths[:, None]
        y, hn = self.layer(self.table(ids) * steps[:, :, None], h0)
        return y, hn, y.argmax(-1)


def ragged():
    inputs = (
        TensorSpec("ids", ("batch", "time"), "int64", high=7),
        TensorSpec("lengths", ("batch",), "int64", role="lengths"),
        TensorSpec("h0", (1, "batch", 6), role="state"),
    )
    return Model(Ragged().eval(), inputs, ("y", "hn", "best"), {"h0": "hn"}, name="ragged")


def made(kind, **more):
    options = replace(Options(4, 8, 2, output_size=3), **more)
    return lambda: variants.model(kind, options, bundle_name=f"c-{kind}-{len(more)}")


BUILD = {
    "lstm": made("lstm"),
    "both": made("gru", bidirectional=True),
    "ragged": ragged,
    "episodes": ZOO["RowsOfEpisodes"].build,
    "keywords": keywords,
    "double": ZOO["ElmanInFloat64"].build,
}


def build(name):
    """A model, the same at each call."""
    torch.manual_seed(0)
    return BUILD[name]()
