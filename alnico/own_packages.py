"""The folders beside this one have plain names; another distribution's may stand before them on the path."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("potential", "exploration", "labeling", "flows")
HOME = Path(__file__).resolve().parent.parent


def refuse_strangers() -> None:
    """Check that Python finds alnico's own packages.

    Raises:
        ImportError: naming the package, where it was found, and what to do.
    """
    for package in PACKAGES:
        spec = find_spec(package)
        if spec is None or spec.origin is None:  # nothing, or a folder without __init__.py
            raise ImportError(
                f"alnico is in {HOME}, but its package {package!r} is not; install alnico anew: "
                "pip install --force-reinstall --no-deps alnico"
            )
        found = Path(spec.origin).resolve()
        if found.parent != HOME / package:
            raise ImportError(
                f"alnico needs its own package {package!r} in {HOME / package}, but Python finds {found} "
                f"first. Rename or uninstall that one, take its folder ({found.parent.parent}) out of "
                "PYTHONPATH, or give alnico an environment of its own"
            )
