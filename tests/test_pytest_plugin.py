"""The fixture `rnnbench_check` in somebody's own tests, in a pytest of their own."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTS = """
import rnnbench
import torch
from rnnbench import Model, TensorSpec


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = torch.nn.GRU(3, 4, batch_first=True)

    def forward(self, x):
        return self.rnn(x)


def build():
    torch.manual_seed(0)
    return Model(Net(), (TensorSpec("x", ("batch", "time", 3)),), ("y", "hn"))


def test_it_is_the_same(rnnbench_check):
    report = rnnbench_check(build(), formats=("onnx",))
    assert report.ok
    assert {row.format for row in report.rows} == {"eager", "onnx"}


def test_a_damaged_bundle(rnnbench_check, tmp_path):
    import onnx
    from onnx import numpy_helper

    bundle = rnnbench.export(build(), ("onnx",), tmp_path)
    path = bundle.artifacts["onnx"].path
    proto = onnx.load(path)
    for tensor in proto.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.ndim == 3:
            tensor.CopyFrom(numpy_helper.from_array(array * 1.01, tensor.name))
    onnx.save(proto, path)
    rnnbench_check(bundle.path, runtimes=["onnxruntime"])
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("theirs")
    (folder / "test_theirs.py").write_text(TESTS)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "rnnbench.pytest_plugin", "-p", "no:xdist"],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        check=False,
    )


def test_one_passes_and_one_fails(ran):
    assert "1 failed, 1 passed" in ran.stdout, ran.stdout
    assert ran.returncode == 1


def test_the_message_has_the_table(ran):
    lines = ran.stdout.splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("model"))
    assert lines[head].split()[-1] == "verdict"
    assert lines[head + 2].split()[:3] == ["Net", "onnx", "onnxruntime"]
    assert "DIFFERS" in lines[head + 2]
    assert "not the same as the module in float64:" in ran.stdout
    assert "pytest_plugin.py" not in ran.stdout, "no trace of ours"


def test_the_plugin_is_found_and_imports_nothing_heavy(tmp_path):
    (tmp_path / "test_light.py").write_text(
        "import sys\n"
        "def test_light():\n"
        "    assert 'rnnbench.pytest_plugin' in sys.modules\n"
        "    assert not {'torch', 'onnx', 'numpy', 'onnxruntime'} & sys.modules.keys()\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "rnnbench.pytest_plugin"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_it_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"rnnbench": "rnnbench.pytest_plugin"}
