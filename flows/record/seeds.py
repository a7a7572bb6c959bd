"""Independent random seeds for everything random in a campaign, from the one in its configuration."""

from __future__ import annotations

import hashlib


def seed_for(seed: int, *what: str | int) -> int:
    """The seed of one purpose, e.g. `seed_for(config.seed, "explore", 2)`; 31 bits."""
    digest = hashlib.sha256(repr((seed, *what)).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
