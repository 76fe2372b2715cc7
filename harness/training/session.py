"""What the command line and the bench call for training: find missing weights, read images, train."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.config.registry import CodecSpec, load_class
from harness.config.schema import Config
from harness.data.datasets import MIRROR_VARIABLE
from harness.data.images import find_images, is_image
from harness.errors import DataError
from harness.learned.weights import LEAST_TARGET, is_target
from harness.system.paths import weights_folder

if TYPE_CHECKING:
    from harness.training.images import TrainingSet
    from harness.training.jobs import TrainingJob

TRAINING_FOLDER = "train"
"""The folder of training images, below $HARNESS_DATA."""


def is_trained_here(spec: CodecSpec) -> bool:
    """Return whether a built-in codec can be trained here at its ratio; no module is imported for it."""
    if not is_target(spec.parameters.get("ratio", LEAST_TARGET)):
        return False
    return spec.origin == "built-in" and (spec.target.startswith("harness.models.") or "recipe" in spec.parameters)


def is_trainable(spec: CodecSpec) -> bool:
    """Return whether a codec can be trained here; the class of a plugin is imported for it."""
    from harness.learned.weights import TrainableCodec

    return is_trained_here(spec) or (spec.origin != "built-in" and issubclass(load_class(spec.target), TrainableCodec))


@dataclass(frozen=True)
class TrainingSession:
    """The images, folder and machines of the trainings of one command."""

    config: Config
    data: str | None = None
    """A folder of training images, or the name of a data set; None: the recipe's own, else $HARNESS_DATA/train."""
    folder: Path | None = None
    """The folder that weights are written to; None: $HARNESS_WEIGHTS or the user's own."""
    machines: Mapping[str, Any] = field(default_factory=dict)
    """The accelerator, devices, nodes and strategy, as lightning names them."""
    _read: dict[str, TrainingSet] = field(default_factory=dict, init=False)

    @property
    def weights(self) -> Path:
        """Return the folder that weights are written to."""
        return self.folder or weights_folder()

    def images(self, job: TrainingJob) -> TrainingSet:
        """Return the images of a training; a folder or data set is read once per session.

        Raises:
            DataError: there is no such folder or data set, no image in it, or a file is not what its hash says.
        """
        source = self._source(job)
        if source is None:
            raise DataError(
                f"there are no training images: name a data set or a folder with --data, or set {MIRROR_VARIABLE} to a "
                f"folder that holds {TRAINING_FOLDER}/ (docs/training.md says how to make one)."
            )
        if source not in self._read:
            self._read[source] = self._images_of(source)
        return self._read[source]

    def check_data(self) -> None:
        """Check that the folder or data set named by `data` exists, without reading an image.

        Raises:
            DataError: there is no folder and no data set of images of that name.
            ImageError: the folder holds no image.
        """
        if self.data is not None:
            self._check(self.data)

    def check_images(self, jobs: Iterable[TrainingJob]) -> None:
        """Check that every training has enough images, before the first one begins.

        Raises:
            DataError: as for `images`, or there are too few.
        """
        from harness.training.crops import usable

        for job in jobs:
            usable(self.images(job).images, job.recipe, job.ratio)

    def _check(self, source: str) -> None:
        if Path(source).is_dir():
            find_images(Path(source))
            return
        sets = [name for name, about in self.config.data.items() if all(is_image(file) for file in about.files)]
        if source not in sets:
            raise DataError(
                f"no folder and no data set of images is called {source!r}; data sets of images are: {', '.join(sets)}."
            )

    def _images_of(self, source: str) -> TrainingSet:
        from harness.training.images import read_training_set, training_set_of

        self._check(source)
        if Path(source).is_dir():
            return read_training_set(Path(source))
        return training_set_of(source, self.config.data_set(source))

    def has_images(self, job: TrainingJob) -> bool:
        """Return whether the images of a training are here."""
        from harness.data.datasets import is_here

        source = self._source(job)
        if source is None or Path(source).is_dir():
            return source is not None
        return source in self.config.data and is_here(source, self.config.data_set(source))

    def _source(self, job: TrainingJob) -> str | None:
        """Return the folder or the name of the data set to train on; None if neither is configured."""
        root = os.environ.get(MIRROR_VARIABLE)
        return self.data or job.recipe.data or (str(Path(root) / TRAINING_FOLDER) if root else None)

    def missing(self, specs: Iterable[CodecSpec], ratios: Sequence[float]) -> list[TrainingJob]:
        """Return the jobs for the weights that these codecs lack at these ratios, in the order in which to run them."""
        from harness.training.jobs import missing_jobs

        here = [self._looking_here(spec) for spec in specs if is_trainable(spec)]
        return missing_jobs(here, ratios, self.config.recipes)

    def jobs(self, specs: Iterable[CodecSpec]) -> list[TrainingJob]:
        """Return the jobs that make the weights of codecs at their ratios, in the order in which to run them."""
        from harness.training.jobs import job_for

        made = {job.name: job for job in (job_for(spec, self.config.recipes) for spec in specs)}
        return sorted(made.values(), key=lambda job: job.sort_key)

    def _looking_here(self, spec: CodecSpec) -> CodecSpec:
        if self.folder is None:
            return spec
        return CodecSpec(spec.id, spec.target, {**spec.parameters, "weights": str(self.folder)}, spec.origin)

    def estimates(self, jobs: Iterable[TrainingJob]) -> Iterator[tuple[TrainingJob, float]]:
        """Yield each job with about how many seconds it takes here, measured on a few real steps."""
        from harness.training.start import estimate_seconds

        before: list[TrainingJob] = []
        for job in jobs:
            whole = not any(job.starts_from(one) for one in before)
            yield job, estimate_seconds(job, self.images(job), self.weights, whole)
            before.append(job)

    def train(self, job: TrainingJob, bar: bool) -> Path:
        """Train, or resume an interrupted training; return the path of the weights."""
        from harness.training.loop import Machines
        from harness.training.train import train

        return train(job, self.images(job), self.weights, Machines(**self.machines), bar)
