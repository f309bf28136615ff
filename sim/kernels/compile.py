"""The one place where kernels are made: how they are compiled and where the machine code is kept.

Numba's own cache looks only at the file of the outer function: after an edit of a helper or constant
in another module it still loads the old binary. So the cache lives in a folder named by the digest of
every kernel source. `DRIVE_CACHE_DIR` moves it (default: the user's cache folder).
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numba
from llvmlite.binding import Linkage
from numba.core.codegen import JITCodeLibrary, get_host_cpu_features
from numba.core.compiler import Compiler
from numba.extending import register_jitable

from drive.cache import cache_folder as drive_cache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    F = TypeVar("F", bound=Callable[..., object])

# No "nnan" and "ninf": with them isnan() is optimised away and bad input goes unseen.
FASTMATH = {"contract", "arcp", "reassoc", "nsz"}

EXACT = {"nsz"}
"""Where results must not depend on a number's place in a loop: what is left over after whole vectors is
compiled apart from them, and products are contracted into sums in the one and not in the other."""


def _take_whole_vectors() -> None:
    """Have LLVM use whole vectors on processors with AVX-512, unless the environment says what to use.

    For those of Intel it halves them by default, and then gives up loops that write where a mask says: the
    bicycle takes four times as long, a step of traffic by 1.4. It is a setting of the process, for what a
    kernel calls is compiled on its own, so it holds for the caller's kernels too.
    """
    # Numba's stubs do not know its settings.
    settings: Any = numba.config
    if settings.CPU_NAME is None and settings.CPU_FEATURES is None:
        features = get_host_cpu_features()
        if "+avx512f" in features.split(","):
            settings.CPU_FEATURES = features + ",-prefer-256-bit"


_take_whole_vectors()


@cache
def source_digest(folder: Path | None = None) -> str:
    """Digest of all kernel sources and of the compiler's version."""
    digest = hashlib.blake2b(numba.__version__.encode(), digest_size=8)
    for path in sorted((folder or Path(__file__).parent).rglob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def cache_folder() -> Path:
    """Where compiled kernels are kept; unwritable homes fall back to a temporary folder."""
    return drive_cache("kernels", source_digest())


@contextmanager
def _cache_pointed(folder: Path | None = None) -> Iterator[None]:
    """Numba's cache is where ours is while a kernel is decorated."""
    # Numba's stubs know neither its settings nor `_nrt`.
    settings: Any = numba.config
    before = settings.CACHE_DIR
    settings.CACHE_DIR = str(folder or cache_folder())
    try:
        yield
    finally:
        settings.CACHE_DIR = before


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a loop over arrays for the CPU, at its first call, without the GIL.

    Kernels allocate nothing: scratch buffers are arguments, and an allocation does not compile.
    """
    return _compiled(function, None)


def kernel_apart(function: Callable[..., Any]) -> Any:
    """`kernel` for a function none of whose arrays share memory, which the compiler is told.

    So loops vectorise that look up one array by numbers and write into another.
    """
    return _compiled(function, None, pipeline_class=_Apart, fastmath=EXACT)


class _SelfContained(JITCodeLibrary):
    """A kernel's machine code, in which what it calls is its own.

    Numba links copies of the callees as weak symbols, and a process takes the first copy that it meets. The
    one that compiles has met those from which the callees were compiled alone, the one that loads meets
    another kernel's; both were optimised elsewhere, and round in another order.
    """

    def _finalize_final_module(self) -> None:
        # After the optimiser: a function that is private before it is nearly always copied into its caller.
        for function in self._final_module.functions:
            if not function.is_declaration and function.linkage == Linkage.linkonce_odr:
                function.linkage = Linkage.internal
        super()._finalize_final_module()


class _Sealed(Compiler):
    """Numba's compiler, whose results are the same whichever process compiled them."""

    def define_pipelines(self) -> Any:
        state = self.state
        state.library = _SelfContained(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return super().define_pipelines()


class _Apart(_Sealed):
    """The same, with array arguments marked as what C calls restrict."""

    def define_pipelines(self) -> Any:
        self.state.flags.noalias = True
        return super().define_pipelines()


def kernels_of(folder: Path, *used: Path) -> Callable[[Callable[..., Any]], Any]:
    """`kernel` for a folder of kernels in another room: its sources name the cache as well as ours.

    `kernel = kernels_of(Path(__file__).parent)` in one module of the folder, which the others import.
    `used` are further folders, beside ours, whose helpers it takes.
    """
    digests = "-".join(source_digest(f) for f in (folder, *used))
    own = cache_folder() / f"{folder.parent.name}-{digests}"
    own.mkdir(parents=True, exist_ok=True)
    return lambda function: _compiled(function, own)


def _compiled(function: Callable[..., Any], folder: Path | None, **more: Any) -> Any:
    options: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}
    options |= {"fastmath": FASTMATH, "pipeline_class": _Sealed, **more}
    with _cache_pointed(folder):
        return numba.njit(**options)(function)


def device_kernel(function: Callable[..., Any]) -> Any:
    """Compile a function of threads for a GPU, at its first launch.

    The helpers are the same `scalar` functions as on the CPU: Numba makes them for both.
    """
    from numba import cuda

    with _cache_pointed():
        return cuda.jit(cache=True)(function)


def scalar(function: F) -> F:
    """Mark a function of scalars as usable inside kernels and from plain Python alike.

    It is copied into its callers: a call would pass every array by value, some hundred words.
    """
    marked: F = register_jitable(forceinline=True)(function)
    return marked


def routine(function: F) -> F:
    """Like `scalar`, for what is rare and large: it is called, so that the loops around it stay small."""
    marked: F = register_jitable(function)
    return marked
