"""Write a working codec and its test, as a start for a user's own."""

from __future__ import annotations

import re
from pathlib import Path

from harness.config.schema import Config
from harness.errors import UsageError

_TEMPLATES = Path(__file__).with_name("templates")


def new_codec(name: str, folder: Path, config: Config) -> tuple[Path, Path]:
    """Write NAME.py and test_NAME.py into a folder and return their paths.

    Raises:
        UsageError: the name is not a codec name, a codec has it, or a file exists already.
    """
    if not re.fullmatch(r"[a-z][a-z0-9-]{1,40}", name):
        raise UsageError(f"{name!r} is not a codec name: use two or more of a-z, 0-9 and -, starting with a letter.")
    if name in config.known_codecs():
        raise UsageError(
            f"a codec is called {name!r} already. Choose another name; `harness codec list` prints all names."
        )
    module = name.replace("-", "_")
    paths = folder / f"{module}.py", folder / f"test_{module}.py"
    taken = [path for path in paths if path.exists()]
    if taken:
        raise UsageError(f"{taken[0]} exists already. Remove it or choose another name.")
    class_name = "".join(part.capitalize() for part in name.split("-"))
    for path, template in zip(paths, ("codec.py", "test_codec.py"), strict=True):
        text = (_TEMPLATES / template).read_text(encoding="utf-8")
        words = (("new-codec", name), ("new_codec", module), ("NewCodec", class_name))
        for old, new in words:
            text = text.replace(old, new)
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}.") from error
    return paths
