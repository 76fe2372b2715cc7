"""Benchmark image compression, learned and classical, honestly: real bytes, one interface, one report."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("harness")
except PackageNotFoundError:
    __version__ = "0"
