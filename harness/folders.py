"""Folders of the user's that hold what can be made or fetched again."""

from __future__ import annotations

import os
from pathlib import Path

CACHE_VARIABLE = "HARNESS_CACHE"
WEIGHTS_VARIABLE = "HARNESS_WEIGHTS"


def cache_folder() -> Path:
    """Return the folder for what can be fetched again: $HARNESS_CACHE, else the user's cache folder."""
    if folder := os.environ.get(CACHE_VARIABLE):
        return Path(folder)
    from platformdirs import user_cache_path

    return user_cache_path("harness")


def weights_folder() -> Path:
    """Return the folder for weights trained here: $HARNESS_WEIGHTS, else one in the cache."""
    folder = os.environ.get(WEIGHTS_VARIABLE)
    return Path(folder) if folder else cache_folder() / "weights"
