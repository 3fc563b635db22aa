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
from aevlp.stages import cli
for command in json.loads(sys.argv[1]):
    print("=====", flush=True)
    try:
        cli.main(command)
    except SystemExit as stop:
        print("exit", stop.code or 0, flush=True)
"""


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """Commands about a data set whose classes have accents."""
    folder = tmp_path_factory.mktemp("accents")
    draw_blocks(folder)
    for file in (folder / "labels.csv", folder / "blocks.yaml"):
        text = file.read_text()
        for old, new in zip(("red", "green", "blue"), CLASSES, strict=True):
            text = re.sub(rf"\b{old}\b", new, text)
        file.write_text(text, encoding="utf-8")
    cache = str(stage_one(folder, folder / "c.h5"))
    manifest = str(folder / "blocks.yaml")
    return [
        ["--help"],
        ["pseudolabel", "--help"],
        ["cache", "--help"],
        ["losses"],
        ["losses", "--json"],
        ["inspect", cache],
        ["inspect", cache, "--json"],
        ["verify", cache],
        ["check", "blocks", "--manifest", manifest, "--data-root", str(folder)],
        ["cache", "diff", cache, cache],
        ["cache", "select", cache, str(folder / "x.h5"), "--classes", "rouge"],
        ["sweep", cache, "--top", "2"],
        ["train", "--cache", "nothing-é.h5"],
    ]


def printed(commands: list[list[str]], environment: dict[str, str]) -> tuple[list[str], str]:
    """Return what each command printed on standard output, as text of UTF-8, and all of standard error."""
    env = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTHONIO", "PYTHONUTF8", "LC_", "LANG"))
    }
    done = subprocess.run(
        [sys.executable, "-c", ALL, json.dumps(commands)],
        env={**env, "COLUMNS": "400", **environment}, capture_output=True, timeout=300,
    )  # fmt: skip
    encoding = environment.get("PYTHONIOENCODING", "ascii").partition(":")[0]
    assert done.returncode == 0, done.stderr
    return done.stdout.decode(encoding).split("=====\n")[1:], done.stderr.decode(encoding)


def words(text: str, encoding: str) -> list[str]:
    """Return the words of a text as a terminal of an encoding should show them; lines of tables are no words."""
    for character, plain in PLAIN.items():
        text = text.replace(character, plain)
    text = re.sub(r"[─-╿|+-]+", " ", text)
    return text.encode(encoding, "backslashreplace").decode(encoding).split()


@pytest.fixture(scope="module")
def expected(commands: list[list[str]]) -> list[str]:
    """What each command prints on a terminal of UTF-8."""
    return printed(commands, {"PYTHONIOENCODING": "utf-8"})[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ENCODINGS)
def test_no_command_fails_and_no_word_is_lost(commands: list[list[str]], expected: list[str], name: str) -> None:
    environment = ENCODINGS[name]
    encoding = environment.get("PYTHONIOENCODING", "ascii").partition(":")[0]
    found, said = printed(commands, environment)
    assert "Traceback" not in said and "UnicodeEncodeError" not in said
    assert len(found) == len(expected) == len(commands)
    for command, mine, theirs in zip(commands, found, expected, strict=True):
        if "--json" in command:
            assert json.loads(mine.rpartition("exit")[0]) == json.loads(theirs.rpartition("exit")[0])
        else:
            assert words(mine, encoding) == words(theirs, encoding), command
    table = found[5]
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


def test_tables_stay_straight_in_ascii(commands: list[list[str]]) -> None:
    [table], _ = printed([commands[5]], ASCII)
    lines = [line for line in table.splitlines() if line.startswith(("|", "+"))]
    first = lines[: next(n for n, line in enumerate(lines) if n and line.startswith("+")) + 1]
    assert len(first) > 10 and len({len(line.rstrip()) for line in first}) == 1
