"""Tables and text that GitHub shows as they are: names and reasons come from plugins."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~$&!@])")


def escape(text: object) -> str:
    """Return text that GitHub shows as it is, on one line: names and reasons come from plugins."""
    return SPECIAL.sub(r"\\\1", " ".join(str(text).split()))


def grid(head: Sequence[str], rows: Iterable[Sequence[object]], left: int = 1) -> str:
    """Return a table; the first `left` columns are aligned left, the others right. Cells are escaped."""
    lines = ["| " + " | ".join(head) + " |"]
    lines.append("|" + "|".join(":--" if place < left else "--:" for place in range(len(head))) + "|")
    lines += ["| " + " | ".join(escape(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)
