"""The colours of plots on paper; a page puts its own, light and dark, in their place."""

from __future__ import annotations

PALETTE = (
    *("#0072b2", "#c65200", "#00855f", "#b0488a", "#2e8fc0"),
    *("#9a6f00", "#7b5ea7", "#6b6b6b", "#8c2d19", "#2a8585"),
)
"""After Okabe and Ito (2008), darker, so that each stands out from paper (3:1, WCAG 1.4.11): told
apart with any colour vision; markers differ as well."""
INK, FAINT, PAPER = "#262729", "#d7d8d9", "#fefeff"
"""Of text, of grids, and of paper."""
