"""ONNX in tract, which panics on some files: give it a process of its own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.gaps import LAYERS, seen
from rnnbench.core.model import Arrays, Run
from rnnbench.formats.onnx.profile import filling
from rnnbench.runtimes.adapters._by_shape import by_shape, load_pinned
from rnnbench.runtimes.runtime import Runtime, Timing
from rnnbench.runtimes.timed import (
    Source,
    TimedCall,
    one_thread,
    path_of,
)

if TYPE_CHECKING:
    from rnnbench.core.bundle import Bundle


def load(
    bundle: Bundle | None,
    path: Path | None,
    *,
    device: str = "cpu",
    threads: int | None = None,
    mode: str = "",
) -> Run:
    """The optimised graph; tract computes in the thread that calls it, so `threads` is 1.

    Raises:
        RnnbenchError: the file is damaged, or tract cannot run it.
    """
    assert path is not None
    if mode != "pinned":
        return Loaded(path)
    return by_shape(lambda shapes: load_pinned(path, shapes, Loaded))


class Loaded:
    """A graph that is ready to run.

    Attributes:
        inputs: the names of those that it takes, in order.
        outputs: the names.
        run: tract's, from a list to a list.
    """

    def __init__(self, path: Path) -> None:
        import tract

        try:
            model = tract.onnx().load(path)
            self.inputs = [model.input_name(i) for i in range(model.input_count())]
            self.outputs = _output_names(path)
            self.run = model.into_model().into_runnable()
        except Exception as error:
            raise RnnbenchError(
                f"{path} is not ONNX that tract {tract.version()} runs ({_cause(error)}): "
                f"{_way(path)}"
            ) from None

    def __call__(self, arrays: Arrays) -> Arrays:
        """Computes once."""
        try:
            results = self.run.run([arrays[name] for name in self.inputs])
        except Exception as error:
            raise RnnbenchError(_cause(error)) from None
        return {n: r.to_numpy() for n, r in zip(self.outputs, results, strict=True)}


def _way(path: Path) -> str:
    """What to do with a file that tract does not run as it is."""
    from rnnbench.formats.onnx.profiles import written_for

    if written_for(path) in ("tract", "portable"):
        return "run it as tract:pinned, or export with --pin"
    return "export with --for tract"


def _output_names(path: Path) -> list[str]:
    """As the file says: tract names an output after the node behind it."""
    import onnx

    return [o.name for o in onnx.load(str(path), load_external_data=False).graph.output]


def _cause(error: BaseException) -> str:
    """The last of tract's causes, which is the first thing that went wrong; no backtrace."""
    said = str(error).split("Stack backtrace")[0]
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    causes = [line.split(": ", 1)[1] for line in lines if re.match(r"\d+: ", line)]
    return causes[-1] if causes else one_line(error)


def prepare(source: Source, arrays: Arrays, device: str, threads: int, mode: str = "") -> TimedCall:
    """The optimised graph with its inputs as tract's tensors; the outputs stay tract's.

    Raises:
        Unavailable: more than one thread is asked for.
    """
    one_thread("tract", threads)
    from tract import Tensor

    loaded = Loaded(path_of(source))
    given = [Tensor.from_numpy(arrays[name]) for name in loaded.inputs]
    run_graph = loaded.run.run

    def run() -> Any:
        return run_graph(given)

    def read(returned: Any) -> Arrays:
        return {n: r.to_numpy() for n, r in zip(loaded.outputs, returned, strict=True)}

    return TimedCall(run, read)


_SEEN = "tract 0.23.9"
GAPS = (
    *seen(_SEEN, "no initial state", refused=("LSTM",), rewrite="make_explicit_states"),
    *seen(
        _SEEN,
        "no initial state",
        refused=("RNN", "GRU"),
        sizes="dynamic",
        rewrite="make_explicit_states",
    ),
    *seen(_SEEN, "direction=reverse", wrong=LAYERS, rewrite="turn_forward"),
    *seen(_SEEN, "activations", wrong=("RNN",), rewrite="turn_into_scan"),
    *seen(_SEEN, "activations", wrong=("GRU", "LSTM")),
    *seen(_SEEN, "activation_alpha", wrong=LAYERS),
    *seen(_SEEN, "clip", wrong=LAYERS),
    *seen(_SEEN, "input_forget", wrong=("LSTM",)),
    *seen(_SEEN, "sequence_lens", refused=LAYERS, rewrite="drop_lengths"),
)

RUNTIME = Runtime(
    title="tract",
    formats=("onnx", "portable"),
    requires={"tract": "tract"},
    load=load,
    modes=("pinned",),  # the file is loaded again for each shape of the inputs
    cost="extra",
    engine=True,
    packages=("tract",),
    coarseness=10.0,  # its tanh and sigmoid are rational approximations: up to 2.6e-6 was seen
    gaps=GAPS,
    profile=filling(
        GAPS,
        always=(
            "tell_states_apart",
            "make_explicit_values",
            "split_directions",
            "gather_backward_slices",
        ),
        once_pinned=("gather_backward_slices",),
        no_weights=("bfloat16",),  # "Unknown DatumType Bfloat16"
    ),
    timing=Timing("onnx", prepare, rewritten="pinned"),
)
