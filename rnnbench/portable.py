"""ONNX that other engines run right: small rewrites of a graph, and which of them an engine needs.

None of them changes what the graph computes. Some need sizes: `pin` gives the dynamic dimensions
theirs. The numbers are those of the pitfalls that each rewrite is for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from rnnbench.errors import RnnbenchError, choices, one_line

if TYPE_CHECKING:
    import onnx

Rewrite = Callable[[ir.Model], None]

PROFILE = "profile"
"""The metadata of a file that says for whom it was written."""

_RECURRENT = ("RNN", "GRU", "LSTM")
_STATES = {"RNN": (5,), "GRU": (5,), "LSTM": (5, 6)}
"""Which inputs are initial states."""

_BACKWARDS = -(2**63)
"""The end of a slice that goes backwards to the first element."""
_FOLD_BYTES = 2**28
_MOST_NODES = 200_000


def make_explicit_states(model: ir.Model) -> None:
    """Zeros where a layer has no initial state: tract panics without (pitfall 30d)."""
    for node in _recurrent(model):
        hidden = node.attributes["hidden_size"].as_int()
        directions = 2 if _direction(node) == "bidirectional" else 1
        absent = [i for i in _STATES[node.op_type] if i >= len(node.inputs) or not node.inputs[i]]
        if not absent:
            continue
        add = _Adder(node)
        rows = add("Shape", [node.inputs[0]], start=1, end=2)
        ends = [add.constant(np.array([size])) for size in (directions, hidden)]
        shape = add("Concat", [ends[0], rows, ends[1]], axis=0)
        dtype = node.inputs[0].dtype if node.inputs[0] is not None else None
        zero = np.zeros((1, 1, 1), (dtype or ir.DataType.FLOAT).numpy())
        zeros = add("Expand", [add.constant(zero), shape])
        if max(absent) >= len(node.inputs):
            node.resize_inputs(max(absent) + 1)
        for i in absent:
            node.replace_input_with(i, zeros)


def make_explicit_values(model: ir.Model) -> None:
    """The value of each ConstantOfShape is written down, also where it is 0 (pitfall 30d)."""
    for node in _nodes(model):
        if node.op_type == "ConstantOfShape" and "value" not in node.attributes:
            node.attributes["value"] = ir.AttrTensor("value", ir.tensor(np.zeros(1, np.float32)))


def split_directions(model: ir.Model) -> None:
    """A bidirectional layer becomes two: some engines get the second half wrong (pitfall 30b)."""
    for node in _recurrent(model):
        if _direction(node) != "bidirectional":
            continue
        add = _Adder(node)
        halves = [_half(node, add, i) for i in (0, 1)]
        for i, output in enumerate(node.outputs):
            both = [half.outputs[i] for half in halves]
            _replace(output, add("Concat", both, axis=1 if i == 0 else 0))
        node.graph.remove(node, safe=True)  # type: ignore[union-attr]


def turn_forward(model: ir.Model) -> None:
    """A backward layer becomes a forward one between two reversals (pitfall 30b).

    tract and emx-onnx-cgen return its output in the wrong order, silently.
    """
    for node in _recurrent(model):
        if _direction(node) != "reverse":
            continue
        add, x = _Adder(node), node.inputs[0]
        lengths = node.inputs[4] if len(node.inputs) > 4 else None
        steps = x.shape[0] if x is not None and x.shape is not None else None
        node.replace_input_with(0, _reversed(add, x, lengths, steps))
        node.attributes["direction"] = ir.AttrString("direction", "forward")
        y, after = node.outputs[0], _Adder(node, after=True)
        if not y.uses() and not y.is_graph_output():
            continue
        # (time, 1, batch, hidden) has its rows in axis 2, and ReverseSequence takes 0 and 1 only
        axis = after.constant(np.array([1]))
        turned = y if lengths is None else after("Squeeze", [y, axis])
        turned = _reversed(after, turned, lengths, steps)
        turned = turned if lengths is None else after("Unsqueeze", [turned, axis])
        _replace(y, turned, but=after.made)


def gather_backward_slices(model: ir.Model) -> None:
    """A slice that goes backwards picks its elements by number, where their count is known.

    emx-onnx-cgen has no such slices, and tract none along a dynamic dimension.
    """
    for node in list(_nodes(model)):
        x = node.inputs[0] if node.inputs else None
        if node.op_type != "Slice" or x is None or x.shape is None or len(node.inputs) < 5:
            continue
        given = [_constant(value) for value in node.inputs[1:5]]
        if any(array is None or array.size != 1 for array in given):
            continue
        start, end, axis, step = (int(array.item()) for array in given if array is not None)
        size = x.shape[axis]
        if step < 0 and isinstance(size, int):
            add = _Adder(node)
            index = add.constant(np.array(range(size)[start:end:step], np.int64))
            _replace(node.outputs[0], add("Gather", [x, index], axis=axis))
            node.graph.remove(node, safe=True)  # type: ignore[union-attr]


def drop_default_direction(model: ir.Model) -> None:
    """`forward` is not written down: emx-onnx-cgen refuses an RNN or GRU that says it."""
    for node in _recurrent(model):
        if _direction(node) == "forward":
            node.attributes.pop("direction", None)


def unroll_scans(model: ir.Model) -> None:
    """A Scan of a known length becomes its steps, one after the other (pitfalls 30b, 30d).

    Raises:
        RnnbenchError: that is more nodes than any engine takes.
    """
    from onnx_ir.passes import common

    common.LiftSubgraphInitializersToMainGraphPass()(model)
    for node in list(_nodes(model)):
        if node.op_type == "Scan" and node.graph is model.graph:
            steps = _steps(node)
            if steps is not None:
                _unroll(node, steps)


def forget_shapes(model: ir.Model) -> None:
    """No shapes but those of inputs and outputs: stale ones stop engines (pitfall 30d)."""
    own = {*model.graph.inputs, *model.graph.outputs}
    for node in _nodes(model):
        for value in node.outputs:
            if value not in own:
                value.shape = None


_ALWAYS: tuple[Rewrite, ...] = (make_explicit_states, make_explicit_values)
_SINGLE: tuple[Rewrite, ...] = (split_directions, turn_forward)

PROFILES: dict[str, tuple[Rewrite, ...]] = {
    "portable": (*_ALWAYS, turn_forward),
    "emx": (make_explicit_values,),
    "iree": (make_explicit_values,),
    "openvino": (make_explicit_values,),
    "tract": (*_ALWAYS, turn_forward),
}
"""What each engine needs; `portable` is what all of them run."""

ONCE_PINNED: dict[str, tuple[Rewrite, ...]] = {
    "portable": (*_SINGLE, unroll_scans, gather_backward_slices, drop_default_direction),
    "emx": (*_SINGLE, gather_backward_slices, drop_default_direction),
    "iree": _SINGLE,
    "tract": (*_SINGLE, gather_backward_slices),
}
"""What it needs besides, as soon as the sizes are known."""


def rewrite(
    source: Path, target: Path, profile: str = "portable", sizes: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Writes the form of an ONNX file that an engine runs right.

    Args:
        source: the file.
        target: where the other goes; its weights are inside it.
        profile: `portable`, or the engine.
        sizes: dimensions that become fixed, by name.

    Returns:
        What the manifest says of it: `profile`, `pinned`, `nodes`.

    Raises:
        RnnbenchError: there is no such profile or dimension, or the file has no such form.
    """
    if profile not in PROFILES:
        raise choices("profile", profile, PROFILES)
    model = ir.load(source)
    for key, size in (sizes or {}).items():
        if key not in _dims(model):
            raise choices("dimension", key, _dims(model))
        if size < 1:
            raise RnnbenchError(f"dimension {key}={size}: give 1 or more")
    model.metadata_props[PROFILE] = profile
    pin(model, sizes or {})
    _check_and_save(model, target)
    nodes = sum(1 for _ in _nodes(model))
    return {"profile": profile, "pinned": dict(sizes or {}), "nodes": nodes}


def pinned(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> onnx.ModelProto:
    """A file with the shapes of its inputs fixed, for an engine that takes no others.

    A file that was written for engines (see `rewrite`) gets what waited for these sizes as well;
    any other is left as it is otherwise.

    Raises:
        RnnbenchError: the file is no ONNX, or the shapes are not possible.
    """
    try:
        model = ir.load(path)
        ir.external_data.load_to_model(model)
    except Exception as error:  # protobuf's, and onnx_ir's
        raise RnnbenchError(f"{path} is not ONNX ({one_line(error)}): export it again") from None
    sizes: dict[str, int] = {}
    for value in model.graph.inputs:
        given = shapes.get(str(value.name))
        if given is None or value.shape is None:
            continue
        if len(given) != len(value.shape):
            raise RnnbenchError(f"input {value.name!r} has shape {list(given)}, not {value.shape}")
        value.shape = ir.Shape(_named(value, i, size) for i, size in enumerate(value.shape))
        for dim, size in zip(value.shape, given, strict=True):
            known = dim if isinstance(dim, int) else sizes.setdefault(str(dim), size)
            if known != size:
                raise RnnbenchError(
                    f"input {value.name!r} has shape {list(given)}, and the file has {value.shape}"
                )
    pin(model, sizes)
    return ir.to_proto(model)


def pin(model: ir.Model, sizes: Mapping[str, int]) -> None:
    """Fixes dimensions, does the rewrites of the file's profile, and folds what is known then."""
    profile = model.metadata_props.get(PROFILE, "")
    forget_shapes(model)
    for value in [*model.graph.inputs, *model.graph.outputs]:
        value.shape = _fixed(value.shape, sizes)
    for change in PROFILES.get(profile, ()):
        change(model)
    if not _dims(model):
        _fold(model)
        for change in ONCE_PINNED.get(profile, ()):
            change(model)
        _fold(model)
    elif sizes:
        _fold(model)
        forget_shapes(model)


def _fold(model: ir.Model) -> None:
    """Computes what follows from constants and fixed shapes, and infers the other shapes."""
    from onnx_ir.passes import common
    from onnxscript.optimizer import fold_constants

    common.ShapeInferencePass(data_prop=True)(model)
    fold_constants(model, input_size_limit=_FOLD_BYTES, output_size_limit=_FOLD_BYTES)
    common.RemoveUnusedNodesPass()(model)


def _check_and_save(model: ir.Model, target: Path) -> None:
    import onnx

    ir.save(model, target)
    try:
        onnx.checker.check_model(str(target), full_check=True)
    except Exception as error:
        target.unlink()
        raise RnnbenchError(f"the ONNX checker refuses the graph: {one_line(error)}") from error


def _dims(model: ir.Model) -> list[str]:
    found = [d for v in model.graph.inputs for d in v.shape or () if not isinstance(d, int)]
    return list(dict.fromkeys(str(dim.value) for dim in found if dim.value is not None))


def _named(value: ir.Value, axis: int, size: int | ir.SymbolicDim) -> int | str:
    if isinstance(size, int):
        return size
    return str(size.value) if size.value is not None else f"{value.name}_{axis}"


def _fixed(shape: ir.Shape | None, sizes: Mapping[str, int]) -> ir.Shape | None:
    if shape is None:
        return None
    return ir.Shape(
        size if isinstance(size, int) else sizes.get(str(size.value), size.value) for size in shape
    )


def _nodes(model: ir.Model) -> Iterator[ir.Node]:
    yield from ir.traversal.RecursiveGraphIterator(model.graph)


def _recurrent(model: ir.Model) -> list[ir.Node]:
    return [node for node in _nodes(model) if node.op_type in _RECURRENT and not node.domain]


def _direction(node: ir.Node) -> str:
    given = node.attributes.get("direction")
    return "forward" if given is None else given.as_string()


def _half(node: ir.Node, add: _Adder, index: int) -> ir.Node:
    """One direction of a bidirectional layer."""
    inputs: list[ir.Value | None] = list(node.inputs)
    for i, value in enumerate(inputs):
        if i not in (0, 4) and value is not None:  # the sequence and its lengths are for both
            inputs[i] = add.part(value, index)
    attributes = dict(node.attributes)
    attributes["direction"] = ir.AttrString("direction", ("forward", "reverse")[index])
    for name in ("activations", "activation_alpha", "activation_beta"):
        if name in attributes:
            values = list(attributes[name].value)
            half = values[index * len(values) // 2 : (index + 1) * len(values) // 2]
            attributes[name] = ir.Attr(name, attributes[name].type, half)
    return add.node(node.op_type, inputs, len(node.outputs), list(attributes.values()))


def _reversed(
    add: _Adder, value: ir.Value | None, lengths: ir.Value | None, steps: Any
) -> ir.Value:
    """A sequence (time first) from its end to its beginning; each row's own end with `lengths`.

    Not a slice that goes backwards, where the length is known: emx-onnx-cgen has none.
    """
    if lengths is not None:
        wide = add("Cast", [lengths], to=ir.DataType.INT64)
        return add("ReverseSequence", [value, wide], time_axis=0, batch_axis=1)
    if isinstance(steps, int):
        return add("Gather", [value, add.constant(np.arange(steps)[::-1].copy())], axis=0)
    slices = [add.constant(np.array([n])) for n in (-1, _BACKWARDS, 0, -1)]
    return add("Slice", [value, *slices])


def _constant(value: ir.Value | None) -> np.ndarray[Any, Any] | None:
    tensor = value.const_value if value is not None else None
    return None if tensor is None else tensor.numpy()


def _steps(node: ir.Node) -> int | None:
    """The length of a Scan, where it is known."""
    count = node.attributes["num_scan_inputs"].as_int()
    axes = _ints(node, "scan_input_axes", count)
    for value, axis in zip(node.inputs[-count:], axes, strict=True):
        size = value.shape[axis] if value is not None and value.shape is not None else None
        if isinstance(size, int):
            return size
    return None


def _unroll(node: ir.Node, steps: int) -> None:
    body = node.attributes["body"].as_graph()
    if steps * len(body) > _MOST_NODES:
        raise RnnbenchError(
            f"{steps} steps of {len(body)} nodes each are too many to unroll: pin a shorter time"
        )
    if steps == 0:
        return
    count = node.attributes["num_scan_inputs"].as_int()
    held = len(node.inputs) - count
    axes = _ints(node, "scan_input_axes", count)
    backward = _ints(node, "scan_input_directions", count)
    collected = len(node.outputs) - held
    out_axes = _ints(node, "scan_output_axes", collected)
    out_backward = _ints(node, "scan_output_directions", collected)
    add = _Adder(node)
    states: list[ir.Value | None] = list(node.inputs[:held])
    rows: list[list[ir.Value]] = [[] for _ in range(collected)]
    for step in range(steps):
        given = list(states)
        for value, axis, turned in zip(node.inputs[held:], axes, backward, strict=True):
            index = add.constant(np.array(steps - 1 - step if turned else step))
            given.append(add("Gather", [value, index], axis=axis))
        results = _inline(add, body, given, f"{node.name}_t{step}")
        states = list(results[:held])
        for row, value, axis in zip(rows, results[held:], out_axes, strict=True):
            row.append(add("Unsqueeze", [value, add.constant(np.array([axis]))]))
    for output, last in zip(node.outputs[:held], states, strict=True):
        _replace(output, add("Identity", [last]))
    for output, row, axis, turned in zip(
        node.outputs[held:], rows, out_axes, out_backward, strict=True
    ):
        _replace(output, add("Concat", row[::-1] if turned else row, axis=axis))
    node.graph.remove(node, safe=True)  # type: ignore[union-attr]


def _inline(
    add: _Adder, body: ir.Graph, given: list[ir.Value | None], prefix: str
) -> list[ir.Value]:
    """A copy of a body's nodes before the node that they stand for; returns the body's outputs."""
    copy = body.clone(allow_outer_scope_values=True)
    outputs = list(copy.outputs)
    copy.outputs.clear()
    by_input = dict(zip(copy.inputs, given, strict=True))
    for old, new in by_input.items():
        ir.convenience.replace_all_uses_with(old, new)  # type: ignore[arg-type]
    for node in list(copy):
        copy.remove(node)
        node.name = f"{prefix}_{node.name}"
        for value in node.outputs:
            value.name = f"{prefix}_{value.name}"
        add.insert(node)
    return [by_input.get(value) or value for value in outputs]


def _ints(node: ir.Node, name: str, count: int) -> list[int]:
    given = node.attributes.get(name)
    return [0] * count if given is None else list(given.as_ints())


def _replace(old: ir.Value, new: ir.Value, but: tuple[ir.Node, ...] | list[ir.Node] = ()) -> None:
    """`new` stands for `old` everywhere (not in the nodes `but`), under its name."""
    name, new.shape, new.type = old.name, old.shape, old.type
    for node, index in list(old.uses()):
        if node not in but:
            node.replace_input_with(index, new)
    graph = old.graph
    if graph is not None and old.is_graph_output():
        for i, output in enumerate(list(graph.outputs)):
            if output is old:
                graph.outputs[i] = new
    old.name, new.name = f"{name}_before", name


class _Adder:
    """Adds nodes before a node (or after it), with names that nothing else has."""

    def __init__(self, node: ir.Node, after: bool = False) -> None:
        assert node.graph is not None
        self.graph = node.graph
        self.at = node
        self.after = after
        self.made: list[ir.Node] = []
        self.root = _root(self.graph)

    def __call__(self, kind: str, inputs: Sequence[ir.Value | None], **attributes: Any) -> ir.Value:
        """A node with one output."""
        made = ir.node(kind, inputs, attributes=attributes)
        return self._named(made).outputs[0]

    def node(
        self, kind: str, inputs: list[ir.Value | None], outputs: int, attributes: list[ir.Attr]
    ) -> ir.Node:
        """A node with several outputs."""
        return self._named(ir.Node("", kind, inputs, attributes, num_outputs=outputs))

    def insert(self, node: ir.Node) -> None:
        """A node that has its names."""
        if self.after:
            self.graph.insert_after(self.made[-1] if self.made else self.at, node)
        else:
            self.graph.insert_before(self.at, node)
        self.made.append(node)

    def constant(self, array: np.ndarray[Any, Any]) -> ir.Value:
        """An initializer of the outermost graph; equal ones are the same."""
        name = f"portable_{array.dtype}_{'x'.join(map(str, array.shape))}_{array.tobytes().hex()}"
        if array.nbytes > 16:
            name = self._unique("portable")
        known: ir.Value | None = self.root.initializers.get(name)
        if known is not None:
            return known
        tensor = ir.tensor(np.ascontiguousarray(array).reshape(array.shape), name=name)
        made = ir.Value(
            name=name,
            shape=ir.Shape(array.shape),
            type=ir.TensorType(tensor.dtype),
            const_value=tensor,
        )
        self.root.register_initializer(made)
        return made

    def part(self, value: ir.Value, index: int) -> ir.Value:
        """One element of the first axis, which stays."""
        if value.const_value is not None:
            return self.constant(value.const_value.numpy()[index : index + 1])
        bounds = [self.constant(np.array([n])) for n in (index, index + 1, 0)]
        return self("Slice", [value, *bounds])

    def _named(self, made: ir.Node) -> ir.Node:
        made.name = f"{self.at.name}_{made.op_type}_{'a' if self.after else 'b'}{len(self.made)}"
        for i, value in enumerate(made.outputs):
            value.name = f"{made.name}_{i}"
        made.metadata_props.update(self.at.metadata_props)
        self.insert(made)
        return made

    def _unique(self, stem: str) -> str:
        n = len(self.root.initializers)
        while f"{stem}_{n}" in self.root.initializers:
            n += 1
        return f"{stem}_{n}"


def _root(graph: ir.Graph) -> ir.Graph:
    parent = getattr(graph, "parent_node", None)
    while parent is not None and parent.graph is not None:
        graph = parent.graph
        parent = getattr(graph, "parent_node", None)
    return graph
