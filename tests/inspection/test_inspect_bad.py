"""`inspect` of what is no file for it, or damaged: one line, and nothing in it runs."""

import zipfile

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import rnnbench
from rnnbench import __main__ as cli
from rnnbench.core.errors import RnnbenchError
from tests.helpers.stock_files import Layer, edited, exported, old, package, traced


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        cli.main(["inspect", *map(str, arguments)])
    return caught.value.code, capsys.readouterr()


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
    "AOTInductor": package,
    "LiteRT": holding(b"\x1c\x00\x00\x00TFL3" + bytes(range(200))),
    "ExecuTorch": holding(b"\x34\x00\x00\x00ET12" + bytes(range(200))),
    "HDF5": holding(b"\x89HDF\r\n\x1a\n" + bytes(200)),
    "OpenVINO": holding(b'<?xml version="1.0"?>\n<net name="m" version="11"></net>\n'),
    "external data": external,
    "half ONNX": half(old),
    "half TorchScript": half(traced),
    "half pt2": half(exported),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line(tmp_path, capsys, name):
    path = BAD[name](tmp_path / "file")
    capsys.readouterr()  # torch 2.14 remarks on a name without .pt2
    code, text = run(capsys, path)
    assert code == 2
    assert text.out == ""
    (line,) = text.err.splitlines()
    assert line.startswith("error: ")
    assert "bug" not in line


def test_a_package_says_where_to_look_instead(tmp_path):
    with pytest.raises(RnnbenchError, match=r"machine code .*: inspect the \.pt2"):
        rnnbench.inspect(package(tmp_path / "model.aoti.pt2"))


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(RnnbenchError, match=r"gone\.data"):
        rnnbench.inspect(external(tmp_path / "file"))


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


def test_a_size_below_zero_does_not_end_the_process(tmp_path):
    """ONNX's shape inference (1.23) aborts at a Slice along it; Paddle's converter writes -1."""

    def edit(proto):
        for name, number in {"from": 0, "to": 3, "along": 0}.items():
            proto.graph.initializer.append(numpy_helper.from_array(np.array([number]), name))
        node = helper.make_node("Slice", ["x", "from", "to", "along"], ["part"])
        proto.graph.node.insert(0, node)
        proto.graph.node[1].input[0] = "part"
        proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -7

    report = rnnbench.inspect(edited(tmp_path / "file", edit))
    assert report.inputs[0].shape == (None, "batch", 3)
