"""A plugin that needs what nobody has."""

import a_module_that_nobody_has  # type: ignore[import-not-found]

from harness import Codec


class ImportFails(Codec):
    name = "import-fails"
    needs = a_module_that_nobody_has
