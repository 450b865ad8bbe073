"""Damaged ONNX files: the node that was damaged is named, and the failing case made small."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from onnx import numpy_helper

import rnnbench
from rnnbench.cases.stored import read_cases
from rnnbench.checking.bisect import intermediates
from rnnbench.checking.bisect.intermediates import find_reference, recapture
from rnnbench.checking.bisect.locate import format_location, locate
from rnnbench.checking.bisect.minimise import format_minimal, minimise
from rnnbench.checking.bisect.onnx_values import list_nodes, read
from rnnbench.commands.check import command
from rnnbench.core.bundle import Bundle, describe_file
from rnnbench.core.errors import RnnbenchError
from rnnbench.runtimes.pool import Isolation
from tests.helpers import handmade
from tests.zoo import MODELS

NAMES = ("RnnReluDeep", "DeepSpeech", "PackedRnn")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    out = tmp_path_factory.mktemp("exported")
    known = {}

    def get(name):
        if name not in known:
            model = MODELS[name].build()
            bundle = rnnbench.export(model, formats=("onnx", "pt2"), out=out)
            known[name] = bundle, recapture(bundle, model), read_cases(bundle)[0].inputs
        return known[name]

    return get


def swap_rows(array):
    """The first gate changes place with the last; without gates, the first half with the second."""
    parts = np.array_split(array, 3 if array.shape[1] % 3 == 0 else 2, axis=1)
    return np.concatenate([parts[-1], *parts[1:-1], parts[0]], axis=1)


def shift(array):
    return array + np.float32(0.1)


def damaged(bundle, tmp_path, tensor, edit):
    proto = onnx.load(str(bundle.artifacts["onnx"].path))
    handmade.replace_initializer(proto, tensor, edit(handmade.initializer(proto, tensor)))
    path = tmp_path / "damaged.onnx"
    onnx.save(proto, str(path))
    return path


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_off_in_a_sound_file(exported, name):
    bundle, reference, inputs = exported(name)
    found = locate(bundle, inputs, reference=reference)
    assert found.node == ""
    assert "every value is right" in format_location(found)


@pytest.mark.parametrize(
    ("name", "tensor", "edit", "kind", "module", "layer"),
    [
        ("RnnReluDeep", "layer.W_l1", swap_rows, "RNN", "layer", 2),
        ("RnnReluDeep", "layer.B_l2", shift, "RNN", "layer", 3),
        ("DeepSpeech", "rnn.R_l1", swap_rows, "GRU", "rnn", 2),
        ("DeepSpeech", "rnn.R_l0", swap_rows, "GRU", "rnn", 1),
        ("DeepSpeech", "conv.bias", shift, "Conv", "norm", 0),
        ("DeepSpeech", "out.bias", shift, "Add", "out", 0),
        ("PackedRnn", "rnn.lifted_tensor_4.R", swap_rows, "RNN", "rnn", 2),
    ],
)
def test_the_damaged_node_is_named(exported, tmp_path, name, tensor, edit, kind, module, layer):
    bundle, reference, inputs = exported(name)
    path = damaged(bundle, tmp_path, tensor, edit)
    found = locate(bundle, inputs, path=path, reference=reference)
    text = format_location(found)
    assert tensor in found.weights, text
    assert (found.kind, found.module, found.layer) == (kind, module, layer), text
    assert ".py:" in found.source, text
    assert found.reason in text


def test_a_wrong_slice_is_named(exported, tmp_path):
    bundle, reference, inputs = exported("PackedRnn")
    proto = onnx.load(str(bundle.artifacts["onnx"].path))
    node = next(n for n in proto.graph.node if n.op_type == "Slice")
    proto.graph.initializer.append(numpy_helper.from_array(np.array([1]), "late"))
    node.input[1] = "late"
    path = tmp_path / "damaged.onnx"
    onnx.save(proto, str(path))
    found = locate(bundle, inputs, path=path, reference=reference)
    assert (found.node, found.error) == (node.name, float("inf"))
    assert "shape" in found.reason
    assert json.loads(json.dumps(found.to_json()))["error"] == "inf"


def test_model_pt2_is_the_reference_where_the_code_is_not_here(exported, tmp_path):
    bundle, _, inputs = exported("RnnReluDeep")  # its manifest does not say where the code is
    reference = find_reference(bundle)
    assert "model.pt2" in reference.origin
    values = reference.run(inputs)  # in a process: once is enough for both
    reference = replace(reference, run=lambda _: values)
    assert locate(bundle, inputs, reference=reference).node == ""
    path = damaged(bundle, tmp_path, "layer.W_l1", swap_rows)
    found = locate(bundle, inputs, path=path, reference=reference)
    assert "layer.W_l1" in found.weights, format_location(found)


class Greedy(torch.nn.Module):
    """Takes more memory than there may be."""

    def forward(self, x, h0):
        return x + torch.ones(3 * 2**30).sum(), h0


class Slow(torch.nn.Module):
    """Computes for minutes."""

    def forward(self, x, h0):
        wide = torch.full((2048, 2048), 0.001)
        for _ in range(200):
            wide = wide @ wide
        return x + wide.sum(), h0


@pytest.mark.parametrize(
    ("program", "seconds", "said"),
    [
        (Greedy, 300.0, r"out of memory \(limit 4\.0 GB\)"),
        (Slow, 6.0, r"no answer in 6 s"),
    ],
)
def test_a_foreign_model_pt2_has_limits(tmp_path, monkeypatch, program, seconds, said):
    bundle = handmade.make_bundle(tmp_path)
    given = tuple(torch.zeros(s.resolve(handmade.TRACED)) for s in bundle.inputs)
    torch.export.save(torch.export.export(program(), given), str(bundle.path / "model.pt2"))
    artifacts = {"pt2": describe_file(bundle.path / "model.pt2")}
    manifest = {**bundle.manifest, "artifacts": artifacts, "source": {}}
    (bundle.path / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.setattr(intermediates, "LIMITS", Isolation(seconds=seconds))
    with pytest.raises(RnnbenchError, match=f"model.pt2 cannot be evaluated .*{said}") as caught:
        find_reference(Bundle.open(bundle.path)).run(read_cases(bundle)[0].inputs)
    assert "\n" not in str(caught.value)


def test_without_a_program_the_optimiser_alone_is_judged(exported, tmp_path):
    bundle, _, inputs = exported("RnnReluDeep")
    manifest = dict(bundle.manifest)
    manifest["artifacts"] = {"onnx": manifest["artifacts"]["onnx"]}
    found = locate(Bundle(bundle.path, manifest), inputs)
    assert "there is no captured program" in format_location(found)


def test_nodes_say_where_they_are_from(exported):
    bundle, _, _ = exported("DeepSpeech")
    nodes = list_nodes(read(bundle.artifacts["onnx"].path))
    grus = [(n.module, n.source.partition(":")[0]) for n in nodes if n.kind == "GRU"]
    assert grus == [("rnn", "published.py")] * 2
    assert all("/" not in n.source for n in nodes)  # no folder of this machine


def freeze_length(proto):
    """Reads the first two steps alone, and repeats the second to the length that is asked for."""
    tensors = {"zero": [0], "two": [2], "axis": [0]}
    for name, value in tensors.items():
        proto.graph.initializer.append(numpy_helper.from_array(np.array(value), name))
    proto.graph.node[0].input[0] = "first"
    proto.graph.node.insert(
        0, onnx.helper.make_node("Slice", ["x", "zero", "two", "axis"], ["first"])
    )


def test_the_smallest_failing_case(tmp_path):
    bundle = handmade.make_bundle(tmp_path, edit=freeze_length)
    found = minimise(bundle, "onnx", "onnxruntime")
    assert found.dims == {"time": 3, "batch": 1}, format_minimal(found)
    assert "--case time=3,batch=1,seed=0" in found.command
    assert found.location is not None
    assert found.location.layer == 1  # the first value that has a counterpart


def test_nothing_to_minimise(tmp_path):
    found = minimise(handmade.make_bundle(tmp_path), "torchscript", "torchscript")
    assert found.reason == ""
    assert "right at" in format_minimal(found)


def test_bisect_prints_the_case_and_the_node(tmp_path):
    bundle = handmade.make_bundle(tmp_path, edit=freeze_length)
    done = CliRunner().invoke(
        command, [str(bundle.path), "--runtime", "onnxruntime", "--bisect"], standalone_mode=False
    )
    assert done.return_value == 1, done.output
    assert "fails is time=3, batch=1" in done.output
    assert "the first node that is off is" in done.output
