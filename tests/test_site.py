"""The site of docs/: it is built without a warning, its reference lacks nothing, and no link of a page is dead."""

import re
import subprocess
import sys
import zlib
from pathlib import Path

import links
import pytest
from PIL import Image, ImageChops, ImageStat

import aevlp
from aevlp.pipeline.score_cache.schema import TEXT_COLUMNS, CacheHeader, array_columns
from aevlp.stages.commands.table import CACHE_COMMANDS, COMMANDS
from aevlp.stages.declaration import declared_in

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "cache" / "README.md", *sorted(DOCS.rglob("*.md"))]
TIMES = " \N{MULTIPLICATION SIGN} "
GLOSSARY = DOCS / "glossary.md"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (given,) = re.findall(r"-m sphinx (.*) docs build/docs$", makefile, re.MULTILINE)
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", *given.split(), "-q", "-d", folder / "doctrees", DOCS, folder / "html"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return folder / "html"


def inventory(site: Path) -> dict[str, set[str]]:
    """Return what the site says it documents, by the language it is of: "py", or "std" for options and sections."""
    with (site / "objects.inv").open("rb") as file:
        for _ in range(4):  # lines about the project
            file.readline()
        lines = zlib.decompress(file.read()).decode().splitlines()
    found: dict[str, set[str]] = {}
    for name, domain in re.findall(r"^(.+?) (\w+):\w+ -?\d+ ", "\n".join(lines), re.MULTILINE):
        found.setdefault(domain, set()).add(name)
    return found


@pytest.mark.slow
@pytest.mark.process
def test_the_site_is_built_without_warnings_and_its_reference_lacks_nothing(site: Path) -> None:
    known = inventory(site)
    assert {f"aevlp.{name}" for name in aevlp.__all__} <= known["py"]
    for before, commands in (("aevlp", COMMANDS), ("aevlp cache", CACHE_COMMANDS)):
        for command in commands:
            name = f"{before} {command.name}".replace(" ", "-")
            shown = {f"{name}.{one.flag}" for one in declared_in(command.options) if one.flag.startswith("-")}
            assert shown | {name} <= known["std"], name


@pytest.mark.slow
@pytest.mark.process
def test_the_pages_show_what_their_blocks_need(site: Path) -> None:
    for page in DOCS.rglob("*.md"):
        shown = (site / page.relative_to(DOCS)).with_suffix(".html").read_text(encoding="utf-8")
        for needed in re.findall(r"^ *<!-- needs: (.+) -->$", page.read_text(encoding="utf-8"), re.MULTILINE):
            assert f"<em>Needs {needed}.</em>" in shown, page


@pytest.mark.slow
@pytest.mark.process
def test_options_are_shown_with_their_help_and_default(site: Path) -> None:
    text = re.sub(r"<[^>]+>", "", (site / "reference" / "commands.html").read_text(encoding="utf-8"))
    assert "NAME.CONSTANT=VALUE" in text and "gpr.q3=0.5" in text
    assert "crops[count=16,seed=0]" in text, "brackets without Rich's backslashes"
    assert re.search(r"--shard-size N.*\n\s*Images a shard: what an interruption costs at most\. Default: 256\.", text)
    functions = re.sub(r"<[^>]+>", "", (site / "reference" / "functions.html").read_text(encoding="utf-8"))
    assert "Images a shard: what an interruption costs at most." in functions
    assert "`" not in functions.partition('id="what-results')[0].replace("```", "")


@pytest.mark.slow
@pytest.mark.process
def test_no_page_of_the_site_asks_another_host_for_anything(site: Path) -> None:
    asked = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=\"(?:https?:)?//[^\"]*\"")
    styles = re.compile(r"url\(['\"]?(?:https?:)?//|@import")
    pages, sheets = sorted(site.rglob("*.html")), sorted(site.rglob("*.css"))
    assert len(pages) > 20 and sheets
    assert [found for page in pages for found in asked.findall(page.read_text(encoding="utf-8"))] == []
    assert [sheet.name for sheet in sheets if styles.search(sheet.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_link_is_dead(page: Path) -> None:
    assert links.dead(page, ROOT, DOCS if page.is_relative_to(DOCS) else None) == []


def test_a_dead_link_is_seen(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c.md").write_text(
        "# One `two`, three\n\n## 300 answers\n\n## 300 answers\n\n```bash\n# no heading\n```\n"
    )
    page = tmp_path / "a.md"
    good = (
        "[c](b/c.md) [d](b/c.md#one-two-three) [e](#a) [f](https://example.org/x_(y)) [g](b) [h](b/c.md#300-answers-1)"
    )
    page.write_text(f"# a\n\n{good} `[x](none.md)`\n\n```text\n[y](none.md)\n```\n")
    assert list(links.links(page.read_text()))[3] == "https://example.org/x_(y)"
    assert links.dead(page, tmp_path) == []
    bad = ["no.md", "b/c.md#none", "#none", "http://nowhere", "ftp://example.org", "../outside.md", "b/c.md#no-heading"]
    page.write_text("# a\n\n" + "\n".join(f"a ![text [1]]({link})" for link in bad))
    assert [line.partition(": ")[0] for line in links.dead(page, tmp_path)] == bad
    inside = tmp_path / "b" / "d.md"
    inside.write_text("[a](c.md) [b](../a.md) [c](../some.py)")
    (tmp_path / "some.py").write_text("")
    assert links.dead(inside, tmp_path, tmp_path / "b") == ["../a.md: no page of the site"]


@pytest.mark.slow
@pytest.mark.process
def test_the_figures_of_the_method_are_drawn_anew(tmp_path: Path) -> None:
    program = [sys.executable, ROOT / "scripts" / "draw_method_figures.py", tmp_path]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    drawn = sorted(path.name for path in tmp_path.iterdir())
    shown = re.findall(r"!\[[^\]]+\]\((.+?)\)", (DOCS / "method.md").read_text(encoding="utf-8"))
    assert drawn == sorted(shown)
    for name in drawn:
        with Image.open(DOCS / name) as kept, Image.open(tmp_path / name) as now:
            assert kept.size == now.size
            difference = ImageChops.difference(kept.convert("L"), now.convert("L"))
        assert ImageStat.Stat(difference).mean[0] < 2, f"{name} shows something else by now"


def test_the_page_about_the_cache_names_each_column_and_all_of_the_header() -> None:
    text = (DOCS / "cache_format.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", text, re.MULTILINE))
    letters = {2: "F", 3: "V", 5: "C", 7: "D"}
    expected = dict.fromkeys(TEXT_COLUMNS, "N")
    for text_vectors in (None, 0):
        header = CacheHeader(1, 2, 3, 7, "float16", ("a",) * 5, ("a",) * 5, True, {}, text_vectors)  # type: ignore[arg-type]
        shapes = {name: shape for name, (_, shape) in array_columns(header).items()}
        expected |= {name: TIMES.join(["N", *(letters[size] for size in shape)]) for name, shape in shapes.items()}
    assert rows == expected
    header_text = re.findall(r"The \*\*header\*\*.*?\n\n", text, re.DOTALL)[0]
    assert {f"`{name}`" for name in CacheHeader.__dataclass_fields__} <= set(re.findall(r"`\w+`", header_text))


def test_terms_of_the_glossary_are_sorted_and_used() -> None:
    body = GLOSSARY.read_text(encoding="utf-8").split("```")[1]
    terms = re.findall(r"^(\S.*)$", body, re.MULTILINE)[1:]
    assert len(terms) > 50 and terms == sorted(set(terms), key=str.casefold)
    pages = [page for page in PAGES if page != GLOSSARY]
    used = " ".join(" ".join(page.read_text(encoding="utf-8").split()) for page in pages).casefold()
    names = {term: [name.casefold() for name in re.split(r" \(|\)$", term) if name] for term in terms}
    assert [term for term, of in names.items() if not any(name in used for name in of)] == []
