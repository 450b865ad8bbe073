"""A file that rounds values to whole numbers is verified by its own graph, as closely as any other.

By how coarse such arithmetic may be, a program would call anything right.
"""

import shutil
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

import rnnbench
from rnnbench import RnnbenchError
from rnnbench.benchmarking.measuring.artifacts import Artifacts
from rnnbench.benchmarking.measuring.judging import WrongOutput, usual_cases
from rnnbench.benchmarking.measuring.networks import Network
from rnnbench.benchmarking.measuring.sampling import Effort
from rnnbench.benchmarking.measuring.stream_cases import StreamTrial
from rnnbench.benchmarking.plan import Conditions, Implementation
from rnnbench.cases.golden import golden_records, judged_by, whole_cases
from rnnbench.core.bundle import Bundle
from rnnbench.embedding.conform import conform, format_conformed
from rnnbench.formats.onnx.profiles import rewrite
from rnnbench.models import rebuild
from rnnbench.models.calls import read_weights
from tests.helpers.between_linears import between_linears
from tests.helpers.projects import EACH, TARGETS, skip

pytestmark = pytest.mark.usefixtures("headers_of_target")

PRECISIONS = ("int8-dynamic", "int8-static")
READ_ONNX = [p for p in EACH if TARGETS[p.values[0]].format == "onnx"]
ENGINES = {"int8-dynamic": ("openvino", "tract"), "int8-static": ("openvino", "tract")}
FAST = Effort(samples_s=0.02, min_samples=5, max_samples=20, warmup_s=0.1, rounds_s=0.05)
CONDITIONS, STEPS = Conditions(batch=2, time=5), Conditions(batch=1, time=2)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    rng = np.random.default_rng(0)
    calls = [{"x": rng.standard_normal((3, 40, 6)).astype(np.float32)}]
    made = {}
    for precision in PRECISIONS:
        more = {"calibrate": calls} if precision == "int8-static" else {}
        out = tmp_path_factory.mktemp(precision)
        made[precision] = rnnbench.export(
            between_linears(), ("onnx",), out, precision=precision, **more
        )
    return made


def damaged(bundle, folder):
    """One weight of the last product, an int8, is others of its 63 levels by a few."""
    other = Bundle.open(shutil.copytree(bundle.path, folder / bundle.name))
    path = other.artifacts["onnx"].path
    proto = onnx.load(path)
    whole = [t for t in proto.graph.initializer if t.data_type == onnx.TensorProto.INT8]
    (weight,) = [t for t in whole if list(t.dims) == [24, 5]]
    array = numpy_helper.to_array(weight).copy()
    array[0, 0] += 9 if array[0, 0] < 0 else -9
    weight.CopyFrom(numpy_helper.from_array(array, weight.name))
    onnx.save(proto, path)
    return other


@pytest.mark.parametrize("target", READ_ONNX)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_program_says_right_and_wrong(bundles, precision, target, tmp_path):
    (row,) = conform(bundles[precision], [target])
    if row.verdict == "not run":
        skip(target, row.reason)
    assert row.verdict == "same", format_conformed([row])
    assert row.worst_error < 1e-4
    assert row.allowed < 0.05, "a rounding otherwise, of one value, is the most that is allowed"
    (row,) = conform(damaged(bundles[precision], tmp_path), [target])
    assert row.verdict == "DIFFERS", format_conformed([row])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_engines_are_judged_by_the_same(bundles, precision, tmp_path):
    chosen = {"engines": ENGINES[precision], "profiles": ["plain"]}
    rows = conform(bundles[precision], **chosen)
    assert {row.verdict for row in rows} == {"same"}, format_conformed(rows)
    assert max(row.allowed for row in rows) < 0.2
    rows = conform(damaged(bundles[precision], tmp_path), **chosen)
    assert {row.verdict for row in rows} == {"DIFFERS"}, format_conformed(rows)


@pytest.mark.parametrize("code", ["here", "elsewhere"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_is_timed_is_judged_by_what_was_exported(
    bundles, precision, code, tmp_path, monkeypatch
):
    """At its own sizes a file is judged by itself, of which a damage is a part."""
    if code == "here":
        monkeypatch.setattr(rebuild, "rebuild", lambda bundle: between_linears())
    way = Implementation("model", "onnxruntime")
    sound, other = bundles[precision], damaged(bundles[precision], tmp_path)
    with Artifacts() as artifacts:
        artifacts.subject(str(sound.path), way, CONDITIONS)
        with pytest.raises(WrongOutput, match=r"at its case .*: y off by"):
            artifacts.subject(str(other.path), way, CONDITIONS)
        if code == "here":
            times = artifacts.held(str(sound.path), way, STEPS, 2, FAST)
            assert not [t for t in times.values() if isinstance(t, Exception)], times
            with pytest.raises(WrongOutput, match=r"at its case .*: y off by"):
                artifacts.held(str(other.path), way, STEPS, 2, FAST)


def test_a_file_without_a_reference_is_not_called_wrong(bundles, tmp_path):
    bundle = bundles["int8-static"]
    other = Bundle.open(shutil.copytree(bundle.path, tmp_path / bundle.name))
    with np.load(other.path / "cases.npz") as held:
        kept = {name: held[name] for name in held.files if "/rounded-" not in name}
    np.savez_compressed(other.path / "cases.npz", **kept)
    way = Implementation("model", "onnxruntime")
    said = "nothing to judge a file that rounds"
    with Artifacts() as artifacts, pytest.raises(RnnbenchError, match=said):
        artifacts.subject(str(other.path), way, CONDITIONS)
    with pytest.raises(RnnbenchError, match="export it again"):
        list(golden_records(other, "onnx"))


@pytest.mark.parametrize(
    ("precision", "profile", "said"),
    [
        ("int8-static", "mnn", "MNN 3.6.1 leaves out without a word"),
        ("int8-static", "portable", "MNN 3.6.1 leaves out"),
        ("int8-dynamic", "iree", "IREE 3.13.0 computes wrong"),
    ],
)
def test_no_form_is_written_for_an_engine_that_computes_it_wrong(
    bundles, precision, profile, said, tmp_path
):
    path = bundles[precision].artifacts["onnx"].path
    with pytest.raises(RnnbenchError, match=said):
        rewrite(path, tmp_path / "other.onnx", profile)
    assert not (tmp_path / "other.onnx").exists()
    rewrite(path, tmp_path / "other.onnx", "tract")


def stream(bundle, trial):
    """The calls of one stream, its state handed on, by ONNX Runtime alone."""
    session = onnxruntime.InferenceSession(str(bundle.artifacts["onnx"].path))
    h, found = None, []
    for call in trial.inputs([0]):
        given = call if h is None else call | {"h": h}
        y, h = session.run(["y", "hn"], given)
        found.append({"y": y, "hn": h})
    return found


@pytest.mark.parametrize("precision", PRECISIONS)
def test_streams_are_judged_by_the_same(bundles, precision, tmp_path):
    sound, other = bundles[precision], damaged(bundles[precision], tmp_path)
    model = between_linears()
    model.module.load_state_dict(read_weights(sound.path))  # its rounded ones
    network = Network(model, bundle=sound, precision=precision)
    trial = StreamTrial(network, STEPS, usual_cases(network))
    trial.assert_right([0], stream(sound, trial), 1.0, rounds=True)
    for given, rounds in ((other, True), (sound, False)):
        with pytest.raises(WrongOutput, match=r"where stream 1 is alone: (y|hn) off by"):
            trial.assert_right([0], stream(given, trial), 1.0, rounds=rounds)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_files_hold_what_the_artifact_gives_itself(bundles, precision):
    bundle = bundles[precision]
    cases = {case.name: case for case in whole_cases(bundle)}
    for record in golden_records(bundle, "onnx"):
        if record.part == "out":
            own = cases[record.case].rounded.reference[record.name]
            assert np.array_equal(record.array, own.astype(record.array.dtype))
            assert not np.array_equal(
                record.array, cases[record.case].reference[record.name].astype(record.array.dtype)
            )


def test_a_case_that_could_not_be_worked_out_judges_nothing(bundles):
    bundle = bundles["int8-dynamic"]
    cases = whole_cases(bundle)
    assert judged_by(bundle, "onnx", cases)[0].reference is cases[0].rounded.reference
    bare = [replace(cases[0], rounded=None), *cases[1:]]
    assert [c.name for c in judged_by(bundle, "onnx", bare)] == [c.name for c in cases[1:]]
    with pytest.raises(RnnbenchError, match="no case that its onnx file can be judged by"):
        judged_by(bundle, "onnx", bare[:1])


def test_a_bundle_that_rounds_nothing_is_judged_by_the_module(tmp_path):
    bundle = rnnbench.export(between_linears(), ("onnx",), tmp_path)
    cases = whole_cases(bundle)
    assert [c.reference for c in judged_by(bundle, "onnx", cases)] == [c.reference for c in cases]
    assert not bundle.rounds
