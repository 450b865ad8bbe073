"""`optimize` of the stock files of every model of the zoo, by both exporters of PyTorch.

A file that holds a known cell ends as one fused node for each layer, but for those in `STAYS`; and
none becomes wrong, judged by PyTorch in float64 at sizes that the rewriter did not see.
"""

import copy
import logging
import warnings

import numpy as np
import onnx
import pytest
import torch

import rnnbench
from rnnbench import RnnbenchError
from rnnbench.formats.onnx.stock import export_stock
from rnnbench.inspection.evaluation import Evaluator
from tests.zoo import MODELS

DECODES = "the input of a step is computed of the step before"
STAYS = {
    "GreedyAsLongAsTarget": DECODES,
    "GreedySixSteps": DECODES,
    "StopsAtAToken": DECODES,
    "ListenAttendSpell": DECODES,
    "LayerUntilAllHaveEnded": DECODES,
    "ElmanInFloat64": "ONNX Runtime has no RNN of float64",
    "WindowsThroughALayer": "a layer of two steps is called again and again",
    "StepsHeldTwice": "each step is read twice",
    "WordsInSentences": "a loop over what loops give",
    "RowsOfEpisodes": "its state is reset between steps",
}
DAMAGED = {("Forecast", "new")}
"""PyTorch gives an output the name of another value."""

OTHER = {"time": (4, 9, 1), "batch": (3, 1)}


def sizes_of(model):
    names = [n for spec in model.inputs for n in spec.shape if isinstance(n, str)]
    usual = {"time": 6, "batch": 2}
    return {n: usual.get(n, 3 + i) for i, n in enumerate(dict.fromkeys(names))}


def arrays_of(model, sizes, seed):
    generator = np.random.default_rng(seed)
    if model.sample is not None:
        sizes = {"time": 6, "batch": 2} | sizes
        return {n: np.asarray(a) for n, a in model.sample(sizes, generator).items()}
    made = {}
    for spec in model.inputs:
        shape = [sizes.get(n, n) for n in spec.shape]
        if spec.role == "lengths":
            made[spec.name] = generator.integers(1, sizes.get("time", 6) + 1, shape).astype(
                spec.dtype
            )
        elif spec.dtype.startswith("int"):
            made[spec.name] = generator.integers(0, spec.high or 2, shape).astype(spec.dtype)
        elif spec.dtype == "bool":
            made[spec.name] = generator.random(shape) < 0.5
        else:
            made[spec.name] = generator.standard_normal(shape).astype(spec.dtype)
    return made


def written(model, arrays, path, exporter):
    """The stock file; skipped where PyTorch refuses the model."""
    try:
        if exporter == "old":
            export_stock(model, arrays, path)
            return
        given = tuple(torch.from_numpy(arrays[s.name]) for s in model.inputs)
        torch.onnx.export(
            model.module,
            given,
            str(path),
            dynamo=True,
            verbose=False,
            input_names=[s.name for s in model.inputs],
            output_names=list(model.outputs),
        )
    except Exception as error:
        pytest.skip(f"PyTorch refuses it: {str(error).splitlines()[0]}")


def eager(model, arrays):
    module = copy.deepcopy(model.module).double().eval()
    given = [torch.from_numpy(arrays[s.name]) for s in model.inputs]
    found = module(*(g.double() if g.is_floating_point() else g for g in given))
    return flat(found)


def flat(value):
    if isinstance(value, tuple | list):
        return [array for each in value for array in flat(each)]
    return [value.detach().numpy()]


def is_right(path, arrays, expected):
    """Whether a file computes that; None: it does not run."""
    run = Evaluator(path)
    try:
        found = [*run({n: arrays[n] for n in run.inputs}).values()]
    except RnnbenchError:
        return None
    same = len(found) == len(expected)
    return same and all(
        a.shape == b.shape and np.allclose(a, b, rtol=1e-5, atol=1e-6, equal_nan=True)
        for a, b in zip(found, expected, strict=True)
    )


def is_checked(path):
    """Whether ONNX's own checker passes a file; PyTorch writes some that it does not."""
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
        return False
    return True


def known(path):
    return [r for r in rnnbench.inspect(path).recurrences if r.kind != "unknown"]


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("exporter", ["old", "new"])
@pytest.mark.parametrize("name", MODELS)
def test_stock_files(name, exporter, tmp_path):
    logging.disable(logging.CRITICAL)
    model = MODELS[name].build()
    model.module.eval()
    sizes = sizes_of(model)
    stock, better = tmp_path / "stock.onnx", tmp_path / "better.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        written(model, arrays_of(model, sizes, 0), stock, exporter)
    if (name, exporter) in DAMAGED:
        with pytest.raises(RnnbenchError, match="made twice"):
            rnnbench.optimize(stock, better)
        return
    report = rnnbench.optimize(stock, better)
    if known(stock) and name not in STAYS:
        assert {r.representation for r in known(better)} <= {"fused"}
    if not report.changed:
        assert better.read_bytes() == stock.read_bytes()
        return
    if is_checked(stock):
        assert is_checked(better)
    others = [{n: size} for n in sizes for size in OTHER.get(n, ())]
    for seed, more in enumerate([{}, *others]):
        arrays = arrays_of(model, sizes | more, 1 + seed)
        try:
            expected = eager(model, arrays)
        except Exception:  # a size that the model itself does not take
            continue
        if is_right(stock, arrays, expected):
            assert is_right(better, arrays, expected), more
