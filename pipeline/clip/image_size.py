"""An image tower at another size than it was trained at: its position embeddings are interpolated, its weights stay.

As the libraries do where weights are loaded into a model of another size: open_clip's `resize_pos_embed` for its transformers,
the same for the attention pool of its ResNets, timm's `set_input_size` for timm's.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import AevlpError, in_one_line

STRIDE = 32  # of a ResNet: pixels a side of an image to a place of its last feature map


def native_size(visual: Any) -> int:
    """Return the pixels a side that an image tower of open_clip's is fed with."""
    size = visual.image_size
    return size if isinstance(size, int) else size[0]


def resize(visual: nn.Module, size: int) -> nn.Module:
    """Return an image tower made, in place, to take images of size x size pixels; its own size changes nothing.

    Grids of position embeddings are interpolated bicubically with antialiasing, tokens without a place are kept. Raises
    AevlpError for a size that is no multiple of the patch (of a transformer) or of 32 (of a ResNet), and for a tower that cannot.
    """
    from open_clip.modified_resnet import ModifiedResNet
    from open_clip.timm_model import TimmModel
    from open_clip.transformer import VisionTransformer

    tower: Any = visual
    if hasattr(tower, "resize_to"):  # of another library, which knows best
        tower.resize_to(size)
        return visual
    if size == native_size(tower):
        return visual
    if isinstance(tower, VisionTransformer):
        new = places(size, tower.conv1.kernel_size[0], "its patches are")
        tower.positional_embedding = _interpolated(tower.positional_embedding, tower.grid_size, (new, new))
        tower.image_size, tower.grid_size = (size, size), (new, new)
    elif isinstance(tower, ModifiedResNet):
        old, new = native_size(tower) // STRIDE, places(size, STRIDE, "the steps of its last feature map are")
        pool: Any = tower.attnpool
        pool.positional_embedding = _interpolated(pool.positional_embedding, (old, old), (new, new))
        tower.image_size = size
    elif isinstance(tower, TimmModel):
        resize_trunk(tower.trunk, size)
        tower.image_size = (size, size)
    else:
        raise AevlpError(
            f"it is of open_clip's class {type(tower).__name__}, which takes {native_size(tower)} pixels alone"
        )
    return visual


def resize_trunk(trunk: nn.Module, size: int) -> None:
    """Have a timm model take images of size x size pixels, where it does not take any size; AevlpError where it cannot."""
    model: Any = trunk
    patches: Any = getattr(model, "patch_embed", None)
    if hasattr(patches, "feat_ratio"):
        places(size, patches.feat_ratio(), "its patches are")
    if hasattr(model, "set_input_size"):
        try:
            model.set_input_size((size, size))
        except Exception as error:  # each model has its own way to refuse a size
            raise AevlpError(in_one_line(error, 160) or type(error).__name__) from error


def places(size: int, step: int, whose: str) -> int:
    """Return how many steps of so many pixels are in a size; AevlpError where they do not fill it."""
    if size % step:
        near = max(size // step, 1) * step
        raise AevlpError(f"{whose} {step} pixels a side, expected a multiple of that, such as {near} or {near + step}")
    return size // step


def _interpolated(positions: Tensor, old: tuple[int, int], new: tuple[int, int]) -> nn.Parameter:
    """Return position embeddings (1 + new places, D) of those of an old grid (1 + old places, D), the first kept as it is."""
    with torch.no_grad():
        first, grid = positions[:1], positions[1:].float()
        maps = grid.reshape(1, *old, -1).permute(0, 3, 1, 2)
        maps = functional.interpolate(maps, size=new, mode="bicubic", antialias=True, align_corners=False)
        places = maps.permute(0, 2, 3, 1).reshape(new[0] * new[1], -1).to(positions.dtype)
        return nn.Parameter(torch.cat([first, places]), requires_grad=positions.requires_grad)
