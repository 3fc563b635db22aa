"""Mean and deviation of the pixels that a CLIP was trained with, from wherever they are said: three numbers each, checked."""

from collections.abc import Sequence
from typing import Any

from ..errors import AevlpError

Three = tuple[float, float, float]
OPENAI: tuple[Three, Three] = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


def parsed(text: str) -> tuple[float, ...]:
    """Return the numbers in a text with commas, in brackets or not; AevlpError where it is another text."""
    try:
        return tuple(float(number) for number in text.strip().removeprefix("[").removesuffix("]").split(","))
    except ValueError as error:
        raise AevlpError(
            f"--mean and --std take three numbers with commas, such as 0.5,0.5,0.5, found {text!r}"
        ) from error


def checked(mean: Any, std: Any, names: tuple[str, str]) -> tuple[Three, Three]:
    """Return mean and deviation as three numbers each; AevlpError where they cannot be those of pixel values in [0, 1].

    names: of both where they were said, for errors, as in "--mean" and "--std".
    """
    if (mean is None) != (std is None):
        given, left_out = names if std is None else names[::-1]
        raise AevlpError(f"{given} without {left_out}: give both, they belong to one model")
    return _three(mean, names[0], zero=True), _three(std, names[1], zero=False)


def written(numbers: Sequence[float]) -> str:
    """Return three numbers as the options take them."""
    return ",".join(format(number, ".8g") for number in numbers)


def _three(numbers: Any, name: str, zero: bool) -> Three:
    listed = list(numbers) if isinstance(numbers, list | tuple) else []
    are_numbers = all(isinstance(n, int | float) and not isinstance(n, bool) for n in listed)
    if len(listed) != 3 or not are_numbers or not all(0 <= n <= 1 and (zero or n > 0) for n in listed):
        raise AevlpError(
            f"{name} must be three numbers {'from' if zero else 'above'} 0 to 1, one a colour, for pixel values between 0 and 1 "
            f"(divide those for 0 to 255 by 255), found {str(numbers)[:60]}"
        )
    return float(listed[0]), float(listed[1]), float(listed[2])
