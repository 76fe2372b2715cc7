"""The Python API: `harness.bench(...)`, `harness.load_codec(name)`, `harness.read_records(run)`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.config import registry
from harness.config.schema import load
from harness.interface import Codec

if TYPE_CHECKING:
    import pandas as pd

    from harness.sandbox.conformance import Verdict


def bench(
    suite: str = "",
    *,
    ratios: Sequence[float] = (),
    protocol: str = "",
    codecs: Sequence[str] = (),
    metrics: Sequence[str] = (),
    images: str | Path | None = None,
    limit: int | None = None,
    jobs: int | None = None,
    results: str | Path = "results",
    plugins: Sequence[str | Path] = (),
    config: str | Path | None = None,
    train: bool = True,
) -> pd.DataFrame:
    """Measure as `harness bench` does and return the table of records.csv.

    An argument that is empty or None leaves the choice to the suite. Call it below `if __name__ == "__main__":` in a
    script, because the workers are processes that import the script.

    Raises:
        UsageError: the request is wrong; nothing was measured.
    """
    from harness.plan.request import Request
    from harness.run.bench import bench as run_bench

    loaded = load(Path(config) if config else None, [Path(plugin) for plugin in plugins])
    request = Request(
        loaded,
        suite=suite,
        ratios=tuple(ratios),
        protocol=protocol,
        codecs=tuple(codecs),
        metrics=tuple(metrics),
        images=Path(images) if images else None,
        limit=limit,
        jobs=jobs,
        results=Path(results),
        train=train,
    )
    return run_bench(request).records


def load_codec(name: str) -> Codec:
    """Build a codec by id, such as "jpeg-444".

    Raises:
        UnknownNameError: no codec has that id.
    """
    return registry.build(load().codec_spec(name))


def check_codec(name: str, *, plugins: Sequence[str | Path] = ()) -> list[Verdict]:
    """Run the conformance tests on a codec and return their verdicts.

    Args:
        name: the codec's id.
        plugins: plugin files that define it.

    Raises:
        UnknownNameError: no codec has that id.
    """
    from harness.sandbox import conformance

    loaded = load(plugins=[Path(plugin) for plugin in plugins])
    return list(conformance.check(loaded.codec_spec(name)))


def read_records(run: str | Path) -> pd.DataFrame:
    """Return the records of a run's folder.

    Raises:
        StoreError: the folder holds no records.
    """
    from harness.records.record import read_frame

    return read_frame(Path(run))
