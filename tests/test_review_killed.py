"""aevlp review as a process of its own: killed in the middle, started again, ended with Ctrl-C."""

import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
import review_page as rp

from aevlp.pipeline.review.answers import AnswerStore

pytestmark = [pytest.mark.process, pytest.mark.slow]

WANTED = 50
KILLS = (17, 34)  # answers after which the server is killed, a moment later


class Program:
    """aevlp review on a cache, and a client that entered by the address that it showed."""

    def __init__(self, cache: Path) -> None:
        command = [
            sys.executable,
            "-m",
            "aevlp.stages",
            "review",
            str(cache),
            "--data-root",
            str(cache.parent / "data"),
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.said: list[str] = []
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            if found := re.search(r"open (http://127\.0\.0\.1:\d+)(\S+)", line):
                break
        else:
            pytest.fail(f"it never said where the page is: {self.said}")
        self.client = httpx.Client(base_url=found[1], headers={"origin": found[1]}, timeout=10, follow_redirects=True)
        self.client.get(found[2]).raise_for_status()

    def ask(self, path: str, **body: Any) -> dict[str, Any]:
        return self.client.post(path, json={"tab": "scripted", "count": 1, **body}).raise_for_status().json()

    def end(self, sign: int) -> tuple[int, str]:
        """Return the exit code and what it printed at last."""
        self.process.send_signal(sign)
        out, _ = self.process.communicate(timeout=60)
        self.client.close()
        return self.process.returncode, out


def test_no_answer_is_lost_and_none_is_asked_twice_though_it_is_killed_twice(tmp_path: Path) -> None:
    cache = rp.make_cache(tmp_path, rows=60)
    taken: list[tuple[str, str, int]] = []  # what the server said it has
    kills = list(KILLS)
    program = Program(cache)
    unsure: dict[str, Any] | None = None  # sent, without a reply
    while len(taken) < WANTED:
        try:
            if unsure is None:
                [pair] = program.ask("/api/next")["pairs"]
                assert (pair["image"], pair["label"]) not in {name[:2] for name in taken}, "asked twice"
                given, again = rp.answer_of(pair, (1, -1, 0)[len(taken) % 3]), False
            else:
                given, again = unsure, True
            unsure = given
            if kills and len(taken) >= kills[0]:
                threading.Timer(0.001 * len(kills), program.process.kill).start()
                kills.pop(0)
            program.ask("/api/answer", answers=[given], again=again)
            taken.append((given["image"], given["label"], given["answer"]))
            unsure = None
        except httpx.TransportError:
            assert program.end(signal.SIGKILL)[0] == -signal.SIGKILL
            program = Program(cache)
    assert not kills
    code, out = program.end(signal.SIGINT)
    with AnswerStore(tmp_path / rp.ANSWERS) as store:
        kept = [(answer.image, answer.label, answer.code) for answer in store.current()]
        written = len(store.latest(10 * WANTED))
    assert set(kept) == set(taken) and len(kept) == len(set(taken)) == WANTED == written
    skipped = sum(code == 0 for *_, code in taken)
    assert code == 0 and f"{WANTED - skipped} answers" in out and "--corrections" in out


def test_ctrl_c_ends_it_while_a_page_is_open_and_a_second_one_takes_the_next_port(tmp_path: Path) -> None:
    first, second = rp.make_cache(tmp_path / "a"), rp.make_cache(tmp_path / "b")
    one = Program(first)
    two = Program(second)
    assert one.client.base_url != two.client.base_url
    assert any("is taken" in line for line in two.said)
    one.ask("/api/next")
    two.client.cookies.update(one.client.cookies)
    assert two.client.get("/").status_code == 200  # the cookie of the other does not take the place of its own
    for program in (two, one):
        code, out = program.end(signal.SIGINT)
        assert code == 0 and "0 answers" in out
