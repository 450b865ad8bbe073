"""The folder between the stages: it appears whole, leads nowhere else, and is read with care."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from rnnbench.core.atomic import writing
from rnnbench.core.bundle import Bundle, write_manifest
from rnnbench.core.errors import RnnbenchError
from rnnbench.models.calls import read_weights, save_weights
from tests.helpers import handmade

ROOT = Path(__file__).parents[2]


def run_python(code, *args):
    return subprocess.run(
        [sys.executable, "-c", code, *args], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


@pytest.fixture
def bundle(tmp_path):
    return handmade.make_bundle(tmp_path)


def edit_manifest(bundle, **changes):
    (bundle.path / "manifest.json").write_text(json.dumps(bundle.manifest | changes))


# ---- reading


def test_a_bundle_says_what_was_written(bundle):
    assert bundle.name == "made-gru"
    assert bundle.inputs == handmade.gru().inputs
    assert (bundle.outputs, bundle.states) == (("y", "hn"), {"h0": "hn"})
    assert bundle.artifacts["onnx"].path == bundle.path / "model.onnx"
    assert bundle.artifacts["onnx"].details["bytes"] == (bundle.path / "model.onnx").stat().st_size
    assert bundle.traced == handmade.TRACED
    assert bundle.manifest["producer"] == "rnnbench"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 2}, "has schema 2, and this rnnbench reads 1: export the model again, or use"),
        ({"schema": 0}, "has schema 0, and this rnnbench reads 1"),
        ({"schema": "1"}, "has schema '1', and this rnnbench reads 1"),
        ({"producer": "other"}, "was not written by rnnbench"),
        ({"inputs": "x"}, "no proper 'inputs'"),
        ({"inputs": [{"name": "x"}]}, "an input is declared wrong"),
        ({"inputs": [{"name": "x", "shape": [-1]}]}, "an input is declared wrong"),
        ({"inputs": [7]}, "an input is declared wrong"),
        ({"artifacts": {"onnx": {}}}, "artifact 'onnx' names no file"),
        ({"artifacts": {"onnx": {"file": "other.onnx"}}}, "other.onnx is missing"),
    ],
)
def test_a_wrong_manifest_is_one_line(bundle, changes, message):
    edit_manifest(bundle, **changes)
    with pytest.raises(RnnbenchError) as caught:
        Bundle.open(bundle.path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_manifest_that_says_no_schema_is_of_the_first(bundle):
    written = json.loads((bundle.path / "manifest.json").read_text())
    assert written.pop("schema") == 1
    (bundle.path / "manifest.json").write_text(json.dumps(written))
    assert Bundle.open(bundle.path).inputs == bundle.inputs


@pytest.mark.parametrize(
    "file", ["../secret", "/etc/hostname", "a/../../secret", "..\\secret", "C:secret", "\\\\h\\s"]
)
def test_an_artifact_outside_of_the_bundle_is_refused(bundle, file):
    (bundle.path.parent / "secret").write_text("x")
    edit_manifest(bundle, artifacts={"onnx": {"file": file}})
    with pytest.raises(RnnbenchError, match="outside of the bundle"):
        Bundle.open(bundle.path)


def test_a_link_out_of_the_bundle_is_refused(bundle):
    secret = bundle.path.parent / "secret"
    secret.write_text("x")
    (bundle.path / "model.onnx").unlink()
    (bundle.path / "model.onnx").symlink_to(secret)
    with pytest.raises(RnnbenchError, match="outside of the bundle"):
        Bundle.open(bundle.path)


def test_what_is_no_bundle_is_one_line(tmp_path):
    with pytest.raises(RnnbenchError, match="is not a folder: give a folder that"):
        Bundle.open(tmp_path / "nothing")
    with pytest.raises(RnnbenchError, match=r"has no manifest\.json"):
        Bundle.open(tmp_path)
    for text in ('{"schema": 1, "na', "[" * 100_000, "\xff"):
        (tmp_path / "manifest.json").write_bytes(text.encode("latin-1"))
        with pytest.raises(RnnbenchError, match=r"manifest\.json cannot be read"):
            Bundle.open(tmp_path)


def test_metadata_that_is_not_json_is_refused(tmp_path):
    for value in (object(), float("nan"), {1, 2}):
        with pytest.raises(RnnbenchError, match="cannot be written as JSON"):
            write_manifest(tmp_path, {"name": "n", "metadata": {"value": value}})
    assert not list(tmp_path.iterdir())


# ---- writing


def tree(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


@pytest.mark.parametrize("name", ["../n", "a/b", "..", ".", "", "/n", "a\\b", ".hidden", "n\n"])
def test_a_name_never_leads_outside(tmp_path, name):
    out = tmp_path / "out"
    with pytest.raises(RnnbenchError, match="bundle name"), writing(out, name):
        pass
    assert not out.exists()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_the_previous_bundle(bundle, error):
    out, before = bundle.path.parent, tree(bundle.path)

    def fail():
        with writing(out, bundle.name) as folder:
            (folder / "half").write_text("x")
            raise error

    with pytest.raises(error):
        fail()
    assert tree(bundle.path) == before
    assert [p.name for p in out.iterdir()] == [bundle.name]


def test_a_bundle_replaces_the_previous_one_whole(bundle):
    out = bundle.path.parent
    (bundle.path / "model.old").write_text("of an earlier export")
    handmade.make_bundle(out, seed=1)
    assert not (bundle.path / "model.old").exists()
    assert [p.name for p in out.iterdir()] == [bundle.name]
    assert Bundle.open(bundle.path).manifest["sha256"] != bundle.manifest["sha256"]


def test_what_is_no_bundle_is_not_overwritten(tmp_path):
    kept = tmp_path / "notes"
    kept.mkdir()
    with writing(tmp_path, "notes") as folder:  # an empty folder is nobody's
        (folder / "manifest.json").write_text('{"producer": "somebody else"}')
    with pytest.raises(RnnbenchError, match="is not a bundle"), writing(tmp_path, "notes"):
        pass
    (tmp_path / "link").symlink_to(kept, target_is_directory=True)
    with pytest.raises(RnnbenchError, match="is a link"), writing(tmp_path, "link"):
        pass
    (tmp_path / "file").write_text("x")
    with pytest.raises(RnnbenchError, match="is not a bundle"), writing(tmp_path, "file"):
        pass
    with (
        pytest.raises(RnnbenchError, match="choose another --out"),
        writing(tmp_path / "file", "n"),
    ):
        pass
    assert tree(kept) == {"manifest.json": b'{"producer": "somebody else"}'}


@pytest.mark.skipif(os.name == "nt", reason="no locks between processes there")
def test_leftovers_of_killed_runs_go_and_those_of_live_ones_stay(bundle):
    out = bundle.path.parent
    code = """
import os, sys
from rnnbench.core.atomic import writing
with writing(sys.argv[1], "made-gru") as folder:
    (folder / "half").write_text("x")
    os._exit(9)
"""
    assert run_python(code, str(out)).returncode == 9
    assert len(list(out.iterdir())) == 2
    with writing(out, "made-gru") as live:
        assert sorted(p.name for p in out.iterdir()) == sorted([live.name, "made-gru"])
        handmade.make_bundle(out)
        assert live.is_dir()
        (live / "manifest.json").write_text('{"producer": "rnnbench"}')
    assert [p.name for p in out.iterdir()] == ["made-gru"]


def test_a_bundle_that_a_killed_run_had_moved_aside_comes_back(bundle):
    out, before = bundle.path.parent, tree(bundle.path)
    bundle.path.rename(out / ".made-gru.01234567.old")
    with pytest.raises(ValueError, match="stop"), writing(out, bundle.name):
        raise ValueError("stop")
    assert tree(bundle.path) == before


# ---- weights


def test_weights_are_tensors_and_nothing_else(bundle, tmp_path):
    model = handmade.gru()
    read = read_weights(bundle.path)
    assert all(torch.equal(read[k], v) for k, v in model.module.state_dict().items())
    assert save_weights(model.module, tmp_path) == bundle.manifest["sha256"]
    torch.save(nn.Linear(1, 1), bundle.path / "weights.pt")
    with pytest.raises(RnnbenchError, match=r"weights\.pt cannot be read") as caught:
        read_weights(bundle.path)
    assert "\n" not in str(caught.value)
    torch.save([torch.zeros(1)], bundle.path / "weights.pt")
    with pytest.raises(RnnbenchError, match="holds no state dict"):
        read_weights(bundle.path)
