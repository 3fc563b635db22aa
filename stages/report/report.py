"""A cache, a run, a comparison or a sweep -> one page beside it, made of what the Python API returns for each."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...pipeline.errors import AevlpError
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


@dataclass(frozen=True)
class Made:
    """A page to be: its place, its title and what stands below that, its sections; and a table for a paper, if there is one."""

    page: Path
    title: str
    subtitle: str
    sections: Sequence[Section]
    latex: str | None = None


@takes(ReportOptions)
def report(options: ReportOptions) -> Path:
    """Write a page beside what it reports on, in the place of an earlier one, and return its path.

    cache/voc.h5 -> cache/voc.report.html, a run or a comparison -> report.html in its folder, sweep.json -> sweep.report.html.
    A run's page has the sections of its cache too, where that is there. Raises AevlpError where `source` is none of these.
    """
    for wanted in (options.figures and options.figures / "chart.svg", options.latex):
        if wanted is not None:
            check_folder(wanted)
    made = _made(options)
    if options.latex is not None and made.latex is None:
        raise AevlpError(f"--latex writes the table of a comparison, and {options.source} is none: leave it out")
    write_page(made.page, made.title, made.subtitle, made.sections)
    if options.figures is not None:
        say(f"{options.figures}: {write_figures(made.sections, options.figures):,} charts, each as .svg and .pdf")
    if options.latex is not None and made.latex is not None:
        with replacing(options.latex) as temporary:
            temporary.write_text(made.latex, encoding="utf-8")
        say(f"{options.latex}: the table as LaTeX")
    return made.page


def show(page: Path) -> None:
    """Print where the page is."""
    print_result(page, ": open it in a browser")


def _made(options: ReportOptions) -> Made:
    source = options.source
    if source.suffix in CONTAINERS:
        return _of_cache(source, options)
    if (source / "settings.json").is_file():
        return _of_run(source, options)
    folder = source.parent if source.name == RESULTS else source
    if (folder / RESULTS).is_file():
        comparison = open_comparison(folder)
        about = f"{len(comparison.record['methods'])} methods on {comparison.record['cache']}"
        table = comparison_table(comparison)
        return Made(folder / "report.html", f"Comparison {folder.name}", about, comparison_sections(comparison), table)
    if source.suffix == ".json":
        sweep = open_sweep(source)
        about = f"{sweep.record['settings']:,} settings of {sweep.record['cache']}"
        return Made(source.with_suffix(".report.html"), f"Sweep {source.stem}", about, sweep_sections(sweep))
    raise AevlpError(
        f"{source} is no cache (.h5 or .parquet), no folder of a run or a comparison, and no .json file of aevlp sweep --output"
    )


def _of_cache(path: Path, options: ReportOptions) -> Made:
    cache = open_cache(path)
    if options.corrections is not None:
        cache = corrected(cache, read_corrections(options.corrections))
    place = Path(path.name) if isinstance(path, RemotePath) else path
    about = f"{path}, {len(cache):,} images"
    page = place.with_suffix(".report.html")
    return Made(page, f"Cache {path.stem}", about, _cache_and_pictures(cache, options))


def _of_run(path: Path, options: ReportOptions) -> Made:
    run = Run(path)
    cache, absent = cache_of(run)
    without = [Section("cache", "The cache", [Text([absent])])]
    about_cache = without if cache is None else _cache_and_pictures(cache, options)
    sections = [*run_sections(run, cache, options.data_root), *about_cache]
    return Made(path / "report.html", f"Run {path.absolute().name}", f"{path}", sections)


def _cache_and_pictures(cache: ScoreCache, options: ReportOptions) -> list[Section]:
    root = options.data_root or location(cache.provenance["dataset"]["root"])
    if not root.is_dir():
        say(f"no folder {root}, where the images were: the page has no pictures; pass --data-root")
    return [*cache_sections(cache), explorer_section(cache, root if root.is_dir() else None)]
