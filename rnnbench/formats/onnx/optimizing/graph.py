"""A graph of an ONNX file by what makes and reads each value, and the edits of a rewrite."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnnbench.formats.onnx.inference import Shape

Array = np.ndarray[Any, Any]


class Graph:
    """The nodes of one graph, in order; `commit` writes the edits back.

    Attributes:
        proto: ONNX's own graph.
        opset: of ONNX's operators.
        nodes: in order.
        makers: value -> the node that makes it.
        readers: value -> the nodes that read it, those whose bodies do among them.
        shapes: the sizes that are declared or were inferred.
        types: ONNX's number of the type of a value, where it is known.
        body_shapes: first output of a node -> those in its bodies.
        model: ONNX's own form of the file; None of a body.
        outputs: what the graph returns, in order.
        inputs: what it takes; constants are not among them.
        captured: what it took from around it at first.
        has_unread: whether nothing reads an input of the file, as it was given.
    """

    def __init__(self, proto: Any, opset: int, folder: Path, outer: Graph | None = None) -> None:
        self.proto, self.opset, self.folder, self.outer = proto, opset, folder, outer
        self.model: Any = None
        self.nodes: list[Any] = list(proto.node)
        self.outputs = [v.name for v in proto.output]
        self._tensors = {t.name: t for t in proto.initializer}
        self.inputs = [v.name for v in proto.input if v.name not in self._tensors]
        self.shapes: dict[str, Shape] = {}
        self.types: dict[str, int] = {}
        self.body_shapes: dict[str, dict[str, Shape]] = {}
        self._arrays: dict[str, Array] = {}
        self._names: set[str] = outer._names if outer is not None else {*names_in(proto)}
        self._added: list[Any] = []
        self._originals: dict[str, str] = {}
        self._copies: dict[tuple[Any, ...], str] = {}
        self._beside: dict[int, list[Any]] = defaultdict(list)
        self.index()
        self._gone: set[int] = set()
        self.has_unread: bool = (
            any(not self.readers.get(name) for name in self.inputs)
            if outer is None
            else outer.has_unread
        )
        self.captured = {*captured(proto)} if outer is not None else set()
        self._read_before = {*self.readers} | {*self.outputs}

    def index(self) -> None:
        """Works out anew who makes and who reads what."""
        self.makers: dict[str, Any] = {}
        self.readers: dict[str, list[Any]] = defaultdict(list)
        for node in self.nodes:
            for name in node.output:
                if name:
                    self.makers[name] = node
            for name in reads(node):
                self.readers[name].append(node)
            if node.op_type == "Constant" and not node.domain:
                self._note_constant(node)

    def _note_constant(self, node: Any) -> None:
        for attribute in node.attribute:
            if attribute.name == "value":
                self._tensors[node.output[0]] = attribute.t
            elif attribute.name in ("value_float", "value_floats"):
                value = attribute.f if attribute.name == "value_float" else list(attribute.floats)
                self._arrays[node.output[0]] = np.asarray(value, np.float32)
            elif attribute.name in ("value_int", "value_ints"):
                value = attribute.i if attribute.name == "value_int" else list(attribute.ints)
                self._arrays[node.output[0]] = np.asarray(value, np.int64)

    def is_constant(self, name: str) -> bool:
        """Whether a value is an initializer, or of a Constant."""
        if name in self._tensors or name in self._arrays:
            return True
        own = name in self.makers or name in self.inputs
        return self.outer is not None and not own and self.outer.is_constant(name)

    def tensor(self, name: str) -> Any:
        """ONNX's own form of a constant; None of others."""
        if name not in self._tensors and self.outer is not None and name not in self.makers:
            return self.outer.tensor(name)
        return self._tensors.get(name)

    def array(self, name: str) -> Array | None:
        """The numbers of a constant; None of what is computed."""
        if name not in self._arrays:
            if name not in self._tensors:
                outside = self.outer is not None and name not in self.makers
                return self.outer.array(name) if outside and self.outer else None
            from onnx import numpy_helper

            self._arrays[name] = numpy_helper.to_array(self._tensors[name], str(self.folder))
        return self._arrays[name]

    @property
    def root(self) -> Graph:
        """The graph of the file."""
        return self if self.outer is None else self.outer.root

    def adopt(self, tensor: Any) -> None:
        """Adds an initializer that has a name already."""
        self._tensors[tensor.name] = tensor
        self._added.append(tensor)

    @property
    def added(self) -> set[str]:
        """The names of the initializers that were added."""
        return {t.name for t in self._added}

    def original(self, name: str) -> str:
        """Of constants that are copies of one another, the first that was asked for."""
        if not self.is_constant(name):
            return name
        if name not in self._originals:
            array = self.array(name)
            assert array is not None
            key = (array.shape, str(array.dtype), hash(array.tobytes()))
            self._originals[name] = self._copies.setdefault(key, name)
        return self._originals[name]

    def numbers(self, name: str) -> list[int] | None:
        """The whole numbers of a constant; None of others."""
        tensor = self.array(name) if name and self.is_constant(name) else None
        if tensor is None or tensor.dtype.kind not in "iu":
            return None
        return [int(n) for n in tensor.ravel()]

    def shape(self, name: str) -> Shape | None:
        """The sizes of a value, where they are known."""
        if name in self._arrays:
            return (*self._arrays[name].shape,)
        tensor = self._tensors.get(name)
        if tensor is not None:
            return tuple(int(n) for n in tensor.dims)
        if name in self.shapes:
            return self.shapes[name]
        own = name in self.makers or name in self.inputs
        return self.outer.shape(name) if self.outer is not None and not own else None

    def rank(self, name: str) -> int | None:
        """How many dimensions a value has."""
        shape = self.shape(name)
        return None if shape is None else len(shape)

    def new_name(self, stem: str) -> str:
        """A name that nothing has."""
        name, n = stem, 1
        while name in self._names or name in self.makers or name in self.readers:
            n += 1
            name = f"{stem}_{n}"
        self._names.add(name)
        return name

    def constant(self, stem: str, array: Array) -> str:
        """Adds an initializer; its name."""
        from onnx import numpy_helper

        name = self.new_name(stem)
        made = numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
        self._tensors[name] = made
        self._arrays[name] = array
        self._added.append(made)
        return name

    def add(self, node: Any, anchor: Any) -> None:
        """Adds a node before another, or where what it reads is there: `commit` finds its place."""
        self._beside[id(anchor)].append(node)

    def drop(self, names: Iterable[str]) -> None:
        """Takes the makers of values away, with `commit`, for others that make the same values."""
        self._gone |= {id(self.makers[name]) for name in names}

    def commit(self) -> None:
        """Puts the nodes in order, each as near to where it was as it can be."""
        placed = []
        for node in self.nodes:
            placed += self._beside.pop(id(node), [])
            if id(node) not in self._gone:
                placed.append(node)
        self._gone.clear()
        self.nodes = in_order(placed)
        self.index()

    def write_back(self) -> None:
        """Gives ONNX's own graph the nodes and initializers; those that nobody reads are left out.

        An initializer that nothing read before either stays, as everything else does.
        """
        unread = {t.name for t in self.proto.initializer if t.name not in self._read_before}
        used = {name for node in self.nodes for name in reads(node)} | {*self.outputs} | unread
        kept = [t for t in (*self.proto.initializer, *self._added) if t.name in used]
        gone = {t.name for t in self.proto.initializer} - {t.name for t in kept}
        del self.proto.node[:]
        self.proto.node.extend(self.nodes)
        if gone or self._added:
            tensors = [t.SerializeToString() for t in kept]
            del self.proto.initializer[:]
            for data in tensors:
                self.proto.initializer.add().ParseFromString(data)
        made = {name for node in self.nodes for name in node.output}
        for field in (self.proto.value_info, self.proto.input):
            for i in reversed(range(len(field))):
                name = field[i].name
                if name in gone or (field is self.proto.value_info and name not in made | used):
                    del field[i]

    def sweep(self, suspects: Iterable[str]) -> int:
        """Takes away the nodes behind values that nothing reads any more; how many.

        Only these and what they alone read: what was dead before stays as it was.
        """
        count = {name: len(found) for name, found in self.readers.items()}
        kept, waiting = {*self.outputs}, list(suspects)
        gone: set[int] = set()
        while waiting:
            name = waiting.pop()
            node = self.makers.get(name)
            if node is None or id(node) in gone:
                continue
            if any(count.get(o, 0) or o in kept for o in node.output if o):
                continue
            gone.add(id(node))
            for read in reads(node):
                count[read] -= 1
                waiting.append(read)
        if gone:
            self.nodes = [n for n in self.nodes if id(n) not in gone]
            self.index()
        return len(gone)


def names_in(graph: Any) -> Iterator[str]:
    """The names of a graph's values and of those in its bodies, each as often as it is given."""
    yield from (v.name for v in graph.input)
    yield from (t.name for t in graph.initializer)
    yield from (t.values.name for t in graph.sparse_initializer)
    for node in graph.node:
        yield from filter(None, node.output)
        for attribute in node.attribute:
            for body in [attribute.g] if attribute.HasField("g") else [*attribute.graphs]:
                yield from names_in(body)


def reads(node: Any) -> list[str]:
    """The values that a node reads, those that its bodies take from around them last."""
    found = [name for name in node.input if name]
    for attribute in node.attribute:
        for body in [attribute.g] if attribute.HasField("g") else [*attribute.graphs]:
            found += captured(body)
    return found


def captured(body: Any) -> list[str]:
    """What a body takes from around it."""
    own = {v.name for v in body.input} | {t.name for t in body.initializer}
    found = []
    for node in body.node:
        found += [name for name in reads(node) if name not in own]
        own |= {*node.output}
    return found + [v.name for v in body.output if v.name not in own]


def in_order(nodes: Sequence[Any]) -> list[Any]:
    """The nodes with what makes a value before what reads it, else in the order that they have."""
    makers = {name: i for i, node in enumerate(nodes) for name in node.output if name}
    needs = [{makers[r] for r in reads(node) if r in makers} for node in nodes]
    readers: dict[int, list[int]] = defaultdict(list)
    for i, found in enumerate(needs):
        for maker in found:
            readers[maker].append(i)
    left = [len(found) for found in needs]
    ready = [i for i, count in enumerate(left) if not count]
    heapq.heapify(ready)
    ordered = []
    while ready:
        i = heapq.heappop(ready)
        ordered.append(nodes[i])
        for reader in readers[i]:
            left[reader] -= 1
            if not left[reader]:
                heapq.heappush(ready, reader)
    return ordered


def attribute(node: Any, name: str, default: Any = None) -> Any:
    """An attribute's value; text as text."""
    from onnx import helper

    for known in node.attribute:
        if known.name == name:
            value = helper.get_attribute_value(known)
            return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return default


def is_standard(node: Any, *kinds: str) -> bool:
    """Whether a node is one of some of ONNX's own operators."""
    return node.op_type in kinds and node.domain in ("", "ai.onnx")
