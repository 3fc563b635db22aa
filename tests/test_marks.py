"""A test that starts another process is told apart, by the ways in which Python starts one."""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import process_marks
import pytest
from torch.utils.data import DataLoader


def of_subprocess() -> None:
    subprocess.run([sys.executable, "-c", ""], check=True)


def of_a_fork() -> None:
    if (child := os.fork()) == 0:
        os._exit(0)
    os.waitpid(child, 0)


def of_a_spawn() -> None:
    process = multiprocessing.get_context("spawn").Process(target=print)
    process.start()
    process.join()


def of_a_pool() -> None:
    with ProcessPoolExecutor(1) as pool:
        pool.submit(int).result()


def of_a_loader() -> None:
    assert len(list(DataLoader([1, 2], num_workers=1))) == 2  # type: ignore[arg-type]


@pytest.mark.process
@pytest.mark.parametrize("way", [of_subprocess, of_a_fork, of_a_spawn, of_a_pool, of_a_loader])
def test_each_way_to_start_a_process_is_seen(request: pytest.FixtureRequest, way: Callable[[], None]) -> None:
    unmarked = pytest.Function.from_parent(request.node.parent, name="unmarked", callobj=way)
    hook = process_marks.marked(unmarked)
    next(hook)
    way()
    with pytest.raises(pytest.fail.Exception, match=r"starts other processes .*mark it with pytest\.mark\.process"):
        next(hook)
    hook = process_marks.marked(request.node)
    next(hook)
    way()
    with pytest.raises(StopIteration):
        next(hook)


def test_what_starts_no_process_is_left_alone(request: pytest.FixtureRequest) -> None:
    hook = process_marks.marked(request.node)
    next(hook)
    process_marks.note("subprocess.Popen", ("/sbin/ldconfig", ["ldconfig"], None, None))
    process_marks.note("open", ("file",))
    with pytest.raises(StopIteration):
        next(hook)
