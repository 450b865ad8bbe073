"""Numbers with their units, three digits each."""

from __future__ import annotations

_SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))


def digits(value: float) -> str:
    """Three significant digits without an exponent: 0.0123, 1.23, 12.3, 1234."""
    size = abs(value)
    if size >= 99.95 or size == 0:
        return f"{value:.0f}"
    if size >= 9.995:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 0.0995 else f"{value:.2g}"


def seconds(value: float) -> str:
    """0.000019 -> `19.0 us`."""
    for size, name in _SECONDS:
        if abs(value) >= 0.9995 * size:
            return f"{digits(value / size)} {name}"
    size, name = _SECONDS[-1]
    return f"{digits(value / size)} {name}"


def us(value: float | None) -> str:
    """Seconds as microseconds, for a column that says so."""
    return "" if value is None else digits(1e6 * value)


def ms(value: float | None) -> str:
    """Seconds as milliseconds, for a column that says so."""
    return "" if value is None else digits(1e3 * value)


def megabytes(value: float | None) -> str:
    """Bytes as MB (1e6), for a column that says so."""
    return "" if value is None else digits(1e-6 * value)


def percent(value: float) -> str:
    """0.034 -> `3.4 %`."""
    return f"{100 * value:.1f} %"


def interval(ratio: float, low: float, high: float) -> str:
    """`4.1 (3.9 to 4.3)`, with the digits that the width of the interval supports."""
    places = 1 if high - low >= 0.1 and ratio >= 2 else 2 if high - low >= 0.01 else 3
    return f"{ratio:.{places}f} ({low:.{places}f} to {high:.{places}f})"
