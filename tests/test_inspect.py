"""`inspect`: every recurrence, every hazard by name, and nothing on clean files."""

import json
import warnings
import zipfile

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import rnnbench
from rnnbench import cli, plugins, variants
from rnnbench._quiet import export_warnings, torchscript_deprecation
from rnnbench.errors import RnnbenchError
from tests import handmade

KINDS = {"RNN": "rnn_tanh", "GRU": "gru", "LSTM": "lstm"}


class Layer(nn.Module):
    def __init__(self, kind="GRU", hidden=4, **options):
        super().__init__()
        self.rnn = getattr(nn, kind)(3, hidden, **options)

    def forward(self, x):
        return self.rnn(x)[0]


class Loop(nn.Module):
    def __init__(self, kind="GRU"):
        super().__init__()
        self.lstm = kind == "LSTM"
        self.cell = getattr(nn, f"{kind}Cell")(3, 4)

    def forward(self, x):
        h = c = x.new_zeros(x.shape[1], 4)
        steps = []
        for t in range(x.shape[0]):
            if self.lstm:
                h, c = self.cell(x[t], (h, c))
            else:
                h = self.cell(x[t], h)
            steps.append(h)
        return torch.stack(steps)


class Kept(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(3, 4)
        self.h = torch.zeros(1, 4)

    def forward(self, x):
        self.h = self.cell(x, self.h)
        return self.h


X = torch.zeros(5, 2, 3)


def old(module, path, *, dynamic=True, inputs=(X,), names=("x",)):
    axes = {"x": {0: "time", 1: "batch"}} if dynamic else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(), inputs, path, dynamo=False, input_names=list(names), dynamic_axes=axes
        )
    return path


def new(module, path, shapes=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(), (X,), path, dynamo=True, verbose=False, dynamic_shapes=shapes
        )
    return path


def declared_dynamic(path):
    """What the exporter writes where it does not refuse: the length lives on in a Reshape."""
    proto = onnx.load(path)
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "time"
    del proto.graph.value_info[:]
    onnx.save(proto, path)
    return path


def traced(module, path, example=X):
    with torchscript_deprecation(), warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        torch.jit.trace(module, (example,), check_trace=False).save(str(path))
    return path


def scripted(module, path):
    with torchscript_deprecation():
        torch.jit.script(module).save(str(path))
    return path


def exported(module, path):
    with export_warnings(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The tensor attributes .* assigned during export")
        torch.export.save(torch.export.export(module, (X,)), path)
    return path


def edited(path, edit):
    proto = handmade.onnx_gru(handmade.gru())
    edit(proto)
    onnx.save(proto, str(path))
    return path


def attribute(**values):
    def edit(proto):
        for name, value in values.items():
            kept = [a for a in proto.graph.node[0].attribute if a.name != name]
            del proto.graph.node[0].attribute[:]
            proto.graph.node[0].attribute.extend([*kept, helper.make_attribute(name, value)])

    return edit


def opset(version):
    def edit(proto):
        proto.opset_import[0].version = version

    return edit


def doubled(proto):
    for name in "WRB":
        array = handmade.initializer(proto, name).astype(np.float64)
        handmade.replace_initializer(proto, name, array)


def constant_lengths(proto):
    proto.graph.initializer.append(numpy_helper.from_array(np.array([5, 5], np.int32), "lens"))
    proto.graph.node[0].input[4] = "lens"


def without_state(proto):
    del proto.graph.node[0].input[4:]


def sequence(proto):
    proto.graph.node.append(helper.make_node("SequenceConstruct", ["y"], ["steps"]))


def dropout(proto):
    proto.graph.initializer.append(numpy_helper.from_array(np.array(True), "training"))
    proto.graph.node.append(helper.make_node("Dropout", ["y", "", "training"], ["dropped"]))


def stale(proto):
    """A Scan that adds up its input, with a size that only the exporter knew."""
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Add", ["s", "xt"], ["n"]), helper.make_node("Identity", ["n"], ["o"])],
        "body",
        [info(n, TensorProto.FLOAT, ["s27", 3]) for n in ("s", "xt")],
        [info(n, TensorProto.FLOAT, ["s27", 3]) for n in ("n", "o")],
    )
    scan = helper.make_node("Scan", ["zero", "x"], ["last", "all"], body=body, num_scan_inputs=1)
    proto.graph.initializer.append(numpy_helper.from_array(np.zeros((2, 3), np.float32), "zero"))
    proto.graph.node.append(scan)


CASES = {
    "frozen_length": lambda p: declared_dynamic(new(Layer(), p, ({1: "batch"},))),
    "unrolled_loop": lambda p: old(Loop(), p),
    "foldable_weights": lambda p: new(Layer(hidden=64), p),
    "baked_device": lambda p: traced(Layer(), p),
    "no_state_output": lambda p: old(Layer(), p),
    "training_dropout": lambda p: exported(Layer(num_layers=2, dropout=0.3), p),
    "kept_state": lambda p: scripted(Kept(), p),
    "backward_direction": lambda p: old(Layer(bidirectional=True), p),
    "linear_before_reset": lambda p: edited(p, attribute(linear_before_reset=0)),
    "layout": lambda p: edited(p, attribute(layout=1)),
    "opset": lambda p: edited(p, opset(22)),
    "float_type": lambda p: edited(p, doubled),
    "constant_lengths": lambda p: edited(p, constant_lengths),
    "no_initial_state": lambda p: edited(p, without_state),
    "sequence_construct": lambda p: edited(p, sequence),
    "stale_shapes": lambda p: edited(p, stale),
    "frozen_batch": lambda p: edited(
        p, lambda m: setattr(m.graph.input[1].type.tensor_type.shape.dim[1], "dim_value", 2)
    ),
}


@pytest.mark.parametrize("name", plugins.names("hazards"))
def test_each_hazard_is_found_by_name(tmp_path, name):
    report = rnnbench.inspect(CASES[name](tmp_path / "file"))
    found = [h for h in report.hazards if h.name == name]
    assert found, [h.name for h in report.hazards]
    plugin = plugins.load("hazards", name)
    assert all(h.pitfall == plugin.PITFALL and h.remedy and h.where and h.what for h in found)


@pytest.mark.parametrize(
    "make",
    [
        lambda p: edited(p, dropout),
        lambda p: traced(Layer(num_layers=2, dropout=0.3), p),
    ],
)
def test_dropout_in_training_mode_in_the_other_formats(tmp_path, make):
    names = {h.name for h in rnnbench.inspect(make(tmp_path / "file")).hazards}
    assert "training_dropout" in names


@pytest.mark.parametrize("name", variants.names())
def test_nothing_is_reported_on_clean_files(variant_bundle, name):
    _, bundle = variant_bundle(name)
    for format, artifact in bundle.artifacts.items():
        report = rnnbench.inspect(artifact.path)
        assert report.hazards == ()
        assert report.format == format
        assert report.recurrences
        for found in report.recurrences:
            assert (found.form, found.hidden_size, found.direction) == ("fused", 4, "forward")
            assert "input " in found.state_in
            assert "output " in found.state_out


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("write", [old, traced, exported])
def test_an_unrolled_loop_has_its_period_steps_and_cell(tmp_path, kind, write):
    report = rnnbench.inspect(write(Loop(kind).eval(), tmp_path / "file"))
    (found,) = report.recurrences
    assert (found.form, found.kind, found.steps) == ("unrolled", KINDS[kind], 5)
    assert (found.input_size, found.hidden_size) == (3, 4)
    assert found.period * 5 <= report.nodes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("write", [old, traced, scripted, exported])
def test_a_fused_layer_is_one_recurrence(tmp_path, kind, write):
    module = Layer(kind).eval()
    (found,) = rnnbench.inspect(write(module, tmp_path / "file")).recurrences
    assert (found.form, found.kind) == ("fused", KINDS[kind])
    assert (found.input_size, found.hidden_size, found.num_layers) == (3, 4, 1)


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        cli.main(["inspect", *map(str, arguments)])
    return caught.value.code, capsys.readouterr()


def test_on_the_command_line(tmp_path, capsys):
    clean = edited(tmp_path / "a.onnx", lambda m: None)
    damaged = edited(tmp_path / "b.onnx", attribute(layout=1))
    code, text = run(capsys, clean)
    assert code == 0
    assert "no hazards" in text.out
    code, text = run(capsys, clean, damaged, "--json")
    assert code == 1
    assert [r["hazards"] == [] for r in json.loads(text.out)] == [True, False]
    assert run(capsys, clean, clean, "--diff")[0] == 0
    code, text = run(capsys, clean, damaged, "--diff")
    assert code == 1
    assert "layout (error)" in text.out


def external(path):
    def edit(proto):
        tensor = next(t for t in proto.graph.initializer if t.name == "W")
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="gone.data")

    return edited(path, edit)


def half(write):
    def make(path):
        data = write(Layer().eval(), path).read_bytes()
        path.write_bytes(data[: len(data) // 2])
        return path

    return make


def checkpoint(path):
    torch.save(Layer().state_dict(), path)
    return path


def archive(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("hello.txt", "hello")
    return path


def holding(data):
    def make(path):
        path.write_bytes(data)
        return path

    return make


BAD = {
    "missing": lambda p: p,
    "empty": holding(b""),
    "foreign": holding(b"name,value\n1,2\n"),
    "pickle": holding(b"\x80\x02cos\nsystem\n."),
    "archive": archive,
    "checkpoint": checkpoint,
    "external data": external,
    "half ONNX": half(old),
    "half TorchScript": half(traced),
    "half pt2": half(exported),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line(tmp_path, capsys, name):
    code, text = run(capsys, BAD[name](tmp_path / "file"))
    assert code == 2
    assert text.out == ""
    (line,) = text.err.splitlines()
    assert line.startswith("error: ")
    assert "bug" not in line


def test_nothing_in_a_pickle_is_called(tmp_path):
    marker = tmp_path / "called"
    path = traced(Layer().eval(), tmp_path / "file")
    evil = b"\x80\x02cbuiltins\nopen\nX" + len(str(marker)).to_bytes(4, "little")
    evil += str(marker).encode() + b"X\x01\x00\x00\x00w\x86R."
    with zipfile.ZipFile(path) as before:
        entries = {name: before.read(name) for name in before.namelist()}
    with zipfile.ZipFile(path, "w") as after:
        for name, data in entries.items():
            after.writestr(name, evil if name.endswith("/data.pkl") else data)
    with pytest.raises(RnnbenchError, match="holds no module"):
        rnnbench.inspect(path)
    assert not marker.exists()
