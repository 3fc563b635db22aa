"""Terminals of other encodings than UTF-8: every command prints plain characters there, and no word is lost."""

import io
import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout

import pytest
from conftest import draw_blocks, stage_one
from hypothesis import example, given
from hypothesis import strategies as st

from aevlp.stages.console import print_json
from aevlp.stages.terminal import HANDLER, PLAIN, shown

CLASSES = ("rouge-é", "Grün", "蓝")  # of which ASCII has none, cp1252 two
ASCII = {"PYTHONIOENCODING": "ascii"}
ENCODINGS = {
    "ascii": ASCII,
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}
# One process for all of them: each prints a line that no command prints before it begins.
ALL = """
import json, sys
from aevlp.stages.commands import app as cli
for command in json.loads(sys.argv[1]):
    print("=====", flush=True)
    try:
        cli.main(command)
    except SystemExit as stop:
        print("exit", stop.code or 0, flush=True)
"""


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Commands about a data set whose classes have accents, by what they show."""
    folder = tmp_path_factory.mktemp("accents")
    draw_blocks(folder)
    for file in (folder / "labels.csv", folder / "blocks.yaml"):
        text = file.read_text()
        for old, new in zip(("red", "green", "blue"), CLASSES, strict=True):
            text = re.sub(rf"\b{old}\b", new, text)
        file.write_text(text, encoding="utf-8")
    cache = str(stage_one(folder, folder / "c.h5"))
    manifest = str(folder / "blocks.yaml")
    return {
        "help": ["--help"],
        "help of a command": ["pseudolabel", "--help"],
        "help of several": ["cache", "--help"],
        "losses": ["losses"],
        "losses, JSON": ["losses", "--json"],
        "inspect": ["inspect", cache],
        "inspect, JSON": ["inspect", cache, "--json"],
        "verify": ["verify", cache],
        "check": ["check", "blocks", "--manifest", manifest, "--data-root", str(folder)],
        "diff": ["cache", "diff", cache, cache],
        "an unknown class": ["cache", "select", cache, str(folder / "x.h5"), "--classes", "rouge"],
        "sweep": ["sweep", cache, "--top", "2"],
        "no cache": ["train", "--cache", "nothing-é.h5"],
    }


REFUSED = {"an unknown class", "no cache"}  # of the commands


def printed(commands: dict[str, list[str]], environment: dict[str, str]) -> tuple[dict[str, str], str]:
    """Return what each command printed on standard output, and all of standard error; those alone fail that are to be refused."""
    env = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTHONIO", "PYTHONUTF8", "LC_", "LANG"))
    }
    done = subprocess.run(
        [sys.executable, "-c", ALL, json.dumps([*commands.values()])],
        env={**env, "COLUMNS": "400", **environment}, capture_output=True, timeout=300,
    )  # fmt: skip
    encoding = environment.get("PYTHONIOENCODING", "ascii").partition(":")[0]
    assert done.returncode == 0, done.stderr
    texts = done.stdout.decode(encoding).split("=====\n")[1:]
    shown = {}
    for name, text in zip(commands, texts, strict=True):
        shown[name], _, code = text.rpartition("exit ")
        assert code == ("1\n" if name in REFUSED else "0\n"), (name, text)
    return shown, done.stderr.decode(encoding)


def words(text: str, encoding: str) -> list[str]:
    """Return the words of a text as a terminal of an encoding should show them; lines of tables are no words."""
    for character, plain in PLAIN.items():
        text = text.replace(character, plain)
    text = re.sub(r"[─-╿|+-]+", " ", text)
    return text.encode(encoding, "backslashreplace").decode(encoding).split()


@pytest.fixture(scope="module")
def expected(commands: dict[str, list[str]]) -> dict[str, str]:
    """What each command prints on a terminal of UTF-8."""
    return printed(commands, {"PYTHONIOENCODING": "utf-8"})[0]


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("name", ENCODINGS)
def test_no_command_fails_and_no_word_is_lost(
    commands: dict[str, list[str]], expected: dict[str, str], name: str
) -> None:
    environment = ENCODINGS[name]
    encoding = environment.get("PYTHONIOENCODING", "ascii").partition(":")[0]
    found, said = printed(commands, environment)
    assert "Traceback" not in said and "UnicodeEncodeError" not in said
    for command, mine in found.items():
        if "JSON" in command:
            assert json.loads(mine) == json.loads(expected[command])
        else:
            assert words(mine, encoding) == words(expected[command], encoding), command
    table = found["inspect"]
    assert ("rouge-é" in table) is (encoding != "ascii")
    assert "\\u84dd" in table
    assert ("rouge-\\xe9" in table) is (encoding == "ascii")


@given(text=st.text(), encoding=st.sampled_from(["ascii", "cp1252", "latin-1", "utf-8"]))
@example(text="a · b … ≥ 3 m²", encoding="ascii")
@example(text="\udce9", encoding="utf-8")  # a byte of a file's name that is no UTF-8
def test_any_text_is_shown_and_what_the_encoding_has_is_kept(text: str, encoding: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors=HANDLER, newline="")
    with redirect_stdout(stream):
        plain = shown(text)
        print(text, end="")
        print_json([text])
        stream.flush()
        kept = [c for c in text if shown(c) == c]
    written = stream.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    assert written.startswith(plain) and json.loads(written.removeprefix(plain)) == [text]
    assert kept == [c for c in text if c.encode(encoding, "ignore")]


@pytest.mark.process
def test_tables_stay_straight_in_ascii(commands: dict[str, list[str]]) -> None:
    shown, _ = printed({"inspect": commands["inspect"]}, ASCII)
    lines = [line for line in shown["inspect"].splitlines() if line.startswith(("|", "+"))]
    first = lines[: next(n for n, line in enumerate(lines) if n and line.startswith("+")) + 1]
    assert len(first) > 10 and len({len(line.rstrip()) for line in first}) == 1
