"""The errors of a trained network as rows of a table."""

from __future__ import annotations

from typing import Any


def metric_rows(metrics: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Metric, value, and the baseline's value where there is one."""
    unit = f" {metrics['unit']}" if "unit" in metrics else ""

    def show(name: str) -> str:
        value = metrics.get(name, "")
        if not isinstance(value, float):
            return str(value)
        return f"{value:.4g}{unit if name.endswith(('mae', 'rmse')) else ''}"

    names = [n for n in metrics if not n.startswith("baseline_") and n != "unit"]
    others = [n for n in metrics if n.startswith("baseline_") and n[9:] not in metrics]
    rows = [(name, show(name), show(f"baseline_{name}")) for name in names]
    return rows + [(name.removeprefix("baseline_"), "", show(name)) for name in others]
