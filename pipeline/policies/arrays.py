"""What the pure functions of methods take: float64 arrays of a known shape, without a gap."""

import numpy as np
from numpy.typing import ArrayLike

from ..errors import AevlpError


def numbers(name: str, given: ArrayLike, *shape: int | None, what: str) -> np.ndarray:
    """Return an array as float64; AevlpError where it has another shape, or a number that is not finite.

    shape: what each axis must be, None for any length. what: the axes in words, as in "images, classes".
    """
    try:
        values = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise AevlpError(f"{name} must be numbers of shape ({what}): {error}") from error
    fits = values.ndim == len(shape) and all(
        wanted in (None, found) for wanted, found in zip(shape, values.shape, strict=True)
    )
    if not fits:
        known = f", here {_shape(shape)}" if any(wanted is not None for wanted in shape) else ""
        raise AevlpError(f"{name} must be ({what}){known}, found shape {values.shape}")
    if not np.isfinite(values).all():
        place = tuple(int(n) for n in np.argwhere(~np.isfinite(values))[0])
        raise AevlpError(f"{name} must be finite numbers, found {values[place]} at {place}")
    return values


def require(name: str, given: float | None, fits: bool, range_: str) -> None:
    """Raise AevlpError where a constant is out of its range, said in words; one that is not a number never fits."""
    if not fits:
        raise AevlpError(f"{name} must be {range_}, found {given!r}")


def _shape(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('any' if wanted is None else str(wanted) for wanted in shape)})"
