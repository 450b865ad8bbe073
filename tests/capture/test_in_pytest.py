"""Models that are defined in a test file, whose asserts pytest has compiled anew."""

import numpy as np
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import rnnbench
from rnnbench import Model, TensorSpec


class AsLongAsItsPadding(nn.Module):
    """torch.export knows an assert by its bytecode, which pytest changes: findings/pytest_*.sh."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        y, _ = pad_packed_sequence(self.rnn(packed)[0], batch_first=True)
        assert y.shape[1] == x.shape[1]
        return y


def full(dims, generator):
    x = generator.standard_normal((dims["batch"], dims["time"], 3), dtype="float32")
    lengths = generator.integers(1, dims["time"] + 1, dims["batch"])
    lengths[0] = dims["time"]
    return {"x": x, "lengths": np.asarray(lengths)}


def test_an_assert_on_a_size_of_data_is_one_here_too(tmp_path):
    assert "@pytest_ar" in AsLongAsItsPadding.forward.__code__.co_names  # it is compiled anew
    specs = (TensorSpec("x", ("batch", "time", 3)), TensorSpec("lengths", ("batch",), "int64"))
    model = Model(AsLongAsItsPadding().eval(), specs, ("y",), sample=full)
    bundle = rnnbench.export(model, formats=("onnx", "torchscript", "pt2"), out=tmp_path)
    assert bundle.manifest["failed"] == {}
    report = rnnbench.check(bundle, isolate=False)
    assert report.ok, report
