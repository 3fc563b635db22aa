"""Training state <-> one safetensors file with its SHA-256, replaced atomically; no pickle: a file can hold no code."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..errors import AevlpError, in_one_line
from ..files.atomic_write import replacing


def save_tensors(path: Path, tensors: dict[str, torch.Tensor], description: dict[str, Any]) -> None:
    """Write tensors, a JSON description of them and the SHA-256 of both as one file, whole or not at all.

    Raises AevlpError where the folder cannot be written to or the disk is full; what was there before is then still there.
    """
    whole = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    # One entry, because safetensors writes several in any order, and equal content should give equal files.
    try:
        metadata = {"aevlp": json.dumps({**description, "sha256": _sha256(whole, description)})}
    except TypeError as error:  # from a loss of the user's own
        raise AevlpError(
            f"cannot write {path}: what is remembered must be numbers, strings and tensors, also a loss's state_dict: {error}"
        ) from error
    with replacing(path) as temporary:
        try:
            save_file(whole, temporary, metadata=metadata)
            temporary.chmod(path.parent.stat().st_mode & 0o666)  # safetensors lets the owner alone read it
        except SafetensorError as error:  # it hides the operating system's error in its own
            raise AevlpError(f"cannot write {path}: {in_one_line(error, 160)}") from error


def load_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return what `save_tensors` wrote, on the CPU.

    Raises AevlpError where the file is missing, not of aevlp, or damaged, be it in a single bit.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if "aevlp" not in metadata:
                raise AevlpError(f"{path}: a safetensors file, but not one that aevlp wrote")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        description = json.loads(metadata["aevlp"])
        if not isinstance(description, dict) or description.pop("sha256", None) != _sha256(tensors, description):
            raise AevlpError(
                f"{path} cannot be read: it is damaged, its SHA-256 is not the one that was written with it"
            )
        return tensors, description
    except (SafetensorError, OSError, ValueError) as error:
        raise AevlpError(f"{path} cannot be read: {in_one_line(error, 160)}") from error


def load_description(path: Path) -> dict[str, Any]:
    """Return the description that `save_tensors` wrote, without reading the tensors or comparing the SHA-256.

    Raises AevlpError where the file is missing or not of aevlp.
    """
    try:
        with safe_open(path, framework="pt") as file:
            description = json.loads((file.metadata() or {})["aevlp"])
            return {key: value for key, value in description.items() if key != "sha256"}
    except (SafetensorError, OSError, ValueError, LookupError, AttributeError) as error:
        raise AevlpError(f"{path} cannot be read: {in_one_line(error, 160)}") from error


def save_tree(path: Path, tree: Any) -> None:
    """Write nested dictionaries and lists of tensors, numbers, strings and None."""
    tensors: dict[str, torch.Tensor] = {}

    def strip(node: Any) -> Any:
        if isinstance(node, torch.Tensor):
            tensors[str(len(tensors))] = node
            return {"tensor": str(len(tensors) - 1)}
        if isinstance(node, dict):
            return {"items": [[key, strip(value)] for key, value in node.items()]}
        if isinstance(node, list | tuple):
            return {"list": [strip(value) for value in node]}
        return {"value": node}

    save_tensors(path, tensors, strip(tree))


def load_tree(path: Path) -> Any:
    """Return what `save_tree` wrote; tuples come back as lists. AevlpError where the file holds something else."""
    tensors, skeleton = load_tensors(path)

    def fill(node: dict[str, Any]) -> Any:
        if "tensor" in node:
            return tensors[node["tensor"]]
        if "items" in node:
            return {key: fill(value) for key, value in node["items"]}
        if "list" in node:
            return [fill(value) for value in node["list"]]
        return node["value"]

    try:
        return fill(skeleton)
    except (KeyError, TypeError, ValueError) as error:
        raise AevlpError(f"{path} holds no training state: it is another file, or damaged") from error


def _sha256(tensors: dict[str, torch.Tensor], description: dict[str, Any]) -> str:
    """Return the SHA-256 of a description and of every tensor's name, type, shape and bytes, in the order of names."""
    digest = hashlib.sha256(json.dumps(description).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        content: Any = tensor.reshape(-1).view(torch.uint8).numpy()
        digest.update(content)
    return digest.hexdigest()
