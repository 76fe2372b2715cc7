"""The connection to the Docker engine; its errors become one line that says what to do."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.errors import ContainerError

if TYPE_CHECKING:
    from docker import DockerClient

IMAGE = "harness"
"""The default name of the image."""
DEFAULT_ENGINE = "unix:///var/run/docker.sock"
_NO_DISK = "no space left on device"
_NO_GPU_DRIVER = "could not select device driver"
_GPU_HOOK = "nvidia-container"
_ADVICE = (
    (
        _NO_DISK,
        "the engine's disk is full: building needs about 9 GB, running the image 6 GB. "
        "`docker system df` shows what is there, `docker system prune` frees what is unused.",
    ),
    (
        _NO_GPU_DRIVER,
        "the engine has no NVIDIA runtime. Install nvidia-container-toolkit, run `nvidia-ctk runtime configure "
        "--runtime=docker` and restart the engine; or omit --gpus to run on the CPU.",
    ),
    (_GPU_HOOK, "the NVIDIA runtime found no GPU that works; run `nvidia-smi` on the host to find out why."),
)


@contextlib.contextmanager
def connected() -> Iterator[DockerClient]:
    """Yield a client of the engine that DOCKER_HOST names, or of the local one.

    Raises:
        ContainerError: there is no engine, permission, image or disk space, or the engine refused.
    """
    import docker
    import requests

    try:
        with contextlib.closing(docker.from_env()) as client:
            yield client
    except docker.errors.ImageNotFound as error:
        image = str(error.explanation).rpartition("such image: ")[2]
        raise ContainerError(
            f"the engine has no image {image!r}. Build it with `make image` or `harness container build`."
        ) from error
    except docker.errors.APIError as error:
        raise ContainerError(refusal(str(error.explanation or error))) from error
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise ContainerError(_unreachable(error)) from error


def is_gpu_trouble(message: str) -> bool:
    """Return whether the engine refused because of the GPUs."""
    return _NO_GPU_DRIVER in message or _GPU_HOOK in message


def is_full_disk(message: str) -> bool:
    """Return whether a message of the engine or of a build step says that the disk is full."""
    return _NO_DISK in message.lower()


def refusal(explanation: str) -> str:
    """Return what a refusal of the engine means, and what to do where that is known."""
    advice = next((advice for sign, advice in _ADVICE if sign in explanation.lower()), "")
    return f"{advice} (The engine says: {explanation})" if advice else f"the engine refused: {explanation}"


def _unreachable(error: BaseException) -> str:
    place = os.environ.get("DOCKER_HOST") or DEFAULT_ENGINE
    cause: BaseException = error
    while cause.__context__ is not None:
        cause = cause.__context__
    if isinstance(cause, PermissionError):
        return (
            f"no permission to use the Docker engine at {place}. Join its group (`sudo usermod -aG docker $USER`, then "
            "log in again) or use sudo."
        )
    return (
        f"no Docker engine answers at {place} ({cause}). Install or start one (`sudo systemctl start docker`), or set "
        "DOCKER_HOST; without Docker, `make bench` runs the same on this machine."
    )
