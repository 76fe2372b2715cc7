"""A plugin that never finishes being imported."""

import time

from harness import Codec

time.sleep(1000)


class ImportHangs(Codec):
    name = "import-hangs"
