"""A small S3 store on loopback: a bucket's objects, listed a page at a time, read whole or in ranges, written whole or in parts,
and deleted; it counts requests."""

import hashlib
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

PAGE = 1000  # names a listing, as S3 gives them
TIME = 1_700_000_000


class S3Store(ThreadingHTTPServer):
    """objects: content by bucket and key, `photos/a.jpg` in the bucket `photos`. fails: what is answered instead, a status.

    parts: of uploads that are not complete, by the name of the upload, which is that of the object.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.objects: dict[str, bytes] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.requests: list[tuple[str, str]] = []
        self.fails: Callable[[str, str], int | None] = lambda kind, name: None

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that has gone."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def put_folder(self, folder: Path, place: str) -> None:
        """Put all files below a folder, as `bucket/prefix` has it."""
        files = [path for path in folder.rglob("*") if path.is_file()]
        self.objects |= {f"{place}/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in files}

    def counted(self) -> dict[str, int]:
        """Return how many requests of each kind there were since it was last asked.

        Kinds: list, head, get, range, put, part, post, delete.
        """
        count = Counter(kind for kind, _ in self.requests)
        self.requests.clear()
        return dict(count)


@contextmanager
def s3_store() -> Iterator[S3Store]:
    """Run a store for as long as the context lasts."""
    with S3Store() as store:
        thread = threading.Thread(target=store.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield store
        store.shutdown()
        thread.join()


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: S3Store  # type: ignore[assignment]

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._object("head")

    def do_GET(self) -> None:
        query = self._query()
        if "list-type" in query:
            self._listing(query)
        else:
            self._object("range" if "Range" in self.headers else "get")

    def do_PUT(self) -> None:
        name, query, content = self._name(), self._query(), self._body()
        if self._failed("part" if "uploadId" in query else "put", name):
            return
        if "uploadId" in query:
            self.server.parts[name][int(query["partNumber"])] = content
        else:
            self.server.objects[name] = content
        self._send(200, b"", {"ETag": f'"{_etag(content)}"'})

    def do_POST(self) -> None:
        name, query, content = self._name(), self._query(), self._body().decode()
        if self._failed("post", name):
            return
        if "delete" in query:
            for key in re.findall("<Key>(.*?)</Key>", content):
                self.server.objects.pop(f"{name}/{unescape(key)}", None)
            self._send(200, b'<?xml version="1.0"?><DeleteResult/>')
            return
        bucket, _, key = name.partition("/")
        what = f"<Bucket>{bucket}</Bucket><Key>{escape(key)}</Key>"
        if "uploads" in query:
            self.server.parts[name] = {}
            kind, what = "InitiateMultipartUploadResult", f"{what}<UploadId>1</UploadId>"
        else:
            self.server.objects[name] = b"".join(part for _, part in sorted(self.server.parts.pop(name).items()))
            kind, what = "CompleteMultipartUploadResult", f"{what}<ETag>1</ETag>"
        self._send(200, f'<?xml version="1.0"?><{kind}>{what}</{kind}>'.encode())

    def do_DELETE(self) -> None:
        name = self._name()
        if self._failed("delete", name):
            return
        (self.server.parts if "uploadId" in self._query() else self.server.objects).pop(name, None)
        self._send(204, b"")

    def _query(self) -> dict[str, str]:
        query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        return {key: values[0] for key, values in query.items()}

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _name(self) -> str:
        return unquote(urlsplit(self.path).path).strip("/")

    def _failed(self, kind: str, name: str) -> bool:
        self.server.requests.append((kind, name))
        status = self.server.fails(kind, name)
        if status is not None:
            self._send(status, _error({403: "AccessDenied", 503: "ServiceUnavailable"}[status]))
        return status is not None

    def _object(self, kind: str) -> None:
        name = self._name()
        if self._failed(kind, name):
            return
        if name not in self.server.objects:
            self._send(404, _error("NoSuchKey"))
            return
        content = self.server.objects[name]
        headers = {"ETag": f'"{_etag(content)}"', "Last-Modified": formatdate(TIME, usegmt=True)}
        if kind != "range":
            self._send(200, content, headers)
            return
        first, last = self.headers["Range"].removeprefix("bytes=").split("-")
        part = content[int(first) : int(last or len(content)) + 1]
        headers["Content-Range"] = f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}"
        self._send(206, part, headers)

    def _listing(self, query: dict[str, str]) -> None:
        bucket, prefix, after = self._name(), query.get("prefix", ""), query.get("continuation-token", "")
        if self._failed("list", f"{bucket}/{prefix}"):
            return
        keys = [
            name.removeprefix(f"{bucket}/") for name in sorted(self.server.objects) if name.startswith(f"{bucket}/")
        ]
        if not keys:
            self._send(404, _error("NoSuchBucket"))
            return
        ends = {key: key.find(query["delimiter"], len(prefix)) for key in keys} if query.get("delimiter") else {}
        entries = dict.fromkeys(
            key if ends.get(key, -1) < 0 else key[: ends[key] + 1] for key in keys if key.startswith(prefix)
        )
        left = [entry for entry in entries if entry > after]
        size = min(PAGE, int(query.get("max-keys", PAGE)))
        page, more = left[:size], len(left) > size
        rows = [
            f"<CommonPrefixes><Prefix>{escape(entry)}</Prefix></CommonPrefixes>"
            if entry.endswith("/")
            else f"<Contents><Key>{escape(entry)}</Key><LastModified>2023-11-14T22:13:20.000Z</LastModified>"
            f"<ETag>&quot;{_etag(self.server.objects[f'{bucket}/{entry}'])}&quot;</ETag>"
            f"<Size>{len(self.server.objects[f'{bucket}/{entry}'])}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            for entry in page
        ]
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        body = (
            f'<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>{bucket}</Name>'
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{''.join(rows)}</ListBucketResult>"
        )
        self._send(200, body.encode())

    def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _etag(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def _error(code: str) -> bytes:
    return f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{code} of the store</Message></Error>'.encode()
