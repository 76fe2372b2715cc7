"""The command line: a command parses, calls one function, prints.

Only this file is imported at first, so that Ctrl-C is as quiet while the other modules load as it is later.
"""

from __future__ import annotations

import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command line; every HarnessError becomes one line and an exit status."""
    try:
        from harness.cli import program
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    program.main()
