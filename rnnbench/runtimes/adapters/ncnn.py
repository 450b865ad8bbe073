"""ONNX in ncnn, converted by pnnx for one shape at a time; one sequence at a time: batch 1.

ncnn keeps the batch out of its arrays, and its recurrent layers read one sequence: of a larger
batch pnnx makes a network all the same, whose results are others. It is refused here.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Mapping
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.gaps import LAYERS, seen
from rnnbench.core.model import Arrays, Run
from rnnbench.core.temporary import temporary_folder
from rnnbench.formats.onnx.profile import filling
from rnnbench.runtimes.adapters._by_shape import by_shape
from rnnbench.runtimes.runtime import Runtime, Timing
from rnnbench.runtimes.timed import (
    Source,
    TimedCall,
    path_of,
)

if TYPE_CHECKING:
    import onnx

    from rnnbench.core.bundle import Bundle


_CONVERT_S = 120.0
_NO_BATCH = 233
"""What both call the axis of a batch that is not there."""
_HALVES = ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_packed", "bf16_storage")
_RECURRENT = ("RNN", "GRU", "LSTM")
_GIVEN = {"float32": "float32", "int32": "int32", "int64": "int32"}
"""The inputs that it takes, and as what."""


def load(
    bundle: Bundle | None,
    path: Path | None,
    *,
    device: str = "cpu",
    threads: int | None = None,
    mode: str = "",
) -> Run:
    """Converts the file for each shape of the inputs as it comes.

    Raises:
        RnnbenchError: the file is damaged, pnnx or ncnn cannot run it, or the batch is not 1.
    """
    assert path is not None

    def make(shapes: Mapping[str, tuple[int, ...]]) -> Run:
        if bundle is not None:
            _refuse_rows(bundle, shapes)
        return convert(path, dict(shapes), threads)

    return by_shape(make)


class Network:
    """A network for inputs of one shape, with where pnnx says that the batch was in each."""

    def __init__(self, net: Any, proto: onnx.ModelProto, script: str) -> None:
        from onnx import helper

        self.net = net
        self.inputs = {
            value.name: _axis(script, rf'ex\.input\("in{i}",.*batch_index=(\d+)')
            for i, value in enumerate(proto.graph.input)
        }
        self.outputs = {
            value.name: (
                _axis(script, rf"\(out{i}\.numpy\(batch_index=(\d+)"),
                [dim.dim_value for dim in value.type.tensor_type.shape.dim],
                helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type),
            )
            for i, value in enumerate(proto.graph.output)
        }

    def __call__(self, arrays: Arrays) -> Arrays:
        """Outputs by name."""
        return self.take(self.run(self.give(arrays)))

    def give(self, arrays: Arrays) -> list[Any]:
        """Arrays as ncnn's own, in the order of the inputs."""
        import ncnn
        import numpy as np

        mats = []
        for name, axis in self.inputs.items():
            wanted = _GIVEN.get(arrays[name].dtype.name)
            if wanted is None:
                raise RnnbenchError(
                    f"input {name!r} is {arrays[name].dtype}: ncnn takes {', '.join(_GIVEN)}"
                )
            array = np.ascontiguousarray(arrays[name], wanted)
            mats.append(ncnn.Mat(array, batch_index=axis).clone())
        return mats

    def run(self, mats: list[Any]) -> list[Any]:
        """Ncnn's own outputs, in order."""
        results = []
        with self.net.create_extractor() as extractor:
            for i, mat in enumerate(mats):
                extractor.input(f"in{i}", mat)
            for i, name in enumerate(self.outputs):
                code, mat = extractor.extract(f"out{i}")
                if code:
                    raise RnnbenchError(f"{_version()} gives no output {name!r} (code {code})")
                results.append(mat)
        return results

    def take(self, mats: list[Any]) -> Arrays:
        """Ncnn's outputs as arrays of the shapes that the file gives them."""
        import numpy as np

        results = {}
        for (name, (axis, shape, dtype)), mat in zip(self.outputs.items(), mats, strict=True):
            found = np.array(mat.numpy(batch_index=axis))
            if found.size != np.prod(shape):
                raise RnnbenchError(
                    f"{_version()} gives {found.size} numbers for output {name!r}, which has "
                    f"shape {shape}: export with --for ncnn, or use another runtime"
                )
            whole = found.dtype.kind == "i" and np.dtype(dtype).kind == "i"
            results[name] = found.reshape(shape).astype(dtype if whole else found.dtype)
        return results


def _refuse_rows(bundle: Bundle, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raises where an input has more rows than one, or none."""
    for spec in bundle.inputs:
        for dim, size in zip(spec.shape, shapes.get(spec.name, ()), strict=False):
            if dim == bundle.batch_dim and size != 1:
                raise _too_many(f"input {spec.name!r}", size)


def _refuse_rows_of_layers(proto: onnx.ModelProto) -> None:
    """The same from the graph itself, for files that no bundle describes."""
    values = {value.name: value for value in (*proto.graph.input, *proto.graph.value_info)}
    for node in proto.graph.node:
        if node.op_type in _RECURRENT and node.input[0] in values:
            dims = values[node.input[0]].type.tensor_type.shape.dim
            if len(dims) == 3 and dims[1].dim_value != 1:
                raise _too_many(f"{node.op_type} {node.name!r}", dims[1].dim_value)


def _refuse_several_picks(path: Path, proto: onnx.ModelProto) -> None:
    """Raises where several elements are picked by number: pnnx takes one of them, silently."""
    import onnx_ir as ir

    from rnnbench.formats.onnx.rewrites.slices import picks

    for node in ir.from_proto(proto).graph:
        index = picks(node)
        if index is not None and index.size > 1:
            raise _refused(path, f"{node.name!r} picks {index.size} elements by their numbers")


def _too_many(what: str, rows: int) -> RnnbenchError:
    return RnnbenchError(
        f"{what} has {rows} rows, and {_version()} takes one sequence at a time: "
        "give each row by itself, as batch 1"
    )


def convert(path: Path, shapes: dict[str, tuple[int, ...]], threads: int | None) -> Network:
    """A file as a network for inputs of these shapes.

    Raises:
        RnnbenchError: the file is damaged, pnnx or ncnn cannot run it, or the batch is not 1.
    """
    import onnx

    from rnnbench.formats.onnx.profiles import pinned

    proto = pinned(path, shapes)
    _refuse_rows_of_layers(proto)
    _refuse_several_picks(path, proto)
    with temporary_folder() as folder:
        onnx.save(proto, folder / "model.onnx")
        unknown = _run_pnnx(path, folder)
        net = _net(path, folder, threads, unknown)
        return Network(net, proto, (folder / "model_ncnn.py").read_text("utf-8"))


def _run_pnnx(path: Path, folder: Path) -> str:
    """Writes model.ncnn.param and .bin; returns the operators for which ncnn has no layer."""
    package = find_spec("pnnx")
    assert package is not None
    assert package.origin is not None
    program = Path(package.origin).with_name("pnnx.exe" if os.name == "nt" else "pnnx")
    try:
        done = subprocess.run(
            [str(program), "model.onnx", "fp16=0"],  # else it stores the weights in halves
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_CONVERT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _refused(path, one_line(error)) from None
    said = (done.stdout + done.stderr).splitlines()
    if done.returncode:
        end = signal.Signals(-done.returncode).name if done.returncode < 0 else done.returncode
        raise _refused(path, f"pnnx ends with {end}")
    param = folder / "model.ncnn.param"
    if not param.is_file():
        raise _refused(path, f"pnnx wrote no network: {said[-1].strip() if said else 'no word'}")
    ignored = [line.split()[1] for line in said if re.match(r"ignore \S+ \S+ param", line)]
    return ", ".join(dict.fromkeys(ignored))


def _net(path: Path, folder: Path, threads: int | None, unknown: str) -> Any:
    import ncnn

    net = ncnn.Net()
    net.opt.use_vulkan_compute = False
    for half in _HALVES:
        setattr(net.opt, f"use_{half}", False)
    if threads is not None:
        net.opt.num_threads = threads
    if net.load_param(str(folder / "model.ncnn.param")):
        raise _refused(path, f"there is no layer for {unknown or 'one of its operators'}")
    if net.load_model(str(folder / "model.ncnn.bin")):
        raise _refused(path, "the weights do not fit the network")
    return net


def _refused(path: Path, why: str) -> RnnbenchError:
    return RnnbenchError(
        f"{path} is not ONNX that {_version()} and pnnx {metadata.version('pnnx')} run ({why}): "
        "export with --for ncnn"
    )


def _axis(script: str, pattern: str) -> int:
    """The axis of the batch, from the script that pnnx writes to try its network."""
    found = re.search(pattern, script)
    return int(found[1]) if found else _NO_BATCH


def _version() -> str:
    return f"ncnn {metadata.version('ncnn')}"


def prepare(source: Source, arrays: Arrays, device: str, threads: int, mode: str = "") -> TimedCall:
    """The network of the form that `export --for ncnn` writes."""
    from rnnbench.formats.onnx.profiles import rewrite

    with temporary_folder() as folder:
        file = Path(folder) / "ncnn.onnx"
        rewrite(path_of(source), file, "ncnn")
        network = convert(file, {name: array.shape for name, array in arrays.items()}, threads)
    inputs = network.give(arrays)
    return TimedCall(lambda: network.run(inputs), network.take)


_SEEN = "ncnn 1.0.20261020 with pnnx 20261020"
GAPS = (
    *seen(_SEEN, "no initial state", refused=LAYERS, rewrite="make_explicit_states"),
    *seen(_SEEN, "no Y", refused=LAYERS, rewrite="read_last_step"),
    *seen(_SEEN, "direction=reverse", refused=LAYERS, rewrite="turn_forward"),
    *seen(_SEEN, "activations", wrong=("RNN",), rewrite="turn_into_scan"),
    *seen(_SEEN, "activations", refused=("GRU", "LSTM")),
    *seen(_SEEN, "activation_alpha", refused=LAYERS),
    *seen(_SEEN, "clip", wrong=LAYERS),
    *seen(_SEEN, "layout", refused=LAYERS),
    *seen(_SEEN, "sequence_lens", refused=LAYERS),
    *seen(_SEEN, "linear_before_reset=0", wrong=("GRU",), rewrite="write_out_resets"),
    *seen(_SEEN, "input_forget", wrong=("LSTM",)),
    *seen(_SEEN, "P", refused=("LSTM",), rewrite="write_out_peepholes"),
)

RUNTIME = Runtime(
    title="ncnn",
    formats=("onnx", "portable"),
    requires={"ncnn": "ncnn", "pnnx": "pnnx"},
    load=load,
    cost="slow",
    shapes="one row",
    engine=True,
    packages=("ncnn", "pnnx"),
    coarseness=4.0,  # its tanh is off by up to 2.9e-7, its sigmoid by 1.4e-7
    gaps=GAPS,
    profile=filling(
        GAPS,
        always=("make_explicit_values",),
        once_pinned=("unroll_scans", "reverse_rows", "slice_picks", "drop_default_axis"),
    ),
    timing=Timing("onnx", prepare),  # which writes the form of the profile itself
)
