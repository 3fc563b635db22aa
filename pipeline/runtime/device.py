"""A device's name -> the device, or an error: never another device in its place."""

import torch

from ..errors import AevlpError


def find_device(name: str | None) -> torch.device:
    """Return the named device; None means the GPU where there is one. AevlpError where it is not there."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise AevlpError(f"--device: unknown device {name!r}: expected cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise AevlpError(f"--device: unknown device {name!r}: expected cpu, cuda or cuda:N")
    if device.type == "cuda":
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= found:
            raise AevlpError(
                f"--device {name} is not there: this machine shows {found} GPUs to torch; use --device cpu"
            )
    return device


def mixed_precision(device: torch.device) -> torch.dtype | None:
    """Return the type for mixed precision on a device; None on a CPU, which computes in single precision."""
    if device.type != "cuda":
        return None
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
