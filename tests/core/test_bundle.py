"""The folder between the stages: it appears whole, leads nowhere else, and is read with care."""

import copy
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rnnbench.cases.cases import layout_of
from rnnbench.cases.stored import read_cases
from rnnbench.core.atomic import writing
from rnnbench.core.bundle import Bundle, is_bundle, write_manifest
from rnnbench.core.errors import RnnbenchError
from rnnbench.models.calls import read_weights, save_weights
from tests.helpers import handmade
from tests.helpers.tiers import samples

ROOT = Path(__file__).parents[2]
ONNX = {"file": "model.onnx"}


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
        ({"inputs": "x"}, "inputs: text where a list belongs"),
        ({"inputs": []}, "inputs: it is empty"),
        ({"inputs": [{"name": "x"}]}, "inputs: [0]: 'shape' is missing"),
        ({"inputs": [{"name": "x", "shape": [-1]}]}, "shape: [0]: -1 is not between 0 and 10^9"),
        ({"inputs": [{"name": "x", "shape": [2], "a": 1}], "states": {}}, "is declared wrong"),
        ({"inputs": [7]}, "inputs: [0]: a number where an object belongs"),
        ({"outputs": ["y", "y"]}, "two inputs or two outputs have one name"),
        ({"outputs": {"y": 1}}, "outputs: an object where a list belongs"),
        ({"states": {"h1": "hn"}}, "states: there is no input 'h1'"),
        ({"states": {"h0": "y_n"}}, "states: there is no output 'y_n'"),
        ({"states": {"h0": 3}}, "states: 'h0': a number where text belongs"),
        ({"traced": {"time": True}}, "traced: 'time': true or false where a whole number belongs"),
        ({"traced": {"time": 1.5}}, "traced: 'time': a number where a whole number belongs"),
        ({"name": "a\0b"}, "name: it has a NUL"),
        ({"failed": ["onnx"]}, "failed: a list where an object belongs"),
        ({"source": 7}, "source: a number where an object belongs"),
        ({"metadata": "gru"}, "metadata: text where an object belongs"),
        ({"frames_per_second": float("nan")}, "frames_per_second: nan is no rate"),
        ({"frames_per_second": -1}, "frames_per_second: -1 is no rate"),
        ({"frozen": ["frames"]}, "frozen: there is no dimension 'frames'"),
        ({"dims": {"time": {"min": 0}}}, "dims: 'time': min: 0 is not between 1 and 10^9"),
        ({"artifacts": {"onnx": {}}}, "artifacts: 'onnx': 'file' is missing"),
        ({"artifacts": {"onnx": {"file": ["m"]}}}, "'onnx': file: a list where text belongs"),
        ({"artifacts": {"onnx": ONNX | {"external_data": 7}}}, "external_data: a number where"),
        ({"artifacts": {"onnx": ONNX | {"external_data": "w\0"}}}, "external_data: it has a NUL"),
        ({"artifacts": {"onnx": ONNX | {"external_data": "w.data"}}}, "w.data is missing"),
        ({"artifacts": {"onnx": ONNX | {"external_data": ["w.data"]}}}, "w.data is missing"),
        (
            {"artifacts": {"onnx": ONNX | {"external_data": ["w", 7]}}},
            "external_data: [1]: a number",
        ),
        ({"artifacts": {"onnx": ONNX | {"profile": [1]}}}, "profile: a list where text belongs"),
        ({"artifacts": {"onnx": ONNX | {"pinned": 3}}}, "pinned: a number where an object belongs"),
        ({"artifacts": {"onnx": ONNX | {"pinned": {"time": -1}}}}, "'time': -1 is not between"),
        ({"cases": None}, "cases: null where a list belongs"),
        ({"artifacts": {"onnx": {"file": "other.onnx"}}}, "other.onnx is missing"),
    ],
)
def test_a_wrong_manifest_is_one_line(bundle, changes, message):
    edit_manifest(bundle, **changes)
    with pytest.raises(RnnbenchError) as caught:
        Bundle.open(bundle.path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chunks": [0]}, "chunks: [0]: 0 is not between 1 and 10^9"),
        ({"chunks": [-3]}, "chunks: [0]: -3 is not between 1 and 10^9"),
        ({"chunks": "7"}, "chunks: text where a list belongs"),
        ({"interleaved": 1}, "interleaved: a number where true or false belongs"),
        ({"of": "nothing"}, "there is no case 'nothing' before"),
        ({"dims": {"time": -1}}, "dims: 'time': -1 is not between 0 and 10^9"),
        ({"seed": "x"}, "seed: text where a whole number belongs"),
        ({"name": "traced"}, "cases: two have the name 'traced'"),
    ],
)
def test_a_wrong_case_is_one_line(bundle, change, message):
    cases = [dict(case) for case in bundle.manifest["cases"]]
    next(case for case in cases if case["name"] == "stream-7").update(change)
    edit_manifest(bundle, cases=cases)
    with pytest.raises(RnnbenchError) as caught:
        Bundle.open(bundle.path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**12) | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    return handmade.make_bundle(tmp_path_factory.mktemp("once"))


@given(data=st.data())
@settings(max_examples=samples(200, 5000), deadline=None)
def test_any_damage_to_a_manifest_is_one_line_or_harmless(once, data):
    """One value anywhere in it becomes another; what opens can be asked for everything."""
    manifest = copy.deepcopy(once.manifest)
    place = manifest
    while True:
        keys = sorted(place) if isinstance(place, dict) else range(len(place))
        key = data.draw(st.sampled_from(list(keys)))
        if isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
            place = place[key]
            continue
        place[key] = data.draw(JSON)
        break
    (once.path / "manifest.json").write_text(json.dumps(manifest))
    try:
        message, opened = opened_or_one_line(once.path)
    finally:
        edit_manifest(once)
    assert "\n" not in message
    if opened is not None:
        assert opened.artifacts is not None
        assert opened.metadata is not None


def opened_or_one_line(path):
    """The bundle, its cases read and their axes found; or why not."""
    try:
        opened = Bundle.open(path)
        layout_of(opened, read_cases(opened))
    except RnnbenchError as error:
        return str(error), None
    return "", opened


def test_a_manifest_that_says_no_schema_is_of_the_first(bundle):
    written = json.loads((bundle.path / "manifest.json").read_text())
    assert written.pop("schema") == 1
    (bundle.path / "manifest.json").write_text(json.dumps(written))
    assert Bundle.open(bundle.path).inputs == bundle.inputs


OUTSIDE = ["../secret", "/etc/hostname", "a/../../secret", "..\\secret", "C:secret", "\\\\h\\s"]


@pytest.mark.parametrize("file", OUTSIDE)
def test_an_artifact_outside_of_the_bundle_is_refused(bundle, file):
    (bundle.path.parent / "secret").write_text("x")
    edit_manifest(bundle, artifacts={"onnx": {"file": file}})
    with pytest.raises(RnnbenchError, match="outside of the bundle"):
        Bundle.open(bundle.path)


@pytest.mark.parametrize("file", OUTSIDE)
def test_weights_outside_of_the_bundle_are_refused(bundle, file):
    (bundle.path.parent / "secret").write_text("x")
    edit_manifest(bundle, artifacts={"onnx": ONNX | {"external_data": file}})
    with pytest.raises(RnnbenchError, match="outside of the bundle"):
        Bundle.open(bundle.path)
    edit_manifest(bundle, artifacts={"onnx": ONNX | {"external_data": ["model.onnx", file]}})
    with pytest.raises(RnnbenchError, match="outside of the bundle"):
        Bundle.open(bundle.path)


@pytest.mark.parametrize("file", ["model.onnx", "model.onnx.data", "cases.npz", "weights.pt"])
@pytest.mark.parametrize("to", ["../secret", "model.ts", "itself"])
def test_a_link_out_of_the_bundle_is_refused(bundle, file, to):
    (bundle.path.parent / "secret").write_text("x")
    (bundle.path / "model.onnx.data").write_text("x")
    edit_manifest(bundle, artifacts={"onnx": ONNX | {"external_data": "model.onnx.data"}})
    Bundle.open(bundle.path)
    (bundle.path / file).unlink()
    (bundle.path / file).symlink_to(file if to == "itself" else to)
    if to == "model.ts":  # a link that stays inside leads nowhere else
        Bundle.open(bundle.path)
        return
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
        assert not is_bundle(tmp_path)
        folder = tmp_path.parent / f"{tmp_path.name}-out" / "made-gru"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / "manifest.json", folder)
        with pytest.raises(RnnbenchError, match="made-gru"), writing(folder.parent, "made-gru"):
            pass


def test_metadata_that_is_not_json_is_refused(tmp_path):
    for value in (object(), float("nan"), {1, 2}):
        with pytest.raises(RnnbenchError, match="cannot be written as JSON"):
            write_manifest(tmp_path, {"name": "n", "metadata": {"value": value}})
    assert not list(tmp_path.iterdir())


# ---- arrays


def rewrite(bundle, change):
    """Writes cases.npz again, with one member changed: (name, header, data) -> bytes."""
    file = bundle.path / "cases.npz"
    with zipfile.ZipFile(file) as archive:
        members = {m.filename: archive.read(m) for m in archive.infolist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, change(data) if name == "traced/in/x.npy" else data)


def array_of(shape, dtype="<f4", data=b""):
    out = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(out, header)
    return out.getvalue() + data


def with_arrays(bundle, **changes):
    """Writes cases.npz again, with the arrays of y in one case changed: part -> a function."""
    file = bundle.path / "cases.npz"
    with np.load(file) as stored:
        arrays = dict(stored)
    for part, change in changes.items():
        arrays[f"traced/{part}/y"] = change(arrays[f"traced/{part}/y"])
    np.savez(file, **arrays)


def filled(value):
    def change(array):
        array.flat[3] = value
        return array

    return change


def in_kind(dtype):
    return lambda array: array.astype(dtype)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eager": in_kind("U8")}, "<U8 is no dtype of y"),
        ({"eager": in_kind("S8")}, r"\|S8 is no dtype"),
        ({"eager": in_kind(np.longdouble)}, "is no dtype of y"),
        ({"eager": in_kind(complex), "ref": in_kind(complex)}, "<c16 is no dtype of y"),
        ({"eager": in_kind(">f4")}, ">f4 is no dtype of y"),
        ({"ref": in_kind("U8")}, "the reference is <U8 beside <f4"),
        ({"ref": lambda a: np.zeros(a.shape, "M8[s]")}, "the reference is <M8.s. beside <f4"),
        ({"ref": lambda a: a > 0}, "the reference is .b1 beside <f4"),
        ({"ref": in_kind("int64")}, "the reference is <i8 beside <f4"),
        ({"ref": in_kind(">f8")}, "the reference is >f8 beside <f4"),
        ({"ref": in_kind("float16")}, "the reference is <f2 beside <f4"),
        ({"eager": in_kind("int32")}, "the reference is <f8 beside <i4"),
        ({"noise": in_kind("U8")}, "the noise is <U8 beside <f4"),
        ({"noise": in_kind(complex)}, "the noise is <c8|<c16 beside"),
        ({"noise": in_kind("int64")}, "the noise is <i8 beside <f4"),
        ({"noise": in_kind(np.longdouble)}, "the noise is .* beside <f4"),
        ({"eager": in_kind("i4"), "ref": in_kind("i4")}, "the noise is <f4 beside <i4"),
        ({"noise": filled(-1)}, "no size of an error in the noise of y"),
        ({"noise": filled(np.nan)}, "no size of an error in the noise of y"),
        ({"noise": filled(-np.inf)}, "no size of an error in the noise of y"),
    ],
)
def test_outputs_that_no_module_gives_are_one_line(bundle, changes, message):
    with_arrays(bundle, **changes)
    with pytest.raises(RnnbenchError, match=message) as caught:
        read_cases(Bundle.open(bundle.path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"ref": in_kind("float32")},  # a module that insists on its own precision
        {"eager": in_kind("float16")},
        {"eager": in_kind("float64")},
        {"noise": filled(np.inf)},
        {"noise": in_kind("float64")},
        {"noise": filled(np.nan), "eager": filled(np.nan)},  # it fails where float64 does not
        {"ref": filled(np.nan), "eager": filled(np.nan)},
        {"eager": filled(np.inf), "noise": filled(np.inf)},
    ],
)
def test_outputs_that_a_module_may_give_are_read(bundle, changes):
    with_arrays(bundle, **changes)
    assert read_cases(Bundle.open(bundle.path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: array_of((10**12,)), "not as large as it says"),
        (lambda data: array_of((5, 3, 4)), "not as large as it says"),
        (lambda data: array_of((5, 3, 4), "|O", data[-240:]), "x.npy holds objects"),
        (lambda data: array_of((5, 3, 4), "<i4", data[-240:]), "x is int32 instead of float32"),
        (lambda data: array_of((3, 5, 4), data=data[-240:]), r"x is \[3, 5, 4\] instead of"),
        (lambda data: data[:20], "cannot be read"),
        (lambda data: b"x" * 300, "cannot be read"),
    ],
)
def test_arrays_that_lie_are_one_line(bundle, change, message):
    rewrite(bundle, change)
    with pytest.raises(RnnbenchError, match=message) as caught:
        read_cases(Bundle.open(bundle.path))
    assert "\n" not in str(caught.value)


@given(data=st.data())
@settings(max_examples=samples(60, 2000), deadline=None)
def test_any_damage_to_the_arrays_is_one_line_or_harmless(once, data):
    file = once.path / "cases.npz"
    whole = file.read_bytes()
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.sampled_from([len(whole), len(whole) // 2, 0, len(whole) - 3]))
    file.write_bytes(damaged[:end])
    try:
        message, _ = opened_or_one_line(once.path)
    finally:
        file.write_bytes(whole)
    assert "\n" not in message


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
from rnnbench.cases.cases import layout_of
from rnnbench.cases.stored import read_cases
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
