"""The command line: help with examples, completion, one line for what is wrong, any codec on one file."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest

from harness.cli.options import NameList
from harness.cli.program import harness
from harness.config.schema import load
from harness.data.images import read_image
from tests.support.bench_runs import PLUGINS, crops, write
from tests.support.command import PROGRAM, call, complaint, environment, run
from tests.support.images import make_image, psnr


def commands(group: click.Group = harness, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command and group."""
    yield path
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


COMMANDS = list(commands())
DESIGNED = (
    *("bench", "train", "time", "report", "compare", "reproduce", "verify", "encode", "decode"),
    *("codec list", "codec show", "codec check", "codec new", "data list", "data fetch", "data verify"),
    *("container build", "container run", "container check"),
)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example_that_names_it(words: tuple[str, ...]) -> None:
    ended = call(*words, "--help")
    assert (ended.status, ended.err) == (0, "")
    example = ended.out.partition("Example:\n")[2].splitlines()[0]
    assert example.split()[: 1 + len(words)] == ["harness", *words]
    assert call(*words, "-h").out == ended.out


@pytest.mark.parametrize("words", [words for words in COMMANDS if words], ids=" ".join)
def test_every_option_says_what_it_is_for(words: tuple[str, ...]) -> None:
    command: click.Command = harness
    for word in words:
        assert isinstance(command, click.Group)
        command = command.commands[word]
    options = [option for option in command.params if isinstance(option, click.Option)]
    undescribed = [option.name for option in options if not option.help]
    plain = {"device", "protocol", "folder", "nodes", "setting"}
    assert set(undescribed) <= plain, undescribed


def test_every_designed_command_is_there() -> None:
    assert set(DESIGNED) <= {" ".join(words) for words in COMMANDS}


def test_the_version_is_printed() -> None:
    assert re.fullmatch(r"harness, version \d+\.\d+\.\d+\n", call("--version").out)


def test_no_command_at_all_prints_the_help() -> None:
    ended = call()
    assert ended.status == 2
    assert "Commands:" in ended.err
    assert "Traceback" not in ended.err


def completed(*words: str) -> list[str]:
    """Return what bash is offered for the last of these words."""
    line = " ".join(("harness", *words))
    ended = run(_HARNESS_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(len(words)))
    return [entry.partition(",")[2] for entry in ended.out.splitlines()]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("encode", "a.png", "b", "--codec", "webp"), ["webp", "webp-lossless", "webp-m6"]),
        (("codec", "show", "jpeg-4"), ["jpeg-420", "jpeg-420-flat", "jpeg-420-pillow", "jpeg-444", "jpeg-444-flat"]),
        (("bench", "--suite", "ko"), ["kodak"]),
        (("bench", "--codecs", "png,webp-l"), ["png,webp-lossless"]),
        (("data", "fetch", "d"), ["demo"]),
        (("be",), ["bench"]),
        (("bench", "--dry"), ["--dry-run"]),
        (("bench", "--protocol", "s"), ["sweep"]),
    ],
)
def test_names_are_completed(words: tuple[str, ...], expected: list[str]) -> None:
    assert completed(*words) == expected


WRONG = {
    "bnech": ("bnech", "No such command 'bnech'"),
    "option": ("bench --rations 4", "No such option '--rations'"),
    "ratio of words": ("bench --ratios four", "'four' is not a list of numbers such as 4,8,12,16"),
    "ratio of nan": ("bench --ratios nan", "above 1"),
    "ratio of a million": ("bench --ratios 1000000", "above 1 and below 1000000"),
    "no codecs": ("bench --codecs=", "'' names no codecs"),
    "no metrics": ("bench --metrics ,", "',' names no metrics"),
    "images that are a file": ("bench --dry-run --images photo.png", "photo.png is a file; name its folder"),
    "images without their option": ("bench photos", "(photos). Name a folder of images with --images. See"),
    "config after the command": ("codec list --config x.toml", "goes before the command: `harness --config FILE"),
    "time on a cluster": ("time --scheduler tcp://host:8786", "No such option '--scheduler'"),
    "no ratios": ("bench --ratios ,", "above 1"),
    "limit 0": ("bench --limit 0", "'--limit'"),
    "jobs -1": ("bench --jobs -1", "'--jobs'"),
    "protocol": ("bench --protocol ratoi", "'ratoi' is not one of 'ratio', 'sweep', 'both'"),
    "device": ("bench --device tpu", "'tpu' is not one of"),
    "no arguments": ("encode", "Missing argument 'IMAGE'"),
    "no codec": ("encode photo.png out", "Missing option '--codec'"),
    "no ratio and no setting": (
        "encode photo.png out --codec webp",
        "'webp' is lossy: encode needs one of --ratio and",
    ),
    "ratio and setting": (
        "encode photo.png out --codec webp --ratio 4 --setting 3",
        "only one of --ratio and --setting",
    ),
    "ratio 1": ("encode photo.png out --codec webp --ratio 1", "'--ratio'"),
    "unknown codec": ("encode photo.png out --codec wepb --ratio 4", "Did you mean 'webp'?"),
    "absent image": ("encode absent.png out --codec webp --ratio 4", "absent.png cannot be read: No such file"),
    "no image": ("encode text.png out --codec webp --ratio 4", "text.png is not an image that can be read"),
    "setting off the ladder": ("encode photo.png out --codec webp --setting 101", "outside the ladder of 'webp': 1 to"),
    "target in no folder": ("encode photo.png absent/out --codec webp --ratio 4", "absent/out cannot be written"),
    "absent file": ("decode absent.webp out.png", "absent.webp cannot be read"),
    "file of nothing known": ("decode text.png out.png", "which no codec here is known by. Name it with --codec"),
    "show what is not": ("codec show jpg-444", "Did you mean 'jpeg-444'?"),
    "check what is not": ("codec check jpg-444", "Did you mean 'jpeg-444'?"),
    "train on nothing": ("train --models resnet --data nowhere", "no data set of images is called 'nowhere'"),
    "train on an empty folder": ("train --models resnet --data empty", "the folder empty holds no image"),
    "new codec of a codec's name": ("codec new webp", "a codec is called 'webp' already"),
    "new codec of a variant's name": ("codec new jpeg-444", "a codec is called 'jpeg-444' already"),
    "data set": ("data verify kodac", "Did you mean 'kodak'?"),
    "report of nothing": ("report absent", "'absent' does not exist"),
    "report of no run": ("report empty", "records.csv cannot be read"),
    "compare one": ("compare empty", "Missing argument 'RUN_B'"),
    "plugin": ("codec list --plugin absent.py", "absent.py cannot be read"),
    "config": ("--config absent.toml codec list", "absent.toml cannot be read"),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a photograph and a file that is none."""
    monkeypatch.chdir(tmp_path)
    crops(tmp_path, 1)
    (tmp_path / "crop00.png").rename(tmp_path / "photo.png")
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize(("line", "words"), WRONG.values(), ids=WRONG)
def test_a_wrong_command_line_is_answered_in_one_line_with_status_2(line: str, words: str, folder: Path) -> None:
    before = sorted(folder.iterdir())
    assert words in complaint(call(*line.split()))
    assert sorted(folder.iterdir()) == before


def test_a_far_name_is_not_suggested() -> None:
    assert "Did you mean" not in complaint(call("codec", "show", "nope"))


def test_names_in_a_list_may_have_spaces_around_them() -> None:
    assert NameList().convert(" webp, jpeg-444 ,", None, None) == ("webp", "jpeg-444")


@pytest.mark.parametrize("words", [words for words in COMMANDS if words], ids=" ".join)
def test_no_summary_in_a_list_of_commands_is_cut_off(words: tuple[str, ...]) -> None:
    line = next(line for line in call(*words[:-1], "--help").out.splitlines() if line.startswith(f"  {words[-1]} "))
    assert line.endswith(".")
    assert not line.endswith("...")


def test_ctrl_c_while_the_commands_are_imported_is_quiet() -> None:
    code = """
import sys
class Interrupt:
    def find_spec(self, name, *_):
        if name == "click":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt())
from harness.cli import main
main()
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_a_list_cut_short_by_its_reader_is_no_failure() -> None:
    line = f"{PROGRAM} codec list | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", line], env=environment(), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr == ""


def test_listing_names_every_codec_and_marks_the_defaults() -> None:
    lines = call("codec", "list").out.splitlines()
    config = load()
    shown = {line[2:].split()[0]: line[0] for line in lines[:-1]}
    assert set(config.codecs) <= set(shown)
    assert {name for name, mark in shown.items() if mark == "*"} == set(config.default_codecs())


def test_plugins_are_listed_beside_the_others() -> None:
    ended = call("codec", "list", "--plugin", PLUGINS / "sound.py")
    assert re.search(r"^\* bits +plugin file", ended.out, re.MULTILINE)


def test_plugins_in_the_plugin_folder_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sound.py").write_text((PLUGINS / "sound.py").read_text())
    monkeypatch.setenv("HARNESS_PLUGINS", str(tmp_path))
    assert re.search(r"^\* bits +plugin file", call("codec", "list").out, re.MULTILINE)


def test_showing_a_codec_prints_ladder_formats_and_versions() -> None:
    out = call("codec", "show", "webp").out
    assert "formats:    rgb8" in out
    assert re.search(r"ladder: +100 settings, 1 \(smallest files\) to 100", out)
    assert "state:      ready" in out
    assert '"libwebp"' in out or '"webp"' in out


@pytest.mark.parametrize("codec", ["jpeg-444", "webp", "jpeg2000", "jxl"])
def test_a_file_of_a_wanted_ratio_decodes_to_a_picture_like_the_first(codec: str, folder: Path) -> None:
    ended = call("encode", "photo.png", "out.bin", "--codec", codec, "--ratio", "6")
    assert ended.status == 0, ended.err
    data = (folder / "out.bin").read_bytes()
    assert f"out.bin: {len(data)} bytes" in ended.out
    assert len(data) <= 48 * 64 * 3 // 6
    ended = call("decode", "out.bin", "again.png")
    assert ended.status == 0, ended.err
    assert "again.png: 64x48, 3 channels, uint8" in ended.out
    first, again = (read_image(folder / name).pixels for name in ("photo.png", "again.png"))
    assert psnr(first, again) > 28


@pytest.mark.parametrize("codec", ["png", "qoi", "raw", "webp-lossless", "jxl-lossless"])
@pytest.mark.parametrize("with_setting", [True, False])
def test_a_lossless_file_decodes_to_the_same_picture(codec: str, with_setting: bool, folder: Path) -> None:
    setting = ("--setting", str(load_top(codec))) if with_setting else ()
    assert call("encode", "photo.png", "out.bin", "--codec", codec, *setting).status == 0
    ended = call("decode", "out.bin", "again.tif", *(["--codec", codec] if codec.endswith("lossless") else []))
    assert ended.status == 0, ended.err
    first, again = (read_image(folder / name).pixels for name in ("photo.png", "again.tif"))
    assert np.array_equal(first, again)


def load_top(codec: str) -> float:
    from harness import load_codec

    return float(load_codec(codec).ladder[-1])


def test_16_bit_gray_goes_there_and_back(folder: Path) -> None:
    image = make_image("photograph", (40, 56), "gray16")
    write(folder / "deep.png", image)
    assert call("encode", "deep.png", "out.jls", "--codec", "jpegls", "--setting", "0").status == 0
    assert call("decode", "out.jls", "again.png", "--codec", "jpegls").status == 0
    assert np.array_equal(read_image(folder / "again.png").pixels, image)


@pytest.mark.parametrize("codec", ["webp", "png"])
def test_a_ratio_that_no_file_reaches_ends_with_status_1_and_writes_nothing(codec: str, folder: Path) -> None:
    line = complaint(call("encode", "photo.png", "out", "--codec", codec, "--ratio", "5000"), status=1)
    assert re.search(rf"no file of '{codec}' has a ratio of 5000; its smallest reaches \d+\.\d{{3}}", line)
    assert not (folder / "out").exists()


@pytest.mark.parametrize("name", ["photo.png", "empty/../photo.png", "soft.png", "hard.png"])
@pytest.mark.parametrize("line", ["encode photo.png {} --codec png", "decode photo.png {}"])
def test_a_file_is_not_written_over_itself_by_any_of_its_names(line: str, name: str, folder: Path) -> None:
    before = (folder / "photo.png").read_bytes()
    (folder / "soft.png").symlink_to("photo.png")
    (folder / "hard.png").hardlink_to(folder / "photo.png")
    assert "is the very file that is read" in complaint(call(*line.format(name).split()))
    assert (folder / "photo.png").read_bytes() == before


def test_a_damaged_file_ends_with_status_1_and_writes_nothing(folder: Path) -> None:
    assert call("encode", "photo.png", "out.webp", "--codec", "webp", "--ratio", "4").status == 0
    data = (folder / "out.webp").read_bytes()
    (folder / "out.webp").write_bytes(data[: len(data) // 2])
    assert "not an intact WebP file" in complaint(call("decode", "out.webp", "again.png"), status=1)
    assert not (folder / "again.png").exists()


@pytest.mark.parametrize("target", ["again.jpg", "again", "absent/again.png"])
def test_an_image_that_cannot_be_written_exactly_is_refused(target: str, folder: Path) -> None:
    assert call("encode", "photo.png", "out.png", "--codec", "png", "--setting", "9").status == 0
    complaint(call("decode", "out.png", target))


def test_a_misbehaving_plugin_ends_with_status_1_and_its_reason(folder: Path) -> None:
    plugin = ("--plugin", PLUGINS / "bad_calls.py")
    ended = call("encode", "photo.png", "out", "--codec", "segfaults", "--ratio", "4", *plugin)
    assert "'segfaults' made no file of photo.png: its process was killed by SIGSEGV" in complaint(ended, status=1)
