"""Compile generated C++ on first use and keep the library in a cache (`potential.kernels.cache`)."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import torch

from potential.kernels.cache import LibraryCache

_FLAGS = ["-O3", "-march=native", "-ffast-math", "-fno-finite-math-only", "-std=c++17", "-fPIC"]


VERSION_S, COMPILE_S = 60.0, 900.0
"""Whoever takes longer hangs; a kernel takes some ten seconds, on a busy machine a minute."""


class CompilerError(RuntimeError):
    """There is no C++ compiler, or it failed; the message says what to install or look at."""


@cache
def load(source: str, functions: tuple[str, ...]) -> ctypes.CDLL:
    """The shared library of `source`, with `functions`, compiled if the cache has none to be trusted.

    In the cache it goes by a hash of source, compiler and processor. Where the cache cannot be used, the
    library is compiled in a temporary folder of this process alone, with one warning.

    Raises:
        CompilerError: without a working compiler, or without any folder to write to.
    """
    compiler = _compiler()
    gomp = _openmp_of_torch()
    identity = "\n".join([source, _version(compiler), _processor(), *_FLAGS, str(gomp)])
    name = hashlib.sha256(identity.encode()).hexdigest()[:20]
    cache, reason = None, ""
    try:
        cache = LibraryCache.of_user()
        if (path := cache.find(name)) and (library := _open(path, functions)):
            return library
    except OSError as error:
        cache, reason = None, str(error)
    try:
        with tempfile.TemporaryDirectory(prefix="alnico-") as folder:
            built = _compile(source, compiler, gomp, Path(folder))
            library = None
            if cache is not None:
                try:
                    library = _open(kept := cache.keep(built, name), functions)
                    if library is None:
                        reason = f"nothing can be loaded from {kept.parent}, as where it is mounted noexec"
                except OSError as error:
                    reason = str(error)
            library = library or _open(built, functions)
    except OSError as error:
        raise CompilerError(f"cannot write compiled kernels: {error}; set TMPDIR") from error
    if library is None:
        raise CompilerError(f"{compiler} made a library that cannot be loaded, or without {functions}")
    if reason:
        _warn_once(
            f"compiled kernels cannot be kept, so that every process compiles them anew: {reason}. "
            "ALNICO_CACHE may name another folder, which nobody else may write to"
        )
    return library


@cache
def _warn_once(message: str) -> None:
    """One warning for each message in the life of a process."""
    warnings.warn(message, RuntimeWarning, stacklevel=3)


def _open(path: Path, functions: tuple[str, ...]) -> ctypes.CDLL | None:
    """The library, or None if it cannot be loaded or lacks a function."""
    try:
        library = ctypes.CDLL(str(path))
    except OSError:
        return None
    return library if all(hasattr(library, name) for name in functions) else None


def _compile(source: str, compiler: str, gomp: Path | None, folder: Path) -> Path:
    code, built, object_file = (folder / n for n in ("kernel.cpp", "kernel.so", "kernel.o"))
    code.write_text(source)
    openmp = ["-fopenmp"]
    # Linked to the libgomp that torch has loaded: a second OpenMP runtime would fight it for cores.
    link = [str(gomp), f"-Wl,-rpath,{gomp.parent}"] if gomp else openmp
    for command in (
        [compiler, *_FLAGS, *openmp, "-c", str(code), "-o", str(object_file)],
        [compiler, "-shared", str(object_file), "-o", str(built), *link],
    ):
        done = _run(command, COMPILE_S)
        if done.returncode != 0:
            raise CompilerError(f"{' '.join(command)} failed:\n{done.stderr[:2000]}")
    return built


def _compiler() -> str:
    for name in filter(None, (os.environ.get("CXX"), "g++", "clang++")):
        if shutil.which(name):
            return name
    raise CompilerError(
        "no C++ compiler found (looked for $CXX, g++, clang++); install g++ for the fused kernels"
    )


@cache
def _version(compiler: str) -> str:
    return _run([compiler, "--version"], VERSION_S).stdout


def _run(command: list[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    """
    Raises:
        CompilerError: if it cannot be started, or does not end.
    """
    how: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    try:
        return subprocess.run(command, **how, check=False, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise CompilerError(
            f"{command[0]} did not end within {timeout_s:g} s; set CXX to another compiler"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise CompilerError(f"{command[0]} cannot be run ({error}); set CXX to another compiler") from error


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
