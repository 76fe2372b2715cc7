"""Check this installation against published numbers of others, one line per check.

A check that is not possible on this machine gives the reason, and does not count as passed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.config.schema import CodecConfig, Config, DataConfig, SuiteConfig
from harness.data import datasets
from harness.errors import DataError, HarnessError, UsageError
from harness.plan.request import Request
from harness.records.manifest import LosslessControl, Manifest
from harness.reproduce import figure
from harness.reproduce.oracles import Check, judged, run_oracles
from harness.reproduce.spec import CurveRecipe, FigureRecipe, recipe
from harness.run.bench import Run, bench

if TYPE_CHECKING:
    import pandas as pd

FIGURES = ("kodak-psnr", "kodak-msssim")
"""The figures whose published points are checked: those with a codec of ours and its settings."""
QUALITIES = (5.0, 50.0, 75.0, 90.0, 95.0)
QUICK_QUALITIES = (50.0,)
ZOO = (
    *("bmshj2018-factorized", "bmshj2018-hyperprior", "mbt2018-mean", "mbt2018"),
    *("cheng2020-anchor", "cheng2020-attn"),
)
"""CompressAI's models."""
SLOW = ZOO[3:]
"""Those with an autoregressive decoder."""
ZOO_QUALITY = 5
ZOO_TOLERANCE = 0.02
"""dB; the published values are for images decoded to 8 bits, as here."""
ANY_RATIO = 100.0
"""A target ratio that every published model meets; the points of a sweep do not depend on it."""


@dataclass(frozen=True)
class Extent:
    """How much to check."""

    limit: int | None = None
    """Only the first `limit` images of each set; None: all."""
    quick: bool = False
    """One quality per codec, and one image for the lossless control."""
    jobs: int | None = None


def run_checks(config: Config, extent: Extent) -> Iterator[Check]:
    """Yield each check when it is done, the quick ones first; the runs are thrown away."""
    yield from (_data(name, about) for name, about in config.data.items())
    yield from run_oracles(config)
    with tempfile.TemporaryDirectory(prefix="harness-verify-") as results:
        yield _lossless_control(config, extent, Path(results))
        yield from _published(config, extent, Path(results))
        yield from (_zoo(config, name, extent, Path(results)) for name in ZOO)


def _data(name: str, about: DataConfig) -> Check:
    """Check every file of a data set: a wrong file fails; a set that is not here cannot be checked."""
    title = f"data {name}"
    state = datasets.state(name, about)
    if state != "complete":
        return Check(title, "not possible here", f"{state}. {datasets.how_to_get(name, about)}")
    try:
        count = len(datasets.from_set(name, about))
    except DataError as error:
        return Check(title, "fail", str(error))
    return Check(title, "pass", f"{count} files, {datasets.as_hashed(about)}")


def _lossless_control(config: Config, extent: Extent, results: Path) -> Check:
    """Check that lossless codecs on the packaged photographs score as the reference against itself."""
    title = "lossless control"
    suite = SuiteConfig(description=title, data="demo", codecs=_lossless(config), ratios=(4.0,))
    limit = 1 if extent.quick else extent.limit
    try:
        run = _bench(config, "verify-control", suite, Request(config, limit=limit, jobs=extent.jobs, results=results))
    except HarnessError as error:
        return Check(title, "fail", str(error))
    found = run.manifest.lossless_control or LosslessControl()
    codecs, images = run.records["codec"].nunique(), run.records["image"].nunique()
    told = f"{codecs} lossless codecs on {images} images, every metric as for the reference against itself"
    return judged(title, found.valid, told if found.valid else "; ".join([*found.wrong, *found.not_run]))


def _lossless(config: Config) -> tuple[str, ...]:
    """Return the built-in lossless codecs that run by default."""
    from harness.config import registry

    chosen = [(name, config.codec_spec(name)) for name in config.default_codecs()]
    built_in = [(name, spec) for name, spec in chosen if spec.origin == "built-in"]
    return tuple(name for name, spec in built_in if registry.build(spec).lossless)


def _bench(config: Config, name: str, suite: SuiteConfig, request: Request) -> Run:
    with_suite = config.model_copy(update={"suites": {**config.suites, name: suite}})
    return bench(replace(request, config=with_suite, suite=name))


def _published(config: Config, extent: Extent, results: Path) -> Iterator[Check]:
    """Check our classical codecs against the published curves of the figures."""
    qualities = QUICK_QUALITIES if extent.quick else QUALITIES
    for name in FIGURES:
        chosen = recipe(config, name)
        curves = [curve for curve in chosen.curves if curve.settings and curve.codec in chosen.codecs]
        for curve in curves:
            yield _curve(_swept_at(config, curve, qualities), chosen, curve, extent, results)


def _swept_at(config: Config, curve: CurveRecipe, settings: Sequence[float]) -> Config:
    """Return a configuration that sweeps the curve's codec at these settings only."""
    chosen = config.codecs.get(curve.codec, CodecConfig()).model_copy(update={"sweep": tuple(settings)})
    return config.model_copy(update={"codecs": {**config.codecs, curve.codec: chosen}})


def _curve(config: Config, chosen: FigureRecipe, curve: CurveRecipe, extent: Extent, results: Path) -> Check:
    title = _title(chosen, curve)
    if extent.limit is not None and chosen.images is not None and extent.limit < chosen.images:
        why = f"{extent.limit} images were asked for, the published means are over {chosen.images}"
        return Check(title, "not possible here", why)
    metric = chosen.metrics[0]
    only = chosen.model_copy(update={"codecs": (curve.codec,), "curves": (curve,)})
    request = Request(config, jobs=extent.jobs, results=results)
    try:
        found = figure.measure(f"verify-{metric}", only, request)
    except UsageError as error:
        return Check(title, "not possible here", str(error))
    return _judged(title, curve, found.verdicts, found.run.manifest)


def _title(chosen: FigureRecipe, curve: CurveRecipe) -> str:
    return f"{curve.label} on {chosen.data}, {chosen.metrics[0]}, against {curve.source}"


def _judged(title: str, curve: CurveRecipe, verdicts: pd.DataFrame, manifest: Manifest) -> Check:
    from harness.reproduce.judge import NOT_REPRODUCED, REPRODUCED

    used = verdicts[verdicts["verdict"].isin([REPRODUCED, NOT_REPRODUCED])]
    if not len(used):
        return Check(title, "not possible here", "; ".join(dict.fromkeys(verdicts["why"])))
    rate = 100 * (used["measured_bpp"] / used["published_bpp"] - 1)
    told = (
        f"{len(used)} settings, at worst {_largest(rate):+.2f} % bits per pixel ({100 * curve.rate_tolerance:g} % "
        f"allowed) and {_largest(used['difference']):+.3f} dB ({curve.tolerance:g} dB allowed); "
        f"{_versions(manifest, curve.codec)}"
    )
    return judged(title, bool((used["verdict"] == REPRODUCED).all()), f"{told}; {curve.why}" if curve.why else told)


def _largest(errors: pd.Series) -> float:
    """Return the error farthest from 0, rounded to three decimals, never -0."""
    return round(float(max(errors, key=abs)), 3) + 0.0


def _versions(manifest: Manifest, codec: str) -> str:
    """Return the versions in a codec's provenance; a learned codec has one provenance per ratio."""
    entry = manifest.codec(codec)
    told = [entry.provenance, *entry.provenance_by_ratio.values()] if entry else []
    facts = {key: value for one in told for key, value in one.items() if isinstance(value, str)}
    return ", ".join(f"{key} {value}" for key, value in facts.items())


def _zoo(config: Config, name: str, extent: Extent, results: Path) -> Check:
    """Check one of CompressAI's published models at `ZOO_QUALITY`, where its weights are here."""
    from harness.run.one_file import describe

    codec = f"{name}-q{ZOO_QUALITY}"
    curve = CurveRecipe(
        label=f"{name}, quality {ZOO_QUALITY},",
        source="CompressAI",
        data="published-compressai",
        file=f"8bit-decoded/kodak/compressai-{name}_mse_ans_cuda.json",
        points=(ZOO_QUALITY,),
        codec=codec,
        settings=(0,),
        tolerance=ZOO_TOLERANCE,
    )
    variant = CodecConfig.model_validate({"codec": name, "quality": ZOO_QUALITY, "default": False})
    config = config.model_copy(update={"codecs": {**config.codecs, codec: variant}})
    chosen = recipe(config, FIGURES[0]).model_copy(update={"ratios": (ANY_RATIO,)})
    missing = describe(config.codec_spec(codec).at_ratio(ANY_RATIO)).missing
    if missing:
        return Check(_title(chosen, curve), "not possible here", missing)
    if extent.quick and name in SLOW:
        return Check(
            _title(chosen, curve), "not possible here", "decoding takes minutes per image: left out with --quick"
        )
    return _curve(_swept_at(config, curve, (0,)), chosen, curve, extent, results)
