"""What an error says of the sizes, dtypes and nesting of the arguments: changes to be tried.

"mat1 and mat2 shapes cannot be multiplied (69x23 and 40x8)"   ->   the axis of 23 is 40
"not enough values to unpack (expected 4, got 3)"              ->   a tensor of 3 axes has 4
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from torch import nn

from rnnbench.models.declaration.calling import Values, ports_in
from rnnbench.models.declaration.changes import all_alike, grown, shaped, sized, with_
from rnnbench.models.declaration.kinds import (
    Edit,
    ids,
    keys_said,
    lengths_said,
    other_dtypes,
    packed,
    smaller_numbers,
    without_zero,
)
from rnnbench.models.declaration.other_sizes import larger, other_lengths, usual_sizes
from rnnbench.models.declaration.ports import Argument, Port, Sizes

# `got` is what an argument has, `want` what a layer needs.
_MISMATCHES = [
    re.compile(text)
    for text in (
        r"\(\d+x(?P<got>\d+) and (?P<want>\d+)x\d+\)",
        r"[Ee]xpected:? (?P<want>\d+),? (?:but )?got:? (?P<got>\d+)",
        r"got:? (?P<got>\d+),? (?:but )?expected:? (?P<want>\d+)",
        r"to have (?P<want>\d+) channels, but got (?P<got>\d+) channels",
        r"should contain (?P<got>\d+) elements not (?P<want>\d+)",
        r"shape \[\*, (?P<want>\d+)\].*size\[.*?(?P<got>\d+)\]",
        r"num_features \((?P<want>\d+)\), but got: (?P<got>\d+)",
        r"dimension of (?P<want>\d+), but got (?P<got>\d+)",
        r"parameter numbers = (?P<want>\d+) and channel size = (?P<got>\d+)",
        r"shape of \[(?P<want>\d+)\] and input of shape \[\d+, (?P<got>\d+)",
        r"tensor a \((?P<got>\d+)\) must match the size of tensor b \((?P<want>\d+)\)",
        r"tensor a \((?P<want>\d+)\) must match the size of tensor b \((?P<got>\d+)\)",
        r"Expected size (?P<want>\d+) but got size (?P<got>\d+)",
        r"Expected size (?P<got>\d+) but got size (?P<want>\d+)",
        r"to be: \[\d+, (?P<want>\d+)\] but got: \[\d+, (?P<got>\d+)\]",
        r"batch size (?P<want>\d+) doesn't match hidden\d? batch size (?P<got>\d+)",
        r"but got (?P<got>\d+) \(batch_size=(?P<want>\d+)\)",
        r"has size (?P<got>\d+) for operand \d+ .* previously seen size (?P<want>\d+)",
        r"equal:? (?P<got>\d+) (?:vs|and|!=) (?P<want>\d+)",
        r"sum exactly to (?P<got>\d+) .*split_sizes=\[(?P<sum>[\d, ]+)\]",
    )
]
_WHOLE_SHAPE = re.compile(
    r"[Ee]xpected hidden(?:\[(?P<which>\d)\])? size \((?P<want>[\d, ]+)\), got \[(?P<got>[\d, ]+)\]"
)
_RANK = re.compile(
    r"(?:expected|Expected) (?P<want>\d)(?:, got (?P<got>\d))?\)|got (?P<had>\d)-?D|"
    r"input of size: \[(?P<shape>[\d, ]+)\]|values to unpack"
)
_RANKS = re.compile(r"dim|unpack|\d-?D\b|too many indices|permute|index \d+ is out of", re.I)
_DTYPES = re.compile(r"dtype|scalar type|Long|Input type|index tensor|integer|bool", re.IGNORECASE)
_SHORT = re.compile(
    r"kernel|too small|greater than|padding|empty|output size|invalid for input of size|divisib|"
    r"out of range|maximum size|must be at least|negative|n_fft|window|short|multiple|unfold",
    re.IGNORECASE,
)
_PACKED = re.compile(r"batch_sizes|[Pp]acked_?\s?([Ss]equence|input)|sorted_indices")
_VALUES = re.compile(r"out of range|[Cc]lass values|out of bounds|device-side|negative")
_COUNTED = re.compile(r"sorted in decreasing order|samples has to be greater than 0|empty")
_NICE = (40, 80, 64, 128, 256, 32, 16, 48, 96, 257, 129, 161, 201, 229, 513, 28, 24, 20, 12, 8)
_CLOSE = 0.08  # of a size to what is computed, which strides round


def edits(
    arguments: Sequence[Argument], values: Values, error: BaseException, module: nn.Module, s: Sizes
) -> Iterator[Edit]:
    """Other arguments, each with what it costs: the more, the less the error speaks for it."""
    text = " ".join(str(error).split())
    yield from _shapes_said(values, text)
    yield from _turned(values, text, s)
    yield from _one_channel(values, text)
    if re.search(r"non-singleton|same number of dim|must match|batch2|expand", text):
        yield from _like_another(values)
        yield from _like_a_step(values)
    if "must match the size of" in text:
        yield from _of_all_steps(values, text, s)
    yield from _sizes_said(values, text, s)
    yield from keys_said(values, error, text, module, s)
    yield from lengths_said(values, text, s)
    if re.search(r"with a bool tensor|on a bool tensor|not implemented for 'Bool'", text):
        bools = [port for port in ports_in(values) if port.dtype == "bool"]
        yield from ((0.2, with_(values, p, replace(p, dtype="float32"))) for p in bools)
    if _PACKED.search(text):
        yield from packed(arguments, values, s)
    if _DTYPES.search(text):
        yield from ((1.0, v) for v in other_dtypes(values, module))
    if _COUNTED.search(text):
        yield from ((0.2, v) for v in without_zero(values))
    if _VALUES.search(text):
        yield from ((1.0, v) for v in smaller_numbers(values, module))
        yield from ((0.3, v) for v in ids(values, module))
    if _RANKS.search(text):
        yield from _other_ranks(values, text, s)
    yield from _viewed(values, text, s)
    if _SHORT.search(text):
        yield from larger(values, s)
    yield from usual_sizes(values, s)
    yield from other_lengths(values, s)


def _shapes_said(values: Values, text: str) -> Iterator[Edit]:
    """A state's whole shape."""
    found = _WHOLE_SHAPE.search(text)
    if not found:
        return
    got, want = (tuple(map(int, found[k].split(", "))) for k in ("got", "want"))
    if got[-1] == 0:  # what is left of a tensor whose first part was a state: it holds two
        whole = (*want[:-1], 2 * want[-1])
        yield from ((0.3, shaped(values, p, whole)) for p in ports_in(values) if p.shape == want)
    states = [p for p in ports_in(values) if p.shape == got and p.role != "lengths"]
    for port in states[int(found["which"] or 0) :] or states:
        yield 0.3, with_(values, port, replace(port, shape=want))
        both = replace(port, shape=want)
        yield 0.4, all_alike(values, port, both.shape)


def _like_another(values: Values) -> Iterator[Edit]:
    """A tensor of the shape of another one."""
    ports = [port for port in ports_in(values) if port.role == "data"]
    for a, b in itertools.permutations(ports, 2):
        if a.shape != b.shape:
            yield 0.9, shaped(values, a, b.shape)


def _like_a_step(values: Values) -> Iterator[Edit]:
    """A state of the shape of one step of a video: [batch, channels, height, width]."""
    ports = ports_in(values)
    for video in (p for p in ports if p.role == "data" and len(p.shape) == 5):
        for state in (p for p in ports if p.role == "state"):
            if state.shape != video.shape[1:]:
                yield 0.5, shaped(values, state, video.shape[1:])


def _of_all_steps(values: Values, text: str, s: Sizes) -> Iterator[Edit]:
    """A tensor that is the same at all steps, or in all rows too, as the mean of each feature."""
    cost = 0.4 if {s.batch, s.time} <= set(map(int, re.findall(r"\d+", text))) else 0.9
    ports = [port for port in ports_in(values) if port.role == "data"]
    for port in ports[1:]:
        if len(port.shape) == 3 and port.shape[:2] in ((s.batch, s.time), (s.time, s.batch)):
            yield cost, shaped(values, port, port.shape[2:])
            yield cost + 0.1, shaped(values, port, (s.batch, port.shape[2]))


def _one_channel(values: Values, text: str) -> Iterator[Edit]:
    """An axis of one channel after the batch; an axis of channels after batch and time."""
    found = re.search(r"to have (\d+) channels", text)
    for port in ports_in(values) if found else ():
        assert found is not None
        channels = int(found[1])
        if port.role == "data" and len(port.shape) in (2, 3) and channels == 1:
            yield 0.4, shaped(values, port, (port.shape[0], 1, *port.shape[1:]))
        elif port.role == "data" and len(port.shape) == 4:
            batch, time, *_, last = port.shape
            yield 0.6, shaped(values, port, (batch, time, channels, last, last))


def _turned(values: Values, text: str, s: Sizes) -> Iterator[Edit]:
    """Batch and time in the other order, where an error has both."""
    numbers = set(map(int, re.findall(r"\d+", text)))
    if not {s.batch, s.time} <= numbers:
        return
    other = {s.batch: s.time, s.time: s.batch}
    for port in ports_in(values):
        if {s.batch, s.time} <= set(port.shape):
            yield 0.4, shaped(values, port, tuple(other.get(n, n) for n in port.shape))


def _pairs_said(text: str) -> dict[tuple[int, int], float]:
    """What an error says that there is, and what has to be there, with what to try it costs."""
    pairs: dict[tuple[int, int], float] = {}
    for pattern in _MISMATCHES:
        for found in pattern.finditer(text):
            named = found.groupdict()
            want = sum(map(int, named["sum"].split(","))) if named.get("sum") else 0
            pairs.setdefault((int(found["got"]), want or int(found["want"])), 0.5)
    numbers = dict.fromkeys(int(n) for n in re.findall(r"\d+", text))
    for pair in itertools.islice(itertools.permutations(numbers, 2), 60):
        pairs.setdefault(pair, 2.0)
    return {(got, want): cost for (got, want), cost in pairs.items() if 0 < want < 100_000}


def _sizes_said(values: Values, text: str, s: Sizes) -> Iterator[Edit]:
    """Sizes of single axes, of all alike, and of what layers make something else of."""
    for (got, want), cost in _pairs_said(text).items():
        if cost < 1 and got in s.free[1:]:
            yield cost - 0.05, grown(values, got, want)  # the features of all inputs
        for port in ports_in(values):
            for axis, size in reversed(list(enumerate(port.shape))):
                if size == got and got != want:
                    rows = 0.0 if got != s.batch else 3.0 if want == 1 else 0.5
                    yield cost + rows, sized(values, port, axis, want)
                elif cost < 1 and size in s.free[1:] and got != size and size + want - got > 0:
                    # beside others, as `cat` puts them
                    yield 0.8, sized(values, port, axis, size + want - got)
                tried = len(port.shape) > 3 and size not in (*s.layers, s.batch)
                if cost < 1 and (size in s.free[1:] or tried) and size not in (0, 1, got):
                    yield from _through_layers(values, port, axis, got, want)
        if cost < 1:
            yield from _shared(values, got, want)
            yield from _side_by_side(values, got, want, s)
            yield from _alike(values, got, want, s)


def _alike(values: Values, got: int, want: int, s: Sizes) -> Iterator[Edit]:
    """All inputs of a size, where so many of them side by side are to be `want`."""
    for size in s.free[1:]:
        count, rest = divmod(got, size)
        if count > 1 and not rest and want % count == 0:
            yield 0.35, grown(values, size, want // count)


def _shared(values: Values, got: int, want: int) -> Iterator[Edit]:
    """Channels of an image and of a state, of which each has the half: the state has `want`."""
    ports = [p for p in ports_in(values) if len(p.shape) > 3 and p.shape[-3] == got]
    for image, state in itertools.permutations(ports, 2):
        if state.role == "state" and 2 * got > want:
            given = sized(values, image, len(image.shape) - 3, 2 * got - want)
            yield 0.3, sized(given, state, len(state.shape) - 3, want)


def _side_by_side(values: Values, got: int, want: int, s: Sizes) -> Iterator[Edit]:
    """Sizes of inputs that stand beside each other: those that the constructor was given."""
    rest = tuple(want - n for n in s.given if n < want)  # of channels, which are few
    for axis, rank in ((-1, 2), (1, 4), (-3, 4)):  # the channels of images may come after steps
        ports = [
            p for p in ports_in(values)
            if p.role != "lengths" and len(p.shape) >= rank and p.shape[axis] in s.free
        ]  # fmt: skip
        pool = (*s.given, *rest) if rank > 2 else s.given
        yield from _sums(values, ports, axis, got, want, list(dict.fromkeys(pool)))


def _sums(
    values: Values, beside: Sequence[Port], axis: int, got: int, want: int, pool: Sequence[int]
) -> Iterator[Edit]:
    """The sizes of two or three inputs along an axis, from a pool, that make `want`."""
    for count in (2, 3):
        for ports in itertools.combinations(beside, count):
            rest = got - sum(p.shape[axis] for p in ports)
            if rest < 0:
                continue
            fits = (c for c in itertools.product(pool, repeat=count) if sum(c) + rest == want)
            for n, sizes in enumerate(itertools.islice(fits, 6)):
                tried = values
                for port, size in zip(ports, sizes, strict=True):
                    tried = sized(tried, port, axis % len(port.shape), size)
                yield 0.6 + 0.1 * n, tried


def _through_layers(values: Values, port: Port, axis: int, got: int, want: int) -> Iterator[Edit]:
    """A size from which layers make `want`, as they made `got` of what it is: channels times bins.

    Strides round it: the ratio is tried, and what comes of that; then sizes near to it, those
    first that people have.
    """
    size = port.shape[axis]
    if got < 1:
        return
    exact = size * want / got
    near = range(max(int(exact * 0.7), 1), int(exact * 1.4) + 2)
    nice = [n for n in _NICE if n in near]
    others = [n for n in sorted(near, key=lambda n: abs(n - exact)) if n not in nice]
    if got % size == 0 and exact == int(exact):
        yield 0.6, sized(values, port, axis, int(exact))
    elif len(port.shape) > 3:
        close = [n for n in nice if abs(n - exact) < exact * _CLOSE]
        for i, n in enumerate([*close, round(exact)]):
            yield 0.45 + 0.05 * i, sized(values, port, axis, n)
    for i, n in enumerate([*nice, *others][:14]):
        yield 1.0 + 0.1 * i, sized(values, port, axis, n)


def _other_ranks(values: Values, text: str, s: Sizes) -> Iterator[Edit]:
    """An axis more or less; an axis of channels where there is to be one."""
    ranks = [int(n) for n in re.findall(r"(?<![\d.])([1-6])-?D?\b", text)]
    for port in ports_in(values):
        if port.role == "lengths":
            continue
        shape = port.shape
        likely = 0.5 if len(shape) in ranks else 1.5
        spare = next(n for n in (*s.free, s.last) if n not in shape or n == s.last)
        if len(shape) < 5:
            more = [(*shape, spare), (*shape[:1], 1, *shape[1:]), (*shape, 1), (1, *shape)]
            yield from ((likely + 0.3 * i, shaped(values, port, m)) for i, m in enumerate(more))
        if len(shape) > 1:
            yield likely + 0.1, shaped(values, port, shape[:-1])
            if len(shape) > 2:
                yield likely + 0.3, shaped(values, port, (shape[0], *shape[2:]))


def _viewed(values: Values, text: str, s: Sizes) -> Iterator[Edit]:
    """The last number of a `view` as the last size; steps and what each has in one axis."""
    found = re.search(r"shape '\[([-\d, ]+)\]' is invalid", text)
    sizes = [int(n) for n in found[1].split(", ")] if found else []
    if sizes and sizes[-1] > 0:
        for port in ports_in(values):
            if port.role == "data" and len(port.shape) > 1:
                yield 0.5, sized(values, port, len(port.shape) - 1, sizes[-1])
    if s.batch * s.time in sizes:  # steps of all rows, each of more axes
        for port in ports_in(values):
            if port.role == "data" and 2 < len(port.shape) < 5:
                yield 0.4, shaped(values, port, (*port.shape, s.last))
    of_each = [n for n in sizes if n > 1 and n != s.batch]
    unlike = all(n not in s.free and n % (s.batch * s.time) for n in of_each)
    if -1 in sizes and of_each and unlike:
        for port in ports_in(values):
            if port.role == "data" and port.shape[:1] == (s.batch,) and len(port.shape) > 1:
                flat = 0.4 if sizes[-1] == -1 else 1.2  # else the numbers of a step are last
                yield flat, shaped(values, port, (s.batch, math.prod(of_each) * s.time))
                yield 0.6, shaped(values, port, (s.batch, s.time, math.prod(of_each)))
