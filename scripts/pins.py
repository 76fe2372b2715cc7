"""Update the pin of the base image to the present digest of its tag: `python scripts/pins.py [DOCKERFILE]`.

The script asks the registry through the Docker engine and pulls nothing. Then build, test and commit: see
docs/container.md.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from harness.container.connection import connected

_PIN = re.compile(r"^(ARG BASE_IMAGE=)(?P<tag>\S+)@(?P<digest>sha256:[0-9a-f]{64})$", re.MULTILINE)


def repin(dockerfile: Path) -> str:
    """Update the pin in a Dockerfile; return a sentence that says how it changed."""
    text = dockerfile.read_text(encoding="utf-8")
    found = _PIN.search(text)
    if found is None:
        raise SystemExit(f"{dockerfile} has no line ARG BASE_IMAGE=tag@sha256:digest")
    tag, old = found["tag"], found["digest"]
    with connected() as client:
        new = client.images.get_registry_data(tag).id
    if new == old:
        return f"{tag} is still {old}"
    dockerfile.write_text(_PIN.sub(rf"\g<1>{tag}@{new}", text), encoding="utf-8")
    return f"{tag} was {old}, is now {new}"


if __name__ == "__main__":
    print(repin(Path(*sys.argv[1:2] or ["Dockerfile"])))
