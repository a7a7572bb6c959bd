"""The version of alnico."""

from __future__ import annotations


def version() -> str:
    """As it was installed; in a checkout that is not installed, what pyproject.toml says."""
    from importlib import metadata

    try:
        return metadata.version("alnico")
    except metadata.PackageNotFoundError:
        return _of_checkout()


def _of_checkout() -> str:
    import tomllib
    from pathlib import Path

    project = Path(__file__).parent.parent / "pyproject.toml"
    return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])
