"""`--for onnxruntime==1.17`: the opset and the IR version that a release loads, or one line."""

from itertools import pairwise

import onnx
import onnxruntime
import pytest
import torch
from click.testing import CliRunner

import rnnbench
from rnnbench import Model, RnnbenchError, TensorSpec, runtimes
from rnnbench.commands.export import command as export_command
from rnnbench.formats.onnx import DEFAULT_OPSET, IR_VERSION, OPSETS, releases
from tests.helpers.gap_files import probes

RELEASES = runtimes.get("onnxruntime").releases
HERE = ".".join(onnxruntime.__version__.split(".")[:2])


def model():
    specs = (TensorSpec("x", ("time", "batch", 5)), TensorSpec("h0", (2, "batch", 4), role="state"))
    module = torch.nn.GRU(5, 4, bidirectional=True)
    return Model(module, specs, ("y", "hn"), name="net")


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.version)
def test_a_file_is_such_as_its_release_loads_and_equals_eager(tmp_path, release):
    profile = f"onnxruntime=={release.version}"
    bundle = rnnbench.export(model(), ("onnx",), tmp_path, profile=profile)
    artifact = bundle.artifacts["portable"]
    proto = onnx.load(artifact.path)
    assert proto.ir_version == min(release.ir_version, IR_VERSION)
    assert [(o.domain, o.version) for o in proto.opset_import] == [("", DEFAULT_OPSET)]
    assert proto.opset_import[0].version <= release.opset
    assert artifact.details["ir_version"] == proto.ir_version
    if proto.ir_version < 10:
        assert not any(node.metadata_props for node in proto.graph.node)
    if release is RELEASES[0]:
        assert rnnbench.check(bundle, ["onnxruntime"]).ok


def test_the_command_writes_it(tmp_path):
    file = tmp_path / "model.py"
    file.write_text(
        "import torch\nfrom rnnbench import Model, TensorSpec\n"
        "def build():\n"
        "    return Model(torch.nn.GRU(3, 2), (TensorSpec('x', ('time', 'batch', 3)),),"
        " ('y', 'hn'), name='mine')\n"
    )
    options = [str(file), "--format", "onnx", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(export_command, [*options, "--for", "onnxruntime==1.17.3"])
    assert done.exception is None, done.output
    path = rnnbench.Bundle.open(tmp_path / "out/mine").artifacts["portable"].path
    assert onnx.load(path).ir_version == 9


ALL = ", ".join(release.version for release in RELEASES)


@pytest.mark.parametrize(
    ("profile", "opset", "message"),
    [
        (
            "onnxruntime==1.16",
            None,
            f"unknown version of onnxruntime '1.16': choose from {ALL}, as onnxruntime==1.17",
        ),
        ("onnxruntime==1.x", None, "unknown version of onnxruntime '1.x': choose from 1.17, 1.18"),
        ("onnxruntime", None, "onnxruntime without a version: choose from 1.17, 1.18"),
        (
            "tract==0.23",
            None,
            "the versions of tract are not told apart: give onnxruntime==",
        ),
        ("xla", None, "unknown profile 'xla': choose from portable, emx"),
        (
            "onnxruntime==1.17",
            21,
            "opset 21: onnxruntime==1.17 loads 20 at most: leave --opset out, or give 20",
        ),
    ],
)
def test_what_cannot_be_is_one_line(tmp_path, profile, opset, message):
    with pytest.raises(RnnbenchError) as raised:
        rnnbench.export(model(), ("onnx",), tmp_path, profile=profile, opset=opset)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "net").exists()


def test_releases_only_ever_load_more():
    versions = [tuple(map(int, release.version.split("."))) for release in RELEASES]
    assert versions == sorted(versions)
    assert all(release.tried.startswith(f"{release.version}.") for release in RELEASES)
    for before, after in pairwise(RELEASES):
        assert (before.opset, before.ir_version) <= (after.opset, after.ir_version)
    assert all(release.opset >= DEFAULT_OPSET for release in RELEASES)
    assert OPSETS[0] <= DEFAULT_OPSET


def test_the_release_that_is_installed_loads_what_its_record_says(tmp_path):
    [release] = [release for release in RELEASES if release.version == HERE]
    [probe] = [probe for probe in probes() if probe.name == "GRU"]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4

    def loads(opset, ir_version):
        proto, _, _ = probe.file(2, DEFAULT_OPSET)
        proto.opset_import[0].version, proto.ir_version = opset, ir_version
        try:
            onnxruntime.InferenceSession(proto.SerializeToString(), options)
        except Exception:
            return False
        return True

    assert loads(release.opset, release.ir_version)
    assert not loads(release.opset + 1, release.ir_version)
    assert not loads(release.opset, release.ir_version + 1)


@pytest.mark.parametrize("profile", ["onnxruntime>=1.17", "onnxruntime=1.17", "onnxruntime~=1.17"])
def test_one_version_is_written_for(profile):
    with pytest.raises(RnnbenchError, match="give onnxruntime==VERSION"):
        releases.release_of(profile)


def test_a_version_has_three_parts_at_most():
    with pytest.raises(RnnbenchError, match="unknown version"):
        releases.release_of("onnxruntime==1.17.3.9")
