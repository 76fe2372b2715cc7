"""The SQLite store of records and encodes: one transaction per task, written by one process."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.errors import StoreError
from harness.records.record import ENCODE_COLUMNS, RECORD_COLUMNS, TRIED_AGAIN, Encode, Record, chunks
from harness.system.paths import on_network

STORE_NAME = "store.sqlite"
"""The store of all runs, in the results folder."""
STORE_VERSION = 3
_OLDER = (1, 2)
"""Versions that are converted when opened: they lack the index, or have another."""
_BUSY_SECONDS, _CHUNK = 60, 500

_TABLES = (
    f"CREATE TABLE records ({', '.join(RECORD_COLUMNS)}, PRIMARY KEY (fingerprint)) WITHOUT ROWID",
    "CREATE TABLE encodes (pixels, codec, setting REAL, size_bytes, file_sha256, pixels_sha256, metrics_key, metrics, "
    "PRIMARY KEY (pixels, codec, setting)) WITHOUT ROWID",
)
_INSERT_RECORD = f"INSERT OR REPLACE INTO records VALUES ({', '.join('?' * len(RECORD_COLUMNS))})"  # noqa: S608
_INSERT_ENCODE = f"INSERT OR REPLACE INTO encodes VALUES ({', '.join('?' * (2 + len(ENCODE_COLUMNS)))})"  # noqa: S608
_DONE = f"status NOT IN ({', '.join(map(repr, map(str, TRIED_AGAIN)))})"
_INDEX = f"CREATE INDEX finished ON records (fingerprint) WHERE {_DONE}"
"""Finds finished records without reading their rows; new in version 2; without missing records since version 3."""


class Store:
    """The store of a results folder; a context manager."""

    def __init__(self, path: Path) -> None:
        """Open the store, or create it.

        Raises:
            StoreError: it is damaged, of another version, or cannot be written.
        """
        self.path = path
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
            self._prepare()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exception: object) -> None:
        self._db.close()

    def _prepare(self) -> None:
        with self._transaction():  # when several processes open a new store at once, one of them creates it
            new = not self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if new or version in _OLDER:
                index = ("DROP INDEX IF EXISTS finished", _INDEX)
                for statement in (*(_TABLES if new else ()), *index, f"PRAGMA user_version = {STORE_VERSION}"):
                    self._db.execute(statement)
                version = STORE_VERSION
        if version != STORE_VERSION:
            raise StoreError(
                f"the store {self.path} has version {version}, this harness writes version {STORE_VERSION}. "
                "Move it away, or name another folder with --results."
            )
        self._db.execute(f"PRAGMA journal_mode = {'DELETE' if on_network(self.path) else 'WAL'}")
        self._db.execute("PRAGMA synchronous = NORMAL")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """Commit everything that is written inside the block, or nothing."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # SQLite itself rolls back when the disk is full
                self._db.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise StoreError(f"the store {self.path} cannot be used: {error}. {_advice(error)}") from error
        except OSError as error:
            raise StoreError(f"the results folder {self.path.parent} cannot be written: {error.strerror}.") from error

    def save(self, pixels: str, codec: str, records: Sequence[Record], encodes: Sequence[Encode]) -> None:
        """Store the records and encodes of one task: all of them or none."""
        with self._explained(), self._transaction():
            self._db.executemany(_INSERT_RECORD, map(_record_row, records))
            self._db.executemany(_INSERT_ENCODE, ([pixels, codec, *_encode_row(encode)] for encode in encodes))

    def records(self, fingerprints: Iterable[str]) -> Iterator[Record]:
        """Yield the stored records among `fingerprints`, in their order."""
        for chunk in chunks(fingerprints, _CHUNK):
            rows = self._select("records", "fingerprint", chunk)
            found = {row[0]: row for row in rows}
            with self._explained():
                yield from (_record_of(found[key]) for key in chunk if key in found)

    def finished(self, fingerprints: Iterable[str]) -> set[str]:
        """Return which records need not be measured again (statuses other than `TRIED_AGAIN`)."""
        asked = set(fingerprints)
        with self._explained():
            rows = self._db.execute(f"SELECT fingerprint FROM records INDEXED BY finished WHERE {_DONE}")  # noqa: S608
            return {key for (key,) in rows if key in asked}

    def encodes(self, pixels: str, codec: str) -> tuple[Encode, ...]:
        """Return every stored encode of an image by a codec."""
        query = "SELECT * FROM encodes WHERE pixels = ? AND codec = ? ORDER BY setting"
        with self._explained():
            return tuple(_encode_of(row) for row in self._db.execute(query, (pixels, codec)))

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Take a snapshot of the records for the two methods below; a run may go on writing.

        It is a copy in SQLite's own temporary file: with a rollback journal, a reader would block writers.
        """
        with self._explained():
            self._db.execute("CREATE TEMP TABLE taken AS SELECT * FROM records")
        try:
            yield
        finally:
            self._db.execute("DROP TABLE taken")

    def further_columns(self) -> dict[str, bool]:
        """Return the names in `extra` of the snapshot -> whether any value is text."""
        found: dict[str, bool] = {}
        with self._explained():
            for (text,) in self._db.execute("SELECT extra FROM taken"):
                for name, value in _load(text).items():
                    found[name] = found.get(name, False) or isinstance(value, str)
        return found

    def every_record(self, most: int) -> Iterator[list[Record]]:
        """Yield the records of the snapshot in lists of at most `most`, then an empty list."""
        with self._explained():
            rows = self._db.execute("SELECT * FROM taken")
            while chunk := rows.fetchmany(most):
                yield [_record_of(row) for row in chunk]
        yield []

    def _select(self, table: str, column: str, keys: Sequence[str]) -> list[tuple[Any, ...]]:
        marks = ", ".join("?" * len(keys))
        with self._explained():
            return self._db.execute(f"SELECT * FROM {table} WHERE {column} IN ({marks})", keys).fetchall()  # noqa: S608


def _advice(error: Exception) -> str:
    """Return advice for an error of SQLite (sqlite.org/rescode.html)."""
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
        return "Free some space and run the same command again; what was stored is kept."
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return "Another run writes to it: wait until that run ends, or name another folder with --results."
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
        return "Make it writable, or name another folder with --results."
    return "It is damaged, or no store: move it away, or name another folder with --results."


def _record_row(record: Record) -> list[Any]:
    return [json.dumps(record.extra) if name == "extra" else getattr(record, name) for name in RECORD_COLUMNS]


def _record_of(row: Sequence[Any]) -> Record:
    values = dict(zip(RECORD_COLUMNS, row, strict=True))
    return Record(**{**values, "extra": _load(values["extra"])})


def _encode_row(encode: Encode) -> list[Any]:
    return [json.dumps(encode.metrics) if name == "metrics" else getattr(encode, name) for name in ENCODE_COLUMNS]


def _encode_of(row: Sequence[Any]) -> Encode:
    _, _, setting, size, file_digest, pixels_digest, metrics_key, metrics = row
    return Encode(setting, size, file_digest, pixels_digest, metrics_key, _load(metrics))


def _load(text: str) -> dict[str, Any]:
    try:
        loaded = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise sqlite3.DatabaseError(f"it holds {str(text)[:40]!r} where JSON belongs") from error
    return loaded if isinstance(loaded, dict) else {}
