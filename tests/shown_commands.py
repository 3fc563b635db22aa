"""The blocks that a page shows, what is wrong with how they are marked, and what comes of running them.

The contract, for README.md and every page below docs/: the blocks of bash, console, sh or python are run in the order of the
page, in one folder a page; those of Python have all names in common. Comments, each a line, say what else there is to know:

`<!-- starts with: cache, run -->`, the page's first line: which of `STARTS` its folder holds before.
`<!-- needs: a GPU -->`, right above a block: what is needed and not here; it is not run.
`<!-- file: my_losses.py -->`, right above a block of any language: it is written to that file, and not run.

In a console block lines after `$ ` are commands, with those that follow a backslash, and the others what they print. Each of
these must be among what was printed, where numbers, times, sizes, hashes and paths may be others, blanks and rules of any
length, and `…` stands for any text; alone on a line it stands for lines that are left out. A command that must fail shows a line
`error: …`.
"""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Timer

RUN = ("bash", "console", "sh", "python")
SHOWN = ("csv", "html", "json", "jsonl", "markdown", "text", "toml", "yaml")  # what is read alone
STARTS = ("photos", "cache", "run")
MARK = re.compile(r"\s*<!-- (needs|file|starts with): (.*\S) -->\s*$")
FENCE = re.compile(r"( *)(`{3,})\s*([^\s`]*)")
SETS_UP = re.compile(
    r"^(?:\$ )?(?:sudo |[\w./-]+ -m )?(?:pip install|git clone|make|apt|apt-get|curl|wget)\b", re.MULTILINE
)
SECONDS = 300  # what a block may take

# Runs blocks of Python that are sent as lines of JSON, all with the same names, as a notebook does.
INTERPRETER = """
import json, os, sys, traceback
answers, names = os.fdopen(os.dup(1), "w"), {"__name__": "__main__"}
os.dup2(2, 1)  # what the blocks print is no answer
for line in sys.stdin:
    fault = None
    try:
        exec(compile(json.loads(line), "<block>", "exec"), names)
    except BaseException:
        fault = traceback.format_exc()
    print(json.dumps(fault), file=answers, flush=True)
"""


@dataclass(frozen=True)
class Block:
    """A fenced block. line: of its fence. needs: what it needs and tests have not. file: where it is to be written."""

    line: int
    language: str
    text: str
    needs: str | None = None
    file: str | None = None

    @property
    def runs(self) -> bool:
        return self.language in RUN and self.needs is None and self.file is None

    @property
    def commands(self) -> list[tuple[str, list[str]]]:
        """The commands of a console block, each with the lines that it shows; the whole text of another one."""
        if self.language != "console":
            return [(self.text, [])]
        found: list[tuple[str, list[str]]] = []
        for line in self.text.splitlines():
            if found and found[-1][0].endswith("\\"):
                found[-1] = (f"{found[-1][0]}\n{line}", found[-1][1])
            elif line.startswith("$ "):
                found.append((line[2:], []))
            elif line.strip() not in ("", "…"):
                found[-1][1].append(line)
        return found


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    lines, found, at = text.splitlines(), [], 0
    while at < len(lines):
        if not (fence := FENCE.match(lines[at])):
            at += 1
            continue
        start = at
        closing = re.compile(rf" *`{{{len(fence[2])},}}\s*$")
        at += 1
        while at < len(lines) and not closing.match(lines[at]):
            at += 1
        body = "".join(line.removeprefix(fence[1]) + "\n" for line in lines[start + 1 : at])
        mark = MARK.match(lines[start - 1]) if start else None
        said = {mark[1]: mark[2]} if mark else {}
        found.append(Block(start + 1, fence[3], body, said.get("needs"), said.get("file")))
        at += 1
    return found


def starts(text: str) -> list[str]:
    """Return what a page's folder holds before its first block."""
    mark = MARK.match(text.partition("\n")[0])
    return re.split(r", *", mark[2]) if mark and mark[1] == "starts with" else []


def faults(text: str) -> list[str]:
    """Return what is wrong with the languages and the marks of a page's blocks, as "line N: fault"."""
    found = [f"line 1: unknown {name!r}: known are {', '.join(STARTS)}" for name in starts(text) if name not in STARTS]
    fenced = blocks(text)
    inside = {n for b in fenced for n in range(b.line, b.line + b.text.count("\n") + 2)}
    for number, line in enumerate(text.splitlines(), 1):
        if number in inside:
            continue
        mark = MARK.match(line)
        if mark is None:
            if re.match(r"\s*<!--", line):
                found.append(f"line {number}: no mark: {line.strip()}")
        elif mark[1] == "starts with" and number > 1:
            found.append(f"line {number}: what a page starts with stands in its first line")
        elif mark[1] != "starts with" and not any(block.line == number + 1 for block in fenced):
            found.append(f"line {number}: a mark without a block below it")
    for block in fenced:
        if block.language not in (*RUN, *SHOWN) and not block.language.startswith("{"):
            found.append(
                f"line {block.line}: a block of {block.language or 'no language'}: known are {', '.join(RUN + SHOWN)}"
            )
        if block.language == "console" and not block.text.startswith("$ "):
            found.append(f"line {block.line}: a console block without `$ ` before its first command")
        if block.runs and (sets_up := SETS_UP.search(block.text)):
            found.append(f"line {block.line}: {sets_up[0]} changes the machine: say above it what it needs")
    return found


def run(page: str, folder: Path, environment: Mapping[str, str]) -> list[str]:
    """Run the blocks of a page in a folder; return what went wrong, as "line N: fault"; the first failure ends it."""
    interpreter: subprocess.Popen[str] | None = None
    try:
        for block in blocks(page):
            if block.file is not None:
                (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
                (folder / block.file).write_text(block.text, encoding="utf-8")
            elif block.runs and block.language == "python":
                interpreter = interpreter or _started(folder, environment)
                if fault := _python(interpreter, block.text):
                    return [f"line {block.line}: {fault}"]
            elif block.runs and (found := _shell(block, folder, environment)):
                return found
    finally:
        if interpreter is not None:
            interpreter.communicate(timeout=SECONDS)
    return []


def _shell(block: Block, folder: Path, environment: Mapping[str, str]) -> list[str]:
    for command, shown in block.commands:
        try:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", command],
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return [f"line {block.line}: {command} took more than {SECONDS} s"]
        fails = any(line.startswith("error: ") for line in shown)
        if (done.returncode != 0) != fails:
            return [f"line {block.line}: {command} ended with {done.returncode}:\n{done.stdout}"]
        if missing := not_printed(shown, done.stdout):
            lacks = "\n".join(missing)
            return [f"line {block.line}: {command} does not print\n{lacks}\nbut\n{done.stdout}"]
    return []


def _started(folder: Path, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", INTERPRETER],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _python(interpreter: subprocess.Popen[str], text: str) -> str | None:
    """Return what a block of Python raises, or None."""
    assert interpreter.stdin is not None and interpreter.stdout is not None
    interpreter.stdin.write(json.dumps(text) + "\n")
    interpreter.stdin.flush()
    end = Timer(SECONDS, interpreter.kill)
    end.start()
    answer = interpreter.stdout.readline()
    end.cancel()
    return json.loads(answer) if answer else f"the interpreter ended, or took more than {SECONDS} s"


def not_printed(shown: list[str], output: str) -> list[str]:
    """Return the shown lines that are not among what was printed, up to what differs from run to run."""
    printed = [masked(line) for line in output.splitlines()]
    missing = []
    for line in shown:
        pattern = ".*".join(re.escape(masked(part, strip=False)) for part in line.strip().split("…"))
        if not any(re.fullmatch(pattern, real) for real in printed):
            missing.append(line)
    return missing


def masked(line: str, strip: bool = True) -> str:
    """Return a line with a # for each number, duration, size, hash and absolute path, one blank for several, short rules."""
    line = re.sub(r"(?<![\w.~])/[\w.+~-]+(?:/[\w.+~-]+)+", "#", line)
    line = re.sub(r"\b(?=[a-f]*\d)[0-9a-f]{7,}\b", "#", line)
    line = re.sub(r"(?:(?<![\w.])-)?\d[\d,.:]*\d|(?:(?<![\w.])-)?\d", "#", line)
    line = re.sub(r"#(?: (?:h|min|ms|s)\b(?: # (?:min|s)\b)*)", "#", line)
    line = re.sub(r"# (?:kB|MB|GB|KiB|MiB|GiB|bytes)\b", "#", line)
    line = re.sub(r"[━─═]+", "━", re.sub(r"\s+", " ", line))
    return line.strip() if strip else line
