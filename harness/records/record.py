"""Records and encodes, and the table of records outside the store: records.csv.

A record is the result for one image, codec, protocol and target. An encode is a file that was made during a search, for
some pixels, codec and setting; the store keeps it, so that another ratio takes few new encodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from harness.errors import StoreError

if TYPE_CHECKING:
    import pandas as pd


class Status(StrEnum):
    """The result of a record."""

    REACHED = "reached"
    """The largest file that fits the target size."""
    CAPPED = "capped"
    """The file of the highest setting: it fits, and the codec makes no larger one."""
    UNREACHABLE = "unreachable"
    """The file of the lowest setting: even that is too large."""
    LOSSLESS = "lossless"
    """The file fits, and its decode is exact."""
    MEASURED = "measured"
    """A file of the sweep or of the lossless control, which have no target size."""
    FAILED = "failed"
    """The codec failed on this image."""
    UNSUPPORTED = "unsupported"
    """The codec or its format does not take this image."""
    MISSING = "missing"
    """A library, a program or weights of the codec are not here."""
    LEAKED = "leaked"
    """The codec was trained on this image."""


AT_A_RATIO = (Status.REACHED, Status.CAPPED, Status.UNREACHABLE, Status.LOSSLESS)
"""The statuses of a record of the ratio protocol that has a file."""
WITH_FILE = (*AT_A_RATIO, Status.MEASURED)
"""The statuses of a record that has a file."""
WITHOUT_FILE = (Status.FAILED, Status.UNSUPPORTED, Status.MISSING, Status.LEAKED)
"""The statuses of a record that has a reason instead of a file."""
TRIED_AGAIN = (Status.FAILED, Status.LEAKED, Status.MISSING)
"""The statuses of a record that the next run measures again: it may end otherwise, or be allowed."""
_FRAME_ROWS = 20_000
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Record:
    """One row of records.csv; a value that is unknown or does not apply is None."""

    fingerprint: str
    image: str
    codec: str
    protocol: str
    target_ratio: float | None
    status: str
    setting: float | None = None
    size_bytes: int | None = None
    raw_bytes: int | None = None
    ratio: float | None = None
    """Raw bytes / file bytes of this file."""
    bpp: float | None = None
    """Bits per pixel of the file."""
    psnr: float | None = None
    psnr_y: float | None = None
    ssim: float | None = None
    ms_ssim: float | None = None
    psnr_at_budget: float | None = None
    """PSNR in dB interpolated at the target rate, in log(bytes) between this file and that of the next setting."""
    reason: str = ""
    file_sha256: str | None = None
    pixels_sha256: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further metrics and facts, one column each in records.csv."""


@dataclass(frozen=True)
class Encode:
    """A file that was made, and the facts of its decode."""

    setting: float
    size_bytes: int
    file_sha256: str
    pixels_sha256: str | None = None
    metrics_key: str = ""
    """Names and versions of the metrics in `metrics`."""
    metrics: Mapping[str, float | None] = field(default_factory=dict)


RECORD_COLUMNS = [column.name for column in fields(Record)]
ENCODE_COLUMNS = [column.name for column in fields(Encode)]
CSV_COLUMNS = [name for name in RECORD_COLUMNS if name not in ("fingerprint", "extra")]
"""The first columns of every records.csv."""
TEXT_COLUMNS = ("image", "codec", "protocol", "status", "reason", "file_sha256", "pixels_sha256")
NUMBER_COLUMNS = tuple(name for name in CSV_COLUMNS if name not in TEXT_COLUMNS)


def chunks(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Yield lists of `size` items; the last may be shorter."""
    stream = iter(items)
    return iter(lambda: list(islice(stream, size)), [])


def to_frame(records: Iterable[Record]) -> pd.DataFrame:
    """Return records as a table: the columns of records.csv, then one per further metric or fact."""
    import pandas as pd

    rows = ({**{name: getattr(record, name) for name in CSV_COLUMNS}, **record.extra} for record in records)
    parts = [pd.DataFrame(part) for part in chunks(rows, _FRAME_ROWS)]  # bounds the memory for dicts
    frame = pd.concat(parts, ignore_index=True).infer_objects() if parts else pd.DataFrame()
    return frame.reindex(columns=list(dict.fromkeys([*CSV_COLUMNS, *frame.columns])))


def read_frame(run: Path) -> pd.DataFrame:
    """Return the records of a run's folder, or of a records.csv, as a table.

    Raises:
        StoreError: there is no file, or it is no table of records.
    """
    import pandas as pd

    path = run / "records.csv" if run.is_dir() else run
    try:
        frame = pd.read_csv(path, dtype=dict.fromkeys(TEXT_COLUMNS, str), keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read as records: {error}.") from error
    lacking = [name for name in CSV_COLUMNS if name not in frame.columns]
    if lacking:
        raise StoreError(f"{path} is no table of records: it lacks the columns {', '.join(lacking)}.")
    frame["reason"] = frame["reason"].fillna("")
    return frame
