"""`inspect`: every recurrence, every hazard by name, and nothing on clean files."""

import json
import warnings

import pytest
import torch
from onnx import TensorProto, helper

import rnnbench
from rnnbench import Model, TensorSpec
from rnnbench import __main__ as cli
from rnnbench.inspection.inspect import differences, format_inspection
from rnnbench.models import variants
from tests.helpers import handmade
from tests.helpers.hazard_files import batch_first, quantised
from tests.helpers.stock_files import (
    Cast,
    Doubled,
    Flipped,
    Layer,
    Loop,
    MixedGru,
    PeepholeLstm,
    Stepped,
    TwoGates,
    TwoLstms,
    WeighedGru,
    Whole,
    decomposed,
    edited,
    exported,
    looped,
    old,
    own_operator,
    scanned,
    scripted,
    traced,
    traced_onnx,
)

KINDS = {"RNN": "rnn_tanh", "GRU": "gru", "LSTM": "lstm"}


def test_a_quantised_lstm_is_a_recurrence(tmp_path):
    report = rnnbench.inspect(quantised(tmp_path / "file"))
    (found,) = report.recurrences
    assert (found.kind, found.note, found.dtype) == ("lstm", "quantised", "int8")
    assert (found.input_size, found.hidden_size) == (3, 4)
    (foreign,) = report.foreign
    assert (foreign.op, foreign.count) == ("com.microsoft.DynamicQuantizeLSTM", 1)
    assert {"quantised_per_call", "one_engine_only"} <= {h.name for h in report.hazards}
    text = format_inspection(report)
    assert "fused, quantised  lstm" in text
    assert "DynamicQuantizeLSTM (1, an LSTM with weights of 8 bits)" in text
    plain = rnnbench.inspect(old(torch.nn.LSTM(3, 4), tmp_path / "plain"))  # which is not quantised
    assert not {"quantised_per_call", "one_engine_only"} & {h.name for h in plain.hazards}


def test_a_quantised_layer_of_pytorch_is_a_recurrence(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.ao.quantization.quantize_dynamic(Layer().eval(), {torch.nn.GRU})
    report = rnnbench.inspect(scripted(module, tmp_path / "file"))
    (found,) = report.recurrences
    assert (found.representation, found.kind, found.note) == ("fused", "gru", "quantised")
    assert "quantised_per_call" in {h.name for h in report.hazards}


def test_it_is_never_said_that_there_is_none_where_something_is_not_understood(tmp_path):
    def alone(proto):
        own_operator("my.domain", "Recurrent")(proto)
        del proto.graph.node[:-1], proto.graph.output[1:]

    report = rnnbench.inspect(edited(tmp_path / "file", alone))
    assert report.recurrences == ()
    assert [(f.op, f.what) for f in report.foreign] == [("my.domain.Recurrent", "not known here")]
    text = format_inspection(report)
    assert "there may be one in my.domain.Recurrent" in text
    assert "operators of other domains: my.domain.Recurrent (1, not known here)" in text


@pytest.mark.parametrize("op", ["Scan", "Loop"])
def test_loops_of_onnx_are_recurrences(tmp_path, op):
    report = rnnbench.inspect(edited(tmp_path / "file", looped(op)))
    (found,) = report.recurrences
    assert found.representation == {"Scan": "scan", "Loop": "while"}[op]
    assert (found.to_json()["form"], found.kind) == (op.lower(), "rnn_tanh")
    assert (found.input_size, found.hidden_size) == (3, 4)
    assert found.state_in == "input h0"
    assert found.state_out == "output last"
    assert report.ok


@pytest.mark.parametrize("name", variants.names())
def test_nothing_is_reported_on_clean_files(variant_bundle, name):
    _, bundle = variant_bundle(name)
    for format, artifact in bundle.artifacts.items():
        report = rnnbench.inspect(artifact.path)
        assert report.hazards == ()
        assert report.format == format
        assert report.recurrences
        for found in report.recurrences:
            assert (found.representation, found.direction) == ("fused", "forward")
            assert found.hidden_size == 4
            assert "input " in found.state_in
            assert "output " in found.state_out


@pytest.fixture(scope="session")
def own_cells(shared):
    """Loops over cells that have the products and activations of a GRU, an LSTM, an RNN."""

    def export(cell):
        states = ("h0", "c0") if cell is PeepholeLstm else ("h0",)
        inputs = (
            TensorSpec("x", ("time", "batch", 8)),
            *(TensorSpec(name, ("batch", 16), role="state") for name in states),
        )
        finals = {name: f"{name}_last" for name in states}
        model = Model(Stepped(cell()), inputs, ("y", *finals.values()), finals, cell.__name__)
        formats = ("onnx", "torchscript", "pt2")
        return shared.export(f"own {cell.__name__}", lambda: model, formats)

    return [export(cell) for cell in (MixedGru, TwoGates, Flipped, PeepholeLstm)]


@pytest.mark.xdist_group("own cells")
def test_a_cell_of_ones_own_is_no_gru_or_lstm(own_cells, tmp_path):
    for bundle in own_cells:
        for format, artifact in bundle.artifacts.items():
            (found,) = rnnbench.inspect(artifact.path).recurrences
            assert found.representation == ("while" if format == "torchscript" else "scan")
            assert found.kind == "unknown"
            size = None if format == "torchscript" else 16  # which says no shapes
            assert found.hidden_size == size
        stock = traced_onnx(bundle, tmp_path / "stock.onnx")
        (found,) = rnnbench.inspect(stock).recurrences
        assert (found.representation, found.kind) == ("unrolled", "unknown")


@pytest.mark.parametrize("name", ["elman-loop", "gru-loop", "lstm-loop", "linear-loop"])
def test_a_loop_is_proved_to_be_its_cell(tmp_path, name):
    options = variants.Options(5, 4, 2, output_size=4)
    model = variants.model(name, options, bundle_name=name)
    formats = ("onnx", "torchscript", "pt2")
    bundle = rnnbench.export(model, formats, tmp_path, keep_loops=True)
    kind = name.removesuffix("-loop")
    for artifact in bundle.artifacts.values():
        found = rnnbench.inspect(artifact.path).recurrences
        assert [r.kind for r in found] == [kind if kind in ("gru", "lstm") else "rnn_tanh"] * 2
        assert [(r.input_size, r.hidden_size) for r in found] == [(5, 4), (4, 4)]


PRODUCTS = (("MatMul", ["xt", "w"], "wx"), ("MatMul", ["h", "r"], "rh"))


def kind_of(path, *nodes, states=("h",)):
    """(kind, layers) of a Scan over these nodes."""
    (found,) = rnnbench.inspect(edited(path, scanned(*nodes, states=states))).recurrences
    return found.kind, found.num_layers


@pytest.mark.parametrize(
    ("added", "kind"),
    [
        ([], "rnn_tanh"),
        (["b"], "rnn_tanh"),
        (["h"], "unknown"),
        (["hh"], "unknown"),
        (["b", "h"], "unknown"),
    ],
)
def test_a_sum_of_onnx_has_any_number_of_values(tmp_path, added, kind):
    square = [("Mul", ["h", "h"], "hh")] if "hh" in added else []
    total = ("Sum", ["wx", "rh", *added], "sum")
    nodes = (*PRODUCTS, *square, total, ("Tanh", ["sum"], "h_next"))
    assert kind_of(tmp_path / "a.onnx", *nodes) == (kind, 1)


@pytest.mark.parametrize(
    ("to", "kind"),
    [
        (TensorProto.DOUBLE, "rnn_tanh"),
        (TensorProto.BFLOAT16, "rnn_tanh"),
        (TensorProto.INT32, "unknown"),
        (TensorProto.BOOL, "unknown"),
    ],
)
def test_a_cast_of_onnx_to_whole_numbers_is_an_operation(tmp_path, to, kind):
    nodes = (
        *PRODUCTS,
        ("Add", ["wx", "rh"], "sum"),
        ("Cast", ["sum"], "other", {"to": to}),
        ("Cast", ["other"], "back", {"to": TensorProto.FLOAT}),
        ("Tanh", ["back"], "h_next"),
    )
    assert kind_of(tmp_path / "a.onnx", *nodes) == (kind, 1)


@pytest.mark.parametrize(("cast", "kind"), [(Doubled, "rnn_tanh"), (Whole, "unknown")])
@pytest.mark.parametrize("write", [old, traced, scripted, exported, decomposed])
def test_a_cast_of_torch_to_whole_numbers_is_an_operation(tmp_path, write, cast, kind):
    (found,) = rnnbench.inspect(write(Cast(cast()).eval(), tmp_path / "file")).recurrences
    assert found.kind == kind


@pytest.mark.parametrize(
    ("uses", "found"),
    [
        ({"h": "", "g": "h_next"}, ("rnn_tanh", 2)),
        ({"h": "", "g": "h"}, ("rnn_tanh", 2)),
        ({"h": "g", "g": "h"}, ("unknown", 1)),
        ({"h": "g", "g": "h_next"}, ("unknown", 1)),
        ({"h": "", "g": "h_next", "f": "g_next"}, ("rnn_tanh", 3)),
        ({"h": "f", "g": "h_next", "f": "g_next"}, ("unknown", 1)),
        ({"h": "", "g": "f", "f": "g"}, ("unknown", 1)),
    ],
)
def test_cells_that_need_each_others_states_are_no_stack(tmp_path, uses, found):
    nodes = []
    for state, other in uses.items():
        given = ("MatMul", [other, "u"], f"x{state}") if other else ("MatMul", ["xt", "w"], "xh")
        own = ("MatMul", [state, "r"], f"r{state}")
        total = ("Sum", [f"x{state}", f"r{state}", "b"], f"sum_{state}")
        nodes += [given, own, total, ("Tanh", [f"sum_{state}"], f"{state}_next")]
    assert kind_of(tmp_path / "a.onnx", *nodes, states=tuple(uses)) == found


@pytest.mark.parametrize(("mutual", "found"), [(False, ("lstm", 2)), (True, ("unknown", 1))])
def test_two_lstms_that_need_each_others_states_are_no_stack(tmp_path, mutual, found):
    (one,) = rnnbench.inspect(scripted(TwoLstms(mutual), tmp_path / "a.ts")).recurrences
    assert (one.kind, one.num_layers) == found


@pytest.mark.parametrize(("alpha", "kind"), [(1, "gru"), (2, "unknown")])
@pytest.mark.parametrize("write", [scripted, decomposed])
def test_the_alpha_of_rsub_counts(tmp_path, write, alpha, kind):
    (found,) = rnnbench.inspect(write(WeighedGru(alpha), tmp_path / "file")).recurrences
    assert found.kind == kind


@pytest.mark.parametrize(("taken", "kind"), [("wx", "rnn_tanh"), ("h", "unknown")])
def test_a_branch_depends_on_what_it_takes_from_around_it(tmp_path, taken, kind):
    result = helper.make_tensor_value_info("chosen", TensorProto.FLOAT, None)
    node = helper.make_node("Mul", [taken, taken], ["chosen"])
    branch = helper.make_graph([node], "branch", [], [result])
    yes = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    nodes = (
        *PRODUCTS,
        ("Constant", [], "yes", {"value": yes}),
        ("If", ["yes"], "more", {"then_branch": branch, "else_branch": branch}),
        ("Sum", ["wx", "rh", "more"], "sum"),
        ("Tanh", ["sum"], "h_next"),
    )
    assert kind_of(tmp_path / "a.onnx", *nodes) == (kind, 1)


@pytest.mark.xdist_group("own cells")
def test_dimensions_have_their_declared_names(own_cells, tmp_path):
    for bundle in own_cells:
        report = rnnbench.inspect(bundle.artifacts["pt2"].path)
        assert report.dynamic == ("time", "batch")
        assert report.inputs[0].shape == ("time", "batch", 8)
    assert rnnbench.inspect(exported(Layer(), tmp_path / "plain.pt2")).dynamic == ()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("write", [old, traced, exported])
def test_an_unrolled_loop_has_its_period_steps_and_cell(tmp_path, kind, write):
    report = rnnbench.inspect(write(Loop(kind).eval(), tmp_path / "file"))
    (found,) = report.recurrences
    assert (found.representation, found.kind, found.steps) == ("unrolled", KINDS[kind], 5)
    assert (found.input_size, found.hidden_size) == (3, 4)
    assert found.period * 5 <= report.nodes


class OneLayerAgain(torch.nn.Module):
    """One layer, four times: of depth, not of time."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 4)

    def forward(self, x):
        for _ in range(4):
            heads = self.layer(x).reshape(x.shape[0], x.shape[1], 2, 2)
            x = torch.tanh(heads).reshape(x.shape[0], x.shape[1], 4)
        return x


@pytest.mark.parametrize("write", [old, traced, exported])
def test_a_layer_that_is_called_again_is_no_loop_over_time(tmp_path, write):
    """As ALBERT has it, which joins sizes in each of its layers."""
    module, x = OneLayerAgain().eval(), torch.zeros(5, 2, 4)
    path = tmp_path / "file"
    if write is traced:
        traced(module, path, x)
    else:
        write(module, path, inputs=(x,))
    assert rnnbench.inspect(path).recurrences == ()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("write", [old, traced, scripted, exported])
def test_a_fused_layer_is_one_recurrence(tmp_path, kind, write):
    module = Layer(kind).eval()
    (found,) = rnnbench.inspect(write(module, tmp_path / "file")).recurrences
    assert (found.representation, found.kind) == ("fused", KINDS[kind])
    assert (found.input_size, found.hidden_size, found.num_layers) == (3, 4, 1)


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        cli.main(["inspect", *map(str, arguments)])
    return caught.value.code, capsys.readouterr()


def test_on_the_command_line(tmp_path, capsys):
    clean = edited(tmp_path / "a.onnx", lambda m: None)
    damaged = edited(tmp_path / "b.onnx", batch_first)
    code, text = run(capsys, clean)
    assert code == 0
    assert "no hazards" in text.out
    code, text = run(capsys, clean, damaged, "--json")
    assert code == 1
    document = json.loads(text.out)
    assert (document["schema"], document["ok"]) == ("rnnbench-inspect-1", False)
    assert [r["hazards"] == [] for r in document["files"]] == [True, False]
    code, text = run(capsys, damaged)
    assert text.out.splitlines()[-1] == "more: docs/inspect.md#layout (#engine_gaps)"
    assert "pitfall" not in text.out
    assert run(capsys, clean, clean, "--diff")[0] == 0
    code, text = run(capsys, clean, damaged, "--diff")
    assert code == 1
    assert "layout (error)" in text.out


def test_the_difference_of_weights(tmp_path, capsys):
    def moved(proto):
        for name, by in (("R", 0.25), ("B", 0.5)):
            array = handmade.initializer(proto, name).copy()
            array[0, 1] += by
            handmade.replace_initializer(proto, name, array)

    def renamed(proto):
        moved(proto)
        for tensor in proto.graph.initializer:
            tensor.name += "_other"
        for node in proto.graph.node:
            node.input[:] = [
                f"{n}_other" if n in ("W", "R", "B", "axes") else n for n in node.input
            ]

    sound = edited(tmp_path / "a.onnx", lambda m: None)
    code, text = run(capsys, sound, edited(tmp_path / "b.onnx", moved), "--diff", "--json")
    assert code == 1
    assert json.loads(text.out)["differences"] == [
        {"what": "weights: 2 of 4, by 5.0e-01 at most", "a": "R, B", "b": "R, B"}
    ]
    (row,) = differences(
        rnnbench.inspect(sound), rnnbench.inspect(edited(tmp_path / "c.onnx", renamed))
    )
    assert row == ("weights: 2 of 4, by 5.0e-01 at most", "R, B", "R_other, B_other")
    nan = edited(tmp_path / "d.onnx", initializer_nan)
    assert differences(rnnbench.inspect(nan), rnnbench.inspect(nan)) == []
    hazards, weights = differences(rnnbench.inspect(sound), rnnbench.inspect(nan))
    assert hazards == ("hazards", "", "nan_weights (error)")
    assert weights[0].startswith("weights: 1 of 4, by inf")
    scripts = scripted(Layer(), tmp_path / "a.ts"), scripted(Layer(), tmp_path / "b.ts")
    code, text = run(capsys, *scripts, "--diff")
    assert (code, text.out.splitlines()[2:]) == (0, [])
    assert text.err == "the weights are not compared: that is done where both files are ONNX\n"


def initializer_nan(proto):
    array = handmade.initializer(proto, "W").copy()
    array[0, 0, 0] = float("nan")
    handmade.replace_initializer(proto, "W", array)
