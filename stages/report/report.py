"""A cache, a run, a comparison or a sweep -> one page beside it, made of what the Python API returns for each."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ...pipeline.errors import AevlpError, counted
from ...pipeline.files.atomic_write import replacing
from ...pipeline.files.locations import RemotePath, location
from ...pipeline.review.corrections import corrected, read_corrections
from ...pipeline.score_cache import ScoreCache, open_cache
from ...pipeline.score_cache.containers import CONTAINERS
from ..console import print_result, say
from ..declaration import takes
from ..experiments.opened import RESULTS, open_comparison, open_sweep
from ..new_files import check_folder
from ..stage_two.run import Run
from .cache_sections import cache_sections
from .comparison_sections import comparison_sections
from .explorer import explorer_section
from .figures import write_figures
from .latex import comparison_table
from .options import ReportOptions
from .page import write_page
from .run_sections import run_sections
from .section import Section, Text
from .sweep_sections import sweep_sections
from .trained_from import cache_of

REPORT = "report.html"  # in the folder of a run or a comparison


@dataclass(frozen=True)
class Page:
    """A page to be: its place, its title and what stands below that; and a table for a paper, if there is one.

    sections: makes them, which takes a while.
    """

    place: Path
    title: str
    subtitle: str
    sections: Callable[[], list[Section]]
    latex: str | None = None


@takes(ReportOptions)
def report(options: ReportOptions) -> Path:
    """Write a page beside what it reports on, in the place of an earlier one, and return its path.

    cache/voc.h5 -> cache/voc.report.html, a run or a comparison -> report.html in its folder, sweep.json -> sweep.report.html.
    A run's page has the sections of its cache too, where that is there. Raises AevlpError where `source` is none of these.
    """
    if options.data_root is not None and not options.data_root.is_dir():
        raise AevlpError(f"--data-root {options.data_root}: no such folder; leave it out for a page without pictures")
    page = _page(options)
    if options.latex is not None and page.latex is None:
        raise AevlpError(f"--latex writes the table of a comparison, and {options.source} is none: leave it out")
    for wanted in (page.place, options.figures and options.figures / "chart.svg", options.latex):
        if wanted is not None:
            check_folder(wanted)
    sections = page.sections()
    write_page(page.place, page.title, page.subtitle, sections)
    if options.figures is not None:
        say(f"{options.figures}: {write_figures(sections, options.figures):,} charts, each as .svg and .pdf")
    if options.latex is not None and page.latex is not None:
        with replacing(options.latex) as temporary:
            temporary.write_text(page.latex, encoding="utf-8")
        say(f"{options.latex}: the table as LaTeX")
    return page.place


def show(place: Path) -> None:
    """Print where the page is."""
    print_result(place, ": open it in a browser")


def _page(options: ReportOptions) -> Page:
    source = options.source
    if source.suffix in CONTAINERS:
        return _of_cache(source, options)
    if (source / "settings.json").is_file():
        return _of_run(source, options)
    folder = source.parent if source.name == RESULTS else source
    if (folder / RESULTS).is_file():
        comparison = open_comparison(folder)
        about = f"{len(comparison.record['methods'])} methods on {comparison.record['cache']}"
        return Page(
            folder / REPORT,
            f"Comparison {folder.absolute().name}",
            about,
            partial(comparison_sections, comparison),
            comparison_table(comparison),
        )
    if source.suffix == ".json":
        sweep = open_sweep(source)
        about = f"{sweep.record['settings']:,} settings of {sweep.record['cache']}"
        place = source.with_suffix(".report.html")
        return Page(place, f"Sweep {source.stem}", about, partial(sweep_sections, sweep))
    raise AevlpError(
        f"{source} is no cache (.h5 or .parquet), no folder of a run or a comparison, and no .json file of aevlp sweep "
        f"--output{_advice(source)}"
    )


def _advice(source: Path) -> str:
    """Return what else to name, where that can be told."""
    if source.suffix == ".csv":
        return f": of a sweep write {source.with_suffix('.json').name} instead, which says what is recommended too"
    runs = sorted(file.parent for file in source.glob("*/settings.json"))
    return f": it holds runs, name one of them, as {runs[0]}" if runs else ""


def _of_cache(path: Path, options: ReportOptions) -> Page:
    cache = open_cache(path)
    if options.corrections is not None:
        cache = corrected(cache, read_corrections(options.corrections))
    place = Path(path.name) if isinstance(path, RemotePath) else path
    return Page(
        place.with_suffix(".report.html"),
        f"Cache {path.stem}",
        f"{path}, {counted(len(cache), 'image')}",
        partial(_cache_and_pictures, cache, options),
    )


def _of_run(path: Path, options: ReportOptions) -> Page:
    run = Run(path)
    return Page(path / REPORT, f"Run {path.absolute().name}", f"{path}", partial(_run_and_cache, run, options))


def _run_and_cache(run: Run, options: ReportOptions) -> list[Section]:
    cache, absent = cache_of(run)
    without = [Section("cache", "The cache", [Text([absent])])]
    about_cache = without if cache is None else _cache_and_pictures(cache, options)
    return [*run_sections(run, cache, options.data_root), *about_cache]


def _cache_and_pictures(cache: ScoreCache, options: ReportOptions) -> list[Section]:
    root = options.data_root or location(cache.provenance["dataset"]["root"])
    if not root.is_dir():
        say(f"no folder {root}, where the images were: the page has no pictures; pass --data-root")
    return [*cache_sections(cache), explorer_section(cache, root if root.is_dir() else None)]
