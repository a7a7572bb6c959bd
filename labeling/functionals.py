"""Where a functional comes from, as libxc says."""

from __future__ import annotations

import re


def sources_of(xc: str) -> list[str]:
    """The papers of a functional and its parts, each once; none where libxc does not know it."""
    from pyscf.dft import libxc

    try:
        found = libxc.xc_reference(re.sub(r"[-_](d3bj|d3zero|d4)$", "", xc, flags=re.IGNORECASE))
    except (KeyError, ValueError, NotImplementedError):
        return []
    return list(dict.fromkeys(" ".join(text.replace(".,", ",").split()) for text in found))
