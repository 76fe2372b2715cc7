"""Settings of the C library's allocator for work on images and tensors: it reuses freed memory.

Planes and activations are allocated and freed by the hundred. By default glibc returns large blocks to the system, and
dask sets its workers to do so too (a trim threshold of 64 KiB). Each block then needs new pages, which cost more than
the arithmetic on them.
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
"""The environment of a process that is about to start; see mallopt(3). Only glibc reads it."""

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""Of glibc's malloc.h."""


def keep_freed_memory() -> None:
    """Let this process keep freed blocks of any size: a training asks for the same blocks at each step."""
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(_M_MMAP_MAX, 0)
        library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
