"""A bundle of one GRU made by hand, so that check is tested apart from the exporter."""

import json
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from rnnbench.cases.cases import plan_cases
from rnnbench.cases.stored import write_cases
from rnnbench.core.atomic import writing
from rnnbench.core.bundle import Bundle, describe_file, describe_spec, write_manifest
from rnnbench.core.known_warnings import torchscript_deprecation
from rnnbench.core.model import Model
from rnnbench.models import variants
from rnnbench.models.calls import save_weights

TRACED = {"time": 5, "batch": 3}
FEATURES, HIDDEN = 3, 4
Edit = Callable[[onnx.ModelProto], object]


def options(seed=0, hidden=HIDDEN) -> variants.Options:
    return variants.Options(input_size=FEATURES, hidden_size=hidden, seed=seed)


def gru(seed=0, hidden=HIDDEN, name="made-gru") -> Model:
    return variants.model("gru", options(seed, hidden), bundle_name=name)


def onnx_gru(model: Model) -> onnx.ModelProto:
    """The smallest graph: one GRU node, its weights plain initializers."""
    weights = {k.rpartition(".")[2]: v.numpy() for k, v in model.module.state_dict().items()}
    hidden = weights["weight_hh_l0"].shape[1]

    def zrh(array):  # PyTorch has the gates r, z, n; ONNX z, r, h
        r, z, n = np.split(array, 3)
        return np.concatenate([z, r, n])

    tensors = {
        "W": zrh(weights["weight_ih_l0"])[None],
        "R": zrh(weights["weight_hh_l0"])[None],
        "B": np.concatenate([zrh(weights["bias_ih_l0"]), zrh(weights["bias_hh_l0"])])[None],
        "axes": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node(
            "GRU",
            ["x", "W", "R", "B", "", "h0"],
            ["Y", "hn"],
            hidden_size=hidden,
            linear_before_reset=1,
        ),
        helper.make_node("Squeeze", ["Y", "axes"], ["y"]),
    ]
    float32 = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "gru",
        [
            helper.make_tensor_value_info("x", float32, ["time", "batch", FEATURES]),
            helper.make_tensor_value_info("h0", float32, [1, "batch", hidden]),
        ],
        [
            helper.make_tensor_value_info("y", float32, ["time", "batch", hidden]),
            helper.make_tensor_value_info("hn", float32, [1, "batch", hidden]),
        ],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def script(model: Model, path: Path, module: torch.nn.Module | None = None) -> None:
    shapes = [spec.resolve(TRACED) for spec in model.inputs]
    examples = tuple(torch.zeros(shape) for shape in shapes)
    with torchscript_deprecation():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        traced = torch.jit.trace((module or model.module).eval(), examples, check_trace=False)
        torch.jit.save(traced, str(path))


def make_bundle(
    out: Path, *, edit: Edit | None = None, seed=0, hidden=HIDDEN, scale=1.0, name="made-gru"
) -> Bundle:
    """Writes ONNX (edited, where a test wants it damaged) and TorchScript."""
    with writing(out, name) as folder:
        files = _sound_files(seed, hidden, scale, name)
        for file, data in files.items():
            (folder / file).write_bytes(data)
        if edit is not None:
            proto = onnx.load_from_string(files["model.onnx"])
            edit(proto)
            onnx.save(proto, str(folder / "model.onnx"))
            manifest = json.loads(files["manifest.json"])
            manifest["artifacts"]["onnx"] = describe_file(folder / "model.onnx")
            write_manifest(folder, manifest)
    return Bundle.open(out / name)


@cache
def _sound_files(seed: int, hidden: int, scale: float, name: str) -> dict[str, bytes]:
    """The files of a bundle by name: many tests want the same one, with another damage."""
    model = gru(seed, hidden, name)
    with torch.no_grad():
        for parameter in model.module.parameters():
            parameter.mul_(scale)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        onnx.save(onnx_gru(model), str(folder / "model.onnx"))
        script(model, folder / "model.ts")
        manifest = {
            "name": name,
            "inputs": [describe_spec(spec) for spec in model.inputs],
            "outputs": list(model.outputs),
            "states": dict(model.states),
            "batch_dim": model.batch_dim,
            "time_dim": model.time_dim,
            "traced": TRACED,
            "sha256": save_weights(model.module, folder),
            "metadata": {"task": "none"},
            "source": {
                "kind": "variant",
                "variant": "gru",
                "task": "made",
                "options": asdict(options(seed, hidden)),
            },
            "artifacts": {
                "onnx": describe_file(folder / "model.onnx"),
                "torchscript": describe_file(folder / "model.ts"),
            },
            "failed": {},
            "cases": write_cases(model, folder, plan_cases(model, TRACED)),
        }
        write_manifest(folder, manifest)
        return {path.name: path.read_bytes() for path in folder.iterdir()}


def initializer(proto: onnx.ModelProto, name: str) -> np.ndarray:
    return numpy_helper.to_array(_tensor(proto, name)).copy()


def replace_initializer(proto: onnx.ModelProto, name: str, array: np.ndarray) -> None:
    _tensor(proto, name).CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), name))


def _tensor(proto: onnx.ModelProto, name: str) -> onnx.TensorProto:
    return next(t for t in proto.graph.initializer if t.name == name)
