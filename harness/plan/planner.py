"""Make a plan: read the images, ask the codecs what they are, and list what is to be measured."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness.config import registry
from harness.config.code_digest import source_of
from harness.config.registry import CodecSpec
from harness.config.schema import CodecConfig, SuiteConfig
from harness.data import datasets
from harness.data.activity import activity
from harness.data.datasets import ImageSource
from harness.data.images import read_image
from harness.errors import ConfigError, HarnessError, ImageError, MissingDependencyError, UnknownNameError, UsageError
from harness.interface import image_format
from harness.metrics import table
from harness.metrics.plugins import Targets, known_metrics
from harness.plan.contamination import LeakVerdicts
from harness.plan.plan import Plan, PlannedCodec, PlannedImage, Request, digest
from harness.plan.targets import Asker, questions
from harness.plan.tasks import Goal, Task, blank_record, metrics_key
from harness.records.record import Record
from harness.sandbox.process import CodecProcesses
from harness.sandbox.replies import Description

_REASONS = 10
"""Of so many images that cannot be taken the reason is told."""


def make_plan(request: Request, device: str) -> Plan:
    """Read the images, ask the codecs what they are, and list what is to be measured.

    Raises:
        UsageError: a name is unknown, an image cannot be read, a ratio is out of range.
    """
    suite = request.config.suite(request.suite or request.config.default_suite)
    ratios = _ratios(request, suite)
    _chosen_metrics(request, suite)
    return plan_of(request, device, _planned_images(request, suite), _planned_codecs(request, suite, ratios))


def plan_of(request: Request, device: str, images: tuple[PlannedImage, ...], codecs: tuple[PlannedCodec, ...]) -> Plan:
    """Return the plan for images that are read and codecs that have described themselves."""
    config = request.config
    suite_name = request.suite or config.default_suite
    suite = config.suite(suite_name)
    ratios, (names, others) = _ratios(request, suite), _chosen_metrics(request, suite)
    protocol = request.protocol or suite.protocol
    verdicts = LeakVerdicts()
    builder = _Builder(suite, names, others, device, verdicts, request.allow_leaks)
    metrics_of_run = metrics_key(names, others)
    askers = [
        Asker(
            codec,
            metrics_of_run,
            tuple(questions(codec, protocol, ratios, config.codecs.get(codec.spec.id, CodecConfig()))),
        )
        for codec in codecs
    ]
    with _no_search_for_cycles():
        tasks, blanks = builder.tasks_and_blanks(images, askers)
    verdicts.save()
    name = suite_name if request.images is None else request.images.resolve().name or "images"
    return Plan(name, suite, ratios, protocol, names, others, images, codecs, tasks, blanks)


def _ratios(request: Request, suite: SuiteConfig) -> tuple[float, ...]:
    ratios = tuple(sorted(dict.fromkeys(request.ratios or suite.ratios)))
    if wrong := [ratio for ratio in ratios if not 1 < ratio < 1e6]:
        asked = f"a ratio of {wrong[0]:g} was asked for"
        raise UsageError(f"{asked}; a ratio is raw bytes / file bytes, above 1 and below 1000000.")
    return ratios


def _chosen_metrics(request: Request, suite: SuiteConfig) -> tuple[tuple[str, ...], Targets]:
    """Return the metrics asked for, else the suite's, else defaults and all of others; and where those are."""
    others = registry.metric_targets(request.config.plugins)
    asked = request.metrics or suite.metrics
    if not asked:
        known = known_metrics(tuple(others.items()))
        names = tuple(name for name, metric in known.items() if metric.default or name in others)
    else:
        names = asked
        for name in names:
            if name not in table.METRICS and name not in others:
                raise UnknownNameError("metric", name, {*table.METRICS, *others})
    chosen = tuple(dict.fromkeys(("psnr", *names)))
    return chosen, tuple((name, target) for name, target in others.items() if name in chosen)


def _planned_images(request: Request, suite: SuiteConfig) -> tuple[PlannedImage, ...]:
    if request.images is not None:
        sources = datasets.from_folder(request.images, suite.images_radar)
    else:
        sources = datasets.from_set(suite.data, request.config.data_set(suite.data))
    planned, refused = [], []
    for source in sources[: request.limit]:
        try:
            planned.append(_planned_image(source))
        except ImageError as error:
            refused.append(str(error))
    if refused:
        more = [f"{left} more cannot be taken."] if (left := len(refused) - _REASONS) > 0 else []
        raise ImageError(" ".join([*refused[:_REASONS], *more]))
    return _without_copies(planned)


def _without_copies(images: Iterable[PlannedImage]) -> tuple[PlannedImage, ...]:
    """Return the images of different pixels, and warn of the others: counted twice, they make intervals too narrow."""
    first: dict[str, PlannedImage] = {}
    copies = []
    for image in images:
        if first.setdefault(image.pixels, image) is not image:
            copies.append(f"{image.source.name} (as {first[image.pixels].source.name})")
    if copies:
        logging.getLogger("harness").warning("left out, of the same pixels as another image: %s", ", ".join(copies))
    return tuple(first.values())


def _planned_image(source: ImageSource) -> PlannedImage:
    image = read_image(source.path, source.name, source.sample_bits)
    height, width, channels = image.pixels.shape
    kind = image_format(image.pixels)
    return PlannedImage(
        source,
        image.fingerprint,
        height,
        width,
        channels,
        image.sample_bits,
        kind,
        image.notes,
        activity(image.pixels),
    )


def _planned_codecs(request: Request, suite: SuiteConfig, ratios: Sequence[float]) -> tuple[PlannedCodec, ...]:
    ids = request.codecs or suite.codecs or request.config.default_codecs()
    specs = [request.config.codec_spec(codec_id) for codec_id in dict.fromkeys(ids)]
    processes = CodecProcesses(suite.limits)
    try:
        return tuple(codec for spec in specs for codec in _planned_codec(spec, processes, ratios))
    finally:
        processes.close()


def _planned_codec(spec: CodecSpec, processes: CodecProcesses, ratios: Sequence[float]) -> Iterator[PlannedCodec]:
    """Yield a codec as it describes itself; a learned one once for each ratio."""
    described = _described(spec, None, processes)
    if described.description is None or not described.description.learned:
        yield described
        return
    for ratio in ratios:
        yield _described(spec.at_ratio(ratio), ratio, processes)


def _described(spec: CodecSpec, ratio: float | None, processes: CodecProcesses) -> PlannedCodec:
    """Ask a codec what it is; what it fails with costs its own records, unless the configuration is wrong."""
    try:
        description = processes.encoder(spec).describe(spec)
        ready = description.learned and not description.missing
        fingerprints = processes.encoder(spec).training_fingerprints(spec) if ready else None
    except HarnessError as error:
        if isinstance(error, ConfigError) and spec.origin == "built-in":
            raise
        status = "missing" if isinstance(error, MissingDependencyError) else "failed"
        return PlannedCodec(spec, None, digest(spec.target, _json(spec.parameters)), str(error), ratio, status)
    key = _codec_key(spec, description)
    return PlannedCodec(spec, description, key, description.missing or "", ratio, fingerprints=fingerprints)


def _codec_key(spec: CodecSpec, description: Description) -> str:
    where, _, cls = spec.target.rpartition(":")
    source = source_of(spec.target, registry.ENTRY_POINT_GROUP)
    module = "" if where.endswith(".py") else where  # a plugin file may be moved
    return digest(source, module, cls, _json(spec.parameters), _json(description.provenance))


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=dict)


@contextlib.contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Pause Python's garbage collector: a million goals hold no cycles, and the search for them doubles the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@dataclass(frozen=True)
class _Builder:
    """Makes the tasks of a run, and the records that say why there is none."""

    suite: SuiteConfig
    metric_names: tuple[str, ...]
    metric_targets: Targets
    device: str
    verdicts: LeakVerdicts
    allow_leaks: bool

    def tasks_and_blanks(
        self, images: Sequence[PlannedImage], askers: Sequence[Asker]
    ) -> tuple[tuple[Task, ...], tuple[Record, ...]]:
        """Return a task for each codec and image, and a record for each goal that is known to have no answer."""
        tasks: list[Task] = []
        blanks: list[Record] = []
        for image in images:
            for asker in askers:
                codec = asker.codec
                goals = asker.goals(image, self._circumstances(image, codec))
                if obstacle := self._obstacle(image, codec):
                    blanks += (blank_record(goal, image.source.name, codec.spec.id, *obstacle) for goal in goals)
                else:
                    tasks.append(self._task(image, codec, goals))
        return tuple(tasks), tuple(blanks)

    def _task(self, image: PlannedImage, codec: PlannedCodec, goals: tuple[Goal, ...]) -> Task:
        assert codec.description  # noqa: S101 - else there is an obstacle
        return Task(
            image=image.source,
            pixels=image.pixels,
            codec=codec.spec,
            codec_key=codec.key,
            description=codec.description,
            goals=goals,
            metric_names=self.metric_names,
            metric_targets=self.metric_targets,
            limits=self.suite.limits,
            device=self.device,
            facts={"leak": self._leak(image, codec)} if codec.learned else {},
        )

    def _circumstances(self, image: PlannedImage, codec: PlannedCodec) -> list[str]:
        """Return what else decides a record: the verdict on a training image, and a GPU that scores."""
        leak = [f"leak={self._leak(image, codec)}"] if codec.learned else []
        return [*leak, *([self.device] if self.device != "cpu" else [])]

    def _obstacle(self, image: PlannedImage, codec: PlannedCodec) -> tuple[str, str] | None:
        """Return status and reason when a codec cannot take part with an image."""
        if codec.description and (reason := codec.description.out_of_reach.get(image.kind)):
            return "missing", reason
        if codec.description is None or codec.reason:
            return codec.status, codec.reason
        if image.kind not in codec.description.formats:
            taken = ", ".join(codec.description.formats)
            return "unsupported", f"it takes {taken}; this image is {image.kind}."
        if codec.learned and not self.allow_leaks and self._leak(image, codec) == "leaked":
            return "leaked", "its training images hold this one, or a part of it. Measure it with --allow-leaks."
        return None

    def _leak(self, image: PlannedImage, codec: PlannedCodec) -> str:
        """Return whether a learned codec was trained on an image: "clean", "leaked" or "unknown"."""
        if codec.fingerprints is None:
            return "unknown"
        return self.verdicts.of(image, codec.fingerprints)
