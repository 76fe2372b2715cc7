"""Make a plan: read the images, ask the codecs what they are, and list what is to be measured."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.config.schema import CodecConfig
from harness.plan.codecs import planned_codecs
from harness.plan.contamination import ContaminationVerdicts
from harness.plan.fingerprints import CodecTargets, metrics_key
from harness.plan.images import planned_images
from harness.plan.plan import Plan, PlannedCodec, PlannedImage
from harness.plan.request import ResolvedRequest
from harness.plan.targets import Target, placeholder_record, targets_of
from harness.plan.tasks import Task
from harness.records.record import Record
from harness.sandbox.replies import Description


def make_plan(request: ResolvedRequest, images: tuple[PlannedImage, ...] | None = None) -> Plan:
    """Return the plan of a request.

    Args:
        request: what is asked for.
        images: its images, where an earlier plan has read them; None: read them.

    Raises:
        ImageError: an image cannot be read.
    """
    images = planned_images(request.images) if images is None else images
    return plan_of(request, images, planned_codecs(request.codecs, request.ratios, request.suite.limits))


def plan_of(request: ResolvedRequest, images: tuple[PlannedImage, ...], codecs: tuple[PlannedCodec, ...]) -> Plan:
    """Return the plan for images that are read and codecs that have described themselves."""
    metrics = metrics_key(request.metric_names, request.plugin_metrics)
    codec_targets = []
    for codec in codecs:
        configured = request.config.codecs.get(codec.spec.id, CodecConfig())
        targets = targets_of(codec.description, request.protocol, request.ratios, configured, codec.ratio)
        codec_targets.append(CodecTargets(codec, metrics, tuple(targets)))
    builder = _Builder(request, ContaminationVerdicts())
    with _garbage_collector_paused():
        tasks, placeholders = builder.tasks_and_placeholders(images, codec_targets)
    builder.verdicts.save()
    return Plan(request, images, codecs, tasks, placeholders)


@contextlib.contextmanager
def _garbage_collector_paused() -> Iterator[None]:
    """Pause Python's garbage collector: a million targets hold no cycles, and looking for some doubles the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@dataclass(frozen=True)
class _Obstacle:
    """Why a codec cannot take part with an image."""

    status: str
    reason: str


@dataclass(frozen=True)
class _Builder:
    """Makes the tasks of a run, and the records of targets that cannot be measured."""

    request: ResolvedRequest
    verdicts: ContaminationVerdicts

    def tasks_and_placeholders(
        self, images: Sequence[PlannedImage], codec_targets: Sequence[CodecTargets]
    ) -> tuple[tuple[Task, ...], tuple[Record, ...]]:
        """Return a task for each codec and image, and a record for each target that is known to have no answer."""
        tasks: list[Task] = []
        placeholders: list[Record] = []
        for image in images:
            for one in codec_targets:
                codec = one.codec
                targets = one.on(image, self._circumstances(image, codec))
                found = self._description_or_obstacle(image, codec)
                if isinstance(found, Description):
                    tasks.append(self._task(image, codec, found, targets))
                    continue
                placeholders += (
                    placeholder_record(target, image.source.name, codec.spec.id, found.status, found.reason)
                    for target in targets
                )
        return tuple(tasks), tuple(placeholders)

    def _circumstances(self, image: PlannedImage, codec: PlannedCodec) -> list[str]:
        """Return what else decides a record: whether the image was trained on, and a GPU that scores."""
        contamination = [f"leak={self._contamination(image, codec)}"] if codec.learned else []
        return [*contamination, *([self.request.device] if self.request.device != "cpu" else [])]

    def _description_or_obstacle(self, image: PlannedImage, codec: PlannedCodec) -> Description | _Obstacle:
        """Return the description of a codec that can take an image, else the reason why it cannot."""
        about = codec.description
        if about and (reason := about.out_of_reach.get(image.kind)):
            return _Obstacle("missing", reason)
        if about is None or codec.reason:
            return _Obstacle(codec.status, codec.reason)
        if image.kind not in about.formats:
            return _Obstacle("unsupported", f"it takes {', '.join(about.formats)}; this image is {image.kind}.")
        if codec.learned and not self.request.allow_leaks and self._contamination(image, codec) == "leaked":
            reason = "its training images hold this one, or a part of it. Measure it with --allow-leaks."
            return _Obstacle("leaked", reason)
        return about

    def _task(
        self, image: PlannedImage, codec: PlannedCodec, description: Description, targets: tuple[Target, ...]
    ) -> Task:
        return Task(
            image=image.source,
            pixels=image.pixels,
            codec=codec.spec,
            codec_key=codec.key,
            description=description,
            targets=targets,
            metric_names=self.request.metric_names,
            plugin_metrics=self.request.plugin_metrics,
            limits=self.request.suite.limits,
            device=self.request.device,
            facts={"leak": self._contamination(image, codec)} if codec.learned else {},
        )

    def _contamination(self, image: PlannedImage, codec: PlannedCodec) -> str:
        """Return whether a learned codec was trained on an image: "clean", "leaked" or "unknown"."""
        if codec.fingerprints is None:
            return "unknown"
        return self.verdicts.of(image, codec.fingerprints)
