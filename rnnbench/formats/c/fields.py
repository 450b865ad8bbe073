"""Names of inputs, outputs and dimensions as those of C. No torch in here: `embed` has none."""

from __future__ import annotations

import re

_KEYWORDS = frozenset(
    """
    auto break case char const continue default do double else enum extern float for goto if inline
    int long register restrict return short signed sizeof static struct switch typedef union
    unsigned void volatile while alignas alignof and asm bitand bitor bool catch class compl concept
    const_cast consteval constexpr constinit decltype delete dynamic_cast explicit export false
    friend mutable namespace new noexcept not nullptr operator or private protected public
    reinterpret_cast requires static_assert static_cast template this thread_local throw true try
    typeid typename using virtual wchar_t xor
    """.split()  # noqa: SIM905
)
"""Of C99 and C++20: a C++ program reads the header as well."""


def field_of(name: str) -> str:
    """A name as that of a field, or of a parameter."""
    field = re.sub(r"\W", "_", name, flags=re.ASCII)
    return f"{field}_" if field in _KEYWORDS else f"_{field}" if field[:1].isdigit() else field
