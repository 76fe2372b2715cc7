"""Data sets: found in their package, a mirror or the cache, downloaded, and checked by their hashes."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness.config import schema
from harness.config.schema import Config, DataConfig
from harness.data import datasets
from harness.errors import DataError
from tests.support.command import call, complaint

FILES = {"one.png": b"the first file" * 100, "deeper/two words.png": b"the second file" * 100}


def table(url: str = "", files: Mapping[str, bytes] = FILES) -> str:
    """Return a benchmarks.toml with a data set called "mine"."""
    lines = ["[data.mine]", 'description = "two files"', 'licence = "none"', 'mirror = "mine"']
    lines += [f'url = "{url}"'] if url else []
    lines += [
        "[data.mine.files]",
        *(f'"{name}" = "{hashlib.sha256(body).hexdigest()}"' for name, body in files.items()),
    ]
    return "\n".join(lines)


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache and an empty mirror."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "mirror"))


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def mine(folder: Path, url: str = "") -> DataConfig:
    loaded: Config = schema.load(written(folder, table(url)))
    return loaded.data_set("mine")


def fill(folder: Path, files: Mapping[str, bytes] = FILES) -> None:
    for name, body in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(body)


@dataclass
class Site:
    """A web server on this machine, and what it was asked for."""

    url: str
    asked: list[str]
    bodies: dict[str, bytes]
    cut: int | None = None
    """How many bytes of each body are sent before the connection breaks; None: all."""


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, site: Site, *arguments: object) -> None:
        self.site = site
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self.site.asked.append(self.path)
        body = self.site.bodies.get(self.path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write((body or b"")[: self.site.cut])

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def site() -> Iterator[Site]:
    found = Site("", [], {f"/{name.replace(' ', '%20')}": body for name, body in FILES.items()})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, found)) as server:
        found.url = f"http://127.0.0.1:{server.server_port}/{{file}}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield found
        server.shutdown()
        thread.join()


def test_the_packaged_photographs_are_here_and_right() -> None:
    sources = datasets.from_set("demo", schema.load().data_set("demo"))
    assert [source.name for source in sources] == ["astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png"]
    assert "4 files, all as their hashes say" in call("data", "verify", "demo").out


def test_a_mirror_folder_serves_a_set(tmp_path: Path) -> None:
    fill(tmp_path / "mirror" / "mine")
    sources = datasets.from_set("mine", mine(tmp_path))
    assert [source.path.read_bytes() for source in sources] == list(FILES.values())
    assert {source.name for source in sources} == set(FILES)


def test_the_mirror_of_this_project_holds_what_the_tables_say(
    harness_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(harness_data))
    loaded = schema.load()
    assert len(datasets.from_set("kodak", loaded.data_set("kodak"))) == 24
    gray = datasets.from_set("gray16", loaded.data_set("gray16"))
    assert {source.sample_bits for source in gray} == {10, 12, 16}


def test_a_file_with_another_hash_is_refused_with_its_path(tmp_path: Path) -> None:
    fill(tmp_path / "mirror" / "mine", {**FILES, "one.png": b"damaged"})
    with pytest.raises(DataError, match=r"mirror/mine/one\.png .* has sha256 [0-9a-f]{16}\.\.\., expected"):
        datasets.from_set("mine", mine(tmp_path))
    line = complaint(call("--config", written(tmp_path, table()), "data", "verify", "mine"))
    assert "it is another file, or damaged" in line


@pytest.mark.parametrize(
    ("url", "ways"),
    [
        ("", "To get it, set HARNESS_DATA to a folder that holds mine/."),
        ("http://127.0.0.1:9/{file}", "run `harness data fetch mine` or set HARNESS_DATA"),
    ],
)
def test_an_absent_set_says_how_to_get_it(url: str, ways: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the data set 'mine' lacks one") as refusal:
        datasets.from_set("mine", mine(tmp_path, url))
    assert ways in str(refusal.value)


def test_fetching_downloads_checks_and_keeps_every_file(tmp_path: Path, site: Site) -> None:
    path = written(tmp_path, table(site.url))
    assert "mine: 2 files" in call("--config", path, "data", "fetch", "mine").out
    assert "mine: 2 files, all as their hashes say" in call("--config", path, "data", "verify", "mine").out
    kept = tmp_path / "cache" / "data" / "mine"
    assert {name: (kept / name).read_bytes() for name in FILES} == FILES


def test_what_is_here_is_not_fetched_again(tmp_path: Path, site: Site) -> None:
    fill(tmp_path / "mirror" / "mine", {"one.png": FILES["one.png"]})
    about = mine(tmp_path, site.url)
    for _ in range(2):
        datasets.fetch("mine", about)
    assert site.asked == ["/deeper/two%20words.png"]


def test_listing_tells_how_much_is_here(tmp_path: Path) -> None:
    path = written(tmp_path, table())
    fill(tmp_path / "mirror" / "mine", {"one.png": FILES["one.png"]})
    assert "mine: two files\n  1 of 2 files; licence: none" in call("--config", path, "data", "list").out
    fill(tmp_path / "mirror" / "mine")
    assert "mine: two files\n  complete; licence: none" in call("--config", path, "data", "list").out


def left_over(tmp_path: Path) -> list[str]:
    """Return the names of the files in the cache."""
    return [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_download_with_another_hash_is_refused_and_not_kept(tmp_path: Path, site: Site) -> None:
    site.bodies["/one.png"] = b"<html>sign in first</html>"
    line = complaint(call("--config", written(tmp_path, table(site.url)), "data", "fetch", "mine"))
    assert "one.png of the data set 'mine' cannot be fetched" in line
    assert "hash" in line
    assert left_over(tmp_path) == []


def short(folder: Path, site: Site) -> DataConfig:
    """The set "mine" with the first 8 digits of each hash alone."""
    text = table(site.url)
    for body in FILES.values():
        digest = hashlib.sha256(body).hexdigest()
        text = text.replace(digest, digest[:8])
    text = text.replace("[data.mine]", "[data.mine]\nhash_start = true")
    return schema.load(written(folder, text)).data_set("mine")


def test_a_hash_of_eight_digits_is_held_to(tmp_path: Path, site: Site) -> None:
    about = short(tmp_path, site)
    kept = tmp_path / "cache" / "data" / "mine"
    fill(kept, {"one.png": b"damaged"})
    with pytest.raises(DataError, match=r"one\.png .* has sha256"):
        datasets.from_set("mine", about)
    datasets.fetch("mine", about)
    verified = call("--config", tmp_path / "mine.toml", "data", "verify", "mine").out
    assert "2 files, all as the first 8 digits of their hashes say" in verified
    assert {source.name: source.path.read_bytes() for source in datasets.from_set("mine", about)} == FILES


def test_a_download_with_another_start_of_its_hash_is_refused_and_not_kept(tmp_path: Path, site: Site) -> None:
    site.bodies["/one.png"] = b"<html>sign in first</html>"
    with pytest.raises(DataError, match=r"one\.png of the data set 'mine' has another hash"):
        datasets.fetch("mine", short(tmp_path, site))
    assert left_over(tmp_path) == []


def test_a_download_that_breaks_off_is_refused_and_not_kept_and_can_be_repeated(tmp_path: Path, site: Site) -> None:
    path = written(tmp_path, table(site.url))
    site.cut = 700
    assert "one.png of the data set 'mine' cannot be fetched" in complaint(
        call("--config", path, "data", "fetch", "mine")
    )
    assert left_over(tmp_path) == []
    site.cut = None
    assert call("--config", path, "data", "fetch", "mine").status == 0


def test_a_file_that_the_site_lacks_is_named(tmp_path: Path, site: Site) -> None:
    del site.bodies["/one.png"]
    line = complaint(call("--config", written(tmp_path, table(site.url)), "data", "fetch", "mine"))
    assert "one.png" in line
    assert "404" in line


def test_nothing_reachable_is_one_line(tmp_path: Path) -> None:
    path = written(tmp_path, table("http://127.0.0.1:9/{file}"))
    line = complaint(call("--config", path, "data", "fetch", "mine"))
    assert "one.png of the data set 'mine' cannot be fetched" in line


def test_a_set_without_an_address_says_what_to_do(tmp_path: Path) -> None:
    line = complaint(call("--config", written(tmp_path, table()), "data", "fetch", "mine"))
    assert "cannot be downloaded. To get it, set HARNESS_DATA to a folder that holds mine/." in line


def test_a_cache_that_cannot_be_written_is_one_line(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "taken"))
    line = complaint(call("--config", written(tmp_path, table(site.url)), "data", "fetch", "mine"))
    assert "cannot be fetched" in line


@pytest.mark.parametrize("command", ["fetch", "verify"])
def test_an_unknown_set_is_answered_with_the_nearest(command: str) -> None:
    assert "no data set is called 'kodac'. Did you mean 'kodak'?" in complaint(call("data", command, "kodac"))
