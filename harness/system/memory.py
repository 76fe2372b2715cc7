"""How the C library's allocator is set where images and tensors are computed with: freed memory is used again.

Planes and activations come and go by the hundred. By default glibc returns large ones to the system, and dask asks its
workers for that too (a trim threshold of 64 KiB): each is then new pages, which cost more than the arithmetic on them.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping

_KEPT_BYTES = 256 << 20

KEEP_MEMORY: Mapping[str, str] = {
    "MALLOC_ARENA_MAX": "1",  # the heap of another thread's arena ends at 64 MB
    "MALLOC_MMAP_THRESHOLD_": str(_KEPT_BYTES),
    "MALLOC_TRIM_THRESHOLD_": str(_KEPT_BYTES),
}
"""Environment of a process that is about to start; mallopt(3). A C library that is not glibc takes no notice."""

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""Of glibc's malloc.h."""


def keep_freed_memory() -> None:
    """Let this process hold on to freed blocks of any size: a training asks for the same ones again at each step."""
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(_M_MMAP_MAX, 0)
        library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
