"""Fixtures that several test files share."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Browser, find_browser
from tests.support.containers import engine, image, made_from, start

__all__ = ["engine", "image", "made_from", "start"]

# A shell's background job ignores Ctrl-C, and so would every program that the tests start and stop.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all tests; they are skipped, with the reason, where there is none."""
    program = find_browser()
    if program is None:
        pytest.skip("no Chromium is on the PATH: apt-get install chromium")
    with Browser(program) as opened:
        yield opened


@pytest.fixture(scope="session")
def other_process() -> Iterator[Callable[..., Any]]:
    """A function that calls another one in a process of its own, which lives as long as the session."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield lambda function, *arguments: pool.submit(function, *arguments).result(timeout=120)


@pytest.fixture
def other_processes() -> Callable[..., list[Any]]:
    """A function that calls another one in several processes at once, each with arguments of its own."""

    def call(function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        with ProcessPoolExecutor(len(arguments), mp_context=multiprocessing.get_context("spawn")) as pool:
            return [future.result(timeout=120) for future in [pool.submit(function, *given) for given in arguments]]

    return call


@pytest.fixture(scope="session")
def harness_data() -> Path:
    """The folder with Kodak and the published points; the test is skipped where there is none."""
    folder = os.environ.get("HARNESS_DATA")
    if folder is None:
        pytest.skip("HARNESS_DATA is not set: it names the folder that holds kodak/ and published/")
    if not (Path(folder) / "kodak").is_dir():
        pytest.skip(f"HARNESS_DATA is {folder}, which holds no folder kodak")
    return Path(folder)
