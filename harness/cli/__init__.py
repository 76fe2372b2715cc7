"""The command line: a command parses, calls one function, prints.

Only this file is loaded at once, so that Ctrl-C is as quiet while the others are imported as it is later.
"""

from __future__ import annotations

import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command line; every error of ours becomes one line and an exit status."""
    try:
        from harness.cli import program
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    program.main()
