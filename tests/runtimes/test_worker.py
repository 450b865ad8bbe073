"""A worker: the same results as in this process; an abort, a hang or a full memory stays in it."""

import io
import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from rnnbench.core.errors import RnnbenchError, Unavailable
from rnnbench.core.known_warnings import torchscript_deprecation
from rnnbench.core.signature import Port, Signature
from rnnbench.core.threads import NUMPYS_THREADS
from rnnbench.runtimes.job import load
from rnnbench.runtimes.messages import receive, send
from rnnbench.runtimes.worker import Job, Worker, WorkerError
from tests.helpers import handmade

GB = 2**30


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return handmade.make_bundle(tmp_path_factory.mktemp("bundle"))


def job(bundle, format="onnx", runtime="onnxruntime", **more):
    path = None if format == "eager" else bundle.artifacts[format].path
    return Job(runtime, format, path, bundle.path, **more)


def inputs(time=7, batch=2, features=handmade.FEATURES, hidden=handmade.HIDDEN):
    rng = np.random.default_rng(0)
    return {
        "x": rng.standard_normal((time, batch, features)).astype(np.float32),
        "h0": rng.standard_normal((1, batch, hidden)).astype(np.float32),
    }


@pytest.mark.parametrize(
    ("format", "runtime"),
    [("onnx", "onnxruntime"), ("torchscript", "torchscript"), ("eager", "eager")],
)
def test_a_worker_computes_what_this_process_computes(bundle, format, runtime):
    here = load(job(bundle, format, runtime))
    with Worker(job(bundle, format, runtime)) as worker:
        for time_ in (1, 7):
            given = inputs(time_)
            there = worker(given)
            assert list(there) == ["y", "hn"]
            for name, array in here(given).items():
                assert np.array_equal(there[name], array)
                assert there[name].dtype == array.dtype


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("threads", "chosen", "expected"),
    [(1, None, "1"), (2, None, "2"), (None, None, None), (1, "3", "3")],
)
def test_numpy_has_the_threads_of_the_job(bundle, monkeypatch, threads, chosen, expected):
    monkeypatch.delenv(NUMPYS_THREADS, raising=False)
    if chosen is not None:
        monkeypatch.setenv(NUMPYS_THREADS, chosen)
    with Worker(job(bundle, threads=threads)) as worker:
        said = Path(f"/proc/{worker._process.pid}/environ").read_text().split("\0")
    found = [line.partition("=")[2] for line in said if line.startswith(f"{NUMPYS_THREADS}=")]
    assert found == ([] if expected is None else [expected])


def test_arrays_of_every_kind_cross_the_pipe(tmp_path):
    arrays = {
        "bool": np.array([True, False]),
        "scalar": np.float64(np.nan),
        "empty": np.zeros((0, 3), np.float16),
        "complex": np.array([[1 + 2j]]),
        "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    }
    with (tmp_path / "pipe").open("wb") as stream:
        send(stream, {"do": "run"}, arrays)
    whole = (tmp_path / "pipe").read_bytes()
    with (tmp_path / "pipe").open("rb") as stream:
        header, received = receive(stream)
    assert header == {"do": "run"}
    for name, array in arrays.items():
        np.testing.assert_array_equal(received[name], array)
        assert received[name].dtype == array.dtype
    for cut in (0, 4, 12, len(whole) - 1):
        (tmp_path / "cut").write_bytes(whole[:cut])
        with (tmp_path / "cut").open("rb") as stream, pytest.raises(EOFError):
            receive(stream)


def test_a_refusal_leaves_the_process_alive(bundle):
    with Worker(job(bundle)) as worker:
        first = worker._process.pid
        with pytest.raises(RnnbenchError) as caught:
            worker({"x": inputs()["x"][:, :1], "h0": inputs()["h0"]})
        assert not isinstance(caught.value, WorkerError)
        assert "\n" not in str(caught.value)
        assert worker(inputs())["y"].shape == (7, 2, 4)
        assert worker._process.pid == first


def test_an_abort_is_an_error_and_the_next_call_starts_anew(bundle):
    """ONNX Runtime aborts on an empty batch."""
    with Worker(job(bundle)) as worker:
        with pytest.raises(WorkerError) as caught:
            worker(inputs(batch=0))
        assert caught.value.reason in ("SIGABRT", "SIGFPE", "SIGSEGV")
        assert "\n" not in str(caught.value)
        assert worker(inputs())["y"].shape == (7, 2, 4)


def test_a_killed_process_is_named_by_its_signal(bundle):
    with Worker(job(bundle)) as worker:
        os.kill(worker._process.pid, signal.SIGTERM)
        with pytest.raises(WorkerError, match="SIGTERM"):
            worker(inputs())


def endless(path):
    """An ONNX Loop without an end: a hang that no runtime refuses."""
    body = helper.make_graph(
        [helper.make_node("Identity", [a], [b]) for a, b in (("go", "on"), ("v", "w"))],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, None),
        ],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["", "yes", "x"], ["y"], body=body)],
        "endless",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["time", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["time", 3])],
        [onnx.numpy_helper.from_array(np.array(True), "yes")],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))
    return Job("onnxruntime", "onnx", path, None)


def test_a_hang_ends_at_the_limit(tmp_path):
    with Worker(endless(tmp_path / "endless.onnx"), seconds=3) as worker:
        pid = worker._process.pid
        start = time.monotonic()
        with pytest.raises(WorkerError) as caught:
            worker({"x": np.ones((2, 3), np.float32)})
        assert caught.value.reason == "no answer in 3 s"
        assert time.monotonic() - start >= 3
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize(
    ("format", "runtime"), [("onnx", "onnxruntime"), ("torchscript", "torchscript")]
)
def test_a_full_memory_is_named_with_its_limit(bundle, format, runtime):
    with Worker(job(bundle, format, runtime), memory=GB) as worker:
        with pytest.raises(WorkerError) as caught:
            worker(inputs(time=30, batch=600_000))  # 0.9 GB of gates
        assert caught.value.reason == "out of memory (limit 1.0 GB)"
        assert worker(inputs())["y"].shape == (7, 2, 4)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit counts what is written to there")
def test_inputs_for_which_there_is_no_memory(bundle):
    """They are larger than the limit: the process cannot even take them in."""
    with Worker(job(bundle), memory=GB // 8) as worker:
        with pytest.raises(WorkerError) as caught:
            worker(inputs(time=100, batch=200_000))
        assert caught.value.reason == "out of memory (limit 0.1 GB)"
        assert worker(inputs())["y"].shape == (7, 2, 4)


class Prints(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        print("this goes to stdout", x.shape)
        return x + 1


def scripted(module, path):
    with torchscript_deprecation():
        torch.jit.save(torch.jit.script(module), str(path))
    return Job("torchscript", "torchscript", path, None)


def test_what_a_runtime_prints_does_not_disturb_the_channel(tmp_path, capfd):
    with Worker(scripted(Prints(), tmp_path / "prints.ts")) as worker:
        for _ in range(3):
            outputs = worker({"x": np.zeros(2, np.float32)})
            assert outputs["output_0"].tolist() == [1, 1]
    assert capfd.readouterr() == ("", "")


class Foreign(torch.nn.Module):
    def forward(self, x: torch.Tensor, rate: int, gain: float = 2.0):
        return x * gain, (x.sum(), rate)


def test_a_foreign_file_is_called_by_its_signature(tmp_path):
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    with Worker(scripted(Foreign(), tmp_path / "foreign.ts")) as worker:
        found = worker.signature()
        assert found.inputs == (
            Port("x", "", None),
            Port("rate", "int", ()),
            Port("gain", "float", ()),
        )
        assert [port.name for port in found.outputs] == ["output_0", "output_1", "output_2"]
        outputs = worker({"x": x, "rate": np.array(16000)})
        assert outputs["output_0"].tolist() == (2 * x).tolist()
        assert outputs["output_1"] == 15
        assert outputs["output_2"] == 16000
        with pytest.raises(RnnbenchError, match="the file asks for x, rate, gain"):
            worker({"x": x, "gain": np.array(1.0)})


def test_signatures_of_onnx_and_pt2(bundle, tmp_path):
    with Worker(job(bundle)) as worker:
        assert worker.signature() == Signature(
            (
                Port("x", "float32", ("time", "batch", 3)),
                Port("h0", "float32", (1, "batch", 4)),
            ),
            (
                Port("y", "float32", ("time", "batch", 4)),
                Port("hn", "float32", (1, "batch", 4)),
            ),
        )
    dynamic = {"x": {0: torch.export.Dim("batch")}}
    program = torch.export.export(
        torch.nn.Tanh(), (torch.zeros(2, 3),), dynamic_shapes=(dynamic["x"],)
    )
    torch.export.save(program, str(tmp_path / "tanh.pt2"))
    with Worker(Job("pt2", "pt2", tmp_path / "tanh.pt2", None)) as worker:
        found = worker.signature()
        (port,) = found.inputs
        assert (port.dtype, port.shape[1]) == ("float32", 3)
        assert isinstance(port.shape[0], str)
        outputs = worker({port.name: np.ones((5, 3), np.float32)})
        assert list(outputs) == [found.outputs[0].name]
        assert outputs["output_0"].shape == (5, 3)


def test_what_cannot_be_loaded_is_one_line(bundle, tmp_path):
    (tmp_path / "damaged.onnx").write_bytes(b"not a graph")
    wrong = Job("onnxruntime", "onnx", tmp_path / "damaged.onnx", None)
    with (
        pytest.raises(RnnbenchError, match="is not ONNX that onnxruntime") as caught,
        Worker(wrong),
    ):
        pass
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value, WorkerError)
    with pytest.raises(Unavailable, match="'cuda' here"), Worker(job(bundle, device="cuda")):
        pass
    with pytest.raises(RnnbenchError, match="unknown mode of onnxruntime 'fast': choose from"):
        job(bundle, mode="fast")
    with Worker(job(bundle, "eager", "eager")) as worker, pytest.raises(RnnbenchError):
        worker.signature()


class Heavy(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1000, 10_000))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.weight[0, 0]


def test_a_crash_while_loading_is_a_worker_error(tmp_path):
    heavy = scripted(Heavy(), tmp_path / "heavy.ts")  # torch itself, a fork may have already
    with pytest.raises(WorkerError, match=r"out of memory \(limit 0\.0 GB\)|SIG|exit code"):
        Worker(heavy, memory=2**22).__enter__()


def test_no_process_is_left(bundle):
    with Worker(job(bundle)) as worker:
        worker(inputs())
        pid = worker._process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    worker.close()  # a second time changes nothing
    assert worker(inputs())["y"].shape == (7, 2, 4)
    worker.close()


def test_an_interrupt_in_a_call_ends_the_process(bundle, monkeypatch):
    from rnnbench.runtimes import worker as module

    with Worker(job(bundle)) as worker:
        pid = worker._process.pid

        def interrupted(stream):
            raise KeyboardInterrupt

        monkeypatch.setattr(module, "receive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            worker(inputs())
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64", "bool", "complex64"])
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (2, 3), (1, 1, 5)])
def test_arrays_arrive_as_they_were_sent(dtype, shape):
    """In any order of their axes, and such that they may be written into."""
    array = np.random.default_rng(0).normal(size=shape).astype(dtype)
    pipe = io.BytesIO()
    send(pipe, {"says": "so"}, {"a": array, "b": array.T})
    pipe.seek(0)
    header, found = receive(pipe)
    assert header == {"says": "so"}
    assert list(found) == ["a", "b"]
    for name, sent in (("a", array), ("b", array.T)):
        assert found[name].dtype == sent.dtype
        assert found[name].shape == sent.shape
        np.testing.assert_array_equal(found[name], sent)
        found[name][...] = 0


def test_objects_are_not_sent_nor_received():
    with pytest.raises(ValueError, match="objects"):
        send(io.BytesIO(), {}, {"a": np.array([{}], object)})
    for said in (["a", "|O", [1]], ["a", "<f4", [-1]]):
        text = json.dumps({"arrays": [said]}).encode()
        with pytest.raises(ValueError, match="none that is sent"):
            receive(io.BytesIO(len(text).to_bytes(8, "little") + text + bytes(8)))
