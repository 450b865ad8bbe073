"""Every runtime that is discovered, and the session in front of it."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

import rnnbench
from rnnbench import runtimes
from rnnbench.cases.stored import read_cases
from rnnbench.core.bundle import Bundle, write_manifest
from rnnbench.core.errors import RnnbenchError, Unavailable
from rnnbench.core.fitting import fitting
from rnnbench.core.threads import torch_threads
from rnnbench.runtimes.session import load
from tests.helpers import handmade

NAMES = runtimes.names()
PAIRS = [(format, name) for name, known in runtimes.every().items() for format in known.formats]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return handmade.make_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def inputs(request):
    rng = np.random.default_rng(0)
    given = getattr(request.node, "callspec", None)
    runtime = given.params.get("runtime") if given else None
    rows = 1 if runtime and one_row(runtime) else 2
    return {
        "x": rng.standard_normal((7, rows, 3)).astype(np.float32),
        "h0": rng.standard_normal((1, rows, 4)).astype(np.float32),
    }


def one_row(runtime):
    return runtimes.get(runtime).shapes == "one row"


def start(bundle, format, runtime, **settings):
    if format != "eager" and format not in bundle.artifacts:
        pytest.skip(f"the hand-made bundle has no {format}")
    try:
        return load(bundle, format, runtime, **settings)
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", NAMES)
def test_a_runtime_has_the_names_of_its_neighbours(name, monkeypatch):
    runtime = runtimes.get(name)
    assert runtime.formats
    assert runtime.title
    if runtime.missing() is None:
        assert runtime.devices()[0] == "cpu"
    monkeypatch.setattr("rnnbench.core.requirements.find_spec", lambda _: None)
    assert "pip install" in runtime.missing()
    assert "\n" not in runtime.missing()


@pytest.mark.parametrize(("format", "runtime"), PAIRS)
def test_every_runtime_computes_what_the_module_computes(bundle, format, runtime):
    session = start(bundle, format, runtime)
    compared = 0
    for case in read_cases(bundle):
        if case.empty or case.feed_mode.chunks or (one_row(runtime) and case.dims["batch"] != 1):
            continue
        compared += 1
        outputs = session(case.inputs)
        assert list(outputs) == ["y", "hn"]
        for name, array in outputs.items():
            assert array.dtype == np.float32
            np.testing.assert_allclose(array, case.reference[name], rtol=1e-5, atol=1e-5)
    assert compared


@pytest.mark.parametrize(("format", "runtime"), PAIRS)
def test_outputs_and_inputs_stay_as_they_are(bundle, inputs, format, runtime):
    session = start(bundle, format, runtime)
    before = {name: array.copy() for name, array in inputs.items()}
    first = session(inputs)
    kept = {name: array.copy() for name, array in first.items()}
    session({name: -array for name, array in inputs.items()})
    for name in kept:
        assert np.array_equal(first[name], kept[name])
    for name in inputs:
        assert np.array_equal(inputs[name], before[name])


@pytest.mark.parametrize(("format", "runtime"), PAIRS)
def test_states_stream(bundle, inputs, format, runtime):
    session = start(bundle, format, runtime)
    state = session.zero_states({"batch": inputs["x"].shape[1]})
    whole = session({"x": inputs["x"], **state})
    steps = []
    for step in inputs["x"]:
        outputs = session({"x": step[None], **state})
        state = {name: outputs[target] for name, target in bundle.states.items()}
        steps.append(outputs["y"])
    np.testing.assert_allclose(np.concatenate(steps), whole["y"], atol=1e-6)
    np.testing.assert_allclose(state["h0"], whole["hn"], atol=1e-6)


# these compute in the thread that calls, or would only read their own property back
UNWATCHED = (
    *("reference", "openvino", "tract", "iree", "emx", "mnn"),
    *("executorch", "ncnn", "tvm"),
)


@pytest.mark.parametrize(
    ("format", "runtime"), [pair for pair in PAIRS if pair[1] not in UNWATCHED]
)
@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_what_was_asked_for(bundle, inputs, format, runtime, threads, monkeypatch):
    asked = []
    if runtime == "onnxruntime":
        import onnxruntime

        real = onnxruntime.InferenceSession

        def watched(path, options, providers):
            asked.append(options.intra_op_num_threads)
            return real(path, options, providers)

        monkeypatch.setattr(onnxruntime, "InferenceSession", watched)
        start(bundle, format, runtime, threads=threads)
        assert asked == [threads]
        return
    if runtime == "opencv":
        start(bundle, format, runtime, threads=threads)
        import cv2

        assert cv2.getNumThreads() == threads
        return
    before = torch.get_num_threads()
    real = torch.from_numpy
    monkeypatch.setattr(
        torch, "from_numpy", lambda array: asked.append(torch.get_num_threads()) or real(array)
    )
    start(bundle, format, runtime, threads=threads)(inputs)
    assert set(asked) == {threads}
    assert torch.get_num_threads() == before


def test_threads_come_back_after_an_error():
    before = torch.get_num_threads()

    def fail():
        with torch_threads(before + 1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert torch.get_num_threads() == before


def test_sessions_of_several_python_threads_agree(bundle, inputs):
    session = load(bundle, "onnx", threads=1)
    expected, results = session(inputs)["y"], []
    workers = [
        threading.Thread(target=lambda: results.append(session(inputs)["y"])) for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(results) == 4
    assert all(np.array_equal(result, expected) for result in results)


def test_load_takes_a_folder_and_finds_a_runtime(bundle, inputs):
    session = rnnbench.load(bundle.path, "onnx")
    assert (session.runtime, session.device, session.threads) == ("onnxruntime", "cpu", None)
    assert session(inputs)["y"].shape == (7, 2, 4)
    assert rnnbench.load(str(bundle.path), "eager").runtime == "eager"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"format": "pdf"}, "unknown artifact 'pdf': choose from onnx, torchscript, eager"),
        ({"runtime": "fast"}, "unknown runtime 'fast': choose from onnxruntime"),
        ({"runtime": "eager"}, "runtime 'eager' does not run onnx: choose from onnxruntime"),
        ({"device": "tpu"}, "cannot use device 'tpu' here: choose from cpu"),
        ({"threads": 0}, "threads=0: give 1 or more"),
        ({"format": "eager", "runtime": "eager", "device": "tpu"}, "eager cannot use device"),
    ],
)
def test_a_wrong_choice_is_one_line(bundle, settings, message):
    with pytest.raises(RnnbenchError) as caught:
        load(bundle, **({"format": "onnx"} | settings))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": np.zeros(1)}, "unknown input 'y': choose from x, h0"),
        ({"x": None}, "input 'x' is missing: give float32[time, batch, 3]"),
        ({"x": np.zeros((7, 2, 3))}, "input 'x' is float64, and float32 is declared"),
        ({"x": np.zeros((7, 2), np.float32)}, "input 'x' has shape [7, 2], and [time, batch, 3]"),
        ({"x": np.zeros((7, 2, 4), np.float32)}, "input 'x' has shape [7, 2, 4]"),
        ({"x": np.zeros((0, 2, 3), np.float32)}, "give every dimension 1 or more"),
        ({"h0": np.zeros((1, 3, 4), np.float32)}, "(time=7, batch=2)"),
    ],
)
def test_a_wrong_input_is_one_line_that_names_it(bundle, inputs, change, message):
    given = {name: array for name, array in (inputs | change).items() if array is not None}
    with pytest.raises(RnnbenchError) as caught:
        fitting(bundle, given)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_lengths_and_ids_are_kept_in_their_range():
    declared = [
        {"name": "ids", "shape": ["batch", "time"], "dtype": "int64", "high": 5},
        {"name": "lengths", "shape": ["batch"], "dtype": "int64", "role": "lengths"},
        {"name": "gain", "shape": []},
    ]
    bundle = Bundle(handmade.Path(), {"inputs": declared})
    good = {
        "ids": np.array([[0, 4]]).T.repeat(3, 1)[:, ::-1],
        "lengths": np.array([3, 1]),
        "gain": np.float32(1),
    }
    arrays = fitting(bundle, good)
    assert arrays["gain"].shape == ()
    assert arrays["ids"].flags.c_contiguous
    for change, message in (
        ({"ids": good["ids"] + 1}, "'ids' holds values from 1 to 5: give values from 0 to 4"),
        ({"ids": good["ids"] - 1}, "'ids' holds values from -1 to 3"),
        ({"lengths": np.array([0, 3])}, "'lengths' holds values from 0 to 3: give values from 1"),
        ({"lengths": np.array([1, 4])}, "'lengths' holds values from 1 to 4"),
    ):
        with pytest.raises(RnnbenchError) as caught:
            fitting(bundle, good | change)
        assert message in str(caught.value)


def test_a_failure_inside_of_a_runtime_is_one_line(tmp_path, inputs):
    bundle = handmade.make_bundle(tmp_path, edit=freeze_length)
    with pytest.raises(RnnbenchError, match="made-gru: onnx fails in onnxruntime") as caught:
        load(bundle, "onnx")({"x": inputs["x"][:, :1], "h0": inputs["h0"][:, :1]})
    assert "\n" not in str(caught.value)


def freeze_length(proto):
    from onnx import helper

    del proto.graph.node[1]
    handmade.replace_initializer(proto, "axes", np.array([5, 3, 4], np.int64))
    proto.graph.node.append(helper.make_node("Reshape", ["Y", "axes"], ["y"]))


def test_a_graph_that_asks_for_more_than_the_bundle_declares(bundle, tmp_path):
    for file in bundle.path.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    fewer = {"inputs": bundle.manifest["inputs"][:1], "states": {}}
    write_manifest(tmp_path, bundle.manifest | fewer)
    with pytest.raises(RnnbenchError, match="asks for h0, and the bundle declares x"):
        load(tmp_path, "onnx")


def test_code_of_a_user_that_is_not_here_is_unavailable(bundle):
    for source, message in (
        ({}, "does not say where the code of its model is"),
        ({"kind": "file", "spec": "/nowhere/model.py:build"}, "was not exported from there by you"),
        ({"kind": "file"}, "does not say where"),
    ):
        with pytest.raises(Unavailable, match=message):
            load(Bundle(bundle.path, bundle.manifest | {"source": source}), "eager")


def test_code_that_came_with_a_bundle_is_not_run(tmp_path):
    bundle = handmade.make_bundle(tmp_path)
    (bundle.path / "evil.py").write_text("raise SystemExit('it ran')")
    for spec in (f"{bundle.path}/evil.py", f"{bundle.path}/../made-gru/evil.py:build"):
        source = {"kind": "file", "spec": spec}
        with pytest.raises(Unavailable, match="code that came with a bundle is not run"):
            load(Bundle(bundle.path, bundle.manifest | {"source": source}), "eager")


@pytest.mark.parametrize(("given", "left"), [({}, "1"), ({"ORT_DISABLE_TELEMETRY": "0"}, "0")])
def test_onnxruntime_sends_no_telemetry_unless_it_is_wanted(given, left):
    """It is off before the library is loaded, which reads it then."""
    code = (
        "import sys, os\n"
        "from rnnbench.runtimes.adapters import onnxruntime\n"
        "assert 'onnxruntime' not in sys.modules\n"
        "__import__('onnxruntime')\n"
        "print(os.environ['ORT_DISABLE_TELEMETRY'], 'onnxruntime' in sys.modules)"
    )
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"} | given
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [left, "True"]
