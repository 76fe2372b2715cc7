"""Write all records of a store into one table, in pieces, so that memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.records.record import CSV_COLUMNS, TEXT_COLUMNS, to_frame
from harness.records.store import STORE_NAME, Store
from harness.system.files import written_aside

if TYPE_CHECKING:
    import pandas as pd

_ROWS = 20_000


def export(results: Path, target: Path) -> int:
    """Write every record of a results folder's store as CSV or Parquet, by the file's ending; return their number.

    The columns are those of records.csv, and `fingerprint`, which differs between records of two versions. A run may
    write to the store at the same time.

    Raises:
        UsageError: there is no store, the ending is neither .csv nor .parquet, or the file cannot be written.
        StoreError: the store is damaged.
    """
    writers: dict[str, Callable[[Iterator[pd.DataFrame], Path], int]] = {
        ".csv": _write_csv,
        ".parquet": _write_parquet,
    }
    if target.suffix not in writers:
        raise UsageError(f"{target} ends in {target.suffix!r}; name a table that ends in {' or '.join(writers)}.")
    if not (results / STORE_NAME).is_file():
        raise UsageError(f"the folder {results} holds no {STORE_NAME}. Name a results folder, not that of one run.")
    try:
        with Store(results / STORE_NAME) as store, store.snapshot(), written_aside(target) as aside:
            return writers[target.suffix](_frames(store), aside)
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror or error}.") from error


def _frames(store: Store) -> Iterator[pd.DataFrame]:
    """Yield tables with the same columns and types; the last has no rows."""
    further = store.further_columns()
    names = [*CSV_COLUMNS, "fingerprint", *(name for name in further if name not in CSV_COLUMNS)]
    texts = {*TEXT_COLUMNS, "fingerprint", *(name for name, is_text in further.items() if is_text)}
    types = {name: "string" if name in texts else "float64" for name in names}
    for records in store.every_record(_ROWS):
        keys = [record.fingerprint for record in records]
        yield to_frame(records).assign(fingerprint=keys).reindex(columns=names).astype(types)


def _write_csv(frames: Iterator[pd.DataFrame], path: Path) -> int:
    rows = 0
    for number, frame in enumerate(frames):
        frame.to_csv(path, index=False, mode="a" if number else "w", header=not number)
        rows += len(frame)
    return rows


def _write_parquet(frames: Iterator[pd.DataFrame], path: Path) -> int:
    import pyarrow
    from pyarrow import parquet

    first = pyarrow.Table.from_pandas(next(frames), preserve_index=False)
    rows = int(first.num_rows)
    with parquet.ParquetWriter(path, first.schema) as writer:  # type: ignore[no-untyped-call] # as pyarrow has it
        writer.write_table(first)
        for frame in frames:
            writer.write_table(pyarrow.Table.from_pandas(frame, schema=first.schema, preserve_index=False))
            rows += len(frame)
    return rows
