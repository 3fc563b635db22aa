"""Many images, few labels: train a multi-label classifier from one cached pass of multi-focus CLIP.

Every name of `__init__.pyi` is imported when it is first used, so that `import aevlp` itself loads no torch.
"""

from importlib.metadata import version as _version

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
__version__ = _version("aevlp")
