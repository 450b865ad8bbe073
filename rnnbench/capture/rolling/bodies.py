"""One step of a loop as a graph of its own, which a scan runs.

select_1 = select(x, 0, 1)              def body(carry_4, x_0):   # [batch, 4], [batch, 4]
mul_1 = mul(select_1, 2)                    mul = mul(x_0, 2)
add_2 = add(mul_1, add_1)           ->      add = add(mul, carry_4)
tanh_1 = tanh(add_2)                        tanh = tanh(add)
add_3 = add(add_1, tanh_1)                  add_1 = add(carry_4, tanh)
exp_1 = exp(add_3)                          exp = exp(add_1)
                                            return (add_1,), (exp,)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch
from torch import fx

from rnnbench.capture.loops.counting import tensor_form
from rnnbench.capture.loops.steps import Block, arguments, map_leaves

aten = torch.ops.aten

Key = tuple[str, Any]


@dataclass(frozen=True)
class Body:
    """A step.

    Attributes:
        module: `module(*carried, *per_step, *extras) -> (carried, values)`.
        per_step: where each per-step input comes from: ("x", position), ("before", position) of
            the step before, or ("count", Count).
        extras: nodes from outside of the loop.
    """

    module: fx.GraphModule
    per_step: tuple[Key, ...]
    extras: tuple[fx.Node, ...]


def build_body(
    block: Block, positions: Sequence[int], carried: Sequence[int], values: Sequence[int]
) -> Body:
    """Copies positions of a loop's body into a graph.

    Args:
        block: the loop.
        positions: what a step computes, in order.
        carried: the positions that are handed on to the next step.
        values: the positions whose values of all steps are wanted.
    """
    return _Builder(block, positions).build(carried, values)


class _Builder:
    def __init__(self, block: Block, positions: Sequence[int]) -> None:
        self.block = block
        self.body = block.body
        self.position = {n: j for j, n in enumerate(self.body)}
        self.positions = positions
        self.inside = set(positions)
        self.graph = fx.Graph()
        self.holders: dict[Key, fx.Node] = {}
        self.made: dict[int, fx.Node] = {}

    def build(self, carried: Sequence[int], values: Sequence[int]) -> Body:
        keys = list(dict.fromkeys(key for j in self.positions for key in self._keys(j)))
        per_step = [key for key in keys if key[0] in ("x", "before", "count")]
        extras = [key for key in keys if key[0] == "extra"]
        # The order in which `run_scan` calls it: the states, the inputs of the step, the rest.
        for j in carried:
            self.holders["carry", j] = self.graph.placeholder(f"carry_{j}")
        for i, key in enumerate(per_step):
            self.holders[key] = self.graph.placeholder(f"{key[0]}_{i}")
        if not per_step:  # a scan walks along something: the number of the step, which is unused
            self.graph.placeholder("step")
        tensors = [(self.holders[key], self._value(key)) for key in self.holders]
        for i, key in enumerate(key for key in extras if not self._is_size(key)):
            self.holders[key] = self.graph.placeholder(f"extra_{i}")
            tensors.append((self.holders[key], self._value(key)))
        extras = self._place_sizes(extras, tensors)
        for j in self.positions:
            self.made[j] = self._copy(j)
        results = (tuple(self.made[j] for j in which) for which in (carried, values))
        self.graph.output(tuple(results))
        module = fx.GraphModule(torch.nn.Module(), self.graph)
        return Body(module, tuple(per_step), tuple(node for _, node in extras))

    def _value(self, key: Key) -> Any:
        """What a holder will hold, as the trace knows it; None of a count."""
        kind, what = key
        if kind == "count":
            return None
        node = what if kind == "extra" else self.body[what]
        return node.meta.get("val")

    def _is_size(self, key: Key) -> bool:
        return key[0] == "extra" and isinstance(self._value(key), torch.SymInt)

    def _place_sizes(
        self, extras: Sequence[Key], tensors: Sequence[tuple[fx.Node, Any]]
    ) -> list[Key]:
        """Sizes are taken of the tensors that a step has: a scan cannot be given a number.

        zeros([extra_0, 8])  ->  zeros([sym_size(x_0, 0), 8])     (x_0 [batch, 5])

        Returns:
            What is to be given all the same, since no tensor of the step has it.
        """
        left: list[Key] = []
        for key in extras:
            if self._is_size(key):
                made = self._size(key[1], tensors)
                if made is None:
                    made = self.graph.placeholder(f"extra_size_{len(left)}")
                    left.append(key)
                self.holders[key] = made
            else:
                left.append(key)
        return [k for k in left if not self._is_size(k)] + [k for k in left if self._is_size(k)]

    def _size(self, node: fx.Node, tensors: Sequence[tuple[fx.Node, Any]]) -> fx.Node | None:
        """A size in the body; None where nothing there has it."""
        size = node.meta.get("val")
        for holder, value in tensors:
            for dim, own in enumerate(getattr(value, "shape", ())):
                if str(own) == str(size):
                    return self.graph.call_function(aten.sym_size.int, (holder, dim))
        if getattr(node.target, "__module__", "") != "_operator" or not node.all_input_nodes:
            return None
        parts = {n: self._size(n, tensors) for n in node.all_input_nodes}
        if None in parts.values():
            return None
        return self.graph.node_copy(node, lambda n: parts[n])

    def _keys(self, j: int) -> Iterator[Key]:
        for place, leaf in enumerate(arguments(self.body[j])):
            key = self._key(j, place, leaf)
            if key is not None:
                yield key

    def _key(self, j: int, place: int, leaf: Any) -> Key | None:
        """How a step gets an argument; None: it is made in the same step, or is a constant."""
        growing = self.block.counts.get((j, place))
        if growing is not None:
            return ("count", growing)
        if not isinstance(leaf, fx.Node):
            return None
        before = self.block.previous.get((j, place))
        if before is not None:
            return ("carry" if before in self.inside else "before", before)
        if leaf in self.position:
            k = self.position[leaf]
            return None if k in self.inside else ("x", k)
        return ("extra", leaf)

    def _copy(self, j: int) -> fx.Node:
        node = self.body[j]
        place_of_leaf = count()

        def swap(leaf: Any) -> Any:
            key = self._key(j, next(place_of_leaf), leaf)
            if key is not None:
                return self.holders[key]
            return self.made[self.position[leaf]] if isinstance(leaf, fx.Node) else leaf

        target: Callable[..., Any] = node.target  # type: ignore[assignment]
        args, kwargs = map_leaves(node.args, swap), map_leaves(dict(node.kwargs), swap)
        # The number that grows has become a tensor, a per-step input.
        if any(reader == j for reader, _ in self.block.counts):
            target, args = tensor_form(node, args)
        copy = self.graph.call_function(target, args, kwargs)
        copy.meta = dict(node.meta)
        return copy
