"""What is new is a file and a line: a container, a scheme of views, an encoder library and an engine that a test brings along."""

import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from conftest import draw_blocks, stage_one

from aevlp.pipeline.clip import libraries
from aevlp.pipeline.clip.encoder import ClipEncoder
from aevlp.pipeline.clip.source import ClipSource
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.images import schemes
from aevlp.pipeline.images.schemes import Box, scheme_of
from aevlp.pipeline.score_cache import containers, hdf5, open_cache, write_cache
from aevlp.pipeline.score_cache.containers import Container
from aevlp.stages.stage_one import local_engine, options
from fakes import random_cache


def planted(monkeypatch: pytest.MonkeyPatch, package: str, name: str, **functions: Any) -> str:
    """Put a module into a package as if its file were there, and return its name."""
    module = ModuleType(f"{package}.{name}")
    vars(module).update(functions)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return name


def test_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(place: Path, header: Any, parts: Iterable[Any]) -> None:
        hdf5.write(place, header, parts)
        place.write_bytes(b"wrapped" + place.read_bytes())

    def read(place: Path, whole: bool) -> hdf5.Hdf5Store:
        inner = place.with_suffix(".inner")
        inner.write_bytes(place.read_bytes().removeprefix(b"wrapped"))
        return hdf5.Hdf5Store(inner)

    name = planted(monkeypatch, containers.__package__, "wrapped", write=write, read=read)
    monkeypatch.setitem(containers.CONTAINERS, ".wrapped", Container(name))
    header, content = random_cache()
    write_cache(tmp_path / "a.wrapped", header, [content])
    assert (tmp_path / "a.wrapped").read_bytes().startswith(b"wrapped")
    cache = open_cache(tmp_path / "a.wrapped")
    assert cache.ids.tolist() == content.ids
    np.testing.assert_array_equal(cache.code(slice(None)), content.code)
    with pytest.raises(AevlpError, match=r"a \.h5 file or a \.parquet folder or a \.wrapped file"):
        open_cache(tmp_path / "a.zip")


def halves(width: int, height: int, compat: str, *, upper: bool = True) -> list[Box]:
    """The left half and, if that is wanted, the upper half, which have other sizes."""
    return [(0, 0, width // 2, height), *([(0, 0, width, height // 2)] if upper else [])]


def test_a_scheme_of_views(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = planted(monkeypatch, schemes.__name__, "halves", boxes=halves)
    monkeypatch.setitem(schemes.SCHEMES, "halves", name)
    draw_blocks(tmp_path / "data")
    entry = tmp_path / "data" / "blocks.yaml"
    entry.write_text(entry.read_text().replace("grid: 2,", "grid: halves,"))
    fast, exact = (
        open_cache(stage_one(tmp_path / "data", tmp_path / f"{way}.h5", resize=way, storage="float32"))
        for way in ("fast", "exact")
    )
    assert fast.header.views == exact.header.views == 3
    assert fast.provenance["method"]["grid"] == "halves[upper=true]"
    np.testing.assert_array_equal(fast.boxes, [(0, 0, 1, 1), (0, 0, 0.5, 1), (0, 0, 1, 0.5)])
    # The views of an image are more alike in two ways of resizing than each is like another one.
    ours, theirs = (cache.similarity(slice(None)) for cache in (fast, exact))
    for other in (0, 2):
        assert np.abs(ours - theirs).max() < np.abs(ours[:, :, 1] - ours[:, :, other]).max() / 4
    left = open_cache(
        stage_one(tmp_path / "data", tmp_path / "left.h5", views="halves[upper=false]", storage="float32")
    )
    np.testing.assert_allclose(left.similarity(slice(None)), ours[:, :, :2], atol=1e-5)
    with pytest.raises(AevlpError, match=r"unknown scheme of views 'thirds': known are .*halves"):
        scheme_of("thirds")


def test_an_encoder_library(blocks: Path, cache_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def load(source: ClipSource, device: Any, precision: str, seed: int) -> ClipEncoder:
        asked.append(source.model)
        return ClipEncoder(ClipSource(str(blocks / "tiny-clip.json"), "random"), device, precision, seed)

    name = planted(monkeypatch, libraries.__package__, "another_library", load=load)
    monkeypatch.setitem(libraries.LIBRARIES, "another", name)
    made = open_cache(stage_one(blocks, tmp_path / "x.h5", clip="another:tiny", weights="random", storage="float32"))
    assert asked == ["another:tiny"] == [made.provenance["clip"]["model"]]
    np.testing.assert_array_equal(made.similarity(slice(None)), open_cache(cache_path).similarity(slice(None)))


def test_an_engine(blocks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scored: list[int] = []

    def engine(plan: Any, store: Any, threads: Any) -> Any:
        within = local_engine.engine(plan, store, threads)

        def one_by_one(shards: list[Any], counted: Any, spent: Any) -> int:
            scored.append(shards[0].number)
            return within(shards[:1], counted, spent)

        return one_by_one

    planted(monkeypatch, options.__package__, "careful_engine", engine=engine)
    monkeypatch.setattr("aevlp.stages.declaration.get_args", _with_careful)
    made = stage_one(blocks, tmp_path / "x.h5", engine="careful", shard_size=5, storage="float32")
    assert scored == [0, 1, 2, 3]
    local = stage_one(blocks, tmp_path / "y.h5", shard_size=5, storage="float32")
    np.testing.assert_array_equal(open_cache(made).similarity(slice(None)), open_cache(local).similarity(slice(None)))


def _with_careful(annotation: Any) -> tuple[Any, ...]:
    """Return the choices of an annotation, as if `options.Engine` had the line that a new engine brings."""
    from typing import get_args

    found = get_args(annotation)
    return (*found, "careful") if found == get_args(options.Engine) else found
