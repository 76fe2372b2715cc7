"""How the C library's allocator is set in worker and codec processes: memory that was freed is used again.

Planes of an image come and go by the hundred. By default glibc returns each to the system, and dask asks its workers
for that too (a trim threshold of 64 KiB): every plane is then new pages, which cost more than the arithmetic on them.
"""

from __future__ import annotations

from collections.abc import Mapping

_KEPT_BYTES = 256 << 20

KEEP_MEMORY: Mapping[str, str] = {
    "MALLOC_ARENA_MAX": "1",  # the heap of another thread's arena ends at 64 MB
    "MALLOC_MMAP_THRESHOLD_": str(_KEPT_BYTES),
    "MALLOC_TRIM_THRESHOLD_": str(_KEPT_BYTES),
}
"""Environment of a process that is about to start; mallopt(3). A C library that is not glibc takes no notice."""
