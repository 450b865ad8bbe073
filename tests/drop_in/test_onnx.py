"""`rnnbench.onnx.export` in scripts of both of torch's exporters, and what it says."""

import inspect
import io
import warnings

import onnx
import onnxruntime
import pytest
import torch
from torch import nn
from torch.export import Dim

import rnnbench
from rnnbench import RnnbenchError
from tests.drop_in.run_script import eager, judge_onnx, run_script, store_arrays

export = rnnbench.onnx.export


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(3, 4, batch_first=True)
        self.drop = nn.Dropout(0.5)

    def forward(self, x, h=None):
        y, h = self.gru(x, h)
        return self.drop(y), h


class Endless(nn.Module):
    """Ends on data, so that it cannot be captured."""

    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(3, 4)

    def forward(self, x):
        h = x.new_zeros(x.size(0), 4)
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h)
            if h.sum() > 100:
                return h
        return h


def ports(model):
    """Inputs and outputs of a file: names and sizes."""
    return {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in [*model.graph.input, *model.graph.output]
    }


def example():
    return Net().eval(), (torch.randn(2, 5, 3),)


# Scripts


def test_a_script_of_the_old_exporter(tmp_path, monkeypatch):
    names = run_script(
        "old_exporter.py", tmp_path, monkeypatch,
        "from torch import nn, onnx", "from torch import nn\n\nfrom rnnbench import onnx",
    )  # fmt: skip
    state = (torch.randn(1, 3, 8), torch.randn(1, 3, 8))
    tokens, lengths = torch.randint(0, 30, (4, 11)), torch.tensor([11, 9, 4, 1])
    pairs = []
    for name, args in {
        "classifier": (torch.randn(3, 17, 6),),
        "tagger": (torch.randn(17, 3, 6), state),
        "walker": (torch.randn(3, 17, 6),),
        "reader": (tokens, lengths),
    }.items():
        store_arrays(tmp_path / f"{name}.npz", args, eager(names[name], args))
        pairs.append((tmp_path / f"{name}.onnx", tmp_path / f"{name}.npz"))
    judge_onnx(pairs)
    assert not list(tmp_path.glob("*.data")) + list(tmp_path.glob(".*"))
    classifier, tagger, walker, reader = (onnx.load(path) for path, _ in pairs)
    assert ports(classifier) == {"input": ["batch_size", "seq-len", 6], "output": ["batch_size", 3]}
    assert classifier.opset_import[0].version == 17
    assert ports(tagger) == {
        "input.1": ["input.1_dynamic_axes_1", "input.1_dynamic_axes_2", 6],
        "h0": [1, "input.1_dynamic_axes_2", 8],
        "c0": [1, "input.1_dynamic_axes_2", 8],
        "output": ["steps", "rows", 3],
        "hn": [1, "rows", 8],
        "cn": [1, "input.1_dynamic_axes_2", 8],
    }
    assert [n.op_type for n in tagger.graph.node if n.op_type in ("LSTM", "Scan")] == ["LSTM"]
    assert "LSTM" in {node.op_type for node in walker.graph.node}
    assert list(ports(reader)) == ["tokens", "lengths", "output_0", "output_1"]


def test_a_script_of_the_new_exporter(tmp_path, monkeypatch):
    names = run_script(
        "new_exporter.py", tmp_path, monkeypatch,
        "from torch import nn, onnx", "from torch import nn\n\nfrom rnnbench import onnx",
    )  # fmt: skip
    states = [(torch.randn(3, 8), torch.randn(3, 8)) for _ in range(2)]
    kwargs = {"scale": 2.0, "bias": {"bias": torch.randn(8)}}
    args = (torch.randn(3, 9, 6), states)
    wanted = eager(names["decoder"], args, kwargs)
    store_arrays(tmp_path / "decoder.npz", (args, kwargs["bias"]), wanted)
    mixed = (torch.randn(3, 14, 6), torch.randn(3, 7))
    store_arrays(tmp_path / "mixer.npz", mixed, eager(names["mixer"], mixed))
    judge_onnx([(tmp_path / f"{n}.onnx", tmp_path / f"{n}.npz") for n in ("decoder", "mixer")])
    assert ports(names["program"].model_proto) == {
        "x": ["batch", "time", 6],
        **{f"states_{i}_{k}": ["batch", 8] for i in (0, 1) for k in (0, 1)},
        "bias_bias": [8],
        "y": ["batch", "time", 8],
        **{f"output_{k}": ["batch", 8] for k in range(1, 5)},
    }
    mixer = onnx.load(tmp_path / "mixer.onnx", load_external_data=False)
    assert ports(mixer)["x"] == ["batch", "2*time", 6]
    assert (tmp_path / "mixer.onnx.data").is_file()  # as torch has it, unless external_data=False


# Where it goes


def test_without_a_file_the_program_runs_and_saves(tmp_path):
    net, args = example()
    args = (*args, torch.zeros(1, 2, 4))
    before = list(vars(net))
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    net.train()
    with pytest.warns(UserWarning, match=r"^Net is in training mode .* dropout in drop: call"):
        program = export(net, args, dynamic_shapes=({0: "batch", 1: "time"}, {1: "batch"}))
    assert isinstance(program, torch.onnx.ONNXProgram)
    assert net.training
    assert list(vars(net)) == before
    assert all(torch.equal(value, weights[name]) for name, value in net.state_dict().items())
    given = (torch.randn(3, 8, 3), torch.randn(1, 3, 4))
    torch.testing.assert_close(program(*given), tuple(eager(net, given)), rtol=1e-4, atol=1e-5)
    program.save(tmp_path / "net.onnx")
    onnx.checker.check_model(str(tmp_path / "net.onnx"))
    assert ports(program.model_proto)["h"] == [1, "batch", 4]


def test_a_binary_file_and_arguments_that_end_with_a_dict():
    net, (x,) = example()
    file = io.BytesIO()
    export(net, (x, {"h": torch.zeros(1, 2, 4)}), file, dynamic_axes={"x": {1: "time"}})
    session = onnxruntime.InferenceSession(file.getvalue())
    assert [i.name for i in session.get_inputs()] == ["x", "h"]
    assert [i.shape for i in session.get_inputs()] == [[2, "time", 3], [1, 2, 4]]


def test_a_tensor_returned_twice_and_a_scripted_module():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = nn.GRU(3, 4)

        def forward(self, x):
            y, _ = self.gru(x)
            return y, y, x

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(Twice().eval())
    program = export(scripted, torch.randn(5, 2, 3), dynamic_axes={"x": {0: "time"}})
    assert ports(program.model_proto)["output_1"] == ["time", 2, 4]


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (Endless, "depends on the values of a tensor"),
        # ONNX Runtime has no GRU in float64, which its run shows, after the file was made.
        (lambda: nn.GRU(3, 4, batch_first=True).double(), "does not run in onnxruntime .* double"),
    ],
    ids=["no capture", "no proof"],
)
def test_a_failure_leaves_the_file_as_it_was(tmp_path, make, line):
    net = make().eval()
    x = torch.randn(2, 5, 3, dtype=next(net.parameters()).dtype)
    (tmp_path / "net.onnx").write_text("before")
    name = "x" if isinstance(net, Endless) else "input"
    with pytest.raises(RnnbenchError, match=line) as error:
        export(net, (x,), tmp_path / "net.onnx", dynamic_axes={name: {0: "batch", 1: "time"}})
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]
    assert (tmp_path / "net.onnx").read_text() == "before"


# What it says

_REFUSED = {
    "training": ({"training": torch.onnx.TrainingMode.TRAINING}, "training=TRAINING: .*eval"),
    "no weights": ({"export_params": False}, r"include_initializers=False"),
    "weights as inputs": ({"keep_initializers_as_inputs": True}, "keep_initializers_as_inputs=T"),
    "translations": ({"custom_translation_table": {1: 2}}, "operators are translated to ONNX's"),
    "opsets": ({"custom_opsets": {"mine": 1}}, "ONNX's own operators alone"),
    "functions": ({"export_modules_as_functions": True}, "no functions"),
    "aten": (
        {"operator_export_type": torch.onnx.OperatorExportTypes.ONNX_ATEN},
        "ONNX's own operators alone",
    ),
    "old opset": ({"opset_version": 11}, "opset 11: choose from 17 to 21"),
    "no folder": ({"f": "nowhere/net.onnx"}, "folder that there is not"),
    "no path": ({"f": 3}, "f is a int: give a path"),
    "no such port": (
        {"dynamic_axes": {"y": [0]}},
        "'y': the inputs are x and the outputs output_0",
    ),
    "no such axis": ({"dynamic_axes": {"x": {5: "a"}}}, r"'x' has no axis 5: .*\[2, 5, 3\]"),
    "no such form": ({"dynamic_axes": {"x": {0: 1}}}, "give {axis: name}, or a list of axes"),
    "no such argument": ({"dynamic_shapes": {"y": None}}, "names y: the arguments are x"),
    "too many": ({"dynamic_shapes": (None, None)}, "2 entries for 1 arguments"),
    "not nested so": ({"dynamic_shapes": ({0: {1: "b"}},)}, "axis 0 of 'x' is given as {1: 'b'}"),
    "another size": ({"dynamic_shapes": ({0: 7},)}, "axis 0 of 'x' is 2 in the example, not 7"),
    "two sizes": ({"dynamic_shapes": ({0: "n", 1: "n"},)}, "'n' is 2 as axis 0 .* and 5 as axis 1"),
    "smaller": ({"dynamic_shapes": ({0: Dim("b") - 1},)}, "name the smaller dimension"),
    "a fixed axis": ({"dynamic_axes": {"x": [2]}}, "does not run where axis 2 of 'x' is 5"),
    "a name twice": ({"input_names": ["a"], "output_names": ["a"]}, "'a' is the name of two"),
    "kwargs": ({"kwargs": {"nothing": 1}}, "fails on the example arguments .*nothing"),
}


@pytest.mark.parametrize("what", _REFUSED)
def test_what_would_change_the_meaning_is_refused(what):
    options, line = _REFUSED[what]
    net, args = example()
    with pytest.raises(RnnbenchError, match=line) as error:
        export(net, args, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("make", "args", "line"),
    [
        (lambda: torch.export.export(nn.Tanh(), (torch.ones(1),)), (), "is a ExportedProgram"),
        (lambda: torch.sin, (1,), "give a torch.nn.Module"),
        (Net, (), "args hold no tensor"),
        (Net, ("text",), "args hold no tensor"),
        (Net, (object(),), "argument 'x' holds a object: give tensors"),
        (lambda: nn.GRU(3, 4).bfloat16(), (torch.ones(1, 1, 3).bfloat16(),), "is torch.bfloat16"),
    ],
    ids=["program", "function", "nothing", "text", "object", "bfloat16"],
)
def test_other_models_and_arguments_are_refused(make, args, line):
    with pytest.raises(RnnbenchError, match=line):
        export(make(), args)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"verbose": True}, "verbose=True changes nothing: nothing is printed"),
        ({"report": True}, "no report"),
        ({"profile": True}, "no profile"),
        ({"dump_exported_program": True}, "no program is written"),
        ({"artifacts_dir": "there"}, "no artifacts"),
        ({"optimize": False}, "is optimised"),
        ({"do_constant_folding": False}, "are folded"),
        ({"fallback": True}, "no other exporter"),
        ({"autograd_inlining": False}, "nothing to inline"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_cannot_matter_is_a_warning(options, line):
    with pytest.warns(UserWarning, match=line) as warned, pytest.raises(RnnbenchError):
        export(Net(), (), **options)
    assert [warning.filename for warning in warned] == [__file__]


def test_names_beyond_the_ports_and_axes_beside_shapes_are_warnings():
    net, args = example()
    warns = pytest.warns(UserWarning, match="nothing")
    with warns as warned, pytest.raises(RnnbenchError, match="not 7"):
        export(
            net, args, input_names=["x", "h", "w"], output_names=list("abc"),
            dynamic_axes={"x": [0]}, dynamic_shapes=({0: 7},),
        )  # fmt: skip
    assert [str(warning.message) for warning in warned] == [
        "input_names has 3 names for 1 (x): h, w names nothing",
        "output_names has 3 names for 2 (output_0, output_1): c names nothing",
        "dynamic_axes changes nothing beside dynamic_shapes",
    ]
    assert {warning.filename for warning in warned} == {__file__}


def test_the_arguments_are_torch_s():
    ours, theirs = (inspect.signature(f).parameters for f in (export, torch.onnx.export))
    assert not theirs.keys() - ours.keys()
    enums = {"training", "operator_export_type"}  # whose values only torch has
    for name in theirs.keys() - enums:
        assert (ours[name].default, ours[name].kind) == (theirs[name].default, theirs[name].kind)


class BothWays(nn.Module):
    """Calls its own forward."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True)

    def forward(self, x, both=True):
        y, _ = self.rnn(x)
        return y + self.forward(x.flip(1), False) if both else y


def test_a_module_that_calls_its_own_forward():
    module = BothWays().eval()
    axes = {"x": {0: "batch", 1: "time"}}
    program = export(module, (torch.randn(2, 5, 3),), input_names=["x"], dynamic_axes=axes)
    x = torch.randn(3, 7, 3)
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    given = session.run(None, {"x": x.numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(given), module(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"f": io.StringIO()}, "f is a text file: open it as open"),
        ({"dynamic_axes": ["x"]}, "give a dict, as {'x': {0: 'batch', 1: 'time'}}"),
        ({"input_names": [1]}, "input_names=[1]: give a list of names"),
        ({"input_names": [""]}, "give a list of names"),
        ({"dynamic_axes": {"x": {-2: "time", 1: "T"}}}, "axis 1 of 'x' is named twice"),
    ],
)
def test_what_cannot_be_taken_is_one_line(options, words):
    module, args = example()
    with pytest.raises(RnnbenchError) as caught:
        export(module, args, **options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_link_stays_and_a_folder_in_the_way_is_said(tmp_path):
    module, args = example()
    (tmp_path / "target.onnx").write_bytes(b"old")
    (tmp_path / "link.onnx").symlink_to("target.onnx")
    export(module, args, tmp_path / "link.onnx", dynamo=False)
    assert (tmp_path / "link.onnx").is_symlink()
    onnx.load(tmp_path / "target.onnx")
    (tmp_path / "new.onnx.data").mkdir()
    with pytest.raises(RnnbenchError, match=r"cannot write .*new.onnx"):
        export(module, args, tmp_path / "new.onnx")
    assert not (tmp_path / "new.onnx").exists()
