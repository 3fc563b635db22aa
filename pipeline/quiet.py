"""Foreign libraries' log lines and warnings, kept off the terminal; what went wrong in them, in one line."""

import logging
import warnings

from .errors import in_one_line


class quiet:
    """Keep the log lines of open_clip, timm and the hub off the terminal: what matters of them is said as errors."""

    def __enter__(self) -> None:
        self._level = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        warnings.simplefilter("ignore")

    def __exit__(self, *_: object) -> None:
        self._warnings.__exit__(None, None, None)
        logging.disable(self._level)


def first_line(error: BaseException) -> str:
    """Return the kind of an error and the beginning of its text, in one line."""
    return f"{type(error).__name__}: {in_one_line(error, 160)}"
