"""Draws the pictures of docs/tutorial.md, from a folder in which its commands were run.

python scripts/draw_tutorial.py FOLDER
Chromium has to be there, as for the tests of pages; $CHROMIUM names it.
"""

import argparse
import csv
import os
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from aevlp.stages.contact_sheet import Card, draw_sheet

DOCS = Path(__file__).parents[1] / "docs"
PICTURES, COLORS = 12, 128
WIDTH, HEIGHT = 1100, 760


def smaller(path: Path) -> None:
    """Write a picture again in fewer colours."""
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(COLORS).save(path, optimize=True)


def draw_pictures(folder: Path) -> None:
    """Draw the first pictures of a tutorial's folder, with the labels that its table gives them."""
    with (folder / "photos" / "labels.csv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))[:PICTURES]
    cards = [
        Card(folder / "photos" / row["image"], frozenset(names := row["labels"].split(";")), {"labels": names})
        for row in rows
    ]
    draw_sheet(DOCS / "tutorial-pictures.png", "The first pictures of photos/", cards)
    smaller(DOCS / "tutorial-pictures.png")


def draw_report(folder: Path) -> None:
    """Take a picture of the table of classes in the report of a tutorial's cache."""
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto((folder / "cache" / "photos-labels.report.html").absolute().as_uri())
        heading = page.get_by_role("heading", name="Classes", exact=True)
        page.locator("section").filter(has=heading).screenshot(path=DOCS / "tutorial-report.png")
        browser.close()
    smaller(DOCS / "tutorial-report.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args().folder
    draw_pictures(given)
    draw_report(given)
