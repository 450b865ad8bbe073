"""The model: compile it once, then call it with whole sequences, or step by step."""

import ctypes
import re
import sys
from pathlib import Path

import numpy as np
from sequences import HERE, Sequences, Stream

TARGET = "c"
SUFFIX = {"darwin": ".dylib", "win32": ".dll"}.get(sys.platform, ".so")
LIBRARY = f"libmodel{SUFFIX}"
COMPILE = f"cc -std=c99 -O2 -fPIC -shared model.c model_weights.c -o {LIBRARY} -lm"
_NAME = re.compile(r"[A-Za-z_]\w*")
_ALIGN = 64


def versions():
    return {"c": "99"}


class Model(Sequences):
    """`model(inputs)` gives the outputs; both are numpy arrays by name."""

    def __init__(self, library=HERE / LIBRARY):
        super().__init__()
        try:
            self._library = ctypes.CDLL(str(Path(library).resolve()))
        except OSError as error:
            raise ValueError(f"{library} cannot be loaded ({error}): {COMPILE}") from None
        self._library.model_workspace_size.restype = ctypes.c_size_t
        self._library.model_output_elements.restype = None
        self._library.model_run.restype = None
        self._struct = outputs_struct(self.about["outputs"])
        self._stream = None

    def run(self, inputs):
        """The outputs of whole sequences."""
        given = [np.ascontiguousarray(inputs[port["name"]]) for port in self.about["inputs"]]
        found = sizes(self.about, inputs)
        dims = [ctypes.c_int64(found[dim]) for dim in self.about["dims"]]
        ports = self.about["outputs"]
        room = (ctypes.c_size_t * len(ports))()
        self._library.model_output_elements(room, *dims)
        made = [np.zeros(max(n, 1), port["dtype"]) for n, port in zip(room, ports)]
        outputs = self._struct()
        for i, array in enumerate(made):
            setattr(outputs, f"data{i}", array.ctypes.data)
        pointers = (ctypes.c_void_p * len(given))(*(array.ctypes.data for array in given))
        workspace = np.empty(self._library.model_workspace_size(*dims) + _ALIGN, np.uint8)
        where = ctypes.c_void_p(workspace.ctypes.data)
        self._library.model_run(pointers, ctypes.byref(outputs), where, *dims)
        found = {}
        for i, (port, array) in enumerate(zip(ports, made)):
            shape = tuple(getattr(outputs, f"shape{i}")[: port["rank"]])
            found[port["name"]] = array[: int(np.prod(shape))].reshape(shape)
        return found

    def step(self, inputs):
        """The outputs of the next step of a stream; `inputs` are those with a time axis."""
        self._stream = self._stream or Stream(self)
        return self._stream.step(inputs)

    def reset(self):
        """The next step begins a new sequence."""
        self._stream = None


def outputs_struct(ports):
    """`struct model_outputs`: a pointer and a shape for each."""
    fields = []
    for i, port in enumerate(ports):
        fields.append((f"data{i}", ctypes.c_void_p))
        fields.append((f"shape{i}", ctypes.c_int64 * max(port["rank"], 1)))
    return type("Outputs", (ctypes.Structure,), {"_fields_": fields})


def sizes(about, inputs):
    """The size of each dimension, which every shape has to agree with: C reads what it is told.

    A shape such as `envs*time` is linear in a dimension that it alone has.
    """
    axes = [
        (port["name"], declared, size)
        for port in about["inputs"]
        for declared, size in zip(port["shape"], np.shape(inputs[port["name"]]))
    ]
    found = {}
    for _ in about["dims"]:
        for _, declared, size in axes:
            missing = {n for n in names_of(declared) if n not in found}
            if len(missing) == 1:
                (name,) = missing
                none, one = (value_of(declared, dict(found, **{name: n})) for n in (0, 1))
                found[name] = (size - none) // (one - none) if one != none else size
    for name, declared, size in axes:
        wanted = value_of(declared, found)
        if size != wanted:
            raise ValueError(f"input {name!r}: its {declared} is {size}, and must be {wanted}")
    for name, said in about["dims"].items():
        if found[name] < said["min"] or found[name] % said["multiple_of"]:
            raise ValueError(
                f"{name} is {found[name]}: it must be {said['min']} or more, "
                f"a multiple of {said['multiple_of']}"
            )
    return found


def names_of(size):
    return _NAME.findall(size) if isinstance(size, str) else []


def value_of(size, dims):
    """A number, a name, or a sum of products of them."""
    if not isinstance(size, str):
        return size
    total = 0
    for part in size.split("+"):
        product = 1
        for factor in part.split("*"):
            factor = factor.strip()
            product *= int(factor) if factor.isdigit() else dims[factor]
        total += product
    return total
