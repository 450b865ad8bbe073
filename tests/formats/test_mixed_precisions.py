"""Layers that stay float32 in a rounded model, and what rounding each layer alone costs."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto
from torch import nn

import rnnbench
from rnnbench import Model, RnnbenchError, TensorSpec
from rnnbench.__main__ import main
from rnnbench.checking.check import check
from rnnbench.exporting.rounding import cost_in_words, format_sensitivity, rounded
from rnnbench.models.precision import PRECISIONS, UNCHANGED, WHOLE, layers_of, weights_of

WEIGHTS = {"encoder.0": 40, "rnn.*_l0": 360, "rnn.*_l0_reverse": 360, "out": 90}
SOURCE = """
from tests.formats.test_mixed_precisions import model as build
"""


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Linear(5, 8), nn.ReLU())
        self.rnn = nn.GRU(8, 9, bidirectional=True, batch_first=True)
        self.out = nn.Linear(18, 5)

    def forward(self, x):
        return self.out(self.rnn(self.encoder(x))[0])


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Exports the network in an empty folder: the exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(SOURCE, "utf-8")

    def call(*words):
        with pytest.raises(SystemExit) as ended:
            main(["export", "net.py", "--format", "onnx", *words])
        found = capsys.readouterr()
        return ended.value.code, found.out, found.err

    return call


def model():
    return Model(Net(), (TensorSpec("x", ("batch", "time", 5)),), ("y",))


def test_layers_have_the_names_that_keep_takes():
    layers = layers_of(weights_of(Net()))
    assert {n: sum(w.data.numel() for w in group) for n, group in layers.items()} == {
        **WEIGHTS,
        "rnn.*_l0": 3 * 9 * (8 + 9),
        "rnn.*_l0_reverse": 3 * 9 * (8 + 9),
    }
    for name, group in layers.items():
        left = weights_of(Net(), [name])
        assert {w.name for w in left}.isdisjoint(w.name for w in group)
        assert len(left) + len(group) == 6


@pytest.mark.parametrize("kept", ["out", "rnn", "rnn.*_l0", "encoder.*", "*.weight_hh_*"])
def test_a_pattern_is_of_a_module_a_layer_or_parameters(kept):
    names = {w.name for w in weights_of(Net(), [kept])}
    gone = {
        "out": {"out.weight"},
        "rnn": {n for n, _ in Net().named_parameters() if n.startswith("rnn.weight")},
        "rnn.*_l0": {"rnn.weight_ih_l0", "rnn.weight_hh_l0"},
        "encoder.*": {"encoder.0.weight"},
        "*.weight_hh_*": {"rnn.weight_hh_l0", "rnn.weight_hh_l0_reverse"},
    }
    assert {w.name for w in weights_of(Net())} - names == gone[kept]


@pytest.mark.parametrize("precision", [p for p in PRECISIONS if p not in WHOLE])
@pytest.mark.parametrize("format", ["onnx", "c"])
def test_what_is_kept_is_float32_in_the_file_and_the_rest_is_not(format, precision, tmp_path):
    given = model()
    before = {n: p.detach().clone() for n, p in given.module.named_parameters()}
    bundle = rnnbench.export(given, (format,), tmp_path, precision=precision, keep=["rnn", "out"])
    assert bundle.manifest["precision"]["weights"] == 40
    assert bundle.manifest["precision"]["kept"] == ["rnn", "out"]
    held = torch.load(bundle.path / "weights.pt")
    changed = {n for n, p in before.items() if not torch.equal(held[n], p)}
    assert changed == {"encoder.0.weight"}
    report = check(bundle, ["onnxruntime", "eager", "c"], model=given, isolate=False)
    wrong = [(r.output, r.verdict, r.reason) for r in report.rows if r.verdict != "same"]
    assert not wrong, wrong
    if format == "onnx":
        graph = onnx.load(str(bundle.artifacts["onnx"].path)).graph
        floats = [t for t in graph.initializer if t.data_type == TensorProto.FLOAT]
        sizes = {int(np.prod(t.dims)) for t in floats}
        assert sizes >= {90, 2 * 3 * 9 * 8, 2 * 3 * 9 * 9}
        assert 40 not in sizes


def test_the_file_computes_the_mixed_module(tmp_path):
    """In ONNX Runtime alone, against PyTorch with the one layer rounded by hand."""
    bundle = rnnbench.export(
        model(), ("onnx",), tmp_path, precision="int8-weights", keep=["encoder", "rnn"]
    )
    net = Net().eval()
    step = net.out.weight.abs().amax(1, keepdim=True) / 127
    with torch.no_grad():
        net.out.weight.copy_((net.out.weight / step).round() * step)
    x = torch.randn(2, 7, 5)
    session = onnxruntime.InferenceSession(bundle.artifacts["onnx"].path)
    (y,) = session.run(["y"], {"x": x.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(y, net(x).numpy(), atol=1e-6)


def test_what_each_layer_costs_is_what_keeping_all_others_leaves():
    said = rounded(model(), "int8-weights", each_alone=True)
    rows = {row["layer"]: row for row in said["sensitivity"]}
    assert list(rows) == sorted(rows, key=lambda name: rows[name]["signal_db"]["y"])
    assert sum(row["weights"] for row in rows.values()) == said["weights"]
    assert set(rows) == set(WEIGHTS)
    for layer, row in rows.items():
        others = [name for name in rows if name != layer]
        alone = rounded(model(), "int8-weights", others)
        assert {k: alone[k] for k in ("weights", "signal_db")} == {
            k: row[k] for k in ("weights", "signal_db")
        }


def test_an_output_that_no_rounded_layer_reaches_is_unchanged():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return self.a(x), self.b(x)

    two = Model(Two(), (TensorSpec("x", ("batch", 4)),), ("y", "z"))
    said = rounded(two, "int8-weights", ["b"], each_alone=True)
    assert said["signal_db"]["z"] == UNCHANGED > said["signal_db"]["y"] > 30
    assert cost_in_words(said).endswith(" dB; unchanged: z; kept as float32: b")
    with torch.no_grad():
        two.module.a.weight.copy_(torch.eye(4))
    table = format_sensitivity(rounded(two, "float16", ["b"], each_alone=True))
    assert [line.split()[-1] for line in table.splitlines()[-2:]] == ["unchanged"] * 2


def test_many_layers_are_grouped_by_what_they_are_parts_of():
    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.blocks = nn.ModuleList(
                nn.ModuleDict({"cell": nn.GRUCell(4, 4), "out": nn.Linear(4, 4)}) for _ in range(12)
            )

        def forward(self, x):
            for block in self.blocks:
                x = x + block["out"](block["cell"](x))
            return x

    deep = Model(Deep(), (TensorSpec("x", ("batch", 4)),), ("y",))
    said = rounded(deep, "float16", each_alone=True)
    assert sorted(row["layer"] for row in said["sensitivity"]) == sorted(
        f"blocks.{i}" for i in range(12)
    )
    keep = said["sensitivity"][0]["layer"]
    again = rounded(replaced(deep, Deep()), "float16", [keep])
    assert again["weights"] == said["weights"] - said["sensitivity"][0]["weights"]


def replaced(given, module):
    return Model(module, given.inputs, given.outputs)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--precision", "float16", "--keep", "float32:nets"), "is of no weight that is rounded"),
        (("--precision", "float16", "--keep", "int8:out"), "write it as float32:LAYER"),
        (("--precision", "float16", "--keep", "out"), "write it as float32:LAYER"),
        (("--keep", "float32:out"), "add --precision"),
        (("--sensitivity",), "add --precision"),
        (
            ("--precision", "float16", "--keep", "float32:*"),
            "no matrix of float32 weights to keep as float16",
        ),
    ],
)
def test_what_cannot_be_is_said_in_one_line(words, said, tmp_path, run):
    code, _, printed = run(*words)
    assert code == 2
    (line,) = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert said in line
    assert not (tmp_path / "exports" / "Net").exists()


def test_the_python_api_asks_for_a_precision():
    with pytest.raises(RnnbenchError, match="give a precision as well"):
        rnnbench.export(model(), ("onnx",), keep=["out"])


def test_the_table_is_printed_and_in_the_manifest(tmp_path, run):
    code, printed, _ = run("--precision", "float16,int8-weights", "--sensitivity")
    assert code == 0
    assert max(map(len, printed.splitlines())) <= 80
    for name in ("float16", "int8-weights"):
        assert f"Each layer alone as {name}" in printed
        text = (tmp_path / f"exports/Net-{name}/manifest.json").read_text("utf-8")
        rows = json.loads(text)["precision"]["sensitivity"]
        assert {row["layer"] for row in rows} == set(WEIGHTS)
        lines = [line.split() for line in printed.splitlines()]
        for row in rows:
            assert any(
                line[:2] == [row["layer"], f"{row['weights']:,}"]
                and line[-1] == f"{row['signal_db']['y']:.1f}"
                for line in lines
            )
