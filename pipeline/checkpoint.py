"""Training state <-> one safetensors file, replaced atomically; no pickle, so that a file can hold no code."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from .atomic_write import replacing
from .errors import AevlpError


def save_tensors(path: Path, tensors: dict[str, torch.Tensor], description: dict[str, Any]) -> None:
    """Write tensors and a JSON description of them as one file, whole or not at all."""
    whole = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    with replacing(path) as temporary:
        save_file(whole, temporary, metadata={"aevlp": json.dumps(description)})


def load_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return what `save_tensors` wrote, on the CPU; AevlpError where the file is missing, damaged or not of aevlp."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if "aevlp" not in metadata:
                raise AevlpError(f"{path}: a safetensors file, but not one that aevlp wrote")
            return {name: file.get_tensor(name) for name in file.keys()}, json.loads(metadata["aevlp"])  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise AevlpError(f"{path} cannot be read: {' '.join(str(error).split())[:160]}") from error


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
