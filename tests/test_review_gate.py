"""Who may ask the review page for what, and who is refused: Host, Origin, token, kind of content, and paths of pictures."""

import io
from pathlib import Path

import numpy as np
import pytest
import review_page as rp
from PIL import Image
from review_page import HOST, ORIGIN
from starlette.testclient import TestClient

from aevlp.stages.review.pictures import Pictures


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache and its pictures; tests do not change them."""
    return rp.make_cache(tmp_path_factory.mktemp("review"))


@pytest.fixture
def review(made: Path, tmp_path: Path) -> rp.Review:
    return rp.begin(made, tmp_path)


@pytest.fixture
def client(review: rp.Review) -> TestClient:
    return review.client()


def test_the_token_is_exchanged_for_a_cookie_and_leaves_the_address(review: rp.Review) -> None:
    door = review.door()
    client = TestClient(review.application(door), base_url=f"http://{HOST}", follow_redirects=False)
    entered = client.get(f"/?token={door.token}")
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    cookie = entered.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    page = client.get("/")
    assert page.status_code == 200 and "<title>aevlp review" in page.text
    assert door.token not in page.text and not review.refused


@pytest.mark.parametrize("path", ["/", "/review.js", "/picture/large/0", "/api/review", "/nothing"])
def test_without_the_token_nothing_is_shown(review: rp.Review, path: str) -> None:
    reply = review.client(entered=False).get(path)
    assert reply.status_code == 403 and "terminal" in reply.text
    [line] = review.refused
    assert line.startswith(f"refused GET '{path}'")


def test_another_token_is_refused_and_not_repeated(review: rp.Review) -> None:
    client = review.client(entered=False)
    assert client.get("/?token=guess").status_code == 403
    client.cookies.set(review.door().cookie, "guess")
    assert client.get("/").status_code == 403
    assert len(review.refused) == 2 and not any("guess" in line for line in review.refused)


@pytest.mark.parametrize(
    "host", ["evil.example", f"evil.example:{rp.PORT}", "127.0.0.1", f"127.0.0.1:{rp.PORT + 1}", ""]
)
def test_another_host_is_refused(client: TestClient, review: rp.Review, host: str) -> None:
    assert client.get("/", headers={"host": host}).status_code == 421
    assert "Host" in review.refused[0]


def test_localhost_is_the_same_machine(review: rp.Review) -> None:
    door = review.door()
    host = f"localhost:{rp.PORT}"
    client = TestClient(review.application(door), base_url=f"http://{host}")
    assert client.get(f"/?token={door.token}").status_code == 200
    assert client.post("/api/next", json={"tab": "one"}, headers={"origin": f"http://{host}"}).status_code == 200
    assert client.post("/api/next", json={"tab": "one"}, headers=ORIGIN).status_code == 403  # of the other name


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": f"https://{HOST}"}, 403),
        ({"origin": "http://127.0.0.1:1"}, 403),
        ({}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "none"}, 403),
        ({"sec-fetch-site": "cross-site", **ORIGIN}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
        (ORIGIN, 200),
    ],
)
def test_only_the_page_itself_may_post(client: TestClient, review: rp.Review, headers: dict, status: int) -> None:
    assert client.post("/api/next", json={"tab": "one"}, headers=headers).status_code == status
    assert bool(review.refused) == (status != 200)


def test_a_picture_is_not_for_another_page(client: TestClient) -> None:
    assert client.get("/picture/large/0", headers={"sec-fetch-site": "same-site"}).status_code == 403
    assert client.get("/picture/large/0", headers={"sec-fetch-site": "same-origin"}).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_form_is_refused(client: TestClient, review: rp.Review, kind: str) -> None:
    reply = client.post("/api/next", content='{"tab": "one"}', headers={**ORIGIN, "content-type": kind})
    assert reply.status_code == 415 and review.refused


def test_a_large_body_and_one_of_unknown_size_are_refused(client: TestClient) -> None:
    json = {**ORIGIN, "content-type": "application/json"}
    assert client.post("/api/next", content="x" * 70_000, headers=json).status_code == 413
    assert client.post("/api/next", content=iter([b"{}"]), headers=json).status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/answer", 405),
        ("POST", "/", 405),
        ("DELETE", "/", 403),
        ("GET", "/etc/passwd", 404),
        ("GET", "/picture/raw/0", 404),
    ],
)
def test_another_method_or_place_is_refused_and_logged(
    client: TestClient, review: rp.Review, method: str, path: str, status: int
) -> None:
    headers = ORIGIN if method == "POST" else {}
    assert client.request(method, path, headers=headers, json={} if method == "POST" else None).status_code == status
    assert len(review.refused) == 1


BODIES = ("", "[]", "{", '{"tab": 1}', '{"tab": "a", "answers": [{"row": 0}]}', '{"tab": "a", "held": [["x", 1]]}')


@pytest.mark.parametrize("body", BODIES)
def test_what_is_no_request_of_the_page_is_refused(client: TestClient, review: rp.Review, body: str) -> None:
    headers = {**ORIGIN, "content-type": "application/json"}
    assert client.post("/api/answer", content=body, headers=headers).status_code == 400
    assert review.refused and review.store.current() == []


@pytest.mark.parametrize("path", ["/", "/review.css", "/api/review", "/picture/small/1", "/nothing"])
def test_every_answer_shuts_others_out(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store" and headers["x-content-type-options"] == "nosniff"
    assert "server" not in headers


def test_control_characters_of_a_stranger_do_not_reach_the_terminal(client: TestClient, review: rp.Review) -> None:
    client.get("/%1b[2J%0aok")
    client.get("/", headers=[(b"host", b"\xe9\x80vil")])
    assert len(review.refused) == 2
    assert all(line.isprintable() and line.isascii() for line in review.refused)


# Pictures.


@pytest.mark.parametrize("path", ["../secret.jpg", "images/../../secret.jpg", "{outside}/secret.jpg"])
def test_a_path_outside_the_data_set_is_refused(tmp_path: Path, path: str) -> None:
    review = rp.begin(rp.make_cache(tmp_path, rows=3), tmp_path)
    (tmp_path / "data" / "images" / "image_0000.jpg").rename(tmp_path / "secret.jpg")
    vars(review.cache)["paths"] = np.array([path.format(outside=tmp_path)] * 3)
    assert (tmp_path / "data" / review.cache.paths[0]).is_file()
    reply = review.client().get("/picture/large/0")
    assert reply.status_code == 403 and reply.headers["content-type"].startswith("text/plain")
    [line] = review.refused
    assert "leads out of the folder" in line


def test_a_page_names_rows_and_no_paths(client: TestClient) -> None:
    for name in ("-1", "30", "99999999999999999999", "images%2Fimage_0001.jpg", "..%2F..%2Fsecret", "0/99"):
        assert client.get(f"/picture/large/{name}").status_code == 404


def test_an_image_that_is_gone_or_broken_is_said(tmp_path: Path) -> None:
    client = rp.begin(rp.make_cache(tmp_path, rows=3), tmp_path).client()
    images = tmp_path / "data" / "images"
    (images / "image_0000.jpg").unlink()
    (images / "image_0001.jpg").write_bytes(b"no picture")
    assert "no such file" in (gone := client.get("/picture/large/0")).text and gone.status_code == 404
    assert "expected a picture" in client.get("/picture/small/1").text


def test_a_view_is_its_part_of_the_image(review: rp.Review) -> None:
    pictures = Pictures(review.cache, review.cache.path.parent / "data", 10**6)
    whole, corner = (Image.open(io.BytesIO(pictures.jpeg(3, "large", view))) for view in (0, 2))
    assert (whole.size, corner.size) == ((64, 48), (32, 24))
    assert np.asarray(corner)[12, 16, 1] > 180  # the bright corner, upper right
    assert np.asarray(whole)[36, 16, 1] < 160
