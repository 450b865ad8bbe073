"""Packed sequences, kept as padded ones while a module is traced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import sympy
import torch
from sympy.core.relational import Relational
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from rnnbench.capture.tracing.run_layers import run_layers
from rnnbench.capture.tracing.walking import Walk
from rnnbench.core.errors import RnnbenchError


class Packing:
    """Packed sequences, kept as padded ones.

    `pad_packed_sequence(gru(pack_padded_sequence(x, lengths)))` traces as

        recurrence = recurrence(x, lengths, h0, None, [weight_ih_l0, ...], 'gru', 'forward')
        where = where(lt(arange(time), lengths), recurrence[0], 0.0)

    (and the sorting of the rows around it, where `enforce_sorted=False`).

    `data` of such a `PackedSequence` is the padded input, time first, its first two dimensions
    flattened: what works row by row on `data` works on it, and shapes stay symbolic. The lengths
    are remembered by the identity of `batch_sizes`, which is computed as PyTorch would.

    Who walks the rows by hand (`for n in packed.batch_sizes: data[at : at + n]`) is told, likewise,
    that each step has all of them: see `walking.py`. Who counts them by the lengths
    (`counted_rows.py`) is given all steps, up to the end of the padding: those after the longest
    row, which has no rows, are cut off where a sequence is unpacked after the last walk.

    Args:
        counted: whether rows are counted by the lengths.
        whole: how many sequences are unpacked with all steps; None: all.

    Attributes:
        before_walks: how many were unpacked before rows were last counted.
    """

    def __init__(self, counted: bool = False, whole: int | None = None) -> None:
        self.before_walks = 0
        self._counted, self._whole = counted, whole
        self._unpacked = 0
        self._of_longest: set[Any] = set()
        self._walks: list[Walk] = []
        self._lengths: dict[int, tuple[Tensor, Tensor]] = {}
        self._steps: dict[int, tuple[Any, Any, Walk | None]] = {}

    def pack(self, x: Tensor, lengths: Tensor, batch_first: bool) -> tuple[Tensor, Tensor]:
        """Stands in for `torch._pack_padded_sequence`."""
        x = x.transpose(0, 1) if batch_first else x  # [time, batch, input]
        longest = x.shape[0] if self._counted else self._longest(lengths, x.shape[0])
        steps = torch.arange(longest, device=lengths.device)  # [longest]
        # [longest, 1] < [1, batch] -> [longest, batch] -> [longest]: the rows that still run
        batch_sizes = (steps.unsqueeze(1) < lengths.unsqueeze(0)).sum(1)
        self._lengths[id(batch_sizes)] = (batch_sizes, lengths)  # kept alive: the id stays its own
        rows = x.shape[1]
        walk = Walk(rows, lengths) if isinstance(rows, torch.SymInt) else None
        self._walks += [] if walk is None else [walk]
        self._steps[id(batch_sizes)] = x.shape[0], rows, walk
        return x.flatten(0, 1), batch_sizes  # [time * batch, input], [longest]

    def lengths(self, batch_sizes: Tensor) -> Tensor:
        """The lengths with which a sequence was packed, in its order."""
        known = self._lengths.get(id(batch_sizes))
        if known is None:
            raise RnnbenchError(
                "a PackedSequence was not made by pack_padded_sequence inside the module: "
                "pack it there, from a padded input and its lengths"
            )
        return known[1]

    def walked(self, batch_sizes: Any) -> list[Any] | None:
        """The rows of each step, for who walks them; None of another tensor.

        How many steps there are becomes a constant, as where a loop asks for the length.
        """
        if id(batch_sizes) not in self._steps:
            return None
        steps, rows, walk = self._steps[id(batch_sizes)]
        return [rows if walk is None else walk.rows(t) for t in range(int(steps))]

    def _longest(self, lengths: Tensor, steps: Any) -> Any:
        """The number of steps of the longest row: an unknown number, 1 to `steps`."""
        longest: Any = lengths.max().item()
        torch._check(longest >= 1)
        torch._check(longest <= steps)
        self._of_longest.add(longest.node.expr)
        return longest

    def no_row_is_full(self, test: Any) -> bool | None:
        """The truth of a comparison of the longest row with a size, as where it is shorter.

        if y.size(1) != mask.size(1): y = cat([y, zeros])   ->   True: no zeros where it is as long

        Returns:
            None for another test.
        """
        condition = test.node.expr if isinstance(test, torch.SymBool) else None
        if not isinstance(condition, Relational):
            return None
        for longest, size in (condition.args, condition.args[::-1]):
            if longest in self._of_longest and not size.free_symbols & self._of_longest:
                told = condition.subs(longest, size - 1)
                return bool(told) if told in (sympy.true, sympy.false) else None
        return None

    def walk_of(self, lengths: Tensor) -> Walk | None:
        """What the rows of falling lengths [batch] do; None where the batch has a fixed size."""
        rows = lengths.shape[0]
        if not isinstance(rows, torch.SymInt):
            return None
        self.before_walks = self._unpacked
        known = next((walk for walk in self._walks if walk.lengths is lengths), None)
        if known is None:
            known = Walk(rows, lengths)
            self._walks.append(known)
        return known

    def rows_of_a_step(self, batch_sizes: Any) -> Callable[..., Any] | None:
        """Stands in for `batch_sizes[t]`; None of another tensor."""
        return None if id(batch_sizes) not in self._steps else self._of_a_step

    def _of_a_step(self, batch_sizes: Tensor, step: int) -> Any:
        steps, rows, walk = self._steps[id(batch_sizes)]
        return rows if walk is None else walk.rows(step if step >= 0 else int(steps) + step)

    def of_rows(self, func: Any, args: tuple[Any, ...]) -> Any:
        """What a function gives for the rows of a walk; NotImplemented: it has none."""
        given = (walk.call(func, args) for walk in self._walks)
        return next((g for g in given if g is not NotImplemented), NotImplemented)

    def note(self, func: Any, args: tuple[Any, ...], result: Any) -> None:
        """Looks at what a function has made of the rows of a walk."""
        for walk in self._walks:
            walk.note(func, args, result)

    def unpack(
        self, data: Tensor, batch_sizes: Tensor, batch_first: bool, padding: float, total: int
    ) -> tuple[Tensor, Tensor]:
        """Stands in for `torch._pad_packed_sequence`."""
        lengths = self.lengths(batch_sizes)  # [batch]
        x = data.unflatten(0, self._steps[id(batch_sizes)][:2])  # [time, batch, hidden]
        padded = x.shape[0]
        self._unpacked += 1
        if total == -1:  # as long as the longest row
            after = self._whole is not None and self._unpacked > self._whole
            cut = self._counted and after
            total = self._longest(lengths, padded) if cut else batch_sizes.shape[0]
        steps = torch.arange(padded, device=lengths.device)  # [time]
        valid = steps.unsqueeze(1) < lengths.unsqueeze(0)  # [time, batch]
        valid = valid.reshape(valid.shape + (1,) * (x.dim() - 2))  # [time, batch, 1]
        x = torch.where(valid, x, padding)
        # Whether `total` is longer is not known: it is padded as far, and then cut.
        if str(total) not in (str(padded), str(batch_sizes.shape[0])):
            x = torch.cat([x, x.new_full((total, *x.shape[1:]), padding)])
        if str(total) != str(padded):  # as above: two objects may be one size
            x = x[:total]
        return (x.transpose(0, 1) if batch_first else x), lengths

    def layer(
        self, module: nn.RNNBase, packed: PackedSequence, hx: Any
    ) -> tuple[PackedSequence, Any]:
        """Stands in for the forward of a layer on a packed sequence."""
        data, batch_sizes, order, back = packed
        lengths = self.lengths(batch_sizes)  # [batch], in the order in which the rows were packed
        x = data.unflatten(0, self._steps[id(batch_sizes)][:2])  # [time, batch, input]
        kind = module.mode.lower()
        lstm = kind == "lstm"
        if hx is None:
            rows = module.num_layers * (2 if module.bidirectional else 1)
            sizes = [module.proj_size or module.hidden_size, module.hidden_size]
            # h0 [rows, batch, projection or hidden], c0 [rows, batch, hidden]
            states = [x.new_zeros(rows, x.shape[1], size) for size in sizes[: 2 if lstm else 1]]
        else:
            states = list(hx) if lstm else [hx]
            # They are given in the order of the rows before packing; so are the final ones.
            if order is not None:
                states = [s.index_select(1, order) for s in states]
        y, final = run_layers(
            x,
            states,
            cast(list[Tensor], module._flat_weights),
            kind,
            bias=module.bias,
            num_layers=module.num_layers,
            bidirectional=module.bidirectional,
            lengths=lengths,
        )
        if back is not None:
            final = [s.index_select(1, back) for s in final]
        # y [time, batch, directions * hidden] -> [time * batch, directions * hidden]
        result = PackedSequence(y.flatten(0, 1), batch_sizes, order, back)
        return result, tuple(final) if lstm else final[0]


def padded_again(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Its code stands in for that of `pad_packed_sequence`, wherever that was imported to.

    It does not compare `total_length` with the longest row, which a trace does not know.
    """
    from torch import _pad_packed_sequence as pad

    total = -1 if total_length is None else total_length
    sizes = sequence.batch_sizes  # [longest]
    x, lengths = pad(sequence.data, sizes, batch_first, padding_value, total)
    order = sequence.unsorted_indices  # [batch]
    if order is None:  # packed as sorted
        return x, lengths
    return x.index_select(0 if batch_first else 1, order), lengths.index_select(0, order)
