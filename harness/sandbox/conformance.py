"""Conformance tests of the codec interface (interface.py), run on one codec, each with its evidence.

Every call runs in a process that can be killed, so a plugin under development cannot harm the tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np

from harness.config.registry import CodecSpec
from harness.config.schema import Limits
from harness.errors import BadStreamError, BudgetError, ConformanceError, HarnessError, UnsupportedImageError
from harness.interface import Image
from harness.sandbox.process import CodecProcess
from harness.sandbox.replies import Description

CHECK_LIMITS = Limits(seconds=60, memory_mb=4096, disk_mb=1024)
_SEED = 0
_SIDES = ((1, 1), (1, 9), (9, 1), (17, 33), (65, 63))
"""(height, width): sides that break careless block transforms."""
_NEAR_DB = 30.0
"""The PSNR that the highest setting of a lossy codec must reach on a smooth picture."""
_STREAMS = 60


@dataclass(frozen=True)
class Verdict:
    """The outcome of one conformance test."""

    test: str
    """What the test asks of a codec: a key of CONFORMANCE_TESTS."""
    outcome: Literal["pass", "fail", "not applicable"]
    evidence: str
    """What was measured; why a codec failed; or why the test does not apply to it."""


@dataclass
class Candidate:
    """The codec under test, with its own processes: two to encode, one to decode."""

    spec: CodecSpec
    encoder: CodecProcess
    other_encoder: CodecProcess
    decoder: CodecProcess

    @cached_property
    def about(self) -> Description:
        """What the codec says of itself."""
        return self.encoder.describe(self.spec)

    def images(self, sides: tuple[int, int] = (48, 64)) -> Iterator[tuple[str, Image]]:
        """Yield (format, picture) for each format that the codec takes."""
        for kind in self.about.formats:
            yield kind, picture(sides, kind)


class _NotApplicableError(Exception):
    """The test does not apply to this codec; the message says why."""


def picture(sides: tuple[int, int], kind: str, noise: float = 0.02) -> Image:
    """Return a synthetic picture: soft waves and an edge, with some noise, the same on every call."""
    height, width = sides
    rows, columns = np.mgrid[0:height, 0:width]
    waves = 0.5 + 0.25 * np.sin(columns / 7 + rows / 23) + 0.15 * (columns + 2 * rows > width)
    colours = waves[:, :, None] * np.array([1.0, 0.8, 0.6])
    samples = np.clip(colours + noise * np.random.default_rng(_SEED).standard_normal((height, width, 3)), 0, 1)
    if kind != "rgb8":
        samples = samples.mean(axis=2, keepdims=True)
    deep: Image = np.rint(samples * 65535).astype(np.uint16)
    shallow: Image = np.rint(samples * 255).astype(np.uint8)
    return deep if kind == "gray16" else shallow


def check(spec: CodecSpec) -> Iterator[Verdict]:
    """Run every conformance test on a codec, and yield a verdict for each; an error fails its test."""
    processes = [CodecProcess(CHECK_LIMITS) for _ in range(3)]
    candidate = Candidate(spec, *processes)
    try:
        for name, test in CONFORMANCE_TESTS.items():
            try:
                yield Verdict(name, "pass", test(candidate))
            except _NotApplicableError as reason:
                yield Verdict(name, "not applicable", str(reason))
            except HarnessError as error:
                yield Verdict(name, "fail", str(error))
    finally:
        for process in processes:
            process.close()


def _describes_itself(candidate: Candidate) -> str:
    about = candidate.about
    if about.missing:
        raise ConformanceError(f"it is not ready: {about.missing}")
    return f"takes {', '.join(about.formats)}; {len(about.ladder)} settings; provenance {dict(about.provenance)}"


def _decodes_elsewhere(candidate: Candidate) -> str:
    done, unsupported = 0, []
    for sides in (*_SIDES, (48, 64)):
        for kind, image in candidate.images(sides):
            for setting in dict.fromkeys((candidate.about.ladder[0], candidate.about.ladder[-1])):
                try:
                    data = candidate.encoder.encode(candidate.spec, image, setting)
                except UnsupportedImageError as error:
                    unsupported.append(f"{kind} {sides[0]}x{sides[1]}: {error}")
                    continue
                candidate.decoder.decode(candidate.spec, data, image)
                done += 1
    if not done:
        raise ConformanceError(f"it took no image: {unsupported[0]}")
    limits = f"; its own limits: {'; '.join(dict.fromkeys(unsupported))}" if unsupported else ""
    return f"{done} files of 1x1 to 65x63 pixels decoded by another process, shapes and dtypes equal{limits}"


def _is_deterministic(candidate: Candidate) -> str:
    for kind, image in candidate.images():
        setting = candidate.about.ladder[len(candidate.about.ladder) // 2]
        first = candidate.encoder.encode(candidate.spec, image, setting)
        again = candidate.encoder.encode(candidate.spec, image, setting)
        elsewhere = candidate.other_encoder.encode(candidate.spec, image, setting)
        if not first == again == elsewhere:
            raise ConformanceError(f"the same {kind} image at setting {setting:g} gave different files.")
    return "three encodes, one of them in another process, gave the same bytes"


def _grows(candidate: Candidate) -> str:
    ladder = candidate.about.ladder
    if len(ladder) == 1:
        raise _NotApplicableError("its ladder has one setting")
    _, image = next(candidate.images())
    places = sorted({round(place) for place in np.linspace(0, len(ladder) - 1, 6)})
    sizes = [len(candidate.encoder.encode(candidate.spec, image, ladder[place])) for place in places]
    if not all(later >= 0.9 * earlier for earlier, later in pairwise(sizes)) or sizes[-1] <= sizes[0]:
        raise ConformanceError(f"file sizes do not rise along the ladder: {sizes} bytes at settings number {places}.")
    return f"{sizes} bytes at settings number {places}"


def _is_close(candidate: Candidate) -> str:
    found = []
    for kind, image in candidate.images():
        data = candidate.encoder.encode(candidate.spec, image, candidate.about.ladder[-1])
        error = np.mean(np.square(candidate.decoder.decode(candidate.spec, data, image).astype(float) - image))
        peak = float(np.iinfo(image.dtype).max)
        decibels = math.inf if error == 0 else 10 * math.log10(peak**2 / error)
        if candidate.about.lossless and error:
            raise ConformanceError(f"it calls itself lossless; a {kind} image came back with PSNR {decibels:.2f} dB.")
        if decibels < _NEAR_DB:
            raise ConformanceError(
                f"its highest setting gives a {kind} image of PSNR {decibels:.2f} dB; expected at least {_NEAR_DB:g}."
            )
        found.append(f"{kind} {decibels:.2f} dB")
    return ", ".join(found)


def _survives_damage(candidate: Candidate) -> str:
    endings = {"an image": 0, "a BadStreamError": 0}
    flips = {"an image": 0, "a BadStreamError": 0}
    _, image = next(candidate.images())
    data = candidate.encoder.encode(candidate.spec, image, candidate.about.ladder[len(candidate.about.ladder) // 2])
    for kind, stream in _damaged(data):
        try:
            candidate.decoder.decode_any(candidate.spec, stream, 64 << 20)
            ending = "an image"
        except BadStreamError:
            ending = "a BadStreamError"
        endings[ending] += 1
        flips[ending] += kind == "flip"
    noticed = f"it noticed {flips['a BadStreamError']} of {sum(flips.values())} flipped bits"
    return f"{endings['an image']} ended in an image, {endings['a BadStreamError']} in a BadStreamError; {noticed}"


def _damaged(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield (kind, bytes): truncated files, flipped bits and noise; the same on every call."""
    rng = np.random.default_rng(_SEED)
    for part in range(10):
        yield "cut", data[: len(data) * part // 10]
    for place in rng.integers(0, len(data), _STREAMS):
        yield "flip", data[:place] + bytes([data[place] ^ 1 << int(rng.integers(8))]) + data[place + 1 :]
    for length in (1, 30, 3000):
        yield "noise", rng.bytes(length)


def _fills_budgets(candidate: Candidate) -> str:
    if not candidate.about.budget:
        raise _NotApplicableError("it has no rate control of its own")
    found = []
    for kind, image in candidate.images():
        budget = image.nbytes // 6
        encoded = candidate.encoder.encode_to_budget(candidate.spec, image, budget)
        if candidate.encoder.encode(candidate.spec, image, encoded.setting) != encoded.data:
            raise ConformanceError(f"encode at setting {encoded.setting:g} does not make the file of its rate control.")
        found.append(f"{kind} {len(encoded.data)} of {budget} bytes")
    try:
        candidate.encoder.encode_to_budget(candidate.spec, image, 1)
    except BudgetError:
        return ", ".join(found)
    raise ConformanceError("it returned a file where one byte was allowed.")


CONFORMANCE_TESTS: dict[str, Callable[[Candidate], str]] = {
    "it builds and describes itself": _describes_itself,
    "another process decodes any size from the bytes alone": _decodes_elsewhere,
    "the same image and setting give the same bytes": _is_deterministic,
    "files grow along the ladder": _grows,
    "the highest setting is close to the image": _is_close,
    "damaged bytes end in an image or a BadStreamError": _survives_damage,
    "its rate control keeps to the target size": _fills_budgets,
}
"""What is asked -> the test. All of them also test that the input stays as it was: codecs get it read-only."""
