"""The engine ray: the cache of the engine local, with actors that die, share a GPU, or find something wrong."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from conftest import draw_blocks, stage_one

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.manifest.load import load_manifest
from aevlp.pipeline.score_cache.unfinished import parts_folder
from aevlp.pipeline.scoring.bottleneck import TimeSpent
from aevlp.pipeline.scoring.parts import PartStore
from aevlp.pipeline.scoring.scorer import one_thread_each
from aevlp.stages.stage_one.options import PseudolabelOptions
from aevlp.stages.stage_one.parts import part_store
from aevlp.stages.stage_one.plan import ScoringPlan, make_plan
from aevlp.stages.stage_one.ray_engine import engine

pytest.importorskip("ray")


def content(path: Path) -> dict[str, bytes]:
    """Return the bytes of every dataset of a cache."""
    with h5py.File(path, "r") as file:
        values = {name: np.asarray(dataset[()]) for name, dataset in file.items()}
    return {name: repr(v.tolist()).encode() if v.dtype == object else v.tobytes() for name, v in values.items()}


def planned(blocks: Path, cache: Path, **options: Any) -> tuple[ScoringPlan, PartStore]:
    """Return the plan for the blocks, and its parts, begun."""
    given = PseudolabelOptions(
        dataset="blocks", cache=cache, manifest=blocks / "blocks.yaml", workers=0, shard_size=4, engine="ray", **options
    )
    plan = make_plan(given, load_manifest(given.manifest)["blocks"])
    store = part_store(plan, cache)
    store.begin()
    return plan, store


def ask(plan: ScoringPlan, store: PartStore) -> int:
    """Have the engine score all shards."""
    with one_thread_each() as threads:
        return engine(plan, store, threads)(store.shards, lambda _: None, TimeSpent())


def actors_of(driver: int) -> set[int]:
    """Return the processes of the actors on the cluster that a process has started: its grandchildren, by their title."""
    parents, titles = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            titles[int(folder.name)] = (folder / "cmdline").read_bytes()
        except (OSError, IndexError):
            continue
    return {
        pid
        for pid, title in titles.items()
        if title.startswith(b"ray::MapWorker(MapBatches(ShardActor)") and parents.get(parents[pid]) == driver
    }


@pytest.mark.process
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the actors in /proc")
@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_the_cache_is_equal_though_an_actor_is_killed(tmp_path: Path, workers: int) -> None:
    draw_blocks(tmp_path / "data", train_images=200, test_images=40)
    manifest, cache = tmp_path / "data" / "blocks.yaml", tmp_path / "ray.h5"
    command = [
        sys.executable, "-m", "aevlp.stages", "pseudolabel", "--dataset", "blocks", "--tower", "torch", "--manifest", manifest,
        "--cache", cache, "--shard-size", 2, "--workers", workers, "--engine", "ray", "--actors", 2,
    ]  # fmt: skip
    driver = subprocess.Popen(
        [str(a) for a in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path
    )
    parts, deadline = parts_folder(cache), time.monotonic() + 400
    while not list(parts.glob("part-*.h5")):
        assert driver.poll() is None and time.monotonic() < deadline, driver.communicate(timeout=9)
        time.sleep(0.005)
    [first, *_] = before = actors_of(driver.pid)
    subprocess.run(["kill", "-9", str(first)], check=True)
    done = len(list(parts.glob("part-*.h5")))
    assert done < 120 and driver.poll() is None, "killed too late"
    seen = set(before)
    while driver.poll() is None and time.monotonic() < deadline:
        seen |= actors_of(driver.pid)
        time.sleep(0.2)
    printed, _ = driver.communicate(timeout=60)
    assert driver.returncode == 0, printed
    assert content(cache) == content(stage_one(tmp_path / "data", tmp_path / "local.h5", shard_size=2))
    lines = [line for line in printed.splitlines() if line.strip() and not line.startswith("scoring ")]
    # Ray says what its level is, that an actor died, and of each of the two shards that this one had that it is done again.
    ray_says = [line for line in lines if "logging.cc" in line or "(raylet)" in line]
    assert (len(lines) - len(ray_says), len(ray_says) <= 4) == (11, True), printed
    assert len(seen) > len(before) == 2, "no actor was started in the place of the one that was killed"
    assert not parts.exists()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Ray, started by somebody else than the engine, with a GPU that is only said to be there."""
    import ray

    ray.init(address="local", num_cpus=2, num_gpus=1, log_to_driver=False, include_dashboard=False)
    yield ray
    ray.shutdown()


@pytest.mark.process
@pytest.mark.slow
def test_a_cluster_that_runs_is_used_and_what_an_actor_refuses_is_one_line(
    cluster: Any, blocks: Path, tmp_path: Path
) -> None:
    plan, store = planned(blocks, tmp_path / "x.h5")
    with pytest.raises(AevlpError, match=r"2 actors with 0.75 GPU each need 1.5, this Ray cluster has 1: pass fewer"):
        ask(replace(plan, options=replace(plan.options, actors=2, gpus=0.75)), store)
    other = replace(plan, options=replace(plan.options, grid=3))  # the actors plan what these options say
    with pytest.raises(AevlpError, match=r"x\.h5\.parts holds parts of a run that was started differently"):
        ask(other, store)
    assert cluster.is_initialized()
    assert store.missing() == store.shards


@pytest.mark.process
@pytest.mark.slow
def test_actors_share_a_gpu_and_say_which_images_cannot_be_read(cluster: Any, tmp_path: Path) -> None:
    draw_blocks(tmp_path / "data")
    (tmp_path / "data" / "images" / "03.png").write_bytes(b"no image")
    options = {"shard_size": 4, "store": "embedding"}
    alone = stage_one(tmp_path / "data", tmp_path / "alone.h5", **options)
    shared = stage_one(tmp_path / "data", tmp_path / "ray.h5", **options, engine="ray", actors=2, gpus=0.5)
    assert content(shared) == content(alone)
    with pytest.raises(AevlpError, match=r"1 of 16 images cannot be read, first .*03\.png.*; --strict refuses"):
        stage_one(tmp_path / "data", tmp_path / "s.h5", **options, engine="ray", actors=2, gpus=0.5, strict=True)


@pytest.mark.process
@pytest.mark.slow
def test_the_cluster_of_ray_address_is_used_and_left_running(cluster: Any, blocks: Path, tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "aevlp.stages", "pseudolabel", "--dataset", "blocks", "--tower", "torch", "--manifest",
        os.path.relpath(blocks / "blocks.yaml", tmp_path), "--cache", "ray.h5", "--engine", "ray",
    ]  # fmt: skip
    environment = {**os.environ, "RAY_ADDRESS": cluster.get_runtime_context().gcs_address}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    assert content(tmp_path / "ray.h5") == content(stage_one(blocks, tmp_path / "local.h5"))
    assert cluster.cluster_resources()["CPU"] == 2


@pytest.mark.process
def test_without_ray_it_says_what_to_install(blocks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    plan, store = planned(blocks, tmp_path / "x.h5")
    with pytest.raises(AevlpError, match=r"--engine ray needs Ray: pip install 'aevlp\[ray\]'"):
        ask(plan, store)
