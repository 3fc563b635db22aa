"""The links of a page in Markdown, and which of them lead nowhere."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+(?:\([^()\s]*\)[^()\s]*)*)(?: \"[^\"]*\")?\)")
HEADING = re.compile(r"^#{1,6} +(.*?) *$", re.MULTILINE)
FENCED = re.compile(r"^( *)(`{3,}).*?^\1\2`*\s*$", re.MULTILINE | re.DOTALL)


def dead(page: Path, root: Path, site: Path | None = None) -> list[str]:
    """Return the links of a page that lead to no file below `root`, to no heading of one, or that are no address.

    site: the folder of the pages that are built together, if the page is one: its links to other Markdown are dead there.
    """
    found = []
    for link in links(page.read_text(encoding="utf-8")):
        parts = urlsplit(link)
        if parts.scheme or link.startswith("//"):
            if parts.scheme not in ("http", "https") or not re.fullmatch(r"[\w-]+(\.[\w-]+)+", parts.netloc):
                found.append(f"{link}: no address")
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        if not target.is_relative_to(root) or not target.exists():
            found.append(f"{link}: no such file")
        elif site is not None and target.suffix == ".md" and not target.is_relative_to(site):
            found.append(f"{link}: no page of the site")
        elif parts.fragment and parts.fragment not in anchors(target.read_text(encoding="utf-8")):
            found.append(f"{link}: no such heading")
    return found


def links(text: str) -> Iterator[str]:
    """Yield where the links and pictures outside code lead."""
    yield from (match[1] for match in LINK.finditer(re.sub(r"(`+).+?\1", "", FENCED.sub("", text))))


def anchors(text: str) -> set[str]:
    """Return the names of a page's headings in links, as GitHub and MyST make them."""
    found: set[str] = set()
    for title in HEADING.findall(FENCED.sub("", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "").lower()
        name = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = 0
        while (numbered := f"{name}-{number}" if number else name) in found:
            number += 1
        found.add(numbered)
    return found
