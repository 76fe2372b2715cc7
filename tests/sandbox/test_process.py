"""Misbehaving codecs: each costs its own result, with the reason, within its limits, and leaves nothing behind."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest

from harness.config.registry import CodecSpec, find
from harness.config.schema import Limits
from harness.errors import CodecError, ConformanceError, HarnessError, LimitError, UsageError
from harness.interface import Image
from harness.sandbox.process import CodecProcess, CodecProcesses
from tests.support.bench_runs import bench, crops
from tests.support.command import environment
from tests.support.images import make_image

PLUGINS = Path(__file__).parents[1] / "support" / "plugins"
LIMITS = Limits(seconds=60, memory_mb=640, disk_mb=32)
TIGHT = LIMITS.model_copy(update={"seconds": 3.0})
SLACK_SECONDS = 6
"""On a busy machine, to start a child and to notice and kill it."""
IMAGE = make_image("photograph", (48, 64), "rgb8")
SETTING = 4
FEW_PAGES = 100
"""Ten new planes of tests/support/plugins/new_pages.py are 20 huge pages or 10240 small ones each."""


def plugin(name: str, file: str = "bad_calls.py") -> CodecSpec:
    return find(name, plugins=[PLUGINS / file])


SOUND = plugin("bits", "sound.py")
EXPECTED = IMAGE >> np.uint8(4) << np.uint8(4) | np.uint8(8)
"""What the sound codec makes of the image."""


@pytest.fixture
def processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CodecProcesses]:
    """The child processes of one worker; when it closes them, no process and no file of theirs is left."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = CodecProcesses(LIMITS)
    yield found
    found.close()
    assert gone(tmp_path), [process for process in psutil.process_iter() if works_below(process, tmp_path)]
    assert list(tmp_path.iterdir()) == []


def works_below(process: psutil.Process, folder: Path) -> bool:
    """Return whether a process was started by a codec's child: the child's TMPDIR is in its environment."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE and process.environ().get("TMPDIR", "").startswith(str(folder))
    except psutil.Error:
        return False


def gone(folder: Path) -> bool:
    """Wait until no process works below a folder any more; a killed one takes a moment to end."""
    for _ in range(50):
        if not any(works_below(process, folder) for process in psutil.process_iter()):
            return True
        time.sleep(0.05)
    return False


def round_trip(processes: CodecProcesses, spec: CodecSpec, image: Image = IMAGE) -> Image:
    data = processes.encoder(spec).encode(spec, image, SETTING)
    return processes.decoder(spec).decode(spec, data, image)


TOO_LONG = "took longer than its limit of 3 s"
FAILS: dict[str, tuple[type[HarnessError], str]] = {
    "raises": (CodecError, "^RuntimeError: boom boom"),
    "raises-usage-error": (UsageError, "what was asked for is wrong"),
    "raises-keyboard-interrupt": (CodecError, "KeyboardInterrupt"),
    "not-bytes": (ConformanceError, "encode returned a bytearray; a file is bytes"),
    "no-bytes": (ConformanceError, "encode returned no bytes at all"),
    "huge": (ConformanceError, r"it returned more than the \d+ bytes that can be right"),
    "writes-input": (CodecError, "assignment destination is read-only"),
    "segfaults": (LimitError, "killed by SIGSEGV"),
    "aborts": (LimitError, "killed by SIGABRT"),
    "exits-at-once": (LimitError, "ended with exit status 0 in the middle of a call"),
    "exits": (CodecError, "SystemExit: 3"),
    "hangs-asleep": (LimitError, TOO_LONG),
    "hangs-in-c": (LimitError, TOO_LONG),
    "hangs-busy": (LimitError, TOO_LONG),
    "hangs-deaf": (LimitError, TOO_LONG),
    "allocates": (LimitError, "asked for more memory than its limit"),
    "fills-memory": (LimitError, "memory"),
    "fills-shared-memory": (LimitError, r"it used \d+ MB of memory; its limit is 640 MB"),
    "fills-disk": (CodecError, "File too large"),
    "fills-disk-with-many-files": (LimitError, r"it wrote \d+ MB of files; its limit is 32 MB"),
    "writes-everywhere": (CodecError, "."),
    "closes-everything": (CodecError, "."),
    "keeps-state": (CodecError, "AttributeError"),
    "keeps-a-file": (CodecError, "FileNotFoundError"),
    "wrong-shape": (ConformanceError, r"decode returned uint8 \(47, 64, 3\), expected uint8 \(48, 64, 3\)"),
    "flat-shape": (ConformanceError, r"decode returned uint8 \(9216,\)"),
    "wrong-dtype": (ConformanceError, "."),
    "float-image": (ConformanceError, "decode returned an array of float64"),
    "no-image": (ConformanceError, "decode returned a NoneType"),
    "huge-image": (ConformanceError, "."),
    "dies-decoding": (LimitError, "killed by SIGABRT"),
}
"""Plugin -> what its result is."""


@pytest.mark.parametrize("name", FAILS)
def test_a_misbehaving_codec_fails_with_its_reason_within_its_limits_and_alone(
    name: str, processes: CodecProcesses
) -> None:
    error, words = FAILS[name]
    start = time.monotonic()
    processes.limits = TIGHT if words == TOO_LONG else LIMITS
    with pytest.raises(error) as failure:
        round_trip(processes, plugin(name))
    assert time.monotonic() - start < processes.limits.seconds + SLACK_SECONDS
    assert re.search(words, str(failure.value)), str(failure.value)
    assert len(str(failure.value)) < 5000
    assert np.array_equal(round_trip(processes, SOUND), EXPECTED)


HARMLESS = ("prints", "reads-input", "forks", "leaves-processes")


@pytest.mark.parametrize("name", HARMLESS)
def test_what_does_no_harm_costs_nothing(name: str, processes: CodecProcesses) -> None:
    for _ in range(3):
        assert np.array_equal(round_trip(processes, plugin(name)), EXPECTED)


def test_a_codec_that_overwrites_its_input_by_force_harms_its_own_file_alone(processes: CodecProcesses) -> None:
    image = IMAGE.copy()
    decoded = round_trip(processes, plugin("forces-input"), image)
    assert np.array_equal(image, IMAGE)
    assert not np.array_equal(decoded, EXPECTED)


def test_the_second_half_of_a_fork_is_not_heard(processes: CodecProcesses) -> None:
    spec = plugin("forks-in-c")
    answers = []
    for setting in (1, 4, 8, 1, 4, 8):
        try:
            answers.append(processes.encoder(spec).encode(spec, IMAGE, setting))
        except CodecError as error:
            assert "a call that was not made" in str(error) or "returned more" in str(error)
            answers.append(b"")
    expected = [processes.encoder(SOUND).encode(SOUND, IMAGE, setting) for setting in (1, 4, 8, 1, 4, 8)]
    assert all(answer in (b"", right) for answer, right in zip(answers, expected, strict=True))


def test_a_rate_control_that_exceeds_its_budget_is_caught(processes: CodecProcesses) -> None:
    spec = plugin("over-budget")
    with pytest.raises(ConformanceError, match="its rate control returned 501 bytes where 500 were allowed"):
        processes.encoder(spec).encode_to_budget(spec, IMAGE, 500)


DESCRIPTIONS: dict[str, tuple[type[HarnessError], str]] = {
    "endless-ladder": (ConformanceError, "its description is malformed: ladder: tuple should have at most 65536 items"),
    "empty-ladder": (ConformanceError, "its description is malformed: ladder: tuple should have at least 1 item"),
    "ladder-of-words": (ConformanceError, "ladder.0: input should be a finite number; found 'low'"),
    "ladder-of-nan": (ConformanceError, "ladder.1: input should be a finite number; found nan"),
    "provenance-not-json": (ConformanceError, "JSON cannot hold what it said: found a value of type object"),
    "provenance-no-mapping": (ConformanceError, "provenance: input should be a valid dictionary; found 7"),
    "constructor-raises": (UsageError, "'constructor-raises' cannot be built with no parameters: not today"),
    "unfinished": (UsageError, "lacks settings"),
    "no-formats": (UsageError, "must state its name and its formats"),
    "no-codec": (UsageError, "is not a codec"),
}


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_a_codec_that_cannot_say_what_it_is_fails_with_its_reason(name: str, processes: CodecProcesses) -> None:
    spec = plugin(name, "bad_descriptions.py")
    error, words = DESCRIPTIONS[name]
    with pytest.raises(error, match=words):
        processes.encoder(spec).describe(spec)


IMPORTS = {
    "import-fails": (UsageError, "cannot be imported: ModuleNotFoundError: No module named 'a_module_that_nobody_has'"),
    "import-hangs": (LimitError, TOO_LONG),
    "import-exits": (LimitError, "ended with exit status 7"),
}


@pytest.mark.parametrize("name", IMPORTS)
def test_a_plugin_that_cannot_be_imported_fails_with_its_reason(name: str, processes: CodecProcesses) -> None:
    spec = plugin(name, f"{name.replace('-', '_')}.py")
    error, words = IMPORTS[name]
    processes.limits = TIGHT if words == TOO_LONG else LIMITS
    with pytest.raises(error, match=words):
        processes.encoder(spec).describe(spec)


def test_encoder_and_decoder_are_different_processes(processes: CodecProcesses) -> None:
    assert processes.encoder(SOUND) is not processes.decoder(SOUND)
    assert processes.encoder(SOUND) is processes.encoder(SOUND)


WORKER = f"""
import numpy as np
from harness.config.schema import Limits
from harness.sandbox.process import codec_processes
from harness.config.registry import find

spec = find("leaves-processes", plugins=[{str(PLUGINS / "bad_calls.py")!r}])
codec_processes(Limits()).encoder(spec).encode(spec, np.zeros((8, 8, 3), np.uint8), 4)
"""
"""What a worker of somebody's cluster does before it ends."""


def test_what_a_codec_leaves_running_ends_with_its_worker(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", WORKER], env=environment(TMPDIR=str(tmp_path)), check=True, timeout=60)
    assert gone(tmp_path), [process for process in psutil.process_iter() if works_below(process, tmp_path)]
    assert list(tmp_path.iterdir()) == []


def test_others_codecs_run_in_processes_of_their_own(processes: CodecProcesses) -> None:
    webp, jpeg = find("webp"), find("jpeg")
    assert processes.encoder(webp) is processes.encoder(jpeg)
    assert processes.encoder(SOUND) is not processes.encoder(webp)
    assert processes.encoder(SOUND) is not processes.encoder(plugin("raises"))


def test_only_so_many_processes_are_kept(processes: CodecProcesses) -> None:
    specs = [plugin(name) for name in ("prints", "forks", "random", "keeps-state")]
    for spec in specs:
        processes.encoder(spec).encode(spec, IMAGE, SETTING)
        processes.decoder(spec)
    assert len(processes._alive) == processes.most


@dataclass
class Ended:
    """Whether a thread came to its end, and with what."""

    error: BaseException | None = None


def test_two_workers_do_not_hear_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ends = [Ended(), Ended()]

    def work(end: Ended, setting: int) -> None:
        process = CodecProcess(LIMITS)
        try:
            files = {process.encode(SOUND, IMAGE, setting) for _ in range(40)}
            assert len(files) == 1
        except BaseException as error:
            end.error = error
        finally:
            process.close()

    threads = [threading.Thread(target=work, args=(end, setting)) for setting, end in enumerate(ends, start=2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [end.error for end in ends] == [None, None]


def test_a_killed_child_is_started_anew(processes: CodecProcesses) -> None:
    others = psutil.Process().children()  # of other tests: they live on
    encoder = processes.encoder(SOUND)
    first = encoder.encode(SOUND, IMAGE, SETTING)
    children = [child for child in psutil.Process().children() if child not in others]
    assert children
    for child in children:
        child.kill()
    psutil.wait_procs(children)
    assert encoder.encode(SOUND, IMAGE, SETTING) == first


def test_time_in_the_codec_is_counted_and_time_beside_it_is_not(processes: CodecProcesses) -> None:
    encoder = processes.encoder(SOUND)
    start = time.perf_counter()
    encoder.encode(SOUND, IMAGE, SETTING)
    assert 0 < encoder.seconds < time.perf_counter() - start


def test_decoding_of_unknown_bytes_is_bounded_by_size(processes: CodecProcesses) -> None:
    data = processes.encoder(SOUND).encode(SOUND, IMAGE, SETTING)
    decoder = processes.decoder(SOUND)
    assert decoder.decode_any(SOUND, data, IMAGE.nbytes).shape == IMAGE.shape
    with pytest.raises(ConformanceError, match="more than the"):
        decoder.decode_any(SOUND, data, IMAGE.nbytes - 1)


glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are those of glibc's allocator")


@glibc
def test_planes_that_a_codec_frees_are_used_again(processes: CodecProcesses) -> None:
    spec = plugin("pages", "new_pages.py")
    assert len(processes.encoder(spec).encode(spec, IMAGE, 1)) < IMAGE.nbytes + FEW_PAGES


@glibc
def test_planes_that_a_metric_frees_are_used_again(tmp_path: Path) -> None:
    asked = ["--images", str(crops(tmp_path / "images", 1)), "--plugin", str(PLUGINS / "new_pages.py")]
    found = bench(tmp_path / "results", *asked, "--codecs", "pages", "--metrics", "pages", "--ratios", "4")
    assert found.ended.status == 0
    assert found.frame["pages"].max() < FEW_PAGES
