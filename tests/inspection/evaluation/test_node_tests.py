"""onnx's own tests of its operators, in float64: all of them, and nothing rounded to float32.

The second is measured, not read: of three equidistant inputs a smooth function's outputs lie on a
line but for the square of their distance, and what was rounded to float32 lies 1e-8 off it.
"""

import fnmatch
import functools
import warnings

import numpy as np
import onnx
import pytest

from rnnbench.core.errors import RnnbenchError
from rnnbench.inspection.evaluation import Evaluator

RECURRENT = ("*lstm*", "*gru*", "*rnn*", "*scan*", "*loop*", "test_if*", "*sequence_map*")
# What the whole of float64 cannot give, and what is no test of a network in use.
OTHERWISE = {
    "*_bf16*": "the expected numbers were rounded to bfloat16",
    "*celu_bfloat16*": "the expected numbers were rounded to bfloat16",
    "*cast*_to_BFLOAT16*": "the expected numbers were rounded to bfloat16",
    "*past_and_present_fp16*": "the expected numbers were rounded to float16",
    "test_bernoulli*": "draws",
    "test_training_dropout*": "draws, in training",
    "test_batchnorm_*training_mode*": "training",
    "test_*cast_*float32_to_int32": "bits of float32",
    "test_adagrad*": "training",
    "test_adam*": "training",
    "test_*momentum*": "training",
    "test_flexattention*": "a preview",
}
# Steps and corners at the very inputs that the tests have.
NOT_SMOOTH = (
    *("test_acosh_example", "test_*tree_ensemble*", "test_dynamicquantizelinear*"),
    *("test_gridsample*nearest*", "test_hardmax*", "test_l2normalization_axis_0", "test_mod_*"),
    *("test_onehot*", "test_round", "test_sign", "test_tan", "test_thresholdedrelu*"),
)


@functools.cache
def cases():
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():  # onnx's own, in the making of its tests
        warnings.simplefilter("ignore")
        return load_model_tests(kind="node")


def matches(name, patterns):
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def read(value):
    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    if isinstance(value, list) and len(value) == 1 and value[0] is None:
        return None
    return value


def feeds(case, arrays):
    names = [value.name for value in case.model.graph.input]
    return {name: read(array) for name, array in zip(names, arrays, strict=False)}


def compare(got, expected, case):
    if isinstance(expected, list):
        assert len(got) == len(expected)
        for one, other in zip(got, expected, strict=True):
            compare(one, other, case)
    elif expected is None:
        assert got is None
    elif np.asarray(expected).dtype.kind in "OUST":
        assert np.asarray(got).astype(str).tolist() == np.asarray(expected).astype(str).tolist()
    else:
        assert got.shape == expected.shape
        floating = expected.dtype.name in ("float16", "float32", "float64", "bfloat16")
        assert got.dtype == (np.float64 if floating else expected.dtype)
        # float32 has 1e-7 of the greatest number, where the expected one should be 0
        floor = 1e-6 * np.abs(expected.astype(np.float64)).max(initial=0) if floating else 0
        np.testing.assert_allclose(
            got.astype(np.float64),
            expected.astype(np.float64),
            rtol=case.rtol,
            atol=max(case.atol, floor if np.isfinite(floor) else 0),
        )


def failures(patterns, dtype):
    wrong, count = {}, 0
    for case in cases():
        if not matches(case.name, patterns) or matches(case.name, OTHERWISE):
            continue
        count += 1
        try:
            evaluate = Evaluator(case.model, dtype)
            for inputs, outputs in case.data_sets:
                got = evaluate(feeds(case, inputs))
                for one, expected in zip(got.values(), outputs, strict=True):
                    compare(one, read(expected), case)
        except Exception as error:  # every one is reported
            wrong[case.name] = str(error)
    return wrong, count


def test_recurrent_and_control_flow_operators():
    wrong, count = failures(RECURRENT, "float64")
    assert not wrong
    assert count >= 40


def test_every_other_operator():
    wrong, count = failures(["*"], "float64")
    assert not wrong
    assert count >= 1000


def second_differences(case):
    """How far each output of float64 is off the line of three inputs, relative to its size."""
    evaluate = Evaluator(case.model)
    given = feeds(case, case.data_sets[0][0])
    rng = np.random.default_rng(0)
    smooth = {
        name: (array.astype(np.float64), 1e-6 * rng.normal(size=array.shape))
        for name, array in given.items()
        if isinstance(array, np.ndarray) and array.dtype.name in ("float16", "float32", "bfloat16")
    }
    try:
        results = [
            evaluate({**given, **{name: x + i * step for name, (x, step) in smooth.items()}})
            for i in range(3)
        ]
    except RnnbenchError:  # an input that must be a whole number, and is none any more
        return
    for name, first in results[0].items():
        values = [result[name] for result in results]
        if isinstance(first, np.ndarray) and first.dtype.name.startswith(("float16", "float32")):
            yield name, np.inf
        if not smooth or not isinstance(first, np.ndarray) or first.dtype != np.float64:
            continue
        if all(value.shape == first.shape for value in values):
            with np.errstate(all="ignore"):
                off = np.abs(first - 2 * values[1] + values[2]) / (1 + np.abs(first))
            yield name, off[np.isfinite(off)].max(initial=0)


def test_nothing_is_rounded_to_float32():
    rounded, count = {}, 0
    for case in cases():
        if matches(case.name, OTHERWISE) or matches(case.name, NOT_SMOOTH):
            continue
        for name, off in second_differences(case):
            count += 1
            if off > 1e-9:
                rounded[case.name] = (name, off)
    assert not rounded
    assert count >= 800


@pytest.mark.parametrize("name", ["test_lstm_with_peepholes", "test_erf", "test_gelu_tanh_2"])
def test_the_measure_sees_what_is_rounded(name, monkeypatch):
    """A float32 in between is seen, however little of it there is."""
    from rnnbench.inspection.evaluation import graphs

    def narrow(value):
        return np.asarray(value, np.float32).astype(np.float64)

    run = graphs.Step.run

    def rounding(step, values):
        run(step, values)
        for output in filter(None, step.outputs):
            values[output] = narrow(values[output])

    monkeypatch.setattr(graphs.Step, "run", rounding)
    case = next(case for case in cases() if case.name == name)
    assert max(off for _, off in second_differences(case)) > 1e-9
