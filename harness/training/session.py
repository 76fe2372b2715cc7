"""Training as the command line and the bench ask for it: which weights are missing, from what, into which folder."""

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
    from harness.training.job import Order

TRAINING_FOLDER = "train"
"""The folder below $HARNESS_DATA that holds training images."""


def is_trained_here(spec: CodecSpec) -> bool:
    """Tell whether a codec is one of models/ or says by which recipe it is trained, without loading a plugin for it.

    One for a ratio that no training gets to is not.
    """
    if not is_target(spec.parameters.get("ratio", LEAST_TARGET)):
        return False
    return spec.origin == "built-in" and (spec.target.startswith("harness.models.") or "recipe" in spec.parameters)


def is_trainable(spec: CodecSpec) -> bool:
    """Tell whether a codec is trained here, or a plugin that is built like those; that is loaded for it."""
    from harness.learned.weights import TrainableCodec

    return is_trained_here(spec) or (spec.origin != "built-in" and issubclass(load_class(spec.target), TrainableCodec))


@dataclass(frozen=True)
class TrainingSession:
    """Where training happens."""

    config: Config
    data: str | None = None
    """A folder of training images, or the name of a data set; None: the recipe's, or the folder below $HARNESS_DATA."""
    folder: Path | None = None
    """Where weights go; None: the user's own folder of weights."""
    machines: Mapping[str, Any] = field(default_factory=dict)
    """accelerator, devices, nodes, strategy: lightning's own words."""
    _read: dict[str, TrainingSet] = field(default_factory=dict, init=False)

    @property
    def weights(self) -> Path:
        """Where weights go."""
        return self.folder or weights_folder()

    def images(self, order: Order) -> TrainingSet:
        """Return the images of a training, read once.

        Raises:
            DataError: there is no such folder or data set, no image in it, or a file is not what its hash says.
        """
        source = self._source(order)
        if source is None:
            raise DataError(
                f"there are no training images: name a data set or a folder with --data, or set {MIRROR_VARIABLE} to a "
                f"folder that holds {TRAINING_FOLDER}/ (docs/training.md says how to make one)."
            )
        if source not in self._read:
            self._read[source] = self._images_of(source)
        return self._read[source]

    def check_data(self) -> None:
        """Look for what `data` names, without reading any of it.

        Raises:
            DataError: no folder and no set of images is called so.
            ImageError: the folder holds no image.
        """
        if self.data is not None:
            self._check(self.data)

    def check_images(self, orders: Iterable[Order]) -> None:
        """Read the images of trainings before the first of them begins.

        Raises:
            DataError: as `images`, or they are too few.
        """
        from harness.training.crops import usable

        for order in orders:
            usable(self.images(order).images, order.recipe, order.ratio)

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

    def has_images(self, order: Order) -> bool:
        """Tell whether there is something to train on."""
        from harness.data.datasets import is_here

        source = self._source(order)
        if source is None or Path(source).is_dir():
            return source is not None
        return source in self.config.data and is_here(source, self.config.data_set(source))

    def _source(self, order: Order) -> str | None:
        """Return a folder or the name of a data set; None where nothing says which."""
        root = os.environ.get(MIRROR_VARIABLE)
        return self.data or order.recipe.data or (str(Path(root) / TRAINING_FOLDER) if root else None)

    def missing(self, specs: Iterable[CodecSpec], ratios: Sequence[float]) -> list[Order]:
        """Return the trainings that these codecs lack at these ratios, after a quick check of what is there."""
        from harness.training.orders import missing_orders

        here = [self._looking_here(spec) for spec in specs if is_trainable(spec)]
        return missing_orders(here, ratios, self.config.recipes)

    def orders(self, specs: Iterable[CodecSpec]) -> list[Order]:
        """Return the trainings that make the weights of codecs at their ratios, neighbours to start from first."""
        from harness.training.orders import order_for

        made = {order.name: order for order in (order_for(spec, self.config.recipes) for spec in specs)}
        return sorted(made.values(), key=lambda order: order.turn)

    def _looking_here(self, spec: CodecSpec) -> CodecSpec:
        if self.folder is None:
            return spec
        return CodecSpec(spec.id, spec.target, {**spec.parameters, "weights": str(self.folder)}, spec.origin)

    def estimates(self, orders: Iterable[Order]) -> Iterator[tuple[Order, float]]:
        """Yield each training with about how many seconds it takes here, from some real steps."""
        from harness.training.orders import estimate_seconds

        before: list[Order] = []
        for order in orders:
            whole = not any(order.starts_from(one) for one in before)
            yield order, estimate_seconds(order, self.images(order), self.weights, whole)
            before.append(order)

    def train(self, order: Order, bar: bool) -> Path:
        """Train, or go on with what was interrupted; return the path of the weights."""
        from harness.training.loop import Machines
        from harness.training.orders import train

        return train(order, self.images(order), self.weights, Machines(**self.machines), bar)
