"""Files are judged in processes of their own, which know PyTorch's operators alone."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import rnnbench
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.known_warnings import export_warnings, torchscript_deprecation
from rnnbench.runtimes import forkserver, worker
from rnnbench.runtimes.worker import Job, Worker
from tests.helpers import dying, handmade


@pytest.fixture
def _dying(monkeypatch):
    """Whatever is judged ends its process."""
    monkeypatch.setattr(worker, "_MODULE", dying.__name__)
    monkeypatch.setattr(forkserver, "serves", lambda *_: False)


@pytest.mark.usefixtures("_dying")
def test_a_runtime_that_dies_is_one_line(tmp_path):
    x = torch.randn(2, 5, 3)
    file = tmp_path / "model.onnx"
    with pytest.raises(RnnbenchError, match=r"onnx file does not run in onnxruntime .*SIGSEGV"):
        rnnbench.onnx.export(
            nn.GRU(3, 4, batch_first=True).eval(), (x,), file, dynamic_axes={"input": [0, 1]}
        )
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RnnbenchError, match=r"pt2 file does not run in pt2 .*SIGSEGV") as caught:
        rnnbench.pt2.export(nn.GRU(3, 4, batch_first=True).eval(), (x,))
    assert "\n" not in str(caught.value)


STOCK = """
import sys
from pathlib import Path
import numpy as np
import rnnbench.runtimes.worker
from rnnbench.runtimes.job import Job, load
runtime, path, bundle = sys.argv[1:]
run = load(Job(runtime, runtime, Path(path), Path(bundle)))
x, h = np.zeros((5, 2, 3), np.float32), np.zeros((1, 2, 4), np.float32)
assert run({"x": x, "h0": h})["y"].shape == (5, 2, 4)
import torch
ours = [s.name for s in torch._C._jit_get_all_schemas() if s.name.startswith("rnnbench::")]
loaded = [name for name in sys.modules if name.startswith("rnnbench.capture")]
assert (ours, loaded) == ([], []), (ours, loaded)
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    return rnnbench.export(handmade.gru(), ("torchscript", "pt2"), folder)


@pytest.mark.parametrize("format", ["torchscript", "pt2"])
def test_what_judges_has_never_imported_our_operators(bundle, format):
    words = (format, str(bundle.artifacts[format].path), str(bundle.path))
    done = subprocess.run(
        [sys.executable, "-c", STOCK, *words], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


class Ours(nn.Module):
    """Its layer is our operator, which no stock PyTorch has."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(3, 4)

    def forward(self, x, h0):
        weights = list(self.gru._flat_weights)
        y, hn, _ = torch.ops.rnnbench.recurrence(x, None, h0, None, weights, "gru", "forward")
        return y, hn


def written(format, path, given):
    import rnnbench.capture.operators.recurrence  # noqa: F401  (it makes the operator)

    module = Ours().eval()
    if format == "torchscript":
        with torchscript_deprecation(), torch.no_grad():
            torch.jit.trace(module, given).save(path)
    else:
        with export_warnings():
            torch.export.save(torch.export.export(module, given), path)


@pytest.mark.parametrize("format", ["torchscript", "pt2"])
def test_a_file_with_an_operator_that_stock_lacks_fails(bundle, format, tmp_path):
    given = torch.zeros(5, 2, 3), torch.zeros(1, 2, 4)
    file = tmp_path / bundle.artifacts[format].path.name
    written(format, str(file), given)
    job = Job(format, format, file, bundle.path)
    arrays = dict(zip(("x", "h0"), (np.asarray(t) for t in given), strict=True))
    with pytest.raises(RnnbenchError, match=r"rnnbench::|deserializing"), Worker(job) as run:
        run(arrays)
