"""Seconds as people say them."""

from __future__ import annotations


def duration(seconds: float | None) -> str:
    """`8.2 s`, `3 min 20 s`, `2 h 05 min`; `–` for None."""
    if seconds is None:
        return "–"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
