"""Whether this process runs in a container, and where the host finds its report."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

HOST_RESULTS_VARIABLE = "HARNESS_HOST_RESULTS"
"""The path of the results folder on the host; `harness container run` sets it."""
_MOUNTS = Path("/proc/self/mountinfo")
_ANONYMOUS = re.compile(r"/volumes/[0-9a-f]{64}/_data$")


def in_container() -> bool:
    """Return whether this is a container of the image that `make image` builds."""
    return bool(os.environ.get("HARNESS_IMAGE"))


def where_on_host(run: Path) -> str:
    """Return where the host finds a run, or how to copy it there; empty where the user sees the path anyway."""
    if host := os.environ.get(HOST_RESULTS_VARIABLE):
        return f"On the host: {Path(host) / run.name}"
    if not in_container() or _is_kept(run):
        return ""
    return (
        f"The report is inside this container. To copy it out: docker cp {platform.node()}:{run.resolve()} .\n"
        "To write results to the host directly, run `mkdir -p results` and add "
        '--user "$(id -u):$(id -g)" -v "$PWD/results:/results"'
    )


def _is_kept(run: Path) -> bool:
    """Return whether a folder is on a mount that the user chose, not the container's own layer or an unnamed volume."""
    try:
        lines = _MOUNTS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return True
    mounts = {fields[4]: fields[3] for line in lines if len(fields := line.split()) > 4}
    folder = run.resolve()
    place = next(str(parent) for parent in (folder, *folder.parents) if str(parent) in mounts)
    return place != "/" and not _ANONYMOUS.search(mounts[place])
