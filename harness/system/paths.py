"""The user's folders for caches and weights, and whether a folder is on a network file system."""

from __future__ import annotations

import os
from pathlib import Path

_NETWORK_FILE_SYSTEMS = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "lustre", "beegfs", "gpfs", "9p")
CACHE_VARIABLE = "HARNESS_CACHE"
WEIGHTS_VARIABLE = "HARNESS_WEIGHTS"


def cache_folder() -> Path:
    """Return the folder for files that can be fetched again: $HARNESS_CACHE, or the user's cache folder."""
    if folder := os.environ.get(CACHE_VARIABLE):
        return Path(folder)
    from platformdirs import user_cache_path

    return user_cache_path("harness")


def weights_folder() -> Path:
    """Return the folder for weights trained here: $HARNESS_WEIGHTS, or a folder in the cache."""
    folder = os.environ.get(WEIGHTS_VARIABLE)
    return Path(folder) if folder else cache_folder() / "weights"


def on_network(path: Path) -> bool:
    """Return whether a path is on a network file system, where WAL's shared memory fails (sqlite.org/wal)."""
    import psutil

    parents = [str(parent) for parent in path.resolve().parents]
    mounts = {part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)}
    kind = next((mounts[parent] for parent in parents if parent in mounts), "")
    return kind in _NETWORK_FILE_SYSTEMS
