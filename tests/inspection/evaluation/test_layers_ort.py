"""RNN, GRU and LSTM with every attribute: against ONNX Runtime, and against another's reading.

ONNX Runtime (1.32) deviates from the specification in the following, and is asked for none of it:

* `clip` is not applied to what goes into the last activation of an LSTM (an activation as well);
* an alpha or beta that is not given is 0 for Affine, ThresholdedRelu and ScaledTanh;
* a row of length 0 has a last state of 0, not its initial one (the specification is silent);
* layout 1 is refused.
"""

import numpy as np
import pytest
from hypothesis import given
from onnx import helper

from rnnbench.inspection.evaluation import Evaluator
from tests.helpers import tiers
from tests.helpers.layer_reference import compute
from tests.inspection.evaluation.drawn import GATES, layers
from tests.inspection.evaluation.made import run

NAMES = {"lens": "sequence_lens", "h0": "initial_h", "c0": "initial_c"}


def written_out(drawn, **options):
    """What tests/helpers/layer_reference.py computes of a drawn node, row by row in float64."""
    attributes = {
        name: [v.decode() for v in value]
        if name == "activations"
        else (value.decode() if name == "direction" else value)
        for name, value in drawn.attributes.items()
    }
    given = {NAMES.get(name, name): array for name, array in drawn.arrays.items()}
    with np.errstate(over="ignore"):  # exp of a number whose result is not taken
        return compute(drawn.node.op_type, attributes, given, **options)


@given(layers())
@tiers.examples(150)
def test_every_attribute_in_onnxruntime(drawn):
    proto = drawn.model()
    expected = run(proto, drawn.feeds())
    cell_is_clipped = drawn.node.op_type == "LSTM" and "clip" in drawn.attributes
    got = written_out(drawn) if cell_is_clipped else Evaluator(proto)(drawn.feeds())
    for name, array in expected.items():
        np.testing.assert_allclose(got[name], array, rtol=2e-4, atol=2e-5, err_msg=name)


@given(layers(layouts=(0, 1), least_length=0))
@tiers.examples(250)
def test_every_attribute_row_by_row(drawn):
    """Both layouts, rows of length 0, and the clip where the specification has it."""
    proto = drawn.model()
    expected = written_out(drawn, clip_cell=True)
    got = Evaluator(proto)(drawn.feeds())
    assert list(got) == [name for name in drawn.node.output if name]
    for name, array in got.items():
        assert array.dtype == np.float64
        np.testing.assert_allclose(array, expected[name], rtol=1e-12, atol=1e-13, err_msg=name)


@given(layers())
@tiers.examples(30)
def test_weights_that_are_inputs(drawn):
    """W, R, B and P may be computed; float32 is the file's own precision."""
    as_inputs = Evaluator(drawn.model(weights=()), "float32")(drawn.feeds(()))
    as_weights = Evaluator(drawn.model(), "float32")(drawn.feeds())
    exact = Evaluator(drawn.model())(drawn.feeds())
    for name, array in exact.items():
        assert as_inputs[name].dtype == np.float32
        np.testing.assert_array_equal(as_inputs[name], as_weights[name])
        np.testing.assert_allclose(as_inputs[name], array, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("opset", [1, 3, 7, 14, 22])
def test_every_opset(kind, opset):
    """`output_sequence`, of opsets 1 and 3, changes no output that a file asks for."""
    rng = np.random.default_rng(3)
    size = GATES[kind] * 4
    arrays = {
        name: rng.normal(size=shape).astype(np.float32)
        for name, shape in {"W": (1, size, 2), "R": (1, size, 4), "X": (5, 2, 2)}.items()
    }
    extra = {"output_sequence": 1} if opset < 7 else {}
    node = helper.make_node(kind, ["X", "W", "R"], ["Y", "Y_h"], hidden_size=4, **extra)
    values = [helper.make_tensor_value_info(n, 1, [None] * a.ndim) for n, a in arrays.items()]
    outputs = [helper.make_tensor_value_info(name, 1, None) for name in node.output]
    graph = helper.make_graph([node], "g", values, outputs)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    got = Evaluator(proto)(arrays)
    expected = compute(kind, {"hidden_size": 4}, arrays)
    np.testing.assert_allclose(got["Y"], expected["Y"], rtol=1e-12)
    np.testing.assert_allclose(got["Y_h"], expected["Y_h"], rtol=1e-12)
