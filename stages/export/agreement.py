"""An exported model beside the network that it was made of: the same inputs, and how far the outputs are apart."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from PIL import Image

from ...pipeline.errors import AevlpError
from ...pipeline.images.views import view_pixels
from ...pipeline.quiet import first_line, quiet
from .deployable import Deployable

BATCHES = (1, 3, 8)
TOLERANCE = 1e-4  # of a logit, or of its size where that is above one; of a probability
SEED = 17

# An input (B, …) as the model takes it -> logits (B, C), and probabilities where the format has them.
Computed = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]


def check_agreement(what: str, computed: Computed, subject: Deployable) -> float:
    """Return how far an exported model is from PyTorch at worst, on generated pictures in batches of 1, 3 and 8.

    Logits are compared with those of the run's network, probabilities with those of its decision in float64. With preprocessing
    each batch has another size of images, and one is a single pixel. what: the model is, in errors. Raises AevlpError above
    `TOLERANCE`.
    """
    worst = 0.0
    for inputs in example_inputs(subject):
        with torch.inference_mode():
            expected = subject.net(torch.from_numpy(inputs))[0].numpy()
        logits, probabilities = computed(inputs)
        apart = [np.abs(logits - expected) / np.maximum(1, np.abs(expected))]
        if probabilities is not None:
            apart.append(np.abs(probabilities - subject.about.decision.probabilities(expected)))
        worst = float(np.max([worst, *(values.max() for values in apart)]))  # NaN where one is
        if not worst <= TOLERANCE:
            raise AevlpError(
                f"{what} does not agree with PyTorch: outputs of a batch of {len(inputs)} are {worst:.2g} apart, expected at "
                f"most {TOLERANCE:g}; nothing was written, try another --to"
            )
    return worst


@contextmanager
def written_or_refused(what: str) -> Iterator[None]:
    """Turn what a library says of a network that its format cannot hold into an AevlpError; nothing of it is shown before.

    what: is written, in errors.
    """
    try:
        with quiet():
            yield
    except (AevlpError, OSError, MemoryError):
        raise
    except Exception as error:  # each library has its own way to refuse
        raise AevlpError(f"{what} cannot be written, try another --to: {first_line(error)}") from error


def example_inputs(subject: Deployable) -> Iterator[np.ndarray]:
    """Yield generated inputs as a model takes them, in batches of 1, 3 and 8, the same every time."""
    fed, random = subject.about.input, np.random.default_rng(SEED)
    if not fed.preprocessing:
        for batch in BATCHES:
            pictures = [_picture(random, fed.size, fed.size) for _ in range(batch)]
            whole = (0, 0, fed.size, fed.size)
            yield np.stack([view_pixels(p, whole, fed.size, False, fed.mean, fed.std) for p in pictures])
        return
    sizes = ((61, 37), (fed.size, fed.size), (2 * fed.size + 5, fed.size + 1))
    for batch, (width, height) in zip((1, *BATCHES), ((1, 1), *sizes), strict=True):
        yield np.stack([np.asarray(_picture(random, width, height)) for _ in range(batch)])


def _picture(random: np.random.Generator, width: int, height: int) -> Image.Image:
    """Return something with large and small shapes in all colours."""
    coarse = Image.fromarray(random.integers(0, 256, (5, 5, 3), dtype=np.uint8)).resize((width, height))
    fine = random.integers(-40, 41, (height, width, 3))
    return Image.fromarray((np.asarray(coarse) + fine).clip(0, 255).astype(np.uint8))
