"""Whether this machine has what torch.compile calls."""

import logging
import os
from shutil import which

from ..errors import AevlpError

COMPILERS = ("g++", "clang++")  # what torch looks for, unless CXX names another


def require_compiler(option: str) -> None:
    """Raise AevlpError where torch.compile has no C++ compiler to call, and keep it from warning of CUDA.

    option: what asked for it, named in the error.
    """
    named = os.environ.get("CXX")
    if not any(which(name) for name in ([named] if named else COMPILERS)):
        raise AevlpError(
            f"{option} needs a C++ compiler, expected {named or ' or '.join(COMPILERS)} on the PATH: install one, or leave "
            f"{option} out"
        )
    # It warns of a missing CUDA runtime, where only a CPU is asked for.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
