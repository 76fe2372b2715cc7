"""The program that calls codecs, run by isolation.py as a process of its own: `python -m harness.sandbox.child FD`.

It answers requests on one socket until that closes. A message is a JSON header and a payload of plain bytes, so
nothing that a codec sends back is ever unpickled. Standard output and error lead nowhere.
"""

from __future__ import annotations

import ctypes
import inspect
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from harness.config.registry import CodecSpec, build
from harness.errors import ConformanceError, HarnessError, UsageError
from harness.interface import BudgetCodec, Codec, Image, LearnedCodec
from harness.sandbox.replies import kind_of, ladder_of, number, plain, sizes_of, text_of

_Result = TypeVar("_Result")

_MAX_MESSAGE = 4000
_PR_SET_PDEATHSIG = 1  # prctl(2)


def main() -> None:
    """Answer requests on the socket whose file descriptor is the first argument."""
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
    """Return header (as JSON) and payload of the answer; whatever the codec raises becomes a named reason."""
    try:
        codec = _built(json.dumps(header["spec"], sort_keys=True))
        answer, data = _CALLS[header["call"]](codec, header, payload)
        return json.dumps({**answer, "id": header["id"], "size": len(data)}).encode(), data
    except MemoryError:
        error, message = "LimitError", "it asked for more memory than its limit."
    except HarnessError as ours:
        error, message = type(ours).__name__, str(ours)
    except BaseException as other:  # a codec may raise anything; all of it is its own fault
        error, message = "CodecError", f"{type(other).__name__}: {other}"
    failed = {"error": error, "message": message[:_MAX_MESSAGE], "id": header["id"], "size": 0}
    return json.dumps(failed).encode(), b""


@lru_cache(maxsize=64)
def _built(spec: str) -> Codec:
    return build(CodecSpec(**json.loads(spec)))


def _describe(codec: Codec, header: Mapping[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
    missing = codec.missing() if isinstance(codec, LearnedCodec) else None
    out_of_reach = codec.out_of_reach() if isinstance(codec, LearnedCodec) else {}
    described = {
        "formats": [text_of(kind, "its formats hold") for kind in codec.formats],
        "ladder": ladder_of(codec.ladder),
        "lossless": bool(codec.lossless),
        "seconds_per_megapixel": number(codec.seconds_per_megapixel, "its seconds_per_megapixel is"),
        "program": bool(codec.starts_program),
        "budget": isinstance(codec, BudgetCodec),
        "learned": isinstance(codec, LearnedCodec),
        "threaded": "threads" in inspect.signature(type(codec)).parameters,
        "missing": None if missing is None else text_of(missing, "missing() returned"),
        "out_of_reach": {kind: text_of(reason, "out_of_reach() holds") for kind, reason in out_of_reach.items()},
        "provenance": plain(codec.provenance()),
    }
    return described, b""


def _fingerprints(codec: Codec, header: Mapping[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
    tiles = _learned(codec).training_fingerprints()
    return {"known": tiles is not None}, "\n".join(tiles or ()).encode()


def _estimate(codec: Codec, header: Mapping[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
    bits = _learned(codec).estimated_bits(image_of(header["image"], payload), header["setting"])
    return {"bits": None if bits is None else number(float(bits), "its estimate is")}, b""


def _predict(codec: Codec, header: Mapping[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
    sizes = _learned(codec).predicted_sizes(image_of(header["image"], payload))
    return {"sizes": None if sizes is None else sizes_of(sizes, len(codec.ladder))}, b""


def _learned(codec: Codec) -> LearnedCodec:
    if not isinstance(codec, LearnedCodec):
        raise UsageError(f"the codec {codec.name!r} is not a learned one.")
    return codec


def _encode(codec: Codec, header: Mapping[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
    image = image_of(header["image"], payload)
    data, times = _timed(lambda: codec.encode(image, header["setting"]), header.get("repeats", 0))
    return times, _checked_bytes(data)


def _encode_to_budget(codec: Codec, header: Mapping[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
    if not isinstance(codec, BudgetCodec):
        raise UsageError(f"the codec {codec.name!r} has no rate control of its own.")
    image = image_of(header["image"], payload)
    encoded, times = _timed(lambda: codec.encode_to_budget(image, header["max_bytes"]))
    setting = number(encoded.setting, "its rate control chose the setting")
    return {**times, "setting": setting}, _checked_bytes(encoded.data)


def _decode(codec: Codec, header: Mapping[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
    image, times = _timed(lambda: codec.decode(payload), header.get("repeats", 0))
    if not isinstance(image, np.ndarray) or image.dtype not in (np.uint8, np.uint16):
        raise ConformanceError(f"decode returned {kind_of(image)}; an array of uint8 or uint16 is an image.")
    shape = {"dtype": image.dtype.name, "shape": list(image.shape)}
    return {**times, "image": shape}, np.ascontiguousarray(image).tobytes()


def _checked_bytes(data: object) -> bytes:
    if not isinstance(data, bytes):
        raise ConformanceError(f"encode returned a {type(data).__name__}; a file is bytes.")
    if not data:
        raise ConformanceError("encode returned no bytes at all.")
    return data


def _timed(call: Callable[[], _Result], repeats: int = 0) -> tuple[_Result, dict[str, Any]]:
    """Call once, and again as often as asked; return the first result and the seconds of each call."""
    each = []
    for turn in range(1 + repeats):
        start = time.perf_counter()
        again = call()
        _synchronize()
        each.append(time.perf_counter() - start)
        if turn == 0:
            result = again
    times = {"seconds": sum(each), "each": each, "peak_rss_mb": _peak_rss_mb(), "peak_cuda_mb": _peak_cuda_mb()}
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


def image_of(header: Mapping[str, Any], payload: bytes) -> Image:
    """Return the image, not to be written to, that a header's dtype and shape and a payload describe."""
    return np.frombuffer(payload, header["dtype"]).reshape(header["shape"])


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
