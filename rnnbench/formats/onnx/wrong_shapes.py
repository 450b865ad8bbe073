"""Values that a file declares of a shape that they do not have.

Reshape(x, [-1, 1, 8210]) -> y, and y is declared [1, seqlen]
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from rnnbench.formats.onnx.inference import Shape, inferred, sizes


@dataclass(frozen=True)
class WrongShape:
    """One value.

    Attributes:
        name: of it.
        declared: what the file says.
        computed: what its nodes say.
    """

    name: str
    declared: Shape
    computed: Shape

    def __str__(self) -> str:
        return (
            f"{self.name!r} is declared {shown(self.declared)}, and is computed as "
            f"{shown(self.computed)}: the new file says so"
        )


def wrong_shapes(
    proto: Any, seen: Mapping[str, Collection[tuple[int, ...]]] | None = None
) -> list[WrongShape]:
    """The values whose declared sizes contradict those that ONNX infers without them.

    Args:
        proto: the file.
        seen: the shapes that outputs had in runs: what is inferred may say less.
    """
    bare = type(proto)()
    bare.CopyFrom(proto)
    del bare.graph.value_info[:]
    for value in bare.graph.output:
        value.type.tensor_type.ClearField("shape")
    graph = inferred(bare).graph
    known = {v.name: v.type.tensor_type for v in (*graph.value_info, *graph.output)}
    found = []
    for value in (*proto.graph.value_info, *proto.graph.output):
        declared = value.type.tensor_type
        computed = known.get(value.name, type(declared)())
        if not declared.HasField("shape"):
            continue
        said = sizes(declared)
        plain = _plain(sizes(computed)) if computed.HasField("shape") else None
        ran = (seen or {}).get(value.name, ())
        plain = _common(ran) if plain is None and ran else plain
        if plain is not None and any(_contradict(said, other) for other in (plain, *ran)):
            found.append(WrongShape(value.name, said, plain))
    return found


def _common(shapes: Collection[tuple[int, ...]]) -> Shape | None:
    """As many dimensions as all of them have, of any size."""
    ranks = {len(shape) for shape in shapes}
    return (None,) * ranks.pop() if len(ranks) == 1 else None


def correct(proto: Any, wrong: list[WrongShape]) -> None:
    """Declares values as they are computed."""
    computed = {each.name: each.computed for each in wrong}
    for value in (*proto.graph.value_info, *proto.graph.output):
        if value.name in computed:
            shape = value.type.tensor_type.shape
            shape.Clear()
            for size in computed[value.name]:
                dim = shape.dim.add()
                if isinstance(size, int):
                    dim.dim_value = size
                elif size:
                    dim.dim_param = size


def shown(shape: Shape) -> str:
    """`[time, 1, ?]`."""
    return f"[{', '.join('?' if size is None else str(size) for size in shape)}]"


def _contradict(a: Shape, b: Shape) -> bool:
    if len(a) != len(b):
        return True
    pairs = zip(a, b, strict=True)
    return any(isinstance(m, int) and isinstance(n, int) and m != n for m, n in pairs)


def _plain(shape: Shape) -> Shape:
    """Without the names that the inference makes up."""
    made_up = (isinstance(size, str) and size.startswith("unk__") for size in shape)
    return tuple(None if own else size for own, size in zip(made_up, shape, strict=True))
