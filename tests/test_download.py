"""A download against a server on this machine that breaks off, changes its file and answers wrongly on demand."""

import errno
import hashlib
import json
import os
import re
import socket
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import one_line

from aevlp.pipeline.files import download
from aevlp.pipeline.files.download import WAITS, fetch

CONTENT = bytes(range(256)) * 8
OTHER = bytes(reversed(CONTENT))
EVENING = "Mon, 06 May 2024 18:00:00 GMT"


@dataclass
class Served:
    """The one file of the server, how it is served, and which requests have come."""

    content: bytes = CONTENT
    etag: str | None = '"one"'
    last_modified: str | None = None
    ranges: bool = True
    if_range: bool = True
    length: str | None = "right"  # or a number, or None: not said
    chunked: bool = False
    cuts: list[int] = field(default_factory=list)  # bytes after which each answer in turn breaks off
    always_cut: int | None = None
    statuses: list[int] = field(default_factory=list)  # what each answer in turn is instead of the file
    always_status: int | None = None
    location: str | None = None
    content_range: str | None = None
    stall: threading.Event | None = None
    requests: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    @property
    def asked(self) -> list[str | None]:
        """The Range of every request so far."""
        return [r.get("range") for r in self.requests]


class Handler(BaseHTTPRequestHandler):
    """Serves what `served` says."""

    served: Served

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        served = self.served
        asked = {name.lower(): value for name, value in self.headers.items()}
        served.requests.append(asked)
        status = served.statuses.pop(0) if served.statuses else served.always_status
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", served.location or "")
            self.end_headers()
        elif status is not None:
            self.send_response(status)
            self.end_headers()
        else:
            self.send_file(served, asked)

    def send_file(self, served: Served, asked: dict[str, str]) -> None:
        start, whole = 0, len(served.content)
        same = "if-range" not in asked or asked["if-range"] in (served.etag, served.last_modified)
        partial = "range" in asked and served.ranges and (same or not served.if_range)
        if partial:
            start = int(asked["range"].removeprefix("bytes=").removesuffix("-"))
            if start >= whole:
                self.send_response(416)
                if served.content_range != "":
                    self.send_header("Content-Range", f"bytes */{whole}")
                self.end_headers()
                self.wfile.write(b"there is nothing")
                return
        self.send_response(206 if partial else 200)
        if partial and served.content_range != "":
            self.send_header("Content-Range", served.content_range or f"bytes {start}-{whole - 1}/{whole}")
        for name, value in (("ETag", served.etag), ("Last-Modified", served.last_modified)):
            if value:
                self.send_header(name, value)
        body = served.content[start:]
        if served.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif served.length is not None:
            self.send_header("Content-Length", str(len(body)) if served.length == "right" else served.length)
        self.end_headers()
        cut = served.cuts.pop(0) if served.cuts else served.always_cut
        body = body if cut is None else body[:cut]
        self.wfile.write(b"%x\r\n%s\r\n" % (len(body), body) if served.chunked and body else body)
        if served.chunked and cut is None:
            self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()
        if served.stall is not None:
            served.stall.wait(60)


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def serve(server: ThreadingHTTPServer, **switches) -> Served:
    """Let the server serve another file, or the same in another way."""
    Handler.served = Served(url=f"http://127.0.0.1:{server.server_port}/file", **switches)
    return Handler.served


@pytest.fixture(scope="module", autouse=True)
def waited() -> Iterator[list[float]]:
    """The waits between the tries, which take no time here; and no proxy."""
    waits: list[float] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(download, "sleep", waits.append)
        patch.setenv("no_proxy", "*")
        yield waits


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "file.tar"


def md5_of(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def get(
    served: Served, target: Path, md5: str | None = None, size: int | None = None, url: str | None = None
) -> list[tuple[int, int | None]]:
    """Fetch the served file; return what the progress was told."""
    told: list[tuple[int, int | None]] = []
    fetch(url or served.url, target, md5, size, lambda done, total: told.append((done, total)))
    return told


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def part_of(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def leave_part(served: Served, target: Path, length: int, md5: str | None = None) -> None:
    """Let a download end after `length` bytes, all tries spent."""
    served.cuts = [length] + [0] * len(WAITS)
    with one_line(f"{length:,} of .* bytes"):
        get(served, target, md5)
    assert part_of(target).read_bytes() == served.content[:length]
    served.requests.clear()


def test_a_file_arrives_whole_and_alone(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    served = serve(server)
    target = tmp_path / "data" / "voc" / "file.tar"
    told = get(served, target, md5_of(CONTENT), len(CONTENT))
    assert target.read_bytes() == CONTENT
    assert names(target.parent) == ["file.tar"]
    assert told[0] == (0, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert served.asked == [None]


def test_an_empty_file_arrives_too(server: ThreadingHTTPServer, target: Path) -> None:
    get(serve(server, content=b""), target, md5_of(b""), 0)
    assert target.read_bytes() == b""
    assert names(target.parent) == ["file.tar"]


@settings(max_examples=60, deadline=None)
@given(
    content=st.binary(max_size=300),
    cuts=st.lists(st.integers(0, 300), max_size=len(WAITS)),
    ranges=st.booleans(),
    chunked=st.booleans(),
    etag=st.sampled_from(['"one"', 'W/"one"', None]),
    last_modified=st.sampled_from([EVENING, None]),
    checked=st.booleans(),
)
def test_broken_off_anywhere_it_is_the_same_file(
    server: ThreadingHTTPServer, content: bytes, cuts: list[int], checked: bool, **switches
) -> None:
    cuts = [cut % len(content) for cut in cuts if content]
    served = serve(server, content=content, cuts=list(cuts), **switches)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "file"
        get(served, target, md5_of(content) if checked else None)
        assert target.read_bytes() == content
        assert names(target.parent) == ["file"]
    assert (len(served.requests) > 1) == bool(cuts)


@settings(max_examples=40, deadline=None)
@given(first=st.integers(1, len(CONTENT) - 1), second=st.integers(1, len(CONTENT) - 1), checked=st.booleans())
def test_the_same_command_goes_on_where_it_stopped(
    server: ThreadingHTTPServer, first: int, second: int, checked: bool
) -> None:
    first, second = sorted((first, second))
    served = serve(server)
    md5 = md5_of(CONTENT) if checked else None
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "file"
        leave_part(served, target, first, md5)
        served.cuts = [second - first] + [0] * len(WAITS)
        with one_line("goes on from there"):
            get(served, target, md5)
        assert names(target.parent) == ["file.part", "file.part.json"]
        told = get(served, target, md5)
        assert target.read_bytes() == CONTENT
        assert names(target.parent) == ["file"]
        assert told[0] == (second, len(CONTENT))
    assert served.asked[0] == f"bytes={first}-"
    assert served.asked[-1] == f"bytes={second}-"
    assert {r["if-range"] for r in served.requests} == {'"one"'}


def test_every_try_continues_and_one_that_helps_starts_the_count_anew(
    server: ThreadingHTTPServer, target: Path, waited: list[float]
) -> None:
    served = serve(server, content=CONTENT[:100], always_cut=10)
    waited.clear()
    get(served, target)
    assert target.read_bytes() == CONTENT[:100]
    assert served.asked == [None, *(f"bytes={n}-" for n in range(10, 100, 10))]
    assert waited == [WAITS[0]] * 9


def test_tries_that_bring_nothing_end(server: ThreadingHTTPServer, target: Path, waited: list[float]) -> None:
    served = serve(server, always_cut=0)
    waited.clear()
    with one_line(rf"cannot download {served.url}: .*; 0 of 2,048 bytes are there and .*by hand from {served.url} to "):
        get(served, target)
    assert waited == list(WAITS)
    assert len(served.requests) == 1 + len(WAITS)
    assert not target.exists()


def test_a_server_without_ranges_that_always_breaks_off_ends_too(server: ThreadingHTTPServer, target: Path) -> None:
    served = serve(server, ranges=False, cuts=[20, 10, 15, 10, 15])
    with one_line("10 of 2,048 bytes"):
        get(served, target)
    assert served.cuts == [15]  # only the first of them came further than all before


def test_without_ranges_it_starts_over(server: ThreadingHTTPServer, target: Path) -> None:
    leave_part(serve(server), target, 100)
    served = serve(server, ranges=False)
    told = get(served, target)
    assert served.asked == ["bytes=100-"]
    assert told[0] == (0, len(CONTENT))
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("if_range", [True, False])  # False: the server sends a piece of its new file all the same
@pytest.mark.parametrize("before", [{"etag": '"one"'}, {"etag": None, "last_modified": EVENING}])
def test_a_file_that_changed_starts_over(
    server: ThreadingHTTPServer, target: Path, before: dict[str, str | None], if_range: bool
) -> None:
    leave_part(serve(server, **before), target, 100)
    after = {name: value and value.replace("one", "two").replace("06 May", "07 May") for name, value in before.items()}
    served = serve(server, content=OTHER, if_range=if_range, **after)
    get(served, target)
    assert served.requests[0]["if-range"] == (before["etag"] or EVENING)
    assert target.read_bytes() == OTHER


def test_a_file_of_another_length_starts_over_although_its_name_is_the_same(
    server: ThreadingHTTPServer, target: Path
) -> None:
    leave_part(serve(server), target, 100)
    served = serve(server, content=OTHER + b"more")
    get(served, target)
    assert served.asked == ["bytes=100-", None]
    assert target.read_bytes() == OTHER + b"more"


def test_without_md5_and_without_validator_it_starts_over(server: ThreadingHTTPServer, target: Path) -> None:
    served = serve(server, etag='W/"weak"')
    served.cuts = [100] + [0] * len(WAITS)
    with one_line("starts over"):
        get(served, target)
    served = serve(server, etag='W/"weak"', content=OTHER)
    get(served, target)
    assert served.asked == [None]
    assert target.read_bytes() == OTHER


@pytest.mark.parametrize("notes", [None, "", "{", "[]", "null", "{}", '{"url": "http://127.0.0.1/another"}'])
def test_a_part_from_elsewhere_goes_on_if_the_md5_can_tell(
    server: ThreadingHTTPServer, target: Path, notes: str | None
) -> None:
    served = serve(server)
    part_of(target).write_bytes(CONTENT[:100])
    if notes is not None:
        part_of(target).with_suffix(".part.json").write_text(notes)
    get(served, target, md5_of(CONTENT))
    assert served.asked == ["bytes=100-"]
    assert "if-range" not in served.requests[0]
    assert target.read_bytes() == CONTENT


def test_a_part_from_elsewhere_starts_over_if_nothing_can_tell(server: ThreadingHTTPServer, target: Path) -> None:
    served = serve(server)
    part_of(target).write_bytes(OTHER[:100])
    part_of(target).with_suffix(".part.json").write_text(
        json.dumps({"url": "http://127.0.0.1/another", "validator": '"one"', "total": len(CONTENT)})
    )
    get(served, target)
    assert served.asked == [None]
    assert target.read_bytes() == CONTENT


def test_a_part_that_is_whole_is_verified_without_a_request(server: ThreadingHTTPServer, target: Path) -> None:
    served = serve(server)
    leave_part(served, target, 100)
    part_of(target).write_bytes(CONTENT)
    get(served, target)
    assert served.requests == []
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("content_range", [None, ""])  # "": the answer does not say the file's length
def test_nothing_beyond_the_part_means_whole(
    server: ThreadingHTTPServer, target: Path, content_range: str | None
) -> None:
    served = serve(server, content_range=content_range)
    part_of(target).write_bytes(CONTENT)
    get(served, target, md5_of(CONTENT))
    assert served.asked == [f"bytes={len(CONTENT)}-"]
    assert target.read_bytes() == CONTENT


def test_a_whole_part_with_a_wrong_md5_is_deleted(server: ThreadingHTTPServer, target: Path) -> None:
    served = serve(server)
    part_of(target).write_bytes(OTHER)
    with one_line(f"has md5 {md5_of(OTHER)}, expected {md5_of(CONTENT)}"):
        get(served, target, md5_of(CONTENT))
    assert names(target.parent) == []


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_a_part_longer_than_the_file_starts_over(server: ThreadingHTTPServer, target: Path, size: int | None) -> None:
    served = serve(server)
    part_of(target).write_bytes(CONTENT + b"more")
    get(served, target, md5_of(CONTENT), size)
    assert served.asked == ([f"bytes={len(CONTENT) + 4}-", None] if size is None else [None])
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "content_range", ["", "bytes 7-2047/2048", "bytes 100-2047/*", "bytes 100-199/200", "pages 1-2"]
)
def test_a_piece_from_another_place_is_not_appended(
    server: ThreadingHTTPServer, target: Path, content_range: str
) -> None:
    served = serve(server)
    leave_part(served, target, 100)
    served.content_range = content_range
    get(served, target)
    assert served.asked == ["bytes=100-", None]
    assert target.read_bytes() == CONTENT


def test_a_wrong_md5_names_both_and_deletes_what_could_never_become_right(
    server: ThreadingHTTPServer, target: Path
) -> None:
    served = serve(server, content=OTHER)
    with one_line(
        rf"has md5 {md5_of(OTHER)}, expected {md5_of(CONTENT)}.*is deleted.* by hand from {served.url} to {target}"
    ):
        get(served, target, md5_of(CONTENT))
    assert names(target.parent) == []


def test_another_published_length_is_noticed_before_the_download(server: ThreadingHTTPServer, target: Path) -> None:
    served = serve(server, content=CONTENT + b"x")
    part_of(target).write_bytes(CONTENT[:100])
    with one_line("is 2,049 bytes long, expected 2,048"):
        get(served, target, None, len(CONTENT))
    assert part_of(target).read_bytes() == CONTENT[:100]
    assert len(served.requests) == 1


def test_more_than_the_published_length_is_not_waited_for_and_deleted(
    server: ThreadingHTTPServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "CHUNK", 100)
    most = 0

    def remember(done: int, total: int | None) -> None:
        nonlocal most
        most = max(most, done)

    served = serve(server, content=CONTENT * 100, length=None)
    with one_line(r"is 2,\d\d\d bytes long, expected 2,048.*is deleted"):
        fetch(served.url, target, None, len(CONTENT), remember)
    assert len(CONTENT) < most <= len(CONTENT) + 100
    assert names(target.parent) == []


def test_less_than_the_published_length_is_kept(server: ThreadingHTTPServer, target: Path) -> None:
    served = serve(server, content=CONTENT[:-1], length=None, ranges=False)
    with one_line("2,047 of 2,048 bytes are kept"):
        get(served, target, md5_of(CONTENT), len(CONTENT))
    served.ranges = True  # now the server says how long its file is
    with one_line("is 2,047 bytes long, expected 2,048"):
        get(served, target, md5_of(CONTENT), len(CONTENT))
    assert part_of(target).read_bytes() == CONTENT[:-1]
    assert not target.exists()


def test_less_than_the_announced_length_is_kept(server: ThreadingHTTPServer, target: Path) -> None:
    served = serve(server, length="3000", ranges=False)
    with one_line("2,048 of 3,000 bytes are kept"):
        get(served, target)
    assert part_of(target).read_bytes() == CONTENT
    assert not target.exists()


def test_no_announced_length_is_no_obstacle(server: ThreadingHTTPServer, target: Path) -> None:
    told = get(serve(server, length=None), target, md5_of(CONTENT))
    assert target.read_bytes() == CONTENT
    assert told[0] == (0, None)
    assert told[-1] == (len(CONTENT), len(CONTENT))


@pytest.mark.parametrize("status", [403, 404, 410, 204])
def test_a_refusal_is_one_clear_line_at_once(server: ThreadingHTTPServer, target: Path, status: int) -> None:
    served = serve(server, always_status=status)
    with one_line(rf"{served.url} answered {status} \w+.*by hand from {served.url} to {target}"):
        get(served, target)
    assert len(served.requests) == 1
    assert names(target.parent) == []


def test_a_refusal_keeps_what_is_there(server: ThreadingHTTPServer, target: Path) -> None:
    served = serve(server)
    leave_part(served, target, 100)
    served.always_status = 404
    with one_line("404"):
        get(served, target)
    served.always_status = None
    get(served, target)
    assert served.asked == ["bytes=100-"] * 2
    assert target.read_bytes() == CONTENT


def test_a_server_that_is_overloaded_is_asked_again(server: ThreadingHTTPServer, target: Path) -> None:
    served = serve(server, statuses=[503, 429, 500])
    get(served, target)
    assert target.read_bytes() == CONTENT
    served.always_status = 503
    with one_line("answered 503"):
        get(served, target.with_name("another"))


def test_an_unasked_piece_is_refused(server: ThreadingHTTPServer, target: Path) -> None:
    with one_line("answered 206"):
        get(serve(server, statuses=[206]), target)


def test_no_connection_is_one_clear_line(server: ThreadingHTTPServer, target: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # taken, and nobody listens
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/file"
        with one_line(rf"cannot download {url}: no connection: Connection refused.*by hand from {url} to {target}"):
            get(serve(server), target, url=url)
    assert names(target.parent) == []


def test_a_server_that_falls_silent_counts_as_broken(
    server: ThreadingHTTPServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "TIMEOUT", 0.5)
    monkeypatch.setattr(download, "WAITS", ())
    served = serve(server, cuts=[100], stall=threading.Event())
    assert served.stall is not None
    try:
        with one_line("timed out; 100 of 2,048 bytes are kept"):
            get(served, target)
    finally:
        served.stall.set()
    assert part_of(target).read_bytes() == CONTENT[:100]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "/etc/passwd", ""])
def test_only_the_web_is_fetched_from(server: ThreadingHTTPServer, target: Path, url: str) -> None:
    with one_line("expected an address that begins with http:// or https://"):
        fetch(url, target, None, None, lambda done, total: None)
    assert names(target.parent) == []


@pytest.mark.parametrize("url", ["http://", "http://[", "http://127.0.0.1:port/x", "http://127.0.0.1/a b"])
def test_an_address_that_is_none_is_one_clear_line(server: ThreadingHTTPServer, target: Path, url: str) -> None:
    with one_line(rf"cannot download .?{re.escape(url)}"):
        fetch(url, target, None, None, lambda done, total: None)
    assert names(target.parent) == []


def test_a_redirect_is_followed_with_the_range(server: ThreadingHTTPServer, target: Path) -> None:
    served = serve(server)
    moved = served.url.replace("/file", "/moved")
    served.location = served.url
    part_of(target).write_bytes(CONTENT[:100])
    get(served, target, md5_of(CONTENT), url=moved)
    assert served.asked == ["bytes=100-"] * 2
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x"])
def test_a_redirect_leads_to_the_web_only(server: ThreadingHTTPServer, target: Path, location: str) -> None:
    served = serve(server, location=location)
    moved = served.url.replace("/file", "/moved")
    with one_line(rf"{moved} answered 302 .*{location}.* is not allowed"):
        get(served, target, url=moved)
    assert len(served.requests) == 1
    assert names(target.parent) == []


def test_a_redirect_in_a_circle_ends(server: ThreadingHTTPServer, target: Path) -> None:
    served = serve(server, location="/moved")
    with one_line("answered 302"):
        get(served, target, url=served.url.replace("/file", "/moved"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device that is always full is Linux's")
def test_a_full_disk_is_one_clear_line(server: ThreadingHTTPServer, target: Path) -> None:
    part_of(target).symlink_to("/dev/full")
    with one_line(f"cannot write {target}: {os.strerror(errno.ENOSPC)}.*the same command goes on"):
        get(serve(server), target)
    assert not target.exists()


def test_a_folder_that_cannot_be_made_is_one_clear_line(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with one_line("cannot write .*data/file.tar: "):
        get(serve(server), tmp_path / "data" / "file.tar")


def test_a_file_that_is_there_is_verified_and_taken(server: ThreadingHTTPServer, target: Path) -> None:
    served = serve(server)
    target.write_bytes(CONTENT)
    assert get(served, target, md5_of(CONTENT), len(CONTENT))[-1] == (len(CONTENT), len(CONTENT))
    assert get(served, target)[-1] == (len(CONTENT), len(CONTENT))
    assert served.requests == []
    assert target.read_bytes() == CONTENT


def test_a_wrong_file_that_is_there_is_named_and_left(server: ThreadingHTTPServer, target: Path) -> None:
    served = serve(server)
    target.write_bytes(OTHER)
    with one_line(f"{target} has md5 {md5_of(OTHER)}, expected {md5_of(CONTENT)}: move it away"):
        get(served, target, md5_of(CONTENT))
    with one_line(f"{target} is 2,048 bytes long, expected 7: move it away"):
        get(served, target, None, 7)
    assert target.read_bytes() == OTHER
    assert served.requests == []


@settings(max_examples=20, deadline=None)
@given(pieces=st.integers(1, 8))
def test_an_interrupt_keeps_what_has_arrived(server: ThreadingHTTPServer, pieces: int) -> None:
    def interrupt(done: int, total: int | None) -> None:
        if done >= pieces * 100:
            raise KeyboardInterrupt

    served = serve(server)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(download, "CHUNK", 100)
        target = Path(folder) / "file"
        with pytest.raises(KeyboardInterrupt):
            fetch(served.url, target, md5_of(CONTENT), None, interrupt)
        kept = part_of(target).read_bytes()
        assert len(kept) >= pieces * 100
        assert CONTENT.startswith(kept)
        assert not target.exists()
        get(served, target, md5_of(CONTENT))
        assert target.read_bytes() == CONTENT
    assert served.asked == [None, f"bytes={len(kept)}-"]


def test_content_reaches_the_disk_before_the_name_does(
    server: ThreadingHTTPServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, int, bool]] = []  # which file, how long, and whether the name was there already
    real = os.fsync

    def fsync(handle: int) -> None:
        found = os.fstat(handle)
        synced.append((found.st_ino, found.st_size, target.exists()))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    get(serve(server), target)
    assert synced == [(target.stat().st_ino, len(CONTENT), False)]
