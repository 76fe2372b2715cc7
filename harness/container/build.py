"""Build the image from a checkout, and write its provenance into it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from harness import __version__
from harness.container.connection import IMAGE, connected, is_full_disk, refusal
from harness.errors import ContainerError, UsageError
from harness.system.hashing import file_sha256
from harness.system.provenance import revision

LOCK = "requirements.lock"
EXTRAS_LOCK = "requirements-extras.lock"
EXTRAS = {
    "LOCK": EXTRAS_LOCK,
    "EXTRAS": "--extra ffmpeg --extra heif --extra jpegli",
    "LICENSES": "Apache-2.0 AND GPL-3.0-or-later",
}
"""Build arguments of the image with every codec; some of their libraries are under the GPL."""


@dataclass(frozen=True)
class Built:
    """A finished image."""

    id: str
    size_bytes: int
    """Unpacked, with its base image."""


@dataclass(frozen=True)
class BuildRequest:
    """What to build, and from which source and base."""

    source: Path
    """A checkout of harness."""
    image: str = IMAGE
    base: str = ""
    """Replaces the pinned base image."""
    extras: bool = False
    """Include the codecs whose libraries are under the GPL."""
    fresh: bool = False
    """Use no layer of an earlier build."""


def build(request: BuildRequest, say: Callable[[str], None]) -> Built:
    """Build an image; `say` gets each line of progress.

    Raises:
        UsageError: the source is not a checkout of harness.
        ContainerError: there is no engine, or a step failed.
    """
    arguments = build_arguments(request)
    with connected() as client:
        steps = client.api.build(
            path=str(request.source),
            tag=request.image,
            buildargs=arguments,
            decode=True,
            rm=True,
            forcerm=True,
            nocache=request.fresh,
        )
        _follow(steps, say)
        attributes = client.images.get(request.image).attrs
        return Built(attributes["Id"], attributes["Size"])


def build_arguments(request: BuildRequest) -> dict[str, str]:
    """Return the build arguments of the Dockerfile: revision, address and lock file of the checkout.

    Raises:
        UsageError: the source is not a checkout of harness.
    """
    source, lock = request.source, EXTRAS_LOCK if request.extras else LOCK
    for name in ("Dockerfile", lock):
        if not (source / name).is_file():
            raise UsageError(f"{source.resolve()} holds no {name}: name the folder of a checkout of harness.")
    arguments = {
        "VERSION": __version__,
        "REVISION": revision(source) or "unknown",
        "SOURCE": _address(source) or "unknown",
        "LOCK_SHA256": file_sha256(source / lock),
        "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH") or _git(source, "log", "-1", "--format=%ct") or "0",
    }
    return arguments | (EXTRAS if request.extras else {}) | ({"BASE_IMAGE": request.base} if request.base else {})


def _address(source: Path) -> str:
    """Return the public address of the source, without user or password; empty when it is only on this machine."""
    parts = urlsplit(_git(source, "config", "--get", "remote.origin.url"))
    return f"https://{parts.hostname}{parts.path}" if parts.scheme in ("http", "https") else ""


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _follow(steps: Iterable[Mapping[str, Any]], say: Callable[[str], None]) -> None:
    """Pass on each line of a build, and the state of a layer when it changes.

    Raises:
        ContainerError: a step failed.
    """
    states: dict[str, str] = {}
    no_room = ""
    for step in steps:
        if "error" in step:
            raise ContainerError(f"the image was not built: {refusal(no_room or str(step['error']))}")
        for line in str(step.get("stream", "")).splitlines():
            if line.strip():
                say(line.rstrip())
                no_room = line.strip() if is_full_disk(line) else no_room
        layer, state = str(step.get("id", "")), str(step.get("status", ""))
        if state and states.get(layer) != state:
            states[layer] = state
            say(f"{layer} {state}".strip())
