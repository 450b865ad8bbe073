"""A file that is written one weight at a time is the one that onnx would have written."""

import tracemalloc

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import numpy_helper

from rnnbench import RnnbenchError
from rnnbench.formats.onnx import saving
from rnnbench.formats.onnx.editing import add_tensor, tensor_of

NAMES = ("float32", "float64", "float16", "bfloat16", "int8", "uint8", "int64", "bool", "int4")
DTYPES = {
    name: np.dtype(getattr(ml_dtypes, name) if name in ("bfloat16", "int4") else name)
    for name in NAMES
}


def graph_of(weights):
    """y = x + a, and what nobody reads."""
    proto = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["" : 21], producer_name: "maker">
        net (float[n, 3] x) => (float[n, 3] y) <float[3] a = {1, 2, 3}> { y = Add(x, a) }
    """)
    model = ir.from_proto(proto)
    model.metadata_props["said"] = "so"
    model.graph.initializers["a"].const_value = tensor_of(np.array([1, 2, 3], "float32"))
    for name, tensor in weights.items():
        add_tensor(model.graph, name, tensor)
    return model


def arrays():
    rng = np.random.default_rng(0)
    shapes = [(3, 5), (128,), (), (0, 4), (1, 1, 7)]
    return {
        f"{name}_{i}": np.asarray(rng.integers(-7, 8, shape)).astype(dtype)
        for name, dtype in DTYPES.items()
        for i, shape in enumerate(shapes)
    }


@pytest.mark.parametrize("least", [0, 100, 2**20])
def test_what_is_written_is_what_onnx_reads(least, tmp_path, monkeypatch):
    monkeypatch.setattr(saving, "_LARGE", least)
    given = arrays()
    model = graph_of({name: tensor_of(array) for name, array in given.items()})
    ours, theirs = tmp_path / "ours.onnx", tmp_path / "theirs.onnx"
    ir.save(model, theirs)
    assert saving.save(model, ours) == {}
    assert set(model.graph.initializers) == {"a", *given}
    onnx.checker.check_model(str(ours), full_check=True)
    ours, theirs = onnx.load(ours), onnx.load(theirs)
    kept = {i.name: numpy_helper.to_array(i) for i in ours.graph.initializer}
    for name, array in given.items():
        assert kept[name].dtype == array.dtype
        np.testing.assert_array_equal(kept[name].astype("float64"), array.astype("float64"))
    for proto in (ours, theirs):
        for field in (proto.graph.initializer, proto.graph.value_info):
            in_order = sorted(field, key=lambda each: each.name)
            del field[:]
            field.extend(in_order)
    assert ours == theirs


def test_onnx_runtime_reads_it(tmp_path, monkeypatch):
    monkeypatch.setattr(saving, "_LARGE", 0)
    saving.save(graph_of({}), tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (y,) = session.run(None, {"x": np.zeros((2, 3), "float32")})
    np.testing.assert_array_equal(y, [[1, 2, 3], [1, 2, 3]])


@pytest.mark.parametrize("least", [0, 2**20])
def test_what_the_checker_refuses_is_not_written(least, tmp_path, monkeypatch):
    monkeypatch.setattr(saving, "_LARGE", least)
    model = graph_of({})
    model.graph.initializers["a"].const_value = tensor_of(np.zeros(4, "float32"))
    with pytest.raises(RnnbenchError, match="the ONNX checker refuses the graph"):
        saving.save(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
    assert list(model.graph.initializers) == ["a"]


def test_one_weight_at_a_time_is_in_memory(tmp_path):
    """Of 16 weights that are made when they are read."""
    size = 2**21

    def made():
        return tensor_of(np.ones(size // 4, "float32"))

    def later():
        return ir.LazyTensor(made, ir.DataType.FLOAT, ir.Shape([size // 4]))

    model = graph_of({f"w{i}": later() for i in range(16)})
    saving.save(graph_of({}), tmp_path / "small.onnx")  # what is imported is no weight
    tracemalloc.start()
    try:
        saving.save(model, tmp_path / "model.onnx")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * size
    assert (tmp_path / "model.onnx").stat().st_size > 16 * size
