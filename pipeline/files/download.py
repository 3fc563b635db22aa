"""A URL -> a file, whole and verified: a download that broke off goes on, and only the right file gets the name."""

import hashlib
import json
import os
import re
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPException, HTTPMessage, InvalidURL
from pathlib import Path
from time import sleep
from typing import Any
from urllib.error import HTTPError, URLError

from ..errors import AevlpError

Progress = Callable[[int, int | None], None]

WAITS = (1.0, 2.0, 4.0)  # seconds before each new try; a try that brings the file further starts the count anew
TIMEOUT = 30.0  # seconds without a byte, after which a connection counts as broken
CHUNK = 1 << 18  # bytes


def fetch(url: str, target: Path, md5: str | None, size: int | None, progress: Progress) -> None:
    """Download `url` to `target`, which exists afterwards whole and verified, or not at all.

    url: http or https; redirects are followed to these two only.
    target: where a file stands already, it is verified and taken as it is. Until the download is whole it is called
        `target` + ".part", beside it ".part.json" with what tells whether the server still has the same file.
    md5: the published checksum, 32 lower-case hexadecimal digits; None: a resumed download relies on the server's ETag or
        Last-Modified, and starts over where there is neither.
    size: the published length in bytes, None where it is not known.
    progress: called with the bytes done and all bytes, None as long as these are not known; from the start again while the
        file is read for its md5.

    Raises AevlpError where the address, the answer, the network or the disk fails, and where length or md5 differ. What has
    arrived is kept unless it can never become right, on Ctrl-C too.
    """
    by_hand = f"or download it by hand from {url} to {target}, and the same command takes it from there"
    if not re.match("https?://", url, re.IGNORECASE):
        raise AevlpError(
            f"cannot download {url!r} to {target}: expected an address that begins with http:// or https://"
        )
    try:
        if target.exists():
            if fault := _fault(target, md5, size, progress):
                raise AevlpError(f"{target} {fault}: move it away, and the same command downloads it anew from {url}")
            return
        part = _Part(url, target, md5, size, by_hand)
        _receive_all(part, progress)
        if fault := _fault(part.path, md5, part.expected, progress):
            part.delete()
            raise AevlpError(
                f"{url} {fault}: {part.path} could never become right and is deleted; try again, {by_hand}"
            )
        with part.path.open("rb") as file:
            os.fsync(file.fileno())  # the content reaches the disk before the name does
        part.path.replace(target)
        part.delete()
    except OSError as error:  # of the disk: the network's have become _Broken
        raise AevlpError(
            f"cannot write {target}: {error.strerror or error}; what has arrived is kept: "
            "make room, or make file and folder accessible, and the same command goes on"
        ) from error


class _Broken(Exception):
    """A connection that could not be made or did not hold; another try may."""


class _Part:
    """What is there of the file, and which file of the server it is the beginning of."""

    def __init__(self, url: str, target: Path, md5: str | None, size: int | None, by_hand: str) -> None:
        self.url, self.md5, self.size, self.by_hand = url, md5, size, by_hand
        self.path = target.with_name(target.name + ".part")
        self._notes = target.with_name(target.name + ".part.json")
        self.done = self.path.stat().st_size if self.path.exists() else 0
        self._validator, self._total = self._remembered()

    @property
    def expected(self) -> int | None:
        """The whole file's length in bytes, as published or else as the server said."""
        return self._total if self.size is None else self.size

    @property
    def can_go_on(self) -> bool:
        """Whether more may be appended, as a wrong seam would show."""
        fits = self.expected is None or self.done <= self.expected
        return self.done > 0 and fits and bool(self.md5 or self._validator)

    def receive(self, progress: Progress) -> None:
        """Make one request and append what it brings; raises _Broken where the file is not whole then."""
        headers = {"User-Agent": "aevlp"}
        if self.can_go_on:
            if self.done == self.expected:
                return
            headers["Range"] = f"bytes={self.done}-"
            if self._validator:
                headers["If-Range"] = self._validator
        with self._ask(headers) as answer:
            if answer.status == 200:
                self._check_published(answer.length)
                self._start_over(_validator(answer.headers), answer.length)
            elif not self._belongs(answer.status, answer.headers):
                self._start_over(None, None)
                raise _Broken("the server has another file than before")
            elif answer.status == 416:  # there is nothing beyond what is here
                return
            progress(self.done, self.expected)
            with self.path.open("ab") as file:
                for piece in _pieces(answer):
                    file.write(piece)
                    self.done += len(piece)
                    progress(self.done, self.expected)
                    if self.expected is not None and self.done > self.expected:
                        return  # too long to be right, and perhaps without an end
        if self.expected is not None and self.done < self.expected:
            raise _Broken("the connection ended early")

    def delete(self) -> None:
        """Remove the part and what is remembered of it."""
        self.path.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)

    def _ask(self, headers: dict[str, str]) -> Any:
        try:
            opener = urllib.request.build_opener(_WebOnly)
            answer = opener.open(urllib.request.Request(self.url, headers=headers), timeout=TIMEOUT)
        except HTTPError as error:
            answer = error
        except (ValueError, InvalidURL) as error:
            raise AevlpError(f"cannot download {self.url!r}: {error}") from error
        except (OSError, HTTPException) as error:
            raise _Broken(f"no connection: {_reason(error)}") from error
        status = answer.status or 0
        if status == 200 or (status in (206, 416) and "Range" in headers):
            return answer
        answer.close()
        said = f"answered {status} {' '.join(str(answer.reason).split())}"
        if status >= 500 or status in (408, 429):  # it may do better in a moment
            raise _Broken(f"the server {said}")
        raise AevlpError(f"{self.url} {said}, expected the file: see whether the address has changed, {self.by_hand}")

    def _belongs(self, status: int, headers: HTTPMessage) -> bool:
        """Tell whether an answer carries the part on (206), or says that it is whole (416)."""
        place = re.fullmatch(r"bytes (\d+|\*)(?:-\d+)?/(\d+)", headers.get("Content-Range", ""))
        start, total = (place[1], int(place[2])) if place else (None, None)
        self._check_published(total)
        if status == 416:
            return {total, self.expected} <= {None, self.done}
        kind = "ETag" if (self._validator or "").startswith('"') else "Last-Modified"
        unchanged = self._validator is None or headers.get(kind, self._validator) == self._validator
        if not unchanged or start != str(self.done) or self.expected not in (None, total):
            return False
        self._total = total
        return True

    def _check_published(self, total: int | None) -> None:
        if total is not None and self.size not in (None, total):
            raise AevlpError(
                f"{self.url} is {total:,} bytes long, expected {self.size:,}: it is another file; "
                f"see whether the address has changed, {self.by_hand}"
            )

    def _start_over(self, validator: str | None, total: int | None) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(b"")  # before the notes, which must never speak of bytes of another file
        self.done, self._validator, self._total = 0, validator, total
        self._notes.write_text(json.dumps({"url": self.url, "validator": validator, "total": total}), encoding="utf-8")

    def _remembered(self) -> tuple[str | None, int | None]:
        try:
            notes = json.loads(self._notes.read_text(encoding="utf-8"))
            if notes["url"] == self.url:
                return notes["validator"], notes["total"]
        except (OSError, ValueError, TypeError, KeyError):  # none, or not ours
            pass
        return None, None


def _receive_all(part: _Part, progress: Progress) -> None:
    """Receive until the file is whole, with a few more tries where a connection breaks."""
    furthest, failures = part.done, 0
    while True:
        try:
            return part.receive(progress)
        except _Broken as error:
            failures = 1 if part.done > furthest else failures + 1
            furthest = max(part.done, furthest)
            if failures > len(WAITS):
                there = f"{part.done:,} of {'unknown' if part.expected is None else f'{part.expected:,}'} bytes"
                kept = f"are kept in {part.path} and the same command goes on from there"
                raise AevlpError(
                    f"cannot download {part.url}: {error}; {there} "
                    f"{kept if part.can_go_on else 'are there and the same command starts over'}, {part.by_hand}"
                ) from error
        sleep(WAITS[failures - 1])


def _fault(path: Path, md5: str | None, size: int | None, progress: Progress) -> str | None:
    """Say how a file differs from what is expected of it, None where it does not."""
    length, done = path.stat().st_size, 0
    if size not in (None, length):
        return f"is {length:,} bytes long, expected {size:,}"
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while md5 and (piece := file.read(CHUNK)):
            digest.update(piece)
            done += len(piece)
            progress(done, length)
    if md5 and digest.hexdigest() != md5:
        return f"has md5 {digest.hexdigest()}, expected {md5}"
    progress(length, length)
    return None


def _pieces(answer: Any) -> Iterator[bytes]:
    while True:
        try:
            piece = answer.read1(CHUNK)  # what there is: waiting for a full piece would lose it where the rest fails
        except (OSError, HTTPException) as error:
            raise _Broken(f"the connection broke: {_reason(error)}") from error
        if not piece:
            return
        yield piece


def _reason(error: Any) -> str:
    if isinstance(error, URLError):
        error = error.reason
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _validator(headers: HTTPMessage) -> str | None:
    """Return what If-Range may hold: a strong ETag, or else the date."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified")


class _WebOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https; urllib itself would go on to ftp."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: HTTPMessage, newurl: str) -> Any:
        if not re.match("https?:", newurl, re.IGNORECASE):
            raise HTTPError(req.full_url, code, f"{msg} - Redirection to url '{newurl}' is not allowed", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
