"""Names as string literals of every language, and its types for ours: a name never becomes code."""

from __future__ import annotations

from collections.abc import Callable

C_TYPES = {
    "float32": "float",
    "float64": "double",
    "float16": "unsigned short",
    "int64": "int64_t",
    "int32": "int32_t",
    "int8": "int8_t",
    "uint8": "unsigned char",
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
