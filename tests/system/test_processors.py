"""How many processors this process may use."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from harness.system.processors import usable_processors

ON_ONE = """
import os
from harness.system.processors import usable_processors
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
print(usable_processors())
"""


def test_there_is_a_processor_to_use() -> None:
    assert 1 <= usable_processors() <= (os.cpu_count() or 1)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not restrict processors")
def test_only_processors_that_the_process_may_use_count() -> None:
    done = subprocess.run([sys.executable, "-c", ON_ONE], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "1"
