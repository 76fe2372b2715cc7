"""Run harness in a fresh container: locked down, as the calling user, with its output passed on at once."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from harness.config.registry import PLUGIN_FOLDER_VARIABLE, plugin_files
from harness.container.connection import IMAGE, connected, is_gpu_trouble
from harness.data.datasets import MIRROR_VARIABLE
from harness.errors import UsageError
from harness.system.container import HOST_RESULTS_VARIABLE
from harness.system.paths import cache_folder

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

STOP_SECONDS = 10
"""How long a run may take to end after Ctrl-C before the engine kills it."""
MEMORY_SHARE = 0.9
"""The default memory limit, as a share of the engine's memory."""
_RESULTS, _CACHE, _DATA, _PLUGINS, _CONFIG = "/results", "/cache", "/data", "/plugins", "/config/benchmarks.toml"
_SCRATCH = "/tmp"  # noqa: S108 - a fresh tmpfs of the container's own

Output = tuple[bytes | None, bytes | None]
"""A piece of standard output and one of standard error."""


@dataclass(frozen=True)
class ContainerLimits:
    """The limits of the container."""

    memory: str = ""
    """Such as 16g; empty: MEMORY_SHARE of the engine's memory."""
    pids: int = 4096
    shm: str = "1g"
    """Shared memory, through which data loaders pass batches."""


DEFAULT_LIMITS = ContainerLimits()


@dataclass(frozen=True)
class Job:
    """What to run, and what it sees of the host."""

    command: tuple[str, ...]
    """The arguments of the program harness."""
    results: Path
    """The folder for results: with the cache, the only folder of the host that the container writes to."""
    image: str = IMAGE
    gpus: str = "auto"
    """auto: all GPUs, where the engine has them; all: all GPUs, or refuse; none."""
    network: str = "none"
    plugins: tuple[Path, ...] = ()
    """Plugin files, besides those in the folder that $HARNESS_PLUGINS names."""
    folders: tuple[Path, ...] = ()
    """More folders to mount read-only, at the same paths as here."""
    config: Path | None = None
    limits: ContainerLimits = DEFAULT_LIMITS
    aside: bool = False
    """The run is one step of something else, and its results do not stay: its standard output is dropped."""


def run(job: Job, write: Callable[[bytes, bytes], None], say: Callable[[str], None]) -> int:
    """Run a job and return its exit status; Ctrl-C or SIGTERM stops the container, which keeps what is done.

    Raises:
        UsageError: a folder or file of the job cannot be used; no container was started.
        ContainerError: the engine or the image is missing, or the engine refused.
    """
    mounts = _mounts(job)
    with connected() as client, _started(client, job, mounts, say) as (container, output):
        with _stopping(container):
            for out, error in output:
                write(b"" if job.aside else out or b"", error or b"")
        return int(container.wait()["StatusCode"])


def _mounts(job: Job) -> dict[str, str]:
    """Return path inside -> path here, writable ones first; missing writable folders are made."""
    for folder in (job.results, cache_folder()):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"the folder {folder} cannot be made: {error.strerror}.") from error
    wanted = {_RESULTS: job.results, _CACHE: cache_folder()}
    if data := os.environ.get(MIRROR_VARIABLE):
        wanted[_DATA] = Path(data)
    if job.config:
        wanted[_CONFIG] = job.config
    for plugin in plugin_files(job.plugins):
        place = f"{_PLUGINS}/{plugin.name}"
        if place in wanted:
            raise UsageError(f"two plugins are called {plugin.name}: {wanted[place]} and {plugin}. Rename one.")
        wanted[place] = plugin
    wanted |= {str(folder.resolve()): folder for folder in job.folders}
    for path in wanted.values():
        if not path.exists():
            raise UsageError(f"{path} cannot be mounted into the container: it does not exist.")
    return {inside: str(path.resolve()) for inside, path in wanted.items()}


@contextlib.contextmanager
def _started(
    client: DockerClient, job: Job, mounts: Mapping[str, str], say: Callable[[str], None]
) -> Iterator[tuple[Container, Iterator[Output]]]:
    """Yield a running container and its output; always remove the container afterwards."""
    from docker.errors import APIError

    tries = [True, False] if job.gpus == "auto" else [job.gpus == "all"]
    for with_gpus in tries:
        container = client.containers.create(**_settings(client, job, mounts, with_gpus))
        try:
            output = container.attach(stream=True, logs=True, demux=True)
            try:
                container.start()
            except APIError as error:
                if not (len(tries) > 1 and with_gpus and is_gpu_trouble(str(error.explanation))):
                    raise
                say("the engine offers no NVIDIA GPU: running on the CPU")
                continue
            yield container, output
            return
        finally:
            container.remove(force=True, v=True)


def _settings(client: DockerClient, job: Job, mounts: Mapping[str, str], with_gpus: bool) -> dict[str, Any]:
    from docker.types import DeviceRequest, Mount

    image = client.images.get(job.image)
    writable = (_RESULTS, _CACHE)
    return {
        "image": image.id,
        "command": list(job.command),
        "environment": _environment(job, mounts, image),
        "mounts": [Mount(inside, here, "bind", read_only=inside not in writable) for inside, here in mounts.items()],
        "user": f"{os.getuid()}:{os.getgid()}",
        "device_requests": [DeviceRequest(count=-1, capabilities=[["gpu"]])] if with_gpus else None,
        "network_mode": job.network,
        "read_only": True,
        "tmpfs": {_SCRATCH: "rw,exec,mode=1777"},
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "init": True,
        "tty": _terminal(job),
        "mem_limit": job.limits.memory or int(client.info()["MemTotal"] * MEMORY_SHARE),
        "pids_limit": job.limits.pids,
        "shm_size": job.limits.shm,
    }


def _environment(job: Job, mounts: Mapping[str, str], image: Any) -> dict[str, str]:
    chosen = {
        "HOME": _SCRATCH,
        "HARNESS_IMAGE": job.image,
        "HARNESS_IMAGE_ID": str(image.id),
        "HARNESS_IMAGE_DIGEST": next(iter(image.attrs.get("RepoDigests") or ()), ""),
    }
    if not job.aside:
        chosen[HOST_RESULTS_VARIABLE] = mounts[_RESULTS]
    if _DATA in mounts:
        chosen[MIRROR_VARIABLE] = _DATA
    if any(inside.startswith(f"{_PLUGINS}/") for inside in mounts):
        chosen[PLUGIN_FOLDER_VARIABLE] = _PLUGINS
    if job.config:
        chosen["HARNESS_CONFIG"] = _CONFIG
    if _terminal(job):
        size = shutil.get_terminal_size()
        chosen |= {"COLUMNS": str(size.columns), "LINES": str(size.lines), "TERM": os.environ.get("TERM", "xterm")}
    return chosen


def _terminal(job: Job) -> bool:
    """Return whether a job gets a terminal, which merges its two output streams."""
    return not job.aside and sys.stdout.isatty()


@contextlib.contextmanager
def _stopping(container: Container) -> Iterator[None]:
    """On the first Ctrl-C or SIGTERM ask the container to stop, and go on reading; a second one ends this at once."""

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        threading.Thread(target=container.stop, kwargs={"timeout": STOP_SECONDS}, daemon=True).start()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
