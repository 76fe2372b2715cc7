"""Hostile bytes: mutations of sound files, and every decoder of ours as a function that bytes may not upset."""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np

from harness.config import schema
from harness.config.registry import CodecSpec, build, find, known_targets, load_class
from harness.config.schema import Limits
from harness.errors import BadStreamError, HarnessError, LimitError, MissingDependencyError
from harness.interface import MAX_PIXELS, Codec, Image
from harness.learned import checkpoint
from harness.learned.bitstream import HEADER_BYTES, MAGICS, Stream
from harness.records import manifest
from harness.records.record import CSV_COLUMNS, Encode, Record, read_frame
from harness.records.store import Store
from harness.sandbox.process import CodecProcess
from tests.support.images import make_image
from tests.support.tiny_model import ARCHITECTURES, tiny_shape, tiny_weights

LIMITS = Limits(seconds=60, memory_mb=3072, disk_mb=64)
"""What the decoding of one mutated stream may take."""
SIDES = (24, 32)
_CRC_AT = HEADER_BYTES - 4
_LARGE = 2**18
"""Pixels."""
_EXTREMES = (
    b"\x00" * 4,
    b"\xff" * 4,
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x00\x00\x00\x80",
    b"\x80\x00\x00\x00",
)


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Return bytes after one to four edits: flips, extreme numbers, cuts, insertions, repetitions, noise."""
    edited = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        place = int(rng.integers(0, max(len(edited), 1)))
        place = place if rng.random() < 0.5 else min(place, int(rng.integers(1, 64)))  # headers decide most
        length = int(rng.integers(1, 16))
        match int(rng.integers(7)):
            case 0 | 1:
                for bit in rng.integers(0, 8, 1 + length // 8):
                    edited[place : place + 1] = bytes([byte ^ 1 << int(bit) for byte in edited[place : place + 1]])
            case 2:
                edited[place : place + 4] = _EXTREMES[int(rng.integers(len(_EXTREMES)))]
            case 3:
                edited[place : place + length] = rng.bytes(length)
            case 4:
                edited[place:place] = rng.bytes(length)
            case 5:
                edited[place:place] = edited[: place + length]
            case _:
                del edited[place : place + length * int(rng.integers(1, 20))]
    return mended(bytes(edited), rng.random() < 0.7)


def mended(data: bytes, wanted: bool = True) -> bytes:
    """Return a learned codec's file with its length and its CRC set right, so that what lies behind them is reached.

    Not that of one that claims to be large: its decoding takes as long as that of a large image, or its time limit.
    """
    if not wanted or data[:4] not in MAGICS.values() or len(data) < HEADER_BYTES:
        return data
    height, width = (int.from_bytes(data[place : place + 4], "little") for place in (14, 18))
    if height * width > _LARGE:
        return data
    start = data[: _CRC_AT - 4] + (len(data) - HEADER_BYTES).to_bytes(4, "little")
    crc = zlib.crc32(data[HEADER_BYTES:], zlib.crc32(start))
    return start + crc.to_bytes(4, "little") + data[HEADER_BYTES:]


@cache
def weights_of(architecture: str) -> str:
    """Return a folder with weights of an untrained tiny network; it lies there as long as the process lives."""
    folder = tempfile.TemporaryDirectory(prefix="fuzz-")
    _KEPT.append(folder)
    tiny_weights(Path(folder.name), architecture, tiny_shape(3))
    return folder.name


_KEPT: list[tempfile.TemporaryDirectory[str]] = []


def unready(spec: CodecSpec) -> str | None:
    """Return what keeps a codec from being fuzzed here: its library, or weights that nobody here can make."""
    try:
        missing: str | None = getattr(build(with_weights(spec)), "missing", lambda: None)()
    except MissingDependencyError as error:
        return str(error)
    return missing


def with_weights(spec: CodecSpec) -> CodecSpec:
    """Return the spec of a learned codec that has none with weights of a tiny network; any other as it is."""
    name = load_class(spec.target).name
    missing = getattr(build(spec), "missing", lambda: None)()
    if name not in ARCHITECTURES or not missing:
        return spec
    return replace(spec, parameters={"weights": weights_of(name), "ratio": 16.0})


def sound_files(spec: CodecSpec) -> list[bytes]:
    """Return files that a codec makes of a small picture, of every format and two settings."""
    codec = build(spec)
    images: list[Image] = [make_image("photograph", SIDES, kind) for kind in codec.formats]
    ladder = codec.ladder
    settings = dict.fromkeys((ladder[len(ladder) // 2], ladder[-1]))
    return [codec.encode(image, setting) for image in images for setting in settings]


@dataclass
class Totals:
    """How mutated streams ended."""

    endings: Counter[str] = field(default_factory=Counter)
    """"an image", "a BadStreamError", "a limit", or another error with its text: that is a fault."""
    slowest_seconds: float = 0.0
    peak_rss_mb: float = 0.0
    """The most memory that the decoding process held, in MB."""
    faults: list[tuple[str, bytes]] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.endings.values())

    def add(self, other: Totals) -> None:
        """Count others too."""
        self.endings += other.endings
        self.slowest_seconds = max(self.slowest_seconds, other.slowest_seconds)
        self.peak_rss_mb = max(self.peak_rss_mb, other.peak_rss_mb)
        self.faults += other.faults


def fuzz_codec(spec: CodecSpec, process: CodecProcess, count: int, seed: int) -> Totals:
    """Decode so many mutated streams of a codec in a process with limits.

    Raises:
        MissingDependencyError: the codec's library is not here.
    """
    spec = with_weights(spec)
    files, rng, totals = sound_files(spec), np.random.default_rng(seed), Totals()
    for number in range(count):
        data = mutated(files[number % len(files)], rng)
        before = process.seconds
        ending = _ending(spec, process, data)
        totals.endings[ending] += 1
        totals.slowest_seconds = max(totals.slowest_seconds, process.seconds - before)
        totals.peak_rss_mb = max(totals.peak_rss_mb, process.peak_rss_mb)
        if ending not in ("an image", "a BadStreamError"):
            totals.faults.append((ending, data))
    return totals


def _ending(spec: CodecSpec, process: CodecProcess, data: bytes) -> str:
    try:
        process.decode_any(spec, data, 3 * MAX_PIXELS)
    except BadStreamError:
        return "a BadStreamError"
    except MissingDependencyError:
        raise
    except LimitError as error:
        return f"a limit: {error}"
    except HarnessError as error:
        return f"{type(error).__name__}: {error}"
    return "an image"


def _learned(data: bytes) -> None:
    """Header and latents of a learned codec's file."""
    start = _sound_stream()[:4]
    try:
        _tiny_codec().decode(mended(start + data[4:]))
    except BadStreamError:
        return


@cache
def _tiny_codec() -> Codec:
    return build(find("residual", {"weights": weights_of("residual"), "ratio": 16.0}))


@cache
def _sound_stream() -> bytes:
    codec = _tiny_codec()
    return codec.encode(make_image("photograph", SIDES, "rgb8"), codec.ladder[len(codec.ladder) // 2])


def _header(data: bytes) -> None:
    try:
        stream = Stream.from_bytes(mended(MAGICS["baseline"] + data[4:]), "baseline")
    except BadStreamError:
        return
    assert Stream.from_bytes(stream.to_bytes(), "baseline") == stream


def _in_file(name: str, data: bytes, read: Callable[[Path], object]) -> None:
    """Write bytes into a file, and read that; an error of ours is an answer."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        try:
            read(path)
        except HarnessError as error:
            assert str(error)


def _records(path: Path) -> None:
    frame = read_frame(path)
    assert set(CSV_COLUMNS) <= set(frame.columns)


def _store(path: Path) -> None:
    with Store(path) as store:
        list(store.records([str(number) for number in range(20)]))
        store.finished(["1"])
        store.encodes("pixels", "codec")


def _card(path: Path) -> None:
    for card, weights in checkpoint.cards([path.parent]):
        checkpoint.fingerprints(card, weights)


def _weights(path: Path) -> None:
    """Weights whose card says that they are what they should be: no hash protects the networks from them."""
    from harness.models._inference import built

    card = next(card for card, _ in checkpoint.cards([Path(weights_of("baseline"))]))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    built(ARCHITECTURES["baseline"].networks, card.model_copy(update={"sha256": digest}), path, "cpu")


def _sound_store() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.sqlite"
        with Store(path) as store:
            kept = [Record(str(n), "image", "codec", "ratio", 4.0, "capped", psnr=math.inf) for n in range(20)]
            store.save("pixels", "codec", kept, [Encode(1.0, 10, "0" * 64)])
        return path.read_bytes()


def _sound_weights() -> bytes:
    return next(Path(weights_of("baseline")).glob("*.safetensors")).read_bytes()


def _sound_card() -> bytes:
    return next(Path(weights_of("baseline")).glob("*.json")).read_bytes()


def _sound_records() -> bytes:
    return f"{','.join(CSV_COLUMNS)}\na.png,webp,ratio,4.0,reached,71,98,1179,4.1,1.9{',' * 8}\n".encode()


@dataclass(frozen=True)
class Target:
    """A decoder of ours: it answers, or raises an error of ours; whatever else it raises is a fault."""

    run: Callable[[bytes], None]
    sound: Callable[[], bytes]
    """A file that it reads."""


TARGETS: Mapping[str, Target] = {
    "header": Target(_header, _sound_stream),
    "learned": Target(_learned, _sound_stream),
    "records": Target(
        lambda data: _in_file("records.csv", data, _records),
        _sound_records,
    ),
    "store": Target(lambda data: _in_file("store.sqlite", data, _store), _sound_store),
    "manifest": Target(
        lambda data: _in_file("manifest.json", data, manifest.read),
        lambda: json.dumps({"state": "done", "codecs": [{"id": "webp"}], "ratios": [4.0]}).encode(),
    ),
    "card": Target(lambda data: _in_file("card.json", data, _card), _sound_card),
    "weights": Target(lambda data: _in_file("x.safetensors", data, _weights), _sound_weights),
    "config": Target(
        lambda data: _in_file("mine.toml", data, schema.load),
        lambda: b'[suites.mine]\ndescription = "mine"\ndata = "demo"\nratios = [4, 8]\nlimits = { seconds = 5 }\n',
    ),
    "plugin": Target(
        lambda data: _in_file("plugin.py", data, lambda path: known_targets([path])),
        lambda: b'class Mine(Codec):\n    name = "mine"\n    formats = ("rgb8",)\n',
    ),
}
"""Name -> what is fuzzed: by hypothesis, by mutations, and by atheris (tests/support/fuzz_atheris.py)."""
