"""The one line with which something is refused."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from aevlp.pipeline.datasets import load_images
from aevlp.pipeline.errors import AevlpError


@contextmanager
def one_line(match: str) -> Iterator[None]:
    """Expect an AevlpError of one line that matches."""
    with pytest.raises(AevlpError, match=match) as caught:
        yield
    assert len(str(caught.value).splitlines()) == 1


def refusal(action: Callable[..., object], *given: Any, **options: Any) -> str:
    """Return the one line with which a call is refused."""
    with pytest.raises(AevlpError) as caught:
        action(*given, **options)
    line = str(caught.value)
    assert len(line.splitlines()) == 1
    assert line.encode()  # a terminal can show it
    return line


def refused(spec: Any, root: Path | None = None, **options: Any) -> str:
    """Return the one line that refuses to read a data set."""
    return refusal(load_images, spec, root, **options)
