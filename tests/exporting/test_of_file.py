"""Files that others wrote: what they take, the bundle that is made of one, and what it proves."""

import hashlib
import json

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import rnnbench
from rnnbench import RnnbenchError
from rnnbench.core.verdicts import Verdict
from tests.helpers import foreign


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    foreign.stock(folder / "stock.onnx")
    foreign.stock(folder / "odd.onnx", names=("input.1", "state:0", "y/out", "hn-1"))
    foreign.tagger(folder / "tagger.onnx")
    foreign.scripted(folder / "net.ts")
    return folder


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def ran(report):
    """What the rows of outputs say, by format and runtime; each says the same of all."""
    rows = [r for r in report.rows if not r.is_about_weights and r.verdict is not Verdict.LIMIT]
    said = {(r.format, r.runtime): r.verdict for r in rows}
    assert all(said[r.format, r.runtime] is r.verdict for r in rows)
    return said


def test_ports_states_and_sizes_are_found(files):
    model = rnnbench.model_of(files / "stock.onnx")
    assert [(s.name, s.shape, s.role) for s in model.inputs] == [
        ("x", ("batch", "time", 6), "data"),
        ("h", (1, "batch", 8), "state"),
    ]
    assert model.outputs == ("y", "hn")
    assert model.states == {"h": "hn"}
    assert (model.batch_dim, model.time_dim) == ("batch", "time")


def test_ids_and_lengths_are_found(files):
    model = rnnbench.model_of(files / "tagger.onnx")
    ids, lengths = model.inputs
    assert (ids.dtype, ids.role, ids.high) == ("int64", "data", 11)
    assert (lengths.dtype, lengths.role) == ("int32", "lengths")
    assert (model.batch_dim, model.time_dim) == ("N", "T")


@pytest.mark.parametrize("name", ["stock.onnx", "odd.onnx", "tagger.onnx"])
def test_the_bundle_holds_the_file_byte_for_byte_and_proves_it(files, tmp_path, name):
    before = digest(files / name)
    bundle = rnnbench.export(files / name, out=tmp_path)
    assert digest(bundle.artifacts["onnx"].path) == before == digest(files / name)
    report = rnnbench.check(bundle)
    assert report.ok, report
    assert ran(report) == {("onnx", "onnxruntime"): Verdict.SAME}
    assert not report.notes


def test_what_is_right_is_what_pytorch_says(files, tmp_path):
    """In float64, at the bundle's own cases."""
    torch.manual_seed(0)
    module = foreign.Streams().eval().double()
    bundle = rnnbench.export(files / "stock.onnx", out=tmp_path)
    from rnnbench.cases.stored import read_cases

    cases = [c for c in read_cases(bundle) if not c.feed_mode.chunks and not c.empty]
    assert len(cases) >= 8
    for case in cases:
        given = [torch.from_numpy(case.inputs[n]).double() for n in ("x", "h")]
        with torch.no_grad():
            y, hn = module(*given)
        np.testing.assert_allclose(case.reference["y"], y.numpy(), rtol=0, atol=1e-12)
        np.testing.assert_allclose(case.reference["hn"], hn.numpy(), rtol=0, atol=1e-12)


def test_streams_of_a_file_are_cases(files, tmp_path):
    bundle = rnnbench.export(files / "stock.onnx", out=tmp_path)
    assert any("chunks" in case for case in bundle.manifest["cases"])


def test_a_damaged_artifact_differs(files, tmp_path):
    """The weights beside it, and the stored answers, are those of the file as it was given."""
    bundle = rnnbench.export(files / "stock.onnx", out=tmp_path)
    path = bundle.artifacts["onnx"].path
    model = onnx.load(str(path))
    weight = next(t for t in model.graph.initializer if t.name == "head.bias")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) + 1e-3, weight.name))
    onnx.save(model, str(path))
    report = rnnbench.check(bundle.path)
    assert not report.ok
    assert {row.verdict for row in report.rows if row.output == "y"} == {Verdict.DIFFERS}


def branched(path):
    """A layer in each branch, its weights Constants there, of the same names."""
    floats, rng = TensorProto.FLOAT, np.random.default_rng(0)
    branches = {}
    for branch in ("then_branch", "else_branch"):
        arrays = {
            name: rng.standard_normal((1, 5, n)).astype("f") for name, n in (("w", 4), ("r", 5))
        }
        nodes = [
            helper.make_node("Constant", [], [name], value=numpy_helper.from_array(array))
            for name, array in arrays.items()
        ]
        nodes.append(helper.make_node("RNN", ["x", "w", "r"], ["", "h"], hidden_size=5))
        ports = [helper.make_tensor_value_info("h", floats, None)]
        branches[branch] = helper.make_graph(nodes, branch, [], ports)
    nodes = [
        helper.make_node("Equal", ["rate", "sixteen"], ["fast"]),
        helper.make_node("If", ["fast"], ["y"], **branches),
    ]
    ports = {"x": (floats, ["time", "batch", 4]), "rate": (TensorProto.INT64, [])}
    outputs = {"y": (floats, [1, "batch", 5])}
    foreign.graph(path, nodes, ports, outputs, {"sixteen": np.array(16)})


def altered_in(bundle, branch):
    """The row of the weights after a number in a branch was altered."""
    path = bundle.artifacts["onnx"].path
    model = onnx.load(str(path))
    (graph,) = [a.g for a in model.graph.node[1].attribute if a.name == branch]
    tensor = graph.node[0].attribute[0].t
    array = numpy_helper.to_array(tensor).copy()
    array[0, 2, 3] += 1
    tensor.CopyFrom(numpy_helper.from_array(array))
    onnx.save(model, str(path))
    (row,) = [r for r in rnnbench.check(bundle.path).rows if r.is_about_weights]
    return row


def test_weights_in_branches_are_weights(tmp_path):
    """They are looked for in the file, and moved to know the noise."""
    path = tmp_path / "branched.onnx"
    branched(path)
    bundle = rnnbench.export(rnnbench.model_of(path, values={"rate": 16}), out=tmp_path)
    (row,) = [r for r in rnnbench.check(bundle).rows if r.is_about_weights]
    assert (row.verdict, row.cases, row.worst_case) == (Verdict.SAME, 4, "4 exactly")

    from rnnbench.cases.noise import _moved

    module = rnnbench.model_of(path, values={"rate": 16}).module
    given = torch.randn(3, 2, 4), torch.tensor(16)
    (before,) = module(*given)
    with _moved(module, np.random.default_rng(0)):
        (moved,) = module(*given)
    assert 0 < (moved - before).abs().max() < 1e-5
    assert torch.equal(module(*given)[0], before)

    said = [altered_in(bundle, branch) for branch in ("else_branch", "then_branch")]
    assert [row.verdict for row in said] == [Verdict.SAME, Verdict.DIFFERS]
    assert said[0].worst_case == "3 exactly, 1 without effect"  # at this rate it is never taken
    assert said[1].reason.startswith("1 of 4 weights")


def test_a_file_without_weights_proves_nothing_of_them(tmp_path):
    floats, path = TensorProto.FLOAT, tmp_path / "plain.onnx"
    node = helper.make_node("Tanh", ["x"], ["y"])
    foreign.graph(path, [node], {"x": (floats, ["batch", 4])}, {"y": (floats, ["batch", 4])})
    report = rnnbench.check(rnnbench.export(path, out=tmp_path))
    (row,) = [r for r in report.rows if r.is_about_weights]
    assert (row.verdict, row.cases, row.reason) == (Verdict.NOT_JUDGED, 0, "there are none")
    assert report.ok
    assert not report.notes


def test_there_is_no_module_to_run(files, tmp_path):
    bundle = rnnbench.export(files / "stock.onnx", out=tmp_path)
    report = rnnbench.check(bundle, ["eager", "onnxruntime"])
    verdicts = ran(report)
    assert verdicts["eager", "eager"] is Verdict.NOT_RUN
    assert verdicts["onnx", "onnxruntime"] is Verdict.SAME


def test_another_format_is_a_row_with_its_reason(files, tmp_path):
    bundle = rnnbench.export(files / "stock.onnx", ("onnx", "pt2"), tmp_path)
    assert set(bundle.artifacts) == {"onnx"}
    assert "no program of PyTorch is made" in bundle.manifest["failed"]["pt2"]
    report = rnnbench.check(bundle)
    assert "pt2" in {row.format for row in report.rows}


def test_a_profile_makes_another_file_of_it(files, tmp_path):
    bundle = rnnbench.export(files / "tagger.onnx", out=tmp_path, profile="portable")
    assert bundle.artifacts["portable"].details["profile"] == "portable"
    report = rnnbench.check(bundle)
    assert report.ok, report
    assert ("portable", "onnxruntime") in ran(report)


def test_torchscript_is_its_own_reference_and_becomes_onnx(files, tmp_path):
    model = rnnbench.model_of(
        files / "net.ts",
        shapes={"x": ("batch", "time", 6), "h": (1, "batch", 8)},
        states={"h": "output_1"},
    )
    bundle = rnnbench.export(model, out=tmp_path)
    assert digest(bundle.artifacts["torchscript"].path) == digest(files / "net.ts")
    assert not bundle.manifest["failed"]
    report = rnnbench.check(bundle)
    assert report.ok, report
    assert ran(report) == {
        ("torchscript", "torchscript"): Verdict.SAME,
        ("onnx", "onnxruntime"): Verdict.SAME,
    }


def test_a_number_is_the_same_in_every_case(tmp_path):
    path = tmp_path / "scaled.onnx"
    nodes = [
        helper.make_node("Cast", ["rate"], ["factor"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "factor"], ["y"]),
    ]
    ports = {"x": (TensorProto.FLOAT, ["batch", 4]), "rate": (TensorProto.INT64, [])}
    foreign.graph(path, nodes, ports, {"y": (TensorProto.FLOAT, ["batch", 4])})
    with pytest.raises(RnnbenchError, match=r"input 'rate' is a number: give it, --set rate=VALUE"):
        rnnbench.model_of(path)
    bundle = rnnbench.export(rnnbench.model_of(path, values={"rate": 16000}), out=tmp_path)
    assert rnnbench.check(bundle).ok
    assert json.loads((bundle.path / "manifest.json").read_text())["inputs"][1]["value"] == 16000
    with np.load(bundle.path / "cases.npz") as stored:
        given = {int(stored[name]) for name in stored.files if name.endswith("/in/rate")}
    assert given == {16000}


def test_external_data_comes_along(tmp_path):
    foreign.stock(tmp_path / "one.onnx")
    model = onnx.load(str(tmp_path / "one.onnx"))
    beside = {"save_as_external_data": True, "size_threshold": 0}
    onnx.save(model, str(tmp_path / "big.onnx"), location="big.weights", **beside)
    bundle = rnnbench.export(tmp_path / "big.onnx", out=tmp_path / "out")
    assert digest(bundle.path / "big.weights") == digest(tmp_path / "big.weights")
    assert rnnbench.check(bundle).ok
    (tmp_path / "big.weights").unlink()
    with pytest.raises(RnnbenchError, match=r"big\.weights, which is missing"):
        rnnbench.export(tmp_path / "big.onnx", out=tmp_path / "out")
    assert rnnbench.check(bundle.path).ok  # the bundle from before is whole


def test_external_data_in_several_files(tmp_path, capsys):
    """Every verb takes it; those that are missing are named in one line."""
    given = tmp_path / "given"
    given.mkdir()
    foreign.stock(given / "big.onnx", foreign.Wide())
    model = onnx.load(str(given / "big.onnx"))
    path = given / "big.onnx"
    for number, tensor in enumerate(model.graph.initializer):
        if tensor.data_type == TensorProto.FLOAT:
            name = f"part{number}.bin" if number % 2 else f"more/part{number}.bin"
            onnx.external_data_helper.set_external_data(tensor, name)
    (given / "more").mkdir()
    onnx.save(model, str(path))
    parts = sorted(str(p.relative_to(given)) for p in given.rglob("*.bin"))
    assert len(parts) > 2
    before = {p: digest(given / p) for p in (*parts, "big.onnx")}

    bundle = rnnbench.export(path, out=tmp_path / "out", profile="portable")
    assert sorted(bundle.artifacts["onnx"].beside) == parts
    assert bundle.artifacts["portable"].beside == ()
    assert {p: digest(bundle.path / p) for p in parts} == {p: before[p] for p in parts}
    report = rnnbench.check(bundle)
    assert report.ok, report
    (weights,) = [r for r in report.rows if r.is_about_weights and r.format == "onnx"]
    assert weights.cases >= len(parts)
    assert rnnbench.inspect(path).recurrences
    assert rnnbench.check(path).ok
    said = rnnbench.optimize(path, tmp_path / "new" / "better.onnx")
    assert said.changed
    assert rnnbench.check(tmp_path / "new" / "better.onnx").ok
    assert {p: digest(given / p) for p in before} == before

    for name in parts[:2]:
        (given / name).unlink()
    one_line = rf"keeps weights in {parts[0]}, {parts[1]}, which are missing: put them beside it$"
    for verb in (
        rnnbench.export,
        rnnbench.check,
        rnnbench.inspect,
        lambda p: rnnbench.optimize(p, tmp_path / "other.onnx"),
    ):
        with pytest.raises(RnnbenchError, match=one_line):
            verb(path)
    (bundle.path / parts[0]).unlink()
    with pytest.raises(RnnbenchError, match="is missing"):
        rnnbench.check(bundle.path)


def identity(path, ports, outputs):
    pairs = zip(ports, outputs, strict=False)
    nodes = [helper.make_node("Identity", [a], [b]) for a, b in pairs]
    foreign.graph(path, nodes, ports, outputs)


def test_what_cannot_be_told_is_asked_for(tmp_path):
    floats, path = TensorProto.FLOAT, tmp_path / "a.onnx"
    same = {"cache": (floats, ["batch", 4])}
    outputs = {"y": same["cache"], "z": same["cache"]}
    identity(path, {**same, "x": same["cache"]}, outputs)
    with pytest.raises(RnnbenchError, match=r"cannot be told \(y, z\): give --state cache=y"):
        rnnbench.model_of(path)
    assert rnnbench.model_of(path, states={"cache": "z"}).states == {"cache": "z"}
    assert rnnbench.model_of(path, states={"cache": ""}).states == {}
    with pytest.raises(RnnbenchError, match="unknown output for --state 'q': choose from y, z"):
        rnnbench.model_of(path, states={"cache": "q"})
    with pytest.raises(RnnbenchError, match=r"unknown input of .* 'q': choose from cache, x"):
        rnnbench.model_of(path, values={"q": 1})
    identity(path, {"ids": (TensorProto.INT64, ["batch"])}, {"y": (TensorProto.INT64, ["batch"])})
    with pytest.raises(RnnbenchError, match=r"which values it may have is not known: give --high"):
        rnnbench.model_of(path)
    assert rnnbench.model_of(path, high={"ids": 7}).inputs[0].high == 7


def test_sizes_that_a_file_takes_are_named(tmp_path):
    """It takes 512 and a few more, which is found out; but not four times as many."""
    path = tmp_path / "window.onnx"
    nodes = [
        helper.make_node("Split", ["x"], ["a", "b"], axis=1, num_outputs=2),
        helper.make_node("Squeeze", ["b", "axis"], ["c"]),
        helper.make_node("Identity", ["c"], ["y"]),
    ]
    floats = TensorProto.FLOAT
    ports = {"x": (floats, ["batch", "samples"])}
    foreign.graph(path, nodes, ports, {"y": (floats, ["batch"])}, {"axis": np.array([1])}, opset=18)
    with pytest.raises(RnnbenchError, match=r"give the sizes that it takes, as --shape x="):
        rnnbench.export(path, out=tmp_path)
    bundle = rnnbench.export(rnnbench.model_of(path, shapes={"x": ("batch", 2)}), out=tmp_path)
    assert rnnbench.check(bundle).ok


def test_an_operator_that_nobody_knows_is_one_line(tmp_path):
    path = tmp_path / "odd.onnx"
    nodes = [helper.make_node("Wonder", ["x"], ["y"], domain="com.example")]
    floats = (TensorProto.FLOAT, ["batch", 4])
    foreign.graph(path, nodes, {"x": floats}, {"y": floats})
    model = onnx.load(str(path))
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    onnx.save(model, str(path))
    with pytest.raises(RnnbenchError, match=r"Wonder .*com\.example") as caught:
        rnnbench.export(path, out=tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "odd").exists()


def test_a_quantised_file_may_break_ties_otherwise(tmp_path):
    """ONNX Runtime rounds to another whole number where a value is near the middle of two.

    With weights of 7 bits: of 8, its sums overflow on processors without VNNI, and are wrong.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    foreign.stock(tmp_path / "float.onnx", foreign.Wide(), opset_version=17)
    path = tmp_path / "small.onnx"
    quantize_dynamic(
        str(tmp_path / "float.onnx"), str(path), weight_type=QuantType.QInt8, reduce_range=True
    )
    model = rnnbench.model_of(path)
    assert "com.microsoft.DynamicQuantizeLSTM" in model.quantised
    bundle = rnnbench.export(model, out=tmp_path)
    report = rnnbench.check(bundle)
    assert report.ok, report
    assert rnnbench.model_of(tmp_path / "float.onnx").quantised == ()


def test_a_dimension_that_has_one_size_is_found(tmp_path):
    """An LSTM of one row behind an open dimension, as converters write them."""
    rng = np.random.default_rng(0)
    path, floats = tmp_path / "one_row.onnx", TensorProto.FLOAT
    nodes = [
        helper.make_node("Unsqueeze", ["x", "one"], ["steps"]),
        helper.make_node("Unsqueeze", ["h", "zero"], ["first"]),
        helper.make_node("RNN", ["steps", "w", "r", "", "", "first"], ["Y", "last"], hidden_size=5),
        helper.make_node("Squeeze", ["Y", "both"], ["y"]),
        helper.make_node("Squeeze", ["last", "zero"], ["hn"]),
    ]
    weights = {
        "w": 0.4 * rng.standard_normal((1, 5, 4)).astype("f"),
        "r": 0.4 * rng.standard_normal((1, 5, 5)).astype("f"),
        **{name: np.array(axes) for name, axes in (("zero", [0]), ("one", [1]), ("both", [1, 2]))},
    }
    ports = {"x": (floats, [None, 4]), "h": (floats, [None, 5])}
    outputs = {"y": (floats, [None, 5]), "hn": (floats, [None, 5])}
    foreign.graph(path, nodes, ports, outputs, weights)
    model = rnnbench.model_of(path)
    assert [spec.shape for spec in model.inputs] == [("time", 4), ("batch", 5)]
    bundle = rnnbench.export(path, out=tmp_path)
    assert [spec.shape for spec in bundle.inputs] == [("time", 4), (1, 5)]
    assert any("'batch' is 1" in note for note in bundle.manifest["notes"])
    report = rnnbench.check(bundle)
    assert report.ok, report


class KeepsIts(torch.nn.Module):
    """The sum so far stays inside."""

    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.zeros(1))

    def forward(self, x):
        self.total = self.total + x.sum()
        return x + self.total


def test_a_program_that_keeps_a_state_inside_is_refused(tmp_path):
    foreign.scripted(tmp_path / "keeps.ts", KeepsIts())
    with pytest.raises(RnnbenchError, match=r"something else the second time: it keeps a state"):
        rnnbench.model_of(tmp_path / "keeps.ts", shapes={"x": ("batch", 4)})


def test_a_file_of_an_old_opset_gets_a_form_for_other_engines(tmp_path):
    """The rewrites use operators as they are from opset 17 on."""
    foreign.stock(tmp_path / "old.onnx", opset_version=11)
    bundle = rnnbench.export(tmp_path / "old.onnx", out=tmp_path, profile="tract")
    opsets = onnx.load(str(bundle.artifacts["portable"].path)).opset_import
    assert [entry.version for entry in opsets if not entry.domain] == [17]
    report = rnnbench.check(bundle)
    assert report.ok, report
    assert ran(report)["onnx", "onnxruntime"] is Verdict.SAME


def wrongly_declared(path, opset):
    """y is declared of two dimensions, and has three; the inner z of one, and has three."""
    floats, rng = TensorProto.FLOAT, np.random.default_rng(0)
    weights = {
        "w": rng.standard_normal((1, 20, 4)).astype("f"),
        "r": rng.standard_normal((1, 20, 5)).astype("f"),
        "sizes": np.array([0, -1, 5]),
        "zeros": np.zeros((1, 1, 5), "f"),
    }
    nodes = [
        helper.make_node(
            "LSTM", ["x", "w", "r", "", "", "zeros", "zeros"], ["Y"], "layer", hidden_size=5
        ),
        helper.make_node("Reshape", ["Y", "sizes"], ["z"]),
        helper.make_node("Tanh", ["z"], ["y"]),
    ]
    ports = {"x": (floats, ["time", 1, 4])}
    foreign.graph(path, nodes, ports, {"y": (floats, [1, "time"])}, weights, opset=opset)
    model = onnx.load(str(path))
    model.graph.value_info.add().CopyFrom(helper.make_tensor_value_info("z", floats, [7]))
    onnx.save(model, str(path))
    with pytest.raises(onnx.shape_inference.InferenceError):
        onnx.checker.check_model(model, full_check=True)


@pytest.mark.parametrize("opset", [12, 17, 21])
def test_a_shape_that_is_declared_wrong_is_put_right_in_a_new_file(opset, tmp_path):
    path = tmp_path / "wrong.onnx"
    wrongly_declared(path, opset)
    before = digest(path)
    bundle = rnnbench.export(path, out=tmp_path, profile="tract")
    assert digest(path) == before == digest(bundle.artifacts["onnx"].path)
    new = onnx.load(str(bundle.artifacts["portable"].path))
    onnx.checker.check_model(new, full_check=True)
    assert len(new.graph.output[0].type.tensor_type.shape.dim) == 3
    (note,) = [n for n in bundle.manifest["notes"] if "declared" in n]
    assert note.startswith("'y' is declared [1, time], and is computed as [")
    report = rnnbench.check(bundle, ["onnxruntime"])
    assert report.ok, report

    said = rnnbench.optimize(path, tmp_path / "better.onnx")
    assert digest(path) == before
    found = {f.place: (f.found, f.result) for f in said.findings if "declared as" in f.found}
    assert found["y"] == ("declared as [1, time]", "[time, ?, 5]")
    assert found["z"][0] == "declared as [7]"
    better = onnx.load(str(tmp_path / "better.onnx"))
    onnx.checker.check_model(better, full_check=True)
    assert len(better.graph.output[0].type.tensor_type.shape.dim) == 3


def test_a_file_that_declares_right_is_not_corrected(files, tmp_path):
    bundle = rnnbench.export(files / "stock.onnx", out=tmp_path, profile="tract")
    assert not [note for note in bundle.manifest["notes"] if "declared" in note]


def test_a_state_has_the_batch_of_the_data_whatever_it_is_called(tmp_path):
    """paddle2onnx calls each open size something else."""
    path = tmp_path / "names.onnx"
    foreign.other_names(path)
    model = rnnbench.model_of(path)
    assert [s.shape for s in model.inputs] == [("D0", "D1", 3), (1, "D0", 4), (1, "D0", 4)]
    assert model.states == {"h": "hn", "c": "cn"}
    assert ran(rnnbench.check(path)) == {("onnx", "onnxruntime"): Verdict.SAME}
    given = rnnbench.model_of(path, shapes={"h": (1, "rows", 4)})
    assert given.inputs[1].shape == (1, "rows", 4)  # what is said is not doubted


@pytest.mark.parametrize("rows", [2, 3])
def test_a_state_that_is_written_down_says_the_batch(rows, tmp_path):
    path = tmp_path / "stateful.onnx"
    foreign.written_state(path, rows)
    assert rnnbench.model_of(path).inputs[0].shape == ("time", rows, 3)
    assert ran(rnnbench.check(path)) == {("onnx", "onnxruntime"): Verdict.SAME}


def test_ids_that_are_counted_from_the_end_below_zero(tmp_path):
    """`id + rows * (id < 0)` before the table, as TensorFlow's converter writes it."""
    path = tmp_path / "ids.onnx"
    foreign.wrapped_ids(path)
    assert rnnbench.model_of(path).inputs[0].high == 11
    assert ran(rnnbench.check(path)) == {("onnx", "onnxruntime"): Verdict.SAME}


def test_an_input_that_nothing_reads_needs_no_bound(tmp_path):
    path = tmp_path / "unread.onnx"
    foreign.tagger(path)
    model = onnx.load(str(path))
    (layer,) = [n for n in model.graph.node if n.op_type == "LSTM"]
    layer.input[4] = ""
    onnx.save(model, str(path))
    assert ran(rnnbench.check(path)) == {("onnx", "onnxruntime"): Verdict.SAME}
