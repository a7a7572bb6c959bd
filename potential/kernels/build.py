"""Compile generated C++ on first use and keep the library in a cache."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import torch

_FLAGS = ["-O3", "-march=native", "-ffast-math", "-fno-finite-math-only", "-std=c++17", "-fPIC"]


class CompilerError(RuntimeError):
    """There is no C++ compiler, or it failed; the message says what to install or look at."""


@cache
def load(source: str) -> ctypes.CDLL:
    """The shared library of `source`, compiled if it is not in the cache yet.

    The file's name in the cache is a hash of source, compiler and
    processor. Several processes may build at once: each compiles apart and renames into place.

    Raises:
        CompilerError: without a working compiler, or a folder to write to.
    """
    compiler = _compiler()
    gomp = _openmp_of_torch()
    identity = "\n".join([source, _version(compiler), _processor(), *_FLAGS, str(gomp)])
    name = hashlib.sha256(identity.encode()).hexdigest()[:20]
    folder = cache_folder()
    library = folder / f"{name}.so"
    try:
        if not library.exists():
            _compile(source, compiler, gomp, library)
        return ctypes.CDLL(str(library))
    except OSError as error:
        raise CompilerError(
            f"cannot keep or load compiled kernels in {folder}: {error}; set ALNICO_CACHE"
        ) from error


def cache_folder() -> Path:
    """Where generated code and compiled libraries are kept: $ALNICO_CACHE or ~/.cache/alnico."""
    return Path(os.environ.get("ALNICO_CACHE", "~/.cache/alnico")).expanduser()


def _compile(source: str, compiler: str, gomp: Path | None, library: Path) -> None:
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        code, built, object_file = (Path(folder) / n for n in ("kernel.cpp", "kernel.so", "kernel.o"))
        code.write_text(source)
        openmp = ["-fopenmp"]
        # Linked to the libgomp that torch has loaded: a second OpenMP runtime would fight it for cores.
        link = [str(gomp), f"-Wl,-rpath,{gomp.parent}"] if gomp else openmp
        for command in (
            [compiler, *_FLAGS, *openmp, "-c", str(code), "-o", str(object_file)],
            [compiler, "-shared", str(object_file), "-o", str(built), *link],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise CompilerError(f"{' '.join(command)} failed:\n{done.stderr[:2000]}")
        os.replace(built, library)


def _compiler() -> str:
    for name in filter(None, (os.environ.get("CXX"), "g++", "clang++")):
        if shutil.which(name):
            return name
    raise CompilerError(
        "no C++ compiler found (looked for $CXX, g++, clang++); install g++ for the fused kernels"
    )


@cache
def _version(compiler: str) -> str:
    return subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False).stdout


def _openmp_of_torch() -> Path | None:
    found = sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*"))
    return found[0] if found else None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        flags = [line for line in cpuinfo.read_text().splitlines() if line.startswith(("flags", "Features"))]
        if flags:
            return flags[0]
    return platform.processor()
