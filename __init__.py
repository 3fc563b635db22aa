"""Many images, few labels: train a multi-label classifier from one cached pass of multi-focus CLIP.

Every name of `__init__.pyi` is imported when it is first used, so that `import aevlp` itself loads no torch.
"""

from typing import Any as _Any

import lazy_loader as _lazy

_lazily, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)


def __getattr__(name: str) -> _Any:
    if name == "__version__":
        from importlib.metadata import version

        return version(__name__)
    return _lazily(name)
