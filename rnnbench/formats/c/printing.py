"""The texts of the three files, around the statements of a function."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rnnbench.formats.c.arrays import elements
from rnnbench.formats.c.fields import field_of as field_of
from rnnbench.formats.c.kernels import HEADER
from rnnbench.formats.c.literals import folded
from rnnbench.formats.c.places import Place, Room, places_of
from rnnbench.formats.c.values import C_TYPES
from rnnbench.formats.c.writer import Writer

if TYPE_CHECKING:
    from rnnbench.capture.program import Captured

_ALIGN = 64


@dataclass(frozen=True)
class Port:
    """An input or an output."""

    name: str
    field: str
    c_type: str
    shape: str
    rank: int
    most: str = ""
    dtype: str = ""


def _folded(statement: str) -> list[str]:
    """A statement of a function, in as many lines as it takes."""
    return [f"    {part}" for part in folded(statement, 112)]


def _laid_out(number: int, place: Place) -> list[str]:
    """Where a place begins, and where the largest of its arrays ends."""
    first, *others = place.sizes()
    lines = [f"    room->at{number} = at;", *_folded(f"end = model_after(at, {first});")]
    for size in others:
        lines += _folded(f"end = model_later(end, model_after(at, {size}));")
    return [*lines, "    at = end;"]


def _taken(name: str, room: Room, place: int) -> str:
    """The pointer to an array in the workspace, and how many elements it has room for."""
    line = f"    {room.c_type} *const {name} = ({room.c_type} *)(void *)(base + room.at{place});"
    said = f"/* [{room.count}] */"
    return f"{line} {said}" if len(line) + len(said) < 112 else f"    {said}\n{line}"


def code_text(
    writer: Writer, facts: str, arguments: str, dims: list[str], outputs: Sequence[Port]
) -> str:
    """The text of `model.c`."""
    externs = [
        f"extern const {C_TYPES[t.dtype]} model_{name}[{max(t.numel(), 1)}];"
        for name, t in writer.constants.items()
    ]
    names = [f"#define {name} model_{name}" for name in writer.constants]
    places = places_of(writer.rooms, writer.lines)
    fields = [f"    size_t at{n};" for n in range(len(places))]
    lay_out = [line for n, place in enumerate(places) for line in _laid_out(n, place)]
    takes = [_taken(name, room, n) for n, p in enumerate(places) for name, room in p.rooms.items()]
    unused = [f"    (void){dim};" for dim in dims]
    given = ", ".join(dims)
    behind = f", {arguments}" if dims else ""
    return "\n".join(
        [
            f"/* {facts} */",
            '#include "model.h"',
            "",
            "#include <math.h>",
            "#include <string.h>",
            "",
            PRELUDE,
            HEADER,
            *writer.extras,
            "/* The constants, in model_weights.c. */",
            *externs,
            *names,
            "",
            "/* Where arrays lie in the workspace, in bytes; those not needed at once share. */",
            "struct model_room {",
            *(fields or ["    size_t none;"]),
            "};",
            f"static size_t model_lay_out(struct model_room *room{behind})",
            "{",
            f"    size_t at = {_ALIGN};",
            *unused,
            *(["    size_t end;", *lay_out] if lay_out else ["    room->none = 0;"]),
            "    return at;",
            "}",
            "",
            f"size_t model_workspace_size({arguments})",
            "{",
            "    struct model_room room;",
            f"    return model_lay_out(&room{', ' if given else ''}{given}) + {_ALIGN};",
            "}",
            "",
            f"void model_output_elements(size_t elements[{len(outputs)}]{behind})",
            "{",
            *unused,
            *(
                line
                for n, p in enumerate(outputs)
                for line in _folded(f"elements[{n}] = (size_t)({p.most});")
            ),
            "}",
            "",
            "void model_run(const struct model_inputs *inputs, struct model_outputs *outputs,",
            f"               void *workspace{behind})",
            "{",
            "    struct model_room room;",
            f"    (void)model_lay_out(&room{', ' if given else ''}{given});",
            f"    const uintptr_t off = (uintptr_t)workspace % {_ALIGN};",
            f"    char *const base = (char *)workspace + ({_ALIGN} - off);",
            "    const int level = model_level();",
            "    const model_mode mode = model_flush();",
            "    (void)base;",
            "    (void)level;",
            *unused,
            *takes,
            *writer.lines,
            "    model_restore(mode);",
            "}",
            "",
        ]
    )


PRELUDE = """\
/* A function that a model may use. */
#if defined(__GNUC__)
#define MODEL_STATIC static inline __attribute__((unused))
#else
#define MODEL_STATIC static inline
#endif
#if defined(__GNUC__) && defined(__OPTIMIZE__)
#define MODEL_INLINE MODEL_STATIC __attribute__((always_inline))
#else
#define MODEL_INLINE MODEL_STATIC
#endif

/* One rounding where the compiler was told of an instruction for it, else two. */
#if defined(__GNUC__) && (defined(__FP_FAST_FMAF) || defined(__FMA__) || defined(__ARM_FEATURE_FMA))
#define MODEL_FMA(a, b, c) __builtin_fmaf(a, b, c)
#else
#define MODEL_FMA(a, b, c) ((a) * (b) + (c))
#endif

/* The place behind `count` elements from `at` on, on a cache line. */
MODEL_STATIC size_t model_after(size_t at, size_t size, int64_t count)
{
    const size_t end = at + size * (size_t)(count > 0 ? count : 0);
    return (end + 63) / 64 * 64;
}
MODEL_STATIC size_t model_later(size_t a, size_t b) { return a > b ? a : b; }
"""
"""What stands before the kernels."""


def header_text(
    captured: Captured,
    facts: str,
    inputs: Sequence[Port],
    outputs: Sequence[Port],
    arguments: str,
    writer: Writer,
) -> str:
    """The text of `model.h`."""
    behind = f", {arguments}" if arguments != "void" else ""
    dims = [part.split()[-1] for part in arguments.split(", ")] if behind else []
    lines = [
        f"/* {facts}.",
        *_what_it_takes(writer, dims),
        " */",
        "#ifndef MODEL_H",
        "#define MODEL_H",
        "",
        "#include <stddef.h>",
        "#include <stdint.h>",
        "",
        "#ifdef __cplusplus",
        'extern "C" {',
        "#endif",
        "",
        "/* Owned by the caller; the last index is the fastest. */",
        "struct model_inputs {",
        *(f"    const {p.c_type} *{p.field}; /* [{p.shape}] */" for p in inputs),
        "};",
        "",
        "/* Room for the elements, owned by the caller; the run fills the shapes in. */",
        "struct model_outputs {",
    ]
    for port in outputs:
        lines.append(f"    {port.c_type} *{port.field}; /* [{port.shape}] */")
        lines.append(f"    int64_t {port.field}_shape[{max(port.rank, 1)}];")
    lines += ["};", ""]
    states = captured.model.states
    if states:
        handed = ", ".join(f"{end} is {start} of the next" for start, end in states.items())
        lines.append(f"/* States, from one call to the next: {handed}. */")
    lines += [
        "/* The bytes that a run needs to work in; it keeps nothing there. */",
        f"size_t model_workspace_size({arguments});",
        "",
        "/* How many elements each output has at most. */",
        f"void model_output_elements(size_t elements[{len(outputs)}]{behind});",
        "",
        "void model_run(const struct model_inputs *inputs, struct model_outputs *outputs,",
        f"               void *workspace{behind});",
        *_step(captured),
        "",
        "#ifdef __cplusplus",
        "}",
        "#endif",
        "#endif",
        "",
    ]
    return "\n".join(lines)


def _what_it_takes(writer: Writer, dims: Sequence[str]) -> list[str]:
    """The bytes of the constants, and the work of a step of one row, where that can be told."""
    held = sum(t.numel() * t.element_size() for t in writer.constants.values())
    lines = [f" * Constants: {held:,} bytes."]
    rows = [writer.sizes.worth_at_one(sizes, dims) for sizes, _, _ in writer.products]
    known = [
        (r, k * n) for r, (_, k, n) in zip(rows, writer.products, strict=True) if r is not None
    ]
    if known and len(known) == len(rows):
        flop, read = sum(2 * r * weights for r, weights in known), sum(w for _, w in known)
        sizes = " = ".join([*dims, "1"])
        lines.append(f" * Products with {sizes}: {flop:,} FLOP, {read:,} weights are read.")
    return lines


def _step(captured: Captured) -> list[str]:
    """`model_step`, of a model that has a time axis."""
    model = captured.model
    if model.time_dim not in model.dims:
        return []
    names = {dim: field_of(dim) for dim in model.dims}
    takes = [f", int64_t {name}" for dim, name in names.items() if dim != model.time_dim]
    gives = ["1" if dim == model.time_dim else name for dim, name in names.items()]
    return [
        "",
        "/* One step of a stream. */",
        "static inline void model_step(const struct model_inputs *inputs, "
        "struct model_outputs *outputs,",
        f"                              void *workspace{''.join(takes)})",
        "{",
        f"    model_run(inputs, outputs, workspace, {', '.join(gives)});",
        "}",
    ]


_ALIGNED = f"""\
#if defined(__GNUC__)
#define MODEL_ALIGNED __attribute__((aligned({_ALIGN})))
#else
#define MODEL_ALIGNED
#endif

"""


def weights_text(writer: Writer, facts: str) -> Iterator[str]:
    """The text of `model_weights.c`, in parts."""
    yield f"/* {facts} */\n#include <math.h>\n#include <stdint.h>\n\n{_ALIGNED}"
    for name, tensor in writer.constants.items():
        c_type, count = C_TYPES[tensor.dtype], max(tensor.numel(), 1)
        shape = ", ".join(map(str, tensor.shape))
        yield f"/* [{shape}] */\nextern const {c_type} model_{name}[{count}];\n"
        yield f"MODEL_ALIGNED const {c_type} model_{name}[{count}] = {{\n"
        yield from elements(tensor)
        yield "};\n\n"
