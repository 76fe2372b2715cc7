"""Build the record of a target from a file and its scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.data.images import TestImage
from harness.errors import HarnessError
from harness.interface import raw_bytes
from harness.plan.targets import Target
from harness.plan.tasks import Task
from harness.records.artifacts import keep_file
from harness.records.record import CSV_COLUMNS, Encode, Record
from harness.run.encodes import EncodeCache

WELL_FILLED = 0.97
"""Below this share of the target size, a record says why its file is no larger."""


@dataclass(frozen=True)
class RecordBuilder:
    """Builds the records of one codec on one image."""

    task: Task
    image: TestImage
    cache: EncodeCache
    files_folder: Path | None = None
    """Where bitstreams are kept; None: they are not kept."""

    def record(self, target: Target, found: Encode, status: str) -> Record:
        """Return the record of a file and its scores; keep the file where that was asked for."""
        raw = raw_bytes(self.image.pixels)
        height, width, _ = self.image.pixels.shape
        further = {name: found.metrics[name] for name in self.task.metric_names if name not in CSV_COLUMNS}
        if self.files_folder:
            keep_file(self.files_folder, found.file_sha256, self.cache.file_at(found.setting))
        return Record(
            fingerprint=target.fingerprint,
            image=self.image.name,
            codec=self.task.codec.id,
            protocol=target.protocol,
            target_ratio=target.target_ratio,
            status=status,
            setting=found.setting,
            size_bytes=found.size_bytes,
            raw_bytes=raw,
            ratio=raw / found.size_bytes,
            bpp=8 * found.size_bytes / (height * width),
            psnr=found.metrics["psnr"],
            psnr_y=found.metrics.get("psnr_y"),
            ssim=found.metrics.get("ssim"),
            ms_ssim=found.metrics.get("ms_ssim"),
            file_sha256=found.file_sha256,
            pixels_sha256=found.pixels_sha256,
            extra={**further, **self.task.facts, **self._estimate(found)},
        )

    def _estimate(self, found: Encode) -> dict[str, float | str]:
        """Return a learned codec's own estimate of its file's size, or why there is none."""
        if not self.task.description.learned:
            return {}
        try:
            bits = self.cache.estimated_bits(found.setting)
        except HarnessError as error:  # the file and its scores are sound without it
            return {"estimate_reason": str(error)}
        return {} if bits is None else {"estimated_bytes": round(bits / 8, 1)}


def why_smaller(record: Record, extra: Mapping[str, Any]) -> str:
    """Return why a file uses less than `WELL_FILLED` of the target size; empty where it uses more, or does not fit.

    Args:
        record: an answer of the ratio protocol.
        extra: `budget_bytes`, and `next_setting` and `next_size_bytes` where there is a next setting.
    """
    if record.status != "reached":  # the target size may be 0 bytes, which no file reaches
        return ""
    share = (record.size_bytes or 0) / extra["budget_bytes"]
    if share >= WELL_FILLED:
        return ""
    rest = "its own rate control leaves the rest."
    if "next_setting" in extra:
        rest = f"the next setting, {extra['next_setting']:g}, makes {extra['next_size_bytes']} bytes."
    return f"it uses {100 * share:.1f} % of the target size: {rest}"
