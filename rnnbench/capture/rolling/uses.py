"""What the graph around a loop reads of its steps, redirected to what the rolled loop gives.

Of a loop whose steps give tanh, tanh_1, tanh_2, tanh_3, with y [time, batch, 4] from `run_scan`:

    stack([tanh, tanh_1, tanh_2, tanh_3])  ->  stack([select(y, 0, 0), ... select(y, 0, 3)])
                                               (which `join_steps` then makes y)
    mul(tanh_1, 2)                         ->  mul(select(y, 0, 1), 2)
    mul(tanh_3, 2)                         ->  mul(last, 2), the last state
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

import torch
from torch import fx

from rnnbench.capture.loops.joining import APART
from rnnbench.capture.loops.steps import Block, written_value
from rnnbench.capture.rolling.stacks import Stacks

aten = torch.ops.aten

_LARGEST_STRIDE = 6


class Uses:
    """The uses of a loop's values outside of it.

    Attributes:
        members: the nodes of all steps.
    """

    def __init__(self, block: Block, stacks: Stacks, members: Collection[fx.Node]) -> None:
        self.members = members
        self._block = block
        self._stacks = stacks
        self._users: dict[fx.Node, list[fx.Node]] = {}
        self._alike: set[tuple[int, fx.Node]] = set()

    def read_of_all_steps(self, handed_out: Collection[int]) -> set[int]:
        """The positions whose values of more than the last step are used after the loop.

        Args:
            handed_out: the positions whose value after the last step a piece hands out by itself.
        """
        read = set()
        last = self._block.length - 1
        for k, step in enumerate(self._block.steps):
            for j, node in enumerate(step):
                state_alone = k == last and j in handed_out
                if node is not None and not state_alone and self._users_of(node):
                    read.add(j)
        # What a write puts into a tensor is read of every step.
        return read | {written_value(self._block, j)[0] for j in self._block.writes}

    def redirect(self) -> None:
        """What was read of single steps is read of the stacked values, or of the last state."""
        last = self._block.length - 1
        # As they are before any change.
        self._users = {n: self._users_of(n) for n in self.members}
        self._alike = {
            (j, user)
            for j, node in enumerate(self._block.steps[last])
            for user in (self._users[node] if node is not None else ())
            if self._reads_alike(j, user)
        }
        for k, step in enumerate(self._block.steps):
            for j, node in enumerate(step):
                if node is None:
                    continue
                for user in self._users[node]:
                    user.replace_input_with(node, self._after(j, k, last, user))

    def _users_of(self, node: fx.Node) -> list[fx.Node]:
        return [u for u in node.users if u not in self.members]

    def _after(self, j: int, k: int, last: int, user: fx.Node) -> fx.Node:
        """What a user gets in the place of position j of step k."""
        stacks = self._stacks
        if j in self._block.writes:
            return stacks.written(j)
        if k == last and j in stacks.final and (j, user) not in self._alike:
            return stacks.final[j]
        stacked = stacks.all_steps(j)  # [time, batch, ...]
        with stacks.graph.inserting_before(stacks.end):
            node = stacks.graph.call_function(aten.select.int, (stacked, 0, k))
        value = self._block.steps[1][j].meta.get("val")  # type: ignore[union-attr]
        node.meta["val"] = value
        if value is not None and "val" not in stacked.meta:
            with value.fake_mode:  # the shape by which `join_steps` knows that all steps are there
                stacked.meta["val"] = value.new_empty((last + 1, *value.shape))
        return node

    def _reads_alike(self, j: int, user: fx.Node) -> bool:
        """Whether the last but one step's value is used in the same way (in one list, say)."""
        before, last = self._block.steps[-2][j], self._block.steps[-1][j]
        assert before is not None
        if user.target not in (aten.stack.default, aten.cat.default):
            near = self._block.steps[-1 - _LARGEST_STRIDE : -1]  # every other step may be read
            return any(
                str(u.target) == str(user.target) for step in near for u in self._users_at(step, j)
            )
        # One list of all steps, or one of each step: a loop of its own, over what this one gave.
        if any(
            u is user or (u.target is user.target and _places(u, before) == _places(user, last))
            for u in self._users[before]
        ):
            return True
        # Or a list of every other step, which this one is one of.
        listed = [k for k, step in enumerate(self._block.steps) if user in self._users_at(step, j)]
        strides = {b - a for a, b in pairwise(listed)}
        return len(listed) >= APART and len(strides) == 1

    def _users_at(self, step: Sequence[fx.Node | None], j: int) -> list[fx.Node]:
        node = step[j]
        return [] if node is None else self._users[node]


def _places(join: fx.Node, part: fx.Node | None) -> tuple[int, list[int]]:
    """How many parts a join has, and which of them a node is."""
    parts = list(join.args[0])  # type: ignore[arg-type]
    return len(parts), [i for i, p in enumerate(parts) if p is part]
