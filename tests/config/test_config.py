"""benchmarks.toml: what is wrong in it is one line that names file, key, found and expected."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from harness.config import schema
from harness.config.schema import Config
from harness.errors import ConfigError, UnknownNameError
from tests.support.command import call, complaint, run

SUITE = '[suites.mine]\ndescription = "mine"\ndata = "demo"\n'
DATA = '[data.mine]\ndescription = "mine"\nlicence = "none"\n'

WRONG = {
    "unknown key": (SUITE + "ratois = [4]", "suites.mine.ratois is not a known key"),
    "unknown table": ("[sutes.mine]\n", "sutes is not a known key"),
    "missing key": ('[suites.mine]\ndata = "demo"', "suites.mine.description is missing"),
    "part of a packaged table": ("[suites.demo]\nratios = [4]", "replaces the whole packaged table of its name"),
    "text for a list": (SUITE + 'ratios = "4"', "suites.mine.ratios: input should be a valid array; found '4'"),
    "text for a number": (SUITE + 'ratios = ["4"]', "suites.mine.ratios.0: input should be a valid number; found '4'"),
    "a number for text": ('[suites.mine]\ndescription = 3\ndata = "demo"', "description: input should be a valid str"),
    "text for true": ('[codecs.jpeg-444]\ndefault = "no"', "codecs.jpeg-444.default: input should be a valid boolean"),
    "true for a number": (SUITE + "limits = { seconds = true }", "limits.seconds: input should be a valid number"),
    "a number for a table": ("codecs = 3", "codecs: input should be an object; found 3"),
    "a ratio of 1": (SUITE + "ratios = [4, 1]", "suites.mine.ratios.1: input should be greater than 1; found 1"),
    "a negative ratio": (SUITE + "ratios = [-8]", "suites.mine.ratios.0: input should be greater than 1; found -8"),
    "a ratio that is no number": (SUITE + "ratios = [nan]", "suites.mine.ratios.0"),
    "no ratio": (SUITE + "ratios = []", "suites.mine.ratios"),
    "endless limit": (SUITE + "limits = { seconds = inf }", "seconds: input should be a finite number; found inf"),
    "unknown protocol": (SUITE + 'protocol = "ratoi"', "input should be 'ratio', 'sweep' or 'both'; found 'ratoi'"),
    "unknown codec": (
        SUITE + 'codecs = ["jpg-444"]',
        "mine.codecs: no codec is called 'jpg-444'. Did you mean 'jpeg-444'",
    ),
    "unknown anchor": (SUITE + 'anchor = "wepb"', "suites.mine.anchor: no codec is called 'wepb'. Did you mean 'webp'"),
    "unknown data set": ('[suites.mine]\ndescription = ""\ndata = "kodac"', "data: no data set is called 'kodac'"),
    "unknown default suite": ('default_suite = "dem"', "default_suite: no suite is called 'dem'. Did you mean 'demo'"),
    "variant of nothing": ('[codecs.mine]\ncodec = "jpgg"', "codecs.mine: no registered codec is called 'jpgg'"),
    "sweep of words": ('[codecs.mine]\ncodec = "jpeg"\nsweep = ["low"]', "codecs.mine.sweep.0: input should be a"),
    "no hash": (DATA + 'files = { "a.png" = "12" }', "data.mine.files.a.png: string should match pattern"),
    "short hash": (
        DATA + 'files = { "a.png" = "12345678" }',
        "the sha256 of 'a.png' has 8 digits of 64; give all of them, or set hash_start = true",
    ),
    "17 bits": (DATA + "files = {}\nsample_bits = 17", "data.mine.sample_bits: input should be less than or"),
    "plugins": ('plugins = ["x.py"]', "plugins"),
    "no TOML": ("[suites", "this is not TOML: Expected ']'"),
}


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(("text", "words"), WRONG.values(), ids=WRONG)
def test_a_wrong_file_is_refused_with_file_key_found_and_expected(text: str, words: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as refusal:
        schema.load(path)
    message = str(refusal.value)
    assert message.startswith(f"{path}: ")
    assert words in message


@pytest.mark.parametrize(("text", "words"), WRONG.values(), ids=WRONG)
def test_the_command_line_says_it_in_one_line_with_status_2(text: str, words: str, tmp_path: Path) -> None:
    assert words in complaint(call("--config", written(tmp_path, text), "codec", "list"))


def test_a_long_value_is_shortened(tmp_path: Path) -> None:
    path = written(tmp_path, SUITE + f'ratios = ["{"x" * 5000}"]')
    assert len(complaint(call("--config", path, "data", "list"))) < 300


def test_a_process_of_its_own_refuses_alike(tmp_path: Path) -> None:
    path = written(tmp_path, SUITE + "ratios = [1]")
    ended = run("bench", "--dry-run", HARNESS_CONFIG=str(path))
    assert "mine.toml: suites.mine.ratios.0: input should be greater than 1; found 1" in complaint(ended)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    ended = call("--config", tmp_path / "absent.toml", "codec", "list")
    assert "absent.toml cannot be read: No such file or directory" in complaint(ended)


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        schema.load(tmp_path)


def test_bytes_that_are_no_text_are_no_configuration(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="this is not TOML"):
        schema.load(path)


def test_a_users_file_adds_to_the_tables_and_replaces_in_them(tmp_path: Path) -> None:
    packaged = schema.load()
    text = SUITE + 'ratios = [5.5]\n[codecs.webp]\ncodec = "webp"\nmethod = 0\n[codecs.mine]\ncodec = "jpeg"\n'
    loaded = schema.load(written(tmp_path, text))
    assert loaded.suite("mine").ratios == (5.5,)
    assert loaded.suite("kodak") == packaged.suite("kodak")
    assert loaded.codec_spec("webp").parameters == {"method": 0}
    assert set(loaded.codecs) == {*packaged.codecs, "mine"}
    assert loaded.codec_spec("mine").target == packaged.codec_spec("jpeg-444").target
    assert loaded.default_codecs() == (*packaged.default_codecs(), "mine")


def test_a_variant_that_is_no_default_is_left_out_of_a_plain_run(tmp_path: Path) -> None:
    loaded = schema.load(written(tmp_path, '[codecs.webp]\ncodec = "webp"\ndefault = false\n'))
    assert "webp" not in loaded.default_codecs()
    assert "webp" in loaded.codecs


def test_limits_are_set_for_each_suite(tmp_path: Path) -> None:
    loaded = schema.load(written(tmp_path, SUITE + "limits = { seconds = 7.5, memory_mb = 512 }"))
    assert (loaded.suite("mine").limits.seconds, loaded.suite("mine").limits.memory_mb) == (7.5, 512)
    assert loaded.suite("mine").limits.disk_mb == loaded.suite("kodak").limits.disk_mb


def test_a_registered_name_needs_no_table() -> None:
    assert schema.load().codec_spec("raw").parameters == {}


@pytest.mark.parametrize(
    ("name", "hint"), [("jpg-444", "Did you mean 'jpeg-444'?"), ("qqqqqq", "Known: ")], ids=["near", "far"]
)
def test_an_unknown_codec_is_answered_with_the_nearest_and_the_known(name: str, hint: str) -> None:
    with pytest.raises(UnknownNameError, match=f"no codec is called '{name}'") as refusal:
        schema.load().codec_spec(name)
    assert hint in str(refusal.value)


def test_a_wrong_parameter_of_a_codec_names_codec_and_value(tmp_path: Path) -> None:
    path = written(tmp_path, '[codecs.mine]\ncodec = "jpeg"\nsubsampling = "4:1:1"\n')
    line = complaint(call("--config", path, "codec", "show", "mine"))
    assert "the codec 'mine' cannot be built with subsampling = '4:1:1'" in line


def test_an_unknown_key_of_a_codec_is_named_with_its_table_and_those_that_are_known(tmp_path: Path) -> None:
    path = written(tmp_path, '[codecs.mine]\ncodec = "webp"\nmethd = 3\n')
    line = complaint(call("--config", path, "codec", "show", "mine"))
    assert "codecs.mine.methd is not a key of the codec 'webp'. Known: method" in line


def test_the_configuration_cannot_be_changed_once_read() -> None:
    loaded: Config = schema.load()
    with pytest.raises(ValidationError):
        loaded.default_suite = "kodak"


def test_every_packaged_codec_and_suite_refers_to_what_exists() -> None:
    loaded = schema.load()
    assert {loaded.codec_spec(name).id for name in loaded.codecs} == set(loaded.codecs)
    assert {suite.data for suite in loaded.suites.values()} <= set(loaded.data)
    assert {"demo", "kodak", "gray16"} <= set(loaded.suites)
    assert loaded.suite(loaded.default_suite).data == "demo"
