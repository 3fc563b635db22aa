"""The file of answers: the last one of a pair holds, none is lost to another writer or a kill, and no other file is touched."""

import multiprocessing
import sqlite3
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.review.answer_table import answer_table, read_answer_table
from aevlp.pipeline.review.answers import Answer, AnswerStore, answers_file

NAMES = st.text(min_size=1, max_size=6).filter(lambda text: "\0" not in text and not any(map(_lone, text)))
PAIRS = st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["cat", "dog"]))


def _lone(character: str) -> bool:
    return "\ud800" <= character <= "\udfff"


@settings(max_examples=30, deadline=None)
@given(steps=st.lists(st.tuples(st.just("give"), PAIRS, st.sampled_from([-1, 0, 1])) | st.tuples(st.just("undo"))))
def test_the_last_answer_that_was_not_taken_back_holds(tmp_path_factory: pytest.TempPathFactory, steps: list) -> None:
    log: list[Answer] = []  # what a plain list would hold
    with AnswerStore(tmp_path_factory.mktemp("answers") / "x.review.sqlite") as store:
        for step in steps:
            if step[0] == "give":
                answer = Answer(*step[1], step[2])
                store.give([answer])
                log.append(answer)
            elif log:
                [(number, newest)] = store.latest(1)
                assert newest == log[-1]
                assert store.undo([number]) == [log.pop()]
                assert store.undo([number]) == []  # once
        assert {(a.image, a.label): a for a in store.current()} == {(a.image, a.label): a for a in log}
        assert len(store.current()) == len({(a.image, a.label) for a in log})


def _write(path: Path, own: str, count: int) -> None:
    with AnswerStore(path) as store:
        for n in range(count):
            store.give([Answer(f"{own}{n}", "cat", 1)])


@pytest.mark.process
def test_two_processes_that_answer_at_once_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(tmp_path / "x.review.sqlite", own, 40)) for own in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    with AnswerStore(tmp_path / "x.review.sqlite") as store:
        assert {answer.image for answer in store.current()} == {f"{own}{n}" for own in "ab" for n in range(40)}


def test_some_answers_are_written_together_or_not_at_all(tmp_path: Path) -> None:
    with AnswerStore(tmp_path / "x.review.sqlite") as store:
        odd = Answer("b", "cat", 1)
        object.__setattr__(odd, "code", 7)  # which the file refuses
        with pytest.raises(AevlpError, match="cannot use"):
            store.give([Answer("a", "cat", 1), odd])
        assert store.current() == []
        store.give([Answer("a", "cat", 1)])  # and goes on
        assert len(store.current()) == 1


def test_another_programs_file_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x.review.sqlite"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE answer (n INTEGER)")
    before = path.read_bytes()
    with pytest.raises(AevlpError, match="database of another program"):
        AnswerStore(path)
    assert path.read_bytes() == before
    path.write_bytes(b"no database, but long enough to be looked at" * 10)
    with pytest.raises(AevlpError, match="cannot be used as a file of answers"):
        AnswerStore(path)
    with pytest.raises(AevlpError, match="cannot open"):
        AnswerStore(tmp_path / "x.review.sqlite" / "y.review.sqlite")


def test_a_later_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.review.sqlite"
    AnswerStore(path).close()
    with sqlite3.connect(path) as later:
        later.execute("PRAGMA user_version = 2")
    with pytest.raises(AevlpError, match="has the format 2"):
        AnswerStore(path)


def test_where_answers_are_kept() -> None:
    assert answers_file(Path("cache/voc.h5")) == Path("cache/voc.review.sqlite")


@settings(max_examples=50, deadline=None)
@given(
    answers=st.lists(
        st.builds(Answer, NAMES, NAMES, st.sampled_from([-1, 0, 1]), st.none() | st.integers(0, 10**9)),
        unique_by=lambda answer: (answer.image, answer.label),
    )
)
def test_a_table_of_answers_comes_back_equal(tmp_path_factory: pytest.TempPathFactory, answers: list[Answer]) -> None:
    path = tmp_path_factory.mktemp("table") / "answers.csv"
    path.write_text(answer_table(answers), encoding="utf-8", newline="")
    assert read_answer_table(path) == answers


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image,label\na.jpg,cat\n", "expected the columns image, class and answer, found image, label"),
        ("", "found none"),
        ("image,class,answer\na.jpg,cat,maybe\n", "line 2: expected the answer yes, no or skip, found 'maybe'"),
        ("image,class,answer\n,cat,yes\n", "line 2: an answer without an image"),
        ("image,class,answer\na.jpg,cat,yes\na.jpg,cat,no\n", "line 3: a.jpg and cat have another answer above"),
        ("image,class,answer,size\na.jpg,cat,yes,big\n", "line 2: expected a size in bytes"),
        ("image,class,answer\na.jpg\n", "line 2"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "answers.csv"
    path.write_text(text)
    with pytest.raises(AevlpError, match=said):
        read_answer_table(path)


@pytest.mark.parametrize("sign", [";", "\t"])
def test_a_table_as_spreadsheets_of_other_languages_write_it(tmp_path: Path, sign: str) -> None:
    path = tmp_path / "answers.csv"
    rows = [["image", "class", "chance", "answer"], ["a, b.jpg", "cat", "0,5", "yes"], ["c.jpg", "dog", "0,1", ""]]
    path.write_text("\ufeff" + "".join(sign.join(row) + "\r\n" for row in rows), encoding="utf-8")
    assert [(a.image, a.label, a.code) for a in read_answer_table(path)] == [("a, b.jpg", "cat", 1)]


def test_words_and_empty_cells(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    rows = zip(string.ascii_lowercase, ("yes", " NO", "Y", "n", "1", "-1", "skip", ""), strict=False)
    path.write_text("score,image,class,answer\n" + "".join(f"0.1,{name},cat,{word}\n" for name, word in rows))
    assert [(a.image, a.code) for a in read_answer_table(path)] == [
        ("a", 1), ("b", -1), ("c", 1), ("d", -1), ("e", 1), ("f", -1), ("g", 0),
    ]  # fmt: skip
