"""The program that calls codecs, a process of its own (channel.py starts it): `python -m harness.sandbox.child FD`.

It answers calls on one socket until that closes. A message is a JSON header and a payload of plain bytes, so nothing
that a codec sends back is ever unpickled. The parent checks what the codec said (replies.py); here it only becomes
JSON. Standard output and error lead nowhere.
"""

from __future__ import annotations

import ctypes
import inspect
import json
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from harness.config.registry import CodecSpec, build
from harness.errors import ConformanceError, HarnessError, UsageError
from harness.interface import BudgetCodec, Codec, Image, LearnedCodec

_Result = TypeVar("_Result")

_SURROGATES = re.compile("[\ud800-\udfff]")
_MAX_MESSAGE = 4000
_PR_SET_PDEATHSIG = 1  # prctl(2)


def main() -> None:
    """Answer calls on the socket whose file descriptor is the first argument."""
    connection = Connection(int(sys.argv[1]))
    limits = json.loads(sys.argv[2])
    _die_with_parent(limits["parent"])
    _limit(limits["memory_mb"], limits["disk_mb"])
    os.register_at_fork(after_in_child=connection.close)
    while True:
        try:
            header = json.loads(connection.recv_bytes())
            payload = connection.recv_bytes()
        except (EOFError, OSError):
            return
        answer, data = _answer(header, payload)
        connection.send_bytes(answer)
        connection.send_bytes(data)


def _die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when the one that started it ends, however that ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _limit(memory_mb: int, disk_mb: int) -> None:
    """Bound writable memory (address space that CUDA only reserves is not counted), each file, and core dumps."""
    for kind, most in ((resource.RLIMIT_DATA, memory_mb << 20), (resource.RLIMIT_FSIZE, disk_mb << 20)):
        _, allowed = resource.getrlimit(kind)
        bound = most if allowed == resource.RLIM_INFINITY else min(most, allowed)
        resource.setrlimit(kind, (bound, bound))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _answer(header: Mapping[str, Any], payload: bytes) -> tuple[bytes, bytes]:
    """Return header (as JSON) and payload of the reply; whatever the codec raises becomes a named reason."""
    try:
        codec = _built(json.dumps(header["spec"], sort_keys=True))
        reply, data = _CALLS[header["call"]](codec, header, payload)
        return _as_json({**reply, "id": header["id"], "size": len(data)}), data
    except MemoryError:
        error, message = "LimitError", "it asked for more memory than its limit."
    except HarnessError as ours:
        error, message = type(ours).__name__, str(ours)
    except BaseException as other:  # a codec may raise anything; all of it is its own fault
        error, message = "CodecError", f"{type(other).__name__}: {other}"
    failed = {"error": error, "message": message[:_MAX_MESSAGE], "id": header["id"], "size": 0}
    return _as_json(failed), b""


def _as_json(reply: Mapping[str, Any]) -> bytes:
    """Return a reply as JSON; surrogates in its texts, which UTF-8 cannot hold, are spelt out (\\ud800).

    Raises:
        ConformanceError: JSON cannot hold what the codec said.
    """
    try:
        text = json.dumps(reply, ensure_ascii=False, default=_plain)
    except (TypeError, ValueError) as error:
        raise ConformanceError(f"JSON cannot hold what it said: {error}.") from error
    return _SURROGATES.sub(lambda found: f"\\\\u{ord(found[0]):x}", text).encode()


def _plain(value: object) -> Any:
    """Return NumPy's number as Python's, and any mapping as a dict."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"found a value of type {type(value).__name__}")


@lru_cache(maxsize=64)
def _built(spec: str) -> Codec:
    return build(CodecSpec(**json.loads(spec)))


def _describe(codec: Codec, header: Mapping[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
    learned = codec if isinstance(codec, LearnedCodec) else None
    described = {
        "formats": tuple(codec.formats),
        "ladder": tuple(islice(codec.ladder, header["most"])),
        "lossless": bool(codec.lossless),
        "seconds_per_megapixel": codec.seconds_per_megapixel,
        "program": bool(codec.starts_program),
        "budget": isinstance(codec, BudgetCodec),
        "learned": learned is not None,
        "threaded": "threads" in inspect.signature(type(codec)).parameters,
        "missing": learned.missing() if learned else None,
        "out_of_reach": learned.out_of_reach() if learned else {},
        "provenance": codec.provenance(),
    }
    return described, b""


def _fingerprints(codec: Codec, header: Mapping[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
    tiles = _learned(codec).training_fingerprints()
    return {"known": tiles is not None}, "\n".join(tiles or ()).encode()


def _estimate(codec: Codec, header: Mapping[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
    bits = _learned(codec).estimated_bits(_image(header, payload), header["setting"])
    return {"bits": None if bits is None else float(bits)}, b""


def _predict(codec: Codec, header: Mapping[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
    sizes = _learned(codec).predicted_sizes(_image(header, payload))
    return {"sizes": None if sizes is None else tuple(islice(sizes, header["most"]))}, b""


def _learned(codec: Codec) -> LearnedCodec:
    if not isinstance(codec, LearnedCodec):
        raise UsageError(f"the codec {codec.name!r} is not a learned one.")
    return codec


def _encode(codec: Codec, header: Mapping[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
    image = _image(header, payload)
    data, times = _timed(lambda: codec.encode(image, header["setting"]), header.get("repeats", 0))
    return times, _checked_bytes(data)


def _encode_to_budget(codec: Codec, header: Mapping[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
    if not isinstance(codec, BudgetCodec):
        raise UsageError(f"the codec {codec.name!r} has no rate control of its own.")
    image = _image(header, payload)
    encoded, times = _timed(lambda: codec.encode_to_budget(image, header["max_bytes"]))
    return {**times, "setting": encoded.setting}, _checked_bytes(encoded.data)


def _decode(codec: Codec, header: Mapping[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
    image, times = _timed(lambda: codec.decode(payload), header.get("repeats", 0))
    if not isinstance(image, np.ndarray) or image.dtype not in (np.uint8, np.uint16):
        found = f"an array of {image.dtype}" if isinstance(image, np.ndarray) else f"a {type(image).__name__}"
        raise ConformanceError(f"decode returned {found}; an image is an array of uint8 or uint16.")
    shape = {"dtype": image.dtype.name, "shape": list(image.shape)}
    return {**times, "image": shape}, np.ascontiguousarray(image).tobytes()


def _checked_bytes(data: object) -> bytes:
    if not isinstance(data, bytes):
        raise ConformanceError(f"encode returned a {type(data).__name__}; a file is bytes.")
    return data


def _timed(call: Callable[[], _Result], repeats: int = 0) -> tuple[_Result, dict[str, Any]]:
    """Call once, then `repeats` times; return the first result and the seconds of each call."""
    each = []
    for turn in range(1 + repeats):
        start = time.perf_counter()
        again = call()
        _synchronize()
        each.append(time.perf_counter() - start)
        if turn == 0:
            result = again
    times = {"seconds": each, "peak_rss_mb": _peak_rss_mb(), "peak_cuda_mb": _peak_cuda_mb()}
    return result, times


def _peak_rss_mb() -> float:
    """Return the most memory that this program held; getrusage would count the process it was started from."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def _cuda() -> Any:
    """Return torch.cuda where the codec uses it, else None; torch is never imported for it."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None


def _synchronize() -> None:
    if cuda := _cuda():
        cuda.synchronize()


def _peak_cuda_mb() -> float:
    cuda = _cuda()
    return round(cuda.max_memory_allocated() / 2**20, 1) if cuda else 0.0


def _image(header: Mapping[str, Any], payload: bytes) -> Image:
    """Return the image in a payload; it cannot be written to."""
    return np.frombuffer(payload, header["image"]["dtype"]).reshape(header["image"]["shape"])


_CALLS: Mapping[str, Callable[[Codec, Mapping[str, Any], bytes], tuple[dict[str, Any], bytes]]] = {
    "describe": _describe,
    "fingerprints": _fingerprints,
    "estimate": _estimate,
    "predict": _predict,
    "encode": _encode,
    "encode_to_budget": _encode_to_budget,
    "decode": _decode,
}

if __name__ == "__main__":
    main()
