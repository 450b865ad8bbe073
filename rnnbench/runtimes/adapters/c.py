"""The C of `--format c`, compiled here once, and called through ctypes."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import platform
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.dims import solve
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.model import Arrays, Run
from rnnbench.core.temporary import temporary_folder
from rnnbench.core.trust import digest, refuse_machine_code
from rnnbench.core.trust import folder as state_folder
from rnnbench.core.whole import write_file
from rnnbench.formats.c import HEADER, WEIGHTS, is_whole
from rnnbench.runtimes.adapters._compiling import compile_library, compiler, no_compiler
from rnnbench.runtimes.opened import Opened, Values, opened_with_arrays
from rnnbench.runtimes.runtime import Runtime, Timing
from rnnbench.runtimes.timed import Source, TimedCall, one_thread, path_of

if TYPE_CHECKING:
    from rnnbench.core.bundle import Bundle

FLAGS = ("-std=c99", "-O3", "-fno-math-errno", "-ffp-contract=off", "-fPIC", "-shared", "-w")
_ALIGN = 64
_LIBRARIES = 50  # that are kept, the newest


def load(
    bundle: Bundle | None,
    path: Path | None,
    *,
    device: str = "cpu",
    threads: int | None = None,
    mode: str = "",
) -> Run:
    """Compiles the files; a call runs in one thread.

    Raises:
        RnnbenchError: they do not compile, or it is not known what they take.
    """
    assert path is not None
    if bundle is None:
        raise RnnbenchError(f"{path} is C, of which only its bundle says what it takes: give that")
    return _ready(bundle, path)


def _ready(bundle: Bundle, path: Path) -> Compiled:
    """The function of a file that may be compiled here."""
    if not bundle.trust_code:
        refuse_machine_code(path, "written")
    if not is_whole(path):
        raise RnnbenchError(
            f"{path.parent}: {HEADER} or {WEIGHTS} is not what {path.name} was written with: "
            "export it again"
        )
    return Compiled(bundle, path)


class Compiled:
    """The function of a model.

    Args:
        bundle: says what it takes and gives.
        path: of `model.c`; the other files stand beside it.
    """

    def __init__(self, bundle: Bundle, path: Path) -> None:
        details = bundle.manifest["artifacts"]["c"]
        self._bundle = bundle
        self._inputs: list[str] = details["inputs"]
        self._outputs: list[tuple[str, str, int]] = [tuple(o) for o in details["outputs"]]
        self._library = _compiled(path)
        self._library.model_workspace_size.restype = ctypes.c_size_t
        self._library.model_run.restype = None
        self._library.model_output_elements.restype = None

    def __call__(self, arrays: Arrays) -> Arrays:
        """Computes once."""
        call, read = self.prepared(arrays)
        call()
        return read()

    def prepared(self, arrays: Arrays) -> tuple[Callable[[], None], Callable[[], Arrays]]:
        """A call with its arguments, and what reads the outputs that it left."""
        import numpy as np

        given = {name: np.ascontiguousarray(arrays[name]) for name in self._inputs}
        shapes = [
            (declared, size)
            for spec in self._bundle.inputs
            for declared, size in zip(spec.shape, given[spec.name].shape, strict=True)
        ]
        sizes = solve(shapes)  # without `time` where there are 0 rows of `envs*time`
        dims = [ctypes.c_int64(sizes.get(dim, 0)) for dim in self._bundle.dims]
        addresses = [ctypes.c_void_p(a.ctypes.data) for a in given.values()]
        inputs = (ctypes.c_void_p * len(addresses))(*addresses)
        elements = (ctypes.c_size_t * len(self._outputs))()
        self._library.model_output_elements(elements, *dims)
        results = [
            np.zeros(max(int(n), 1), dtype)
            for n, (_, dtype, _) in zip(elements, self._outputs, strict=True)
        ]
        outputs = _outputs_struct(self._outputs)()
        for n, array in enumerate(results):
            setattr(outputs, f"p{n}", array.ctypes.data)
        size = int(self._library.model_workspace_size(*dims))
        workspace = np.empty(size + _ALIGN, np.uint8)
        arguments = (inputs, ctypes.byref(outputs), ctypes.c_void_p(workspace.ctypes.data), *dims)
        run, kept = self._library.model_run, (given, workspace)

        def call() -> None:
            run(*arguments)

        def read(_: object = kept) -> Arrays:  # C keeps no memory alive
            found = {}
            for n, (name, _dtype, rank) in enumerate(self._outputs):
                shape = tuple(getattr(outputs, f"s{n}")[:rank])
                count = int(np.prod(shape))
                found[name] = results[n][:count].reshape(shape).copy()
            return found

        return call, read


def _outputs_struct(outputs: Sequence[tuple[str, str, int]]) -> Any:
    """`struct model_outputs`: a pointer and a shape for each."""
    fields: list[tuple[str, Any]] = []
    for n, (_, _, rank) in enumerate(outputs):
        fields += [(f"p{n}", ctypes.c_void_p), (f"s{n}", ctypes.c_int64 * max(rank, 1))]
    return type("Outputs", (ctypes.Structure,), {"_fields_": fields})


def _compiled(path: Path) -> Any:
    """The library of the files, loaded into this process; made once for the same files."""
    with temporary_folder() as folder:
        library = Path(folder) / "model.so"
        kept = _kept(path)
        if kept.is_file():
            return ctypes.CDLL(str(kept))
        compile_library([path, path.parent / WEIGHTS], library, FLAGS)
        with contextlib.suppress(OSError, RnnbenchError):  # where it cannot be kept
            kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_file(kept, library.read_bytes())
            libraries = sorted(kept.parent.glob("*.so"), key=lambda p: p.stat().st_mtime)
            for old in libraries[:-_LIBRARIES]:
                old.unlink(missing_ok=True)
        return ctypes.CDLL(str(library))


def _kept(path: Path) -> Path:
    """Where the library of a `model.c` is kept: beside the record of what was written here."""
    made = "\n".join([digest(path), platform.machine(), platform.node(), *compiler(), *FLAGS])
    return state_folder() / "libraries" / f"{hashlib.sha256(made.encode()).hexdigest()}.so"


def prepare(source: Source, arrays: Arrays, device: str, threads: int, mode: str = "") -> TimedCall:
    """The function with its inputs, a workspace, and room for its outputs.

    Raises:
        Unavailable: more than one thread is asked for, or somebody else wrote the file.
    """
    one_thread("C", threads)
    from rnnbench.core.bundle import Bundle

    path = path_of(source)
    bundle = Bundle.open(path.parent, trust_code=source.trust_code)
    call, read = _ready(bundle, path).prepared(arrays)
    return TimedCall(call, lambda _: read())


def open_for_streams(source: Source, threads: int, at_once: int) -> Opened:
    """The function, with room for inputs, outputs and a workspace in each thread that calls.

    Raises:
        Unavailable: more than one thread is asked for, or somebody else wrote the file.
    """
    import numpy as np

    one_thread("C", threads)
    from rnnbench.core.bundle import Bundle

    path = path_of(source)
    compiled = _ready(Bundle.open(path.parent, trust_code=source.trust_code), path)
    own = threading.local()

    def call(values: Values) -> Values:
        if not hasattr(own, "given"):
            own.given = {name: np.array(array, order="C") for name, array in values.items()}
            own.run, own.read = compiled.prepared(own.given)
        for name, array in own.given.items():
            np.copyto(array, values[name])
        own.run()
        read: Callable[[], Values] = own.read
        return read()

    return opened_with_arrays(call)


RUNTIME = Runtime(
    title="C",
    formats=("c",),
    requires={"numpy": "numpy"},
    load=load,
    lacks=no_compiler,
    coarseness=2.5,  # its tanh is off by up to 1.5e-7
    timing=Timing("c", prepare, open=open_for_streams),
)
