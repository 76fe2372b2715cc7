"""Run harness in a fresh container: locked down, as the caller, with its output passed through as it comes."""

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
"""How long a run may take to end after Ctrl-C before it is killed."""
MEMORY_SHARE = 0.9
"""Of the engine's memory, unless a limit is given."""
_RESULTS, _CACHE, _DATA, _PLUGINS, _CONFIG = "/results", "/cache", "/data", "/plugins", "/config/benchmarks.toml"
_SCRATCH = "/tmp"  # noqa: S108 - a fresh tmpfs of the container's own

Output = tuple[bytes | None, bytes | None]
"""A piece of standard output and one of standard error."""


@dataclass(frozen=True)
class Limits:
    """What the container may use."""

    memory: str = ""
    """Such as 16g; empty: MEMORY_SHARE of what the engine has."""
    pids: int = 4096
    shm: str = "1g"
    """Shared memory, which data loaders pass batches through."""


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Job:
    """What to run, and what of the host it sees."""

    command: tuple[str, ...]
    """The arguments of harness."""
    results: Path
    """The only folder of the host, with the cache, that is written to."""
    image: str = IMAGE
    gpus: str = "auto"
    """auto: all where the engine has them; all: all, or refuse; none."""
    network: str = "none"
    plugins: tuple[Path, ...] = ()
    """Beside those in the folder that $HARNESS_PLUGINS names."""
    folders: tuple[Path, ...] = ()
    """More folders to see, read-only, under the paths that they have here."""
    config: Path | None = None
    limits: Limits = DEFAULT_LIMITS
    aside: bool = False
    """A step of something else, whose results do not stay: where they are goes unsaid, with all of standard output."""


def run(job: Job, write: Callable[[bytes, bytes], None], say: Callable[[str], None]) -> int:
    """Run a job and return its exit status; Ctrl-C or SIGTERM stops the container, which keeps what is done.

    Raises:
        UsageError: a folder or file of the job cannot be used; nothing was started.
        ContainerError: the engine or the image is not there, or the engine refused.
    """
    mounts = _mounts(job)
    with connected() as client, _started(client, job, mounts, say) as (container, output):
        with _stopping(container):
            for out, error in output:
                write(b"" if job.aside else out or b"", error or b"")
        return int(container.wait()["StatusCode"])


def _mounts(job: Job) -> dict[str, str]:
    """Return path inside -> path here, the writable ones first; the folders that are written to are made."""
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
            raise UsageError(f"{path} is to be seen in the container, and is not there.")
    return {inside: str(path.resolve()) for inside, path in wanted.items()}


@contextlib.contextmanager
def _started(
    client: DockerClient, job: Job, mounts: Mapping[str, str], say: Callable[[str], None]
) -> Iterator[tuple[Container, Iterator[Output]]]:
    """Yield a container that runs, with its output; it is removed afterwards, whatever happens."""
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
    """Tell whether a job gets a terminal, which makes one stream of its two."""
    return not job.aside and sys.stdout.isatty()


@contextlib.contextmanager
def _stopping(container: Container) -> Iterator[None]:
    """On the first Ctrl-C or SIGTERM ask the container to stop and go on reading; the next ends this at once."""

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        threading.Thread(target=container.stop, kwargs={"timeout": STOP_SECONDS}, daemon=True).start()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
