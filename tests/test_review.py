"""The review's desk, as its page asks it: which pairs come, what is kept, what is taken back, and what is said of them."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
import review_page as rp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from review_page import ORIGIN, answer_of, ask
from starlette.testclient import TestClient

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.files.stamps import stamped_size
from aevlp.pipeline.labels.damp import damp_codes, damp_scores
from aevlp.pipeline.review.corrections import read_corrections
from aevlp.stages.caches.inspect import cached_settings
from aevlp.stages.review import order as orders
from aevlp.stages.review.desk import LEASE_SECONDS, MANY, RENEW_AFTER
from aevlp.stages.review.explained import Explainer
from aevlp.stages.review.order import Order
from aevlp.stages.review.progress import minute, progress

HOSTILE = ("</script><script>alert(1)</script>", 'it\'s "quoted" & <b>bold</b>', "קול 🐈‍⬛")


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


def test_an_answer_is_on_disk_before_the_next_pair_comes(review: rp.Review, client: TestClient) -> None:
    pair = ask(client, "/api/next", count=1)["pairs"][0]
    reply = ask(client, "/api/answer", answers=[answer_of(pair, -1)], count=1)
    path = review.store.path
    [row] = sqlite3.connect(f"file:{path}?mode=ro", uri=True).execute(
        "SELECT image, class, answer, size, seconds FROM answer"
    )
    assert row == (pair["image"], pair["label"], -1, stamped_size(str(review.cache.stamps[pair["row"]])), 2.0)
    assert reply["numbers"] == [1] and reply["progress"]["no"] == 1
    assert (reply["pairs"][0]["row"], reply["pairs"][0]["column"]) != (pair["row"], pair["column"])


def test_all_pairs_come_once_and_then_none(review: rp.Review, client: TestClient) -> None:
    expected = [(pair.row, pair.column) for pair in rp.find_all(review.cache, ())]
    seen, pairs = [], ask(client, "/api/next", count=4)["pairs"]
    while pairs:
        seen.append((pairs[0]["row"], pairs[0]["column"]))
        held = [(pair["row"], pair["column"]) for pair in pairs[1:]]
        pairs = ask(
            client, "/api/answer", answers=[answer_of(pairs[0], (1, 0, -1)[len(seen) % 3])], held=held, count=4
        )["pairs"]
    assert sorted(seen) == sorted(expected) and len(set(seen)) == len(seen)
    assert ask(client, "/api/next", count=4)["progress"]["minute"] == "Nothing is left to ask."


def test_what_was_answered_before_a_restart_does_not_come_again(review: rp.Review, client: TestClient) -> None:
    first = ask(client, "/api/next", count=3)["pairs"]
    ask(client, "/api/answer", answers=[answer_of(pair, 0) for pair in first], count=0)
    review.store.close()
    anew = rp.begin(review.cache.path, review.store.path.parent)
    assert not {(p["row"], p["column"]) for p in first} & {(p.row, p.column) for p in anew.desk.queue("two", [], 999)}
    assert anew.client().post("/api/next", json={"tab": "x"}, headers=ORIGIN).json()["progress"]["skipped"] == 3


def test_two_tabs_get_other_pairs(review: rp.Review) -> None:
    one, two = (review.desk.queue(tab, [], 4) for tab in ("one", "two"))
    assert len(one) == len(two) == 4 and not set(one) & set(two)
    assert review.desk.queue("one", [(p.row, p.column) for p in one], 4) == one


def test_a_lease_ends_after_a_minute_and_the_pair_comes_again(review: rp.Review) -> None:
    [lost] = review.desk.queue("closed", [], 1)
    assert lost not in review.desk.queue("other", [], 5)
    review.clock.now = LEASE_SECONDS - 1
    assert lost not in review.desk.queue("third", [], 5)
    review.clock.now = LEASE_SECONDS
    assert review.desk.queue("fourth", [], 1) == [lost]
    place = (lost.row, lost.column)
    assert lost not in review.desk.queue("closed", [place], 3)  # another tab's by now


def test_a_tab_that_asks_again_keeps_what_it_holds(review: rp.Review) -> None:
    [pair] = review.desk.queue("one", [], 1)
    for _ in range(5):
        review.clock.now += LEASE_SECONDS - 1
        assert review.desk.queue("one", [(pair.row, pair.column)], 1) == [pair]
        assert pair not in review.desk.queue("two", [], 3)


def test_of_two_tabs_the_later_answer_holds_and_each_takes_back_its_own(review: rp.Review) -> None:
    desk = review.desk
    [pair] = desk.queue("one", [], 1)
    place = (pair.row, pair.column)
    first = desk.answer([rp.given_of(review, *place, 1)])
    second = desk.answer([rp.given_of(review, *place, -1)])
    assert desk.given[place] == -1
    assert desk.undo(second) == [place] and desk.given[place] == 1  # the other's holds again
    assert desk.undo(second) == []
    assert desk.undo(first) == [place] and place not in desk.given
    assert pair in desk.queue("one", [], 1)


def test_undo_shows_the_pair_again(review: rp.Review, client: TestClient) -> None:
    pairs = ask(client, "/api/next", count=2)["pairs"]
    reply = ask(client, "/api/answer", answers=[answer_of(pairs[0], 1)], count=1)
    held = [(pair["row"], pair["column"]) for pair in reply["pairs"]]
    back = ask(client, "/api/undo", numbers=reply["numbers"], held=held, count=2)
    assert back["undone"] == 1 and back["pairs"][0] == pairs[0] and back["progress"]["yes"] == 0
    assert review.store.current() == []


def test_an_answer_that_is_sent_again_is_kept_once(review: rp.Review, client: TestClient) -> None:
    pairs = ask(client, "/api/next", count=3)["pairs"]
    given = [answer_of(pair, 1) for pair in pairs]
    first = ask(client, "/api/answer", answers=given, again=True)["numbers"]  # the first did not arrive
    assert ask(client, "/api/answer", answers=given, again=True)["numbers"] == first
    assert len(review.store.latest(99)) == 3
    changed = ask(client, "/api/answer", answers=[answer_of(pairs[0], -1)], again=True)["numbers"]
    assert changed != first[:1] and len(review.store.latest(99)) == 4


def test_an_answer_of_a_page_of_another_cache_is_refused(review: rp.Review, client: TestClient) -> None:
    pair = ask(client, "/api/next", count=1)["pairs"][0]
    for change in ({"image": "other.jpg"}, {"label": "cow"}, {"row": 10**6}, {"row": -1}, {"column": 3}):
        body = {"tab": "one", "answers": [{**answer_of(pair, 1), **change}]}
        assert client.post("/api/answer", json=body, headers=ORIGIN).status_code == 409
    assert (
        client.post(
            "/api/answer",
            json={"tab": "one", "answers": [answer_of(pair, 1), {**answer_of(pair, 1), "row": -1}]},
            headers=ORIGIN,
        ).status_code
        == 409
    )
    assert review.store.current() == []


def test_an_answer_that_cannot_be_written_is_said_and_does_not_count(
    review: rp.Review, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = ask(client, "/api/next", count=1)["pairs"][0]

    def full(answers: object) -> list[int]:
        raise AevlpError("cannot write pairs.review.sqlite: database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(review.store, "give", full)
        body = {"tab": "one", "answers": [answer_of(pair, 1)]}
        reply = client.post("/api/answer", json=body, headers=ORIGIN)
    assert reply.status_code == 500 and "disk is full" in reply.text and "disk is full" in review.refused[0]
    assert ask(client, "/api/next", count=1)["pairs"] == [pair]
    assert ask(client, "/api/answer", answers=[answer_of(pair, 1)], again=True)["numbers"] == [1]


def test_several_of_one_class_have_the_same_likely_answer(review: rp.Review, client: TestClient) -> None:
    found = ask(client, "/api/many")
    assert 1 < len(found["pairs"]) <= MANY
    assert {pair["column"] for pair in found["pairs"]} == {found["column"]}
    assert {pair["chance"] >= 0.5 for pair in found["pairs"]} == {found["likely"] == 1}
    other = ask(client, "/api/many", column=2, likely=-1)
    assert all(pair["column"] == 2 and pair["chance"] < 0.5 for pair in other["pairs"])
    ask(client, "/api/answer", answers=[answer_of(pair, -1) for pair in other["pairs"]])
    assert review.store.latest(99)[0][1].label == "dog"
    again = ask(client, "/api/many", column=2, likely=-1)["pairs"]
    assert not {p["row"] for p in again} & {p["row"] for p in other["pairs"]}


def test_the_order_is_found_anew_after_many_answers(review: rp.Review, monkeypatch: pytest.MonkeyPatch) -> None:
    desk, found = review.desk, []
    monkeypatch.setattr(
        desk.order, "_find", lambda answered: found.append(answered) or rp.find_all(review.cache, answered)
    )
    pairs = list(desk.order.pairs)
    assert len(pairs) < RENEW_AFTER
    for pair in pairs:
        desk.answer([rp.given_of(review, pair.row, pair.column, 1)])
    assert not found
    assert desk.renew_where_short([]) or found
    desk.order.wait()
    [answered] = found
    assert answered == {(p.row, p.column) for p in pairs}
    assert not desk.renew_where_short([]) and len(found) == 1  # nothing is new since


def test_an_order_that_cannot_be_found_leaves_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(orders, "say", said.append)
    order = Order(lambda answered: [rp.Pair(0, 0, 1.0, 0.5, 0.5)])
    order.renew(())

    def broken(answered: object) -> list[rp.Pair]:
        raise AevlpError("the disk is gone")

    monkeypatch.setattr(order, "_find", broken)
    order.renew_aside(())
    order.wait()
    assert len(order.pairs) == 1 and said == ["the order of the questions stays as it was: the disk is gone"]


STEP = st.tuples(st.sampled_from(("give", "undo", "next")), st.integers(0, 2), st.sampled_from((1, 0, -1)))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEP, max_size=20))
def test_whatever_tabs_do_the_store_says_what_holds(
    made: Path, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]
) -> None:
    """What holds is the last answer of a pair that was not taken back, as a plain list of all answers has it."""
    review = rp.begin(made, tmp_path_factory.mktemp("tabs"))
    given: list[tuple[int, tuple[int, int], int]] = []  # number, place, code, without those that were taken back
    own: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for what, tab, code in steps:
        review.clock.now += 25
        if what == "give" and (pairs := review.desk.queue(str(tab), [], 1)):
            place = (pairs[0].row, pairs[0].column)
            numbers = review.desk.answer([rp.given_of(review, *place, code)])
            own[tab] += numbers
            given.append((numbers[0], place, code))
        elif what == "undo" and own[tab]:
            number = own[tab].pop()
            review.desk.undo([number])
            given = [one for one in given if one[0] != number]
        else:
            review.desk.queue(str(tab), [], 2)
    expected = {place: code for _, place, code in given}
    assert review.desk.given == expected
    names = {(str(review.cache.ids[r]), review.cache.classes[c]): code for (r, c), code in expected.items()}
    assert {(a.image, a.label): a.code for a in review.store.current()} == names
    review.store.close()


def test_hostile_class_names_come_back_as_they_are(tmp_path: Path) -> None:
    review = rp.begin(rp.make_cache(tmp_path, classes=HOSTILE), tmp_path)
    client = review.client()
    assert client.get("/api/review").json()["classes"] == list(HOSTILE)
    assert "<script>alert" not in client.get("/").text
    for pair in ask(client, "/api/next", count=12)["pairs"]:
        ask(client, "/api/answer", answers=[answer_of(pair, 1)])
    assert {answer.label for answer in review.store.current()} == set(HOSTILE)
    assert {answer.label for answer in read_corrections(review.store.path).answers} == set(HOSTILE)


# What is said.


def test_the_reason_says_what_damp_says(review: rp.Review) -> None:
    cache, method = review.cache, cached_settings(review.cache)
    explainer = Explainer(cache, method)
    for row in range(6):
        similarity, observed = cache.similarity([row]).mean(axis=1), cache.observed[[row]]
        scores, codes = damp_scores(similarity, observed, method)[0], damp_codes(similarity, observed, method)
        for column in range(3):
            known = explainer.of(row, column)
            assert known.score == pytest.approx(float(scores[0, column])) and known.code == codes[0, column]
            assert f"scores it {scores[0, column]:.2f}" in known.reason
            word = {1: "pseudo-label is yes", -1: "pseudo-label is no", 0: "no pseudo-label"}[int(codes[0, column])]
            assert word in known.reason
            assert known.view in range(1, 5) and known.box == tuple(cache.boxes[known.view])


def test_what_a_minute_buys_is_the_rate_times_the_chance_of_a_wrong_label(review: rp.Review) -> None:
    assert "about 4 labels" in minute(20, 0.2, 20) and "20 answers a minute" in minute(20, 0.2, 20)
    assert "known after" in minute(None, 0.2, 20) and minute(5, None, 0) == "Nothing is left to ask."
    assert progress(review.desk).wrong == 0.25


def test_the_rate_is_of_the_time_that_answers_took(review: rp.Review) -> None:
    desk, pairs = review.desk, rp.find_all(review.cache, ())
    assert desk.rate is None
    for n, pair in enumerate(pairs[:10]):
        one = rp.given_of(review, pair.row, pair.column, 1 if n < 8 else 0)
        desk.answer(
            [replace(one, seconds=3.0 if n else 4000.0)]
        )  # the first had a long pause, the last two are skipped
    assert desk.rate == pytest.approx(60 * 8 / (60 + 9 * 3))
