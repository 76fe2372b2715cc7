"""What the user asked for, and the same with every choice made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.config import registry
from harness.config.registry import CodecSpec
from harness.config.schema import Config, SuiteConfig
from harness.data import datasets
from harness.data.datasets import ImageSource
from harness.errors import UnknownNameError, UsageError
from harness.metrics import table
from harness.metrics.plugins import PluginMetrics, known_metrics
from harness.system import provenance
from harness.system.processors import usable_processors


@dataclass(frozen=True)
class Request:
    """What the user asked for; None and empty mean the suite's own choice."""

    config: Config
    suite: str = ""
    ratios: tuple[float, ...] = ()
    protocol: str = ""
    codecs: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    images: Path | None = None
    limit: int | None = None
    jobs: int | None = None
    scheduler: str | None = None
    ship_images: bool = False
    device: str = "auto"
    results: Path = Path("results")
    train: bool = True
    allow_leaks: bool = False
    keep_files: bool = False


@dataclass(frozen=True)
class ResolvedRequest:
    """A request with every choice made: all that follows reads this one."""

    config: Config
    name: str
    """What its run is called: the suite, or the folder of the user's own images."""
    suite: SuiteConfig
    images: tuple[ImageSource, ...]
    codecs: tuple[CodecSpec, ...]
    ratios: tuple[float, ...]
    """Target ratios, ascending."""
    protocol: str
    """"ratio", "sweep" or "both"."""
    metric_names: tuple[str, ...]
    plugin_metrics: PluginMetrics
    """Name and place of each metric that comes from a plugin."""
    device: str
    """"cpu" or "cuda", for the metrics."""
    jobs: int
    """How many worker processes start here."""
    scheduler: str | None
    """The address of an existing cluster; None: there is none."""
    ship_images: bool
    """Send each image with its task, to workers that do not see the images' folder."""
    results: Path
    train: bool
    """Train learned codecs that lack weights."""
    allow_leaks: bool
    """Measure learned codecs on images they were trained on, too."""
    keep_files: bool
    """Keep every bitstream that a record counts."""


def resolve(request: Request) -> ResolvedRequest:
    """Make every choice that a request leaves to its suite, to the configuration or to this machine.

    Raises:
        UsageError: a name is unknown, an image is absent or not the published one, a ratio is out of range, or there
            is no GPU where one was asked for.
    """
    config = request.config
    device = device_for(request.device, request.scheduler)
    suite_name = request.suite or config.default_suite
    suite = config.suite(suite_name)
    ratios = _ratios(request.ratios or suite.ratios)
    metric_names, plugin_metrics = _metrics(request.metrics or suite.metrics, config)
    codec_ids = request.codecs or suite.codecs or config.default_codecs()
    return ResolvedRequest(
        config=config,
        name=suite_name if request.images is None else request.images.resolve().name or "images",
        suite=suite,
        images=tuple(_images(request.images, suite, config)[: request.limit]),
        codecs=tuple(config.codec_spec(codec_id) for codec_id in dict.fromkeys(codec_ids)),
        ratios=ratios,
        protocol=request.protocol or suite.protocol,
        metric_names=metric_names,
        plugin_metrics=plugin_metrics,
        device=device,
        jobs=request.jobs or usable_processors(),
        scheduler=request.scheduler,
        ship_images=request.ship_images,
        results=request.results,
        train=request.train,
        allow_leaks=request.allow_leaks,
        keep_files=request.keep_files,
    )


def device_for(asked: str, scheduler: str | None = None) -> str:
    """Return the device "cuda" or "cpu" for what was asked.

    On a cluster "auto" is "cpu": its workers are other machines.

    Raises:
        UsageError: a GPU was asked for and there is none.
    """
    if scheduler:
        return "cuda" if asked == "cuda" else "cpu"
    if asked == "cpu" or (asked == "auto" and not provenance.has_gpu()):
        return "cpu"
    if not provenance.has_gpu():
        raise UsageError("the device cuda was asked for; no NVIDIA GPU and driver were found. Use --device cpu.")
    return "cuda"


def _ratios(asked: Sequence[float]) -> tuple[float, ...]:
    ratios = tuple(sorted(dict.fromkeys(asked)))
    if wrong := [ratio for ratio in ratios if not 1 < ratio < 1e6]:
        raise UsageError(
            f"a ratio of {wrong[0]:g} was asked for; a ratio is raw bytes / file bytes, above 1 and below 1000000."
        )
    return ratios


def _metrics(asked: Sequence[str], config: Config) -> tuple[tuple[str, ...], PluginMetrics]:
    """Return the names of the metrics, PSNR first, and where those of plugins are.

    Where none is asked for, take the default metrics and all that come from plugins.
    """
    plugins = registry.metric_targets(config.plugins)
    if not asked:
        known = known_metrics(tuple(plugins.items()))
        asked = [name for name, metric in known.items() if metric.default or name in plugins]
    for name in asked:
        if name not in table.METRICS and name not in plugins:
            raise UnknownNameError("metric", name, {*table.METRICS, *plugins})
    chosen = tuple(dict.fromkeys(("psnr", *asked)))
    return chosen, tuple((name, place) for name, place in plugins.items() if name in chosen)


def _images(folder: Path | None, suite: SuiteConfig, config: Config) -> list[ImageSource]:
    if folder is not None:
        return datasets.from_folder(folder, suite.images_radar)
    return datasets.from_set(suite.data, config.data_set(suite.data))
