"""Pictures for the page's viewer: crops where codecs differ most, then whole pictures, within a limit of bytes.

All pictures are the decoded integers, stored losslessly; only the overview of each original is lossy, and is labelled
so. Samples of more than 8 bits are shown by their upper 8.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.analysis.run import RunRecords, rows_of
from harness.records.artifacts import Pictures, Source

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

CROP_SIDE = 128
CROPS = 3
STRIDE = 16
"""Pixels between two possible positions of a crop."""

OVERVIEW_SIDE = 240
WHOLE_PIXELS = 2_000_000
"""Of larger pictures, only crops are shown."""


@dataclass
class _Scene:
    """One image at one ratio, with every codec's picture of it."""

    image: str
    ratio: float
    original: Source
    decoded: Mapping[str, Source]
    bits: int
    views: list[dict[str, Any]] = field(default_factory=list)
    _held: dict[str, NDArray[np.uint8]] = field(default_factory=dict)

    def picture(self, codec: str) -> NDArray[np.uint8]:
        """Return a codec's picture as `_samples` ("": the original); small ones are kept until `release`."""
        if codec in self._held:
            return self._held[codec]
        found = _samples(self.decoded[codec] if codec else self.original, self.bits)
        if found.shape[0] * found.shape[1] <= WHOLE_PIXELS:
            self._held[codec] = found
        return found

    def release(self) -> None:
        """Free the pictures."""
        self._held.clear()


def viewer_data(run: RunRecords, pictures: Pictures) -> dict[str, Any] | None:
    """Return the data of viewer.js, None where there is no picture; the pictures take at most `max_bytes`.

    First one crop of every scene (an image at a ratio), the largest ratio first, then a second and a third, then whole
    pictures. A view has the pictures of all codecs or is left out, so that any two can be compared.
    """
    scenes = _scenes(run, pictures)
    left = pictures.max_bytes
    for scene, view in _views(scenes):
        size = sum(len(url) for url in view["pictures"].values()) + len(view.get("overview", ""))
        if size > left:
            break
        left -= size
        scene.views.append(view)
    shown = [scene for scene in scenes if scene.views]
    if not shown:
        return None
    about = {(row["image"], row["codec"], row["target_ratio"]): row for row in rows_of(run.protocol("ratio"))}
    used = (pictures.max_bytes - left) / 1e6
    note = (
        f"{len(shown)} of {len(scenes)} scenes (an image at a ratio), {sum(len(scene.views) for scene in shown)} "
        f"views of them, {used:.1f} MB of at most {pictures.max_bytes / 1e6:g} MB. Crops are where the codecs' errors "
        "differ most. Stored losslessly from the decoded integers; only the overview is lossy."
    )
    return {"note": note, "scenes": [_plain(run, scene, about) for scene in shown]}


def _scenes(run: RunRecords, pictures: Pictures) -> list[_Scene]:
    """Return each image and ratio with pictures of at least two codecs; the largest ratio first."""
    bits = {image.name: image.sample_bits for image in run.manifest.images}
    by_scene: dict[tuple[float, str], dict[str, Source]] = {}
    for (image, codec, ratio), source in pictures.decoded.items():
        if image in pictures.originals and codec in run.codecs:
            by_scene.setdefault((-ratio, image), {})[codec] = source
    return [
        _Scene(image, -ratio, pictures.originals[image], _ordered(run.codecs, mine), bits.get(image, 8))
        for (ratio, image), mine in sorted(by_scene.items())
        if len(mine) > 1
    ]


def _ordered(codecs: Sequence[str], mine: Mapping[str, Source]) -> dict[str, Source]:
    return {codec: mine[codec] for codec in codecs if codec in mine}


def _views(scenes: Sequence[_Scene]) -> Iterator[tuple[_Scene, dict[str, Any]]]:
    """Yield views, the most useful first."""
    crops: dict[int, list[dict[str, Any]]] = {}
    for number in range(CROPS):
        for scene in scenes:
            if id(scene) not in crops:
                crops[id(scene)] = _crop_views(scene)
            if number < len(crops[id(scene)]):
                yield scene, crops[id(scene)][number]
    for scene in scenes:
        width, height = _size(scene.original)
        if height * width <= WHOLE_PIXELS:
            yield scene, _view(scene, "whole picture", (0, 0, width, height))
            scene.release()


def _crop_views(scene: _Scene) -> list[dict[str, Any]]:
    """Return a view of each crop, the first with the overview; every picture is decoded once."""
    side = min(CROP_SIDE, *scene.picture("").shape[:2])
    views = [
        _view(scene, f"crop {number + 1}", (*place, side, side)) for number, place in enumerate(crop_places(scene))
    ]
    views[0]["overview"] = _overview(scene.picture(""))
    scene.release()
    return views


def crop_places(scene: _Scene) -> list[tuple[int, int]]:
    """Return (left, top) of up to `CROPS` crops that do not overlap, where the codecs' errors differ most.

    The measure is the standard deviation, over codecs, of the root mean squared error inside the crop.
    """
    original = scene.picture("")
    side = min(CROP_SIDE, *original.shape[:2])
    errors = [_window_errors(original, scene.picture(codec), side) for codec in scene.decoded]
    spread = np.std(errors, axis=0)
    found = []
    for _ in range(CROPS):
        row, column = np.unravel_index(int(np.argmax(spread)), spread.shape)
        if spread[row, column] < 0:
            break
        found.append((int(column) * STRIDE, int(row) * STRIDE))
        reach = math.ceil(side / STRIDE) - 1
        spread[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1] = -1
    return found


def _window_errors(original: NDArray[np.uint8], decoded: NDArray[np.uint8], side: int) -> NDArray[np.float64]:
    """Return the root mean squared error inside each window of side x side, a window every `STRIDE` pixels."""
    square = ((original.astype(np.int32) - decoded) ** 2).sum(axis=2, dtype=np.float64)
    sums = np.pad(square.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    inside = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    means: NDArray[np.float64] = inside[::STRIDE, ::STRIDE] / (side * side * original.shape[2])
    errors: NDArray[np.float64] = np.sqrt(np.maximum(means, 0))
    return errors


def _view(scene: _Scene, name: str, box: tuple[int, int, int, int]) -> dict[str, Any]:
    """Return one view: its box (left, top, width, height in pixels) and its pictures as data URLs."""
    left, top, width, height = box
    parts = {
        codec: _lossless(scene.picture(codec)[top : top + height, left : left + width])
        for codec in ("", *scene.decoded)
    }
    return {"name": name, "box": list(box), "pictures": parts}


def _samples(source: Source, bits: int) -> NDArray[np.uint8]:
    """Return a picture as uint8 (height, width, channels); of samples with more than 8 bits the upper 8."""
    with _open(source) as picture:
        samples = np.asarray(picture)
    samples = samples[..., None] if samples.ndim == 2 else samples
    return (samples >> max(0, bits - 8)).astype(np.uint8)


def _size(source: Source) -> tuple[int, int]:
    """Return width and height in pixels; only the file's header is read."""
    with _open(source) as picture:
        return picture.size


def _open(source: Source) -> Picture:
    from PIL import Image

    return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)


def _picture(samples: NDArray[np.uint8]) -> Picture:
    from PIL import Image

    return Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)


def _lossless(samples: NDArray[np.uint8]) -> str:
    """Return a lossless WebP; this quality and method take a tenth of the time and 4 % more bytes than the best."""
    return _url(_picture(samples), lossless=True, quality=20, method=1)


def _overview(samples: NDArray[np.uint8]) -> str:
    picture = _picture(samples).convert("RGB")
    picture.thumbnail((OVERVIEW_SIDE, OVERVIEW_SIDE))
    return _url(picture, quality=70)


def _url(picture: Picture, **options: Any) -> str:
    out = io.BytesIO()
    picture.convert("RGB").save(out, "WEBP", exact=True, **options)
    return f"data:image/webp;base64,{base64.b64encode(out.getvalue()).decode()}"


def _plain(run: RunRecords, scene: _Scene, about: Mapping[tuple[str, str, float], Mapping[str, Any]]) -> dict[str, Any]:
    """Return a scene as JSON values, with the facts of each codec's file."""
    width, height = _size(scene.original)
    names = ["status", "setting", "size_bytes", "ratio", "bpp", *(metric.column for metric in run.metrics)]
    told = {}
    for codec in scene.decoded:
        row = about.get((scene.image, codec, scene.ratio), {})
        told[codec] = {name: row[name] for name in names if name in row and _known(row[name])}
    overview = next((view["overview"] for view in scene.views if "overview" in view), None)
    views = [{name: view[name] for name in ("name", "box", "pictures")} for view in scene.views]
    size = [width, height]
    return {
        "image": scene.image,
        "ratio": scene.ratio,
        "size": size,
        "overview": overview,
        "views": views,
        "codecs": told,
    }


def _known(value: Any) -> bool:
    return isinstance(value, str) or (value is not None and math.isfinite(value))
