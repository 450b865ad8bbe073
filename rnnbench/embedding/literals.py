"""Names, types and arrays as every language writes them: a name never becomes code."""

from __future__ import annotations

from collections.abc import Callable

# Those that the projects' own readers know, here as below.
C_TYPES = {
    "float32": "float",
    "float64": "double",
    "float16": "unsigned short",
    "int64": "int64_t",
    "int32": "int32_t",
    "bool": "unsigned char",
}
_PLAIN = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _-.,:()[]")


def _literal(escape: Callable[[str], str]) -> Callable[[str], str]:
    def quoted(text: str) -> str:
        return '"' + "".join(c if c in _PLAIN else escape(c) for c in text) + '"'

    return quoted


def _units(c: str) -> str:
    """The UTF-16 of a character, as JavaScript, Java and JSON escape it."""
    raw = c.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{raw[i : i + 2].hex()}" for i in range(0, len(raw), 2))


# In C every byte is escaped in octal, which ends itself after three digits.
c_string = _literal(lambda c: "".join(f"\\{b:03o}" for b in c.encode("utf-8", "surrogatepass")))
js_string = kotlin_string = _literal(_units)
python_string = _literal(lambda c: f"\\U{ord(c):08x}")
braced_string = _literal(lambda c: f"\\u{{{ord(c):x}}}")  # Rust and Swift

LITERALS = {
    "C": c_string,
    "JS": js_string,
    "KOTLIN": kotlin_string,
    "PYTHON": python_string,
    "RUST": braced_string,
    "SWIFT": braced_string,
}

_KOTLIN = 'Tensor("{dtype}", longArrayOf({shape}), ByteArray({bytes}))'

ARRAYS = {
    "KOTLIN": {
        "float32": "Tensor.of(longArrayOf({shape}), FloatArray({size}))",
        "float64": _KOTLIN,
        "float16": _KOTLIN,
        "int64": "Tensor.of(longArrayOf({shape}), LongArray({size}) {{ {value} }})",
        "int32": _KOTLIN + ".filled({value})",
        "bool": _KOTLIN,
    },
    "RUST": {
        "float32": "Numbers::Float32(vec![0.0; {size}])",
        "float64": "Numbers::Float64(vec![0.0; {size}])",
        "int64": "Numbers::Int64(vec![{value}; {size}])",
        "int32": "Numbers::Int32(vec![{value}; {size}])",
        "bool": "Numbers::Bool(vec![false; {size}])",
    },
    "SWIFT": {
        "float32": "Tensor([Float](repeating: 0, count: {size}), shape: [{shape}])",
        "int64": "Tensor([Int64](repeating: {value}, count: {size}), shape: [{shape}])",
        "int32": 'Tensor(dtype: "int32", shape: [{shape}], data: [Int32](repeating: {value}, '
        "count: {size}).withUnsafeBytes {{ Data($0) }})",
    },
}
"""Language -> dtype -> an array that holds `value` (0, but for whole numbers) everywhere."""
