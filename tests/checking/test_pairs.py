"""Two files that rnnbench did not write, for the same network."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner

import rnnbench
from rnnbench.checking.pairs import check_pair, format_pair
from rnnbench.checking.pairs.inputs import Given
from rnnbench.checking.pairs.match_ports import job_of
from rnnbench.commands.check import command
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.known_warnings import torchscript_deprecation
from rnnbench.core.ports import find_states
from rnnbench.core.signature import Port, Signature
from tests.helpers import foreign, handmade
from tests.helpers.stock_files import package


class Inside(torch.nn.Module):
    """The same network, which keeps its state, and takes a number that is not data."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.memory = torch.zeros(0)

    def forward(self, frames, rate: int):
        if self.memory.numel() == 0:
            self.memory = torch.zeros(1, frames.size(1), self.layer.hidden_size)
        y, self.memory = self.layer(frames * (rate / 16000), self.memory)
        return y


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same GRU as ONNX, damaged ONNX, TorchScript with a state and with one inside."""
    folder = tmp_path_factory.mktemp("files")
    model = handmade.gru()
    proto = handmade.onnx_gru(model)
    onnx.save(proto, str(folder / "a.onnx"))
    r = handmade.initializer(proto, "R")
    r[0, -1, 0] += 0.01
    handmade.replace_initializer(proto, "R", r)
    onnx.save(proto, str(folder / "damaged.onnx"))
    handmade.script(model, folder / "b.ts")
    layer = next(m for m in model.module.modules() if isinstance(m, torch.nn.GRU))
    with torchscript_deprecation():
        torch.jit.save(torch.jit.script(Inside(layer).eval()), str(folder / "inside.pt"))
    return folder


def test_the_same_network_in_two_formats(files):
    report = check_pair(files / "a.onnx", files / "b.ts")
    assert report.ok, format_pair(report)
    assert {(r.output, r.other) for r in report.rows} == {("y", "output_0"), ("hn", "output_1")}
    assert all(row.calls == 16 for row in report.rows)  # four sizes, four chunks
    assert any("h0 <- hn" in line for line in report.matching)
    assert json.loads(json.dumps(report.to_json()))["ok"]


def test_a_damaged_file_differs(files):
    report = check_pair(files / "a.onnx", files / "damaged.onnx")
    assert not report.ok
    assert {row.verdict for row in report.rows} == {"DIFFERS"}
    assert check_pair(files / "a.onnx", files / "damaged.onnx", tolerance=0.1).ok


def test_a_state_that_is_kept_inside(files):
    given = Given(values={"rate": 16000}, shapes={"x": (5, 2, handmade.FEATURES)})
    report = check_pair(files / "a.onnx", files / "inside.pt", given)
    assert report.ok, format_pair(report)
    assert [(r.output, r.other) for r in report.rows] == [("y", "output_0")]
    assert "kept inside of inside.pt" in format_pair(report)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (Given(), "'rate' is a number: give it, --set rate=VALUE"),
        (Given(values={"rat": 1}), "neither file has an input 'rat'"),
        (Given(values={"rate": 16000}, shapes={"x": (5, 2, 9)}), "nothing can be compared"),
    ],
)
def test_what_to_feed_must_be_known(files, given, why):
    with pytest.raises(RnnbenchError, match=why):
        check_pair(files / "inside.pt", files / "a.onnx", given)


def test_given_inputs_are_one_case(files, tmp_path):
    np.savez(tmp_path / "x.npz", x=np.ones((6, 2, handmade.FEATURES), np.float32))
    words = [str(files / "a.onnx"), "--against", str(files / "b.ts")]
    words += ["--inputs", str(tmp_path / "x.npz"), "--json"]
    done = CliRunner().invoke(command, words, standalone_mode=False)
    assert done.return_value == 0, done.output
    assert [row["calls"] for row in json.loads(done.output)["rows"]] == [4, 4]


@pytest.mark.parametrize("name", ["a.onnx", "b.ts"])
def test_damaged_files_are_one_line(files, tmp_path, name):
    data = (files / name).read_bytes()
    short = tmp_path / name
    short.write_bytes(data[: len(data) // 2])
    with pytest.raises(RnnbenchError, match=r"damaged|not ONNX") as caught:
        check_pair(files / "a.onnx", short)
    assert "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(RnnbenchError, match=r"no \.onnx, TorchScript or \.pt2 file"):
        job_of(tmp_path / "notes.txt")
    with pytest.raises(RnnbenchError, match=r"is an AOTInductor package.* in its bundle"):
        job_of(package(tmp_path / "model.aoti.pt2"))
    with pytest.raises(RnnbenchError, match="is not a file"):
        job_of(tmp_path / "missing.onnx")


@pytest.mark.parametrize(
    ("source", "target"),
    [("h0", "hn"), ("state", "stateN"), ("h_in", "h_out"), ("c0", "cn"), ("cache", "new_cache")],
)
def test_states_are_recognised_by_name(source, target):
    shape = (1, "batch", 4)
    data = Port("x", "float32", shape), Port("y", "float32", shape)
    ports = Port(source, "float32", shape), Port(target, "float32", shape)
    assert find_states(Signature((data[0], ports[0]), (data[1], ports[1]))) == {source: target}


SILERO = find_spec("silero_vad")


@pytest.mark.skipif(SILERO is None, reason="silero_vad is not installed: pip install silero-vad")
def test_a_published_network_with_its_state():
    data = Path(str(SILERO.origin)).parent / "data"
    given = Given(
        values={"sr": 16000}, shapes={"x": (2, 512)}, context={"input": 64}
    )  # the ONNX file wants the last 64 samples in front, the TorchScript keeps them
    report = check_pair(data / "silero_vad.onnx", data / "silero_vad.jit", given)
    assert report.ok, format_pair(report)
    assert "kept inside of silero_vad.jit" in format_pair(report)
    without = check_pair(
        data / "silero_vad.onnx",
        data / "silero_vad.jit",
        Given(values={"sr": 16000}, shapes={"x": (2, 512)}),
    )
    assert not without.ok
    assert "--context NAME=N" in format_pair(without)


def test_outputs_of_other_shapes_say_so(tmp_path):
    class Flat(torch.nn.Module):
        def forward(self, x):
            return x.reshape(-1)

    class Same(torch.nn.Module):
        def forward(self, x):
            return x * 1

    class Nan(torch.nn.Module):
        def forward(self, x):
            return x / (x.abs() > 9)

    with torchscript_deprecation():
        for module in (Flat, Same, Nan):
            torch.jit.script(module()).save(str(tmp_path / f"{module.__name__}.pt"))
    given = Given(shapes={"x": (2, 3)})
    report = check_pair(tmp_path / "Same.pt", tmp_path / "Flat.pt", given)
    assert report.rows[0].reason.startswith("the shapes are [2, 3] and [6]")
    assert report.rows[0].reason in format_pair(report)
    report = check_pair(tmp_path / "Same.pt", tmp_path / "Nan.pt", given)
    assert report.rows[0].reason == "6 of 6 values are NaN or infinite in one of the files alone"
    assert "--context" not in format_pair(report)
    assert report.to_json()["rows"][0]["error"] == "inf"


@pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")
def test_a_file_of_openvino(tmp_path):
    """A converter gives its ports names, or none."""
    import openvino

    foreign.stock(tmp_path / "a.onnx")
    for name, named in (("named", True), ("unnamed", False)):
        model = openvino.convert_model(str(tmp_path / "a.onnx"))
        for port in () if named else (*model.inputs, *model.outputs):
            port.set_names(set())
        openvino.save_model(model, str(tmp_path / f"{name}.xml"), compress_to_fp16=False)
        report = check_pair(tmp_path / "a.onnx", tmp_path / f"{name}.xml")
        assert report.ok, format_pair(report)
        assert len(report.rows) == 2
    (tmp_path / "named.bin").unlink()
    with pytest.raises(RnnbenchError, match=r"named\.bin, which is not beside it: put it there"):
        check_pair(tmp_path / "a.onnx", tmp_path / "named.xml")
    with pytest.raises(RnnbenchError, match=r"OpenVINO model \(IR\).*check OTHER --against"):
        rnnbench.inspect(tmp_path / "named.xml")
