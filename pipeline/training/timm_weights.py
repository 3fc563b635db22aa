"""A timm backbone's name -> its trained weights on the Hugging Face hub, as a file."""

from pathlib import Path
from typing import Any

from ..errors import AevlpError
from ..files import absent_files as hub

NAMES = ("model.safetensors", "pytorch_model.bin")  # of a repository of timm's that says no other


def of_hub(config: Any) -> tuple[str, tuple[str, ...]]:
    """Return the repository of a backbone's weights, "" where there is none, and the names its file may have, best first.

    config: timm's pretrained configuration of the backbone, or None.
    """
    if config is None or not config.hf_hub_id:
        return "", ()
    file = config.hf_hub_filename
    if not file:
        return config.hf_hub_id, NAMES
    return config.hf_hub_id, (str(Path(file).with_suffix(".safetensors")), file) if file.endswith(".bin") else (file,)


def told(name: str, flag: str = "--weights") -> dict[str, Any]:
    """Return what timm is told of the weights of a backbone, so that it opens a file and asks the hub for nothing.

    The file is fetched where it is not on this machine yet; AevlpError within seconds where it cannot be. flag: the option that
    names weights, for that error.
    """
    import timm

    config: Any = timm.models.get_pretrained_cfg(name)
    repository, files = of_hub(config)
    if not repository:
        return {}
    try:
        path = hub.fetched(repository, files)
    except AevlpError as error:
        raise AevlpError(
            f"cannot fetch the trained weights of {name}: {error}; download {hub.address(repository, files[0])} and pass it as "
            f"{flag} FILE, or pass --backbone linear, which learns from the cached embeddings, or {flag} random to train from "
            f"scratch"
        ) from error
    # Any other `custom_load` is about files that are not on the hub; timm itself heeds it there in this case alone.
    custom = "hf" if config.hf_hub_filename and config.custom_load == "hf" else False
    return {"file": str(path), "custom_load": custom}
