"""What goes into an encoder and what comes out: a batch of moments, and their tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from drive.errors import InputError
from drive.nn._torch import Tensor, torch
from drive.nn.scene import EGO_COLUMNS, SceneArrays, is_mask

if TYPE_CHECKING:
    from collections.abc import Mapping


class SceneBatch(NamedTuple):
    """B moments as tensors; what an encoder's kind does not need may be None."""

    scene: SceneArrays | None  # tensors with a leading axis B
    raster: Tensor | None  # (B, 8, 128, 128) uint8
    images: Tensor | None  # (B, V, H, W, 3) uint8, views from left to right
    ego: Tensor  # (B, 14) EGO_COLUMNS


class SceneTokens(NamedTuple):
    """What networks attend to; the first token is the ego's and always valid."""

    tokens: Tensor  # (B, L, d)
    valid: Tensor  # (B, L) bool
    ego: Tensor  # (B, d) of the ego's own state alone


def scene_tensors(scene: SceneArrays, device: Any = None) -> SceneArrays:
    """The same arrays as float32 and bool tensors; memory is shared where the device and the type allow.

    Raises InputError where an array's shape does not fit the others.
    """
    fields = []
    for name, array in zip(SceneArrays._fields, scene, strict=True):
        kind = torch.bool if is_mask(name) else torch.float32
        tensor = array if isinstance(array, Tensor) else torch.from_numpy(_writable(np.asarray(array)))
        fields.append(tensor.to(device=device, dtype=kind))
    found = SceneArrays(*fields)
    if found.ego.shape[-1] != len(EGO_COLUMNS) or found.agents.shape[:-1] != found.agents_valid.shape:
        raise InputError(
            f"these are not the arrays of scenes: ego {tuple(found.ego.shape)}, "
            f"agents {tuple(found.agents.shape)}, valid {tuple(found.agents_valid.shape)}"
        )
    return found


def scene_batch(fields: Mapping[str, Any], device: Any = None) -> SceneBatch:
    """A batch from the fields of a training set: "scene.ego" ..., "raster", "images".

    Raises InputError when the ego's state is not among them.
    """
    names = [f"scene.{name}" for name in SceneArrays._fields]
    if "scene.ego" not in fields:
        raise InputError(
            f"a batch of scenes needs 'scene.ego'; there are {', '.join(sorted(fields)) or 'none'}"
        )
    whole = all(name in fields for name in names)
    scene = scene_tensors(SceneArrays(*(fields[name] for name in names)), device) if whole else None
    ego = scene.ego if scene is not None else _tensor(fields["scene.ego"], device).float()
    raster, images = (_tensor(fields.get(name), device) for name in ("raster", "images"))
    return SceneBatch(scene, raster, images, ego)


def move_batch(batch: SceneBatch, device: Any) -> SceneBatch:
    """The batch on another device; copies from pinned memory do not wait."""

    def moved(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor.to(device, non_blocking=True)

    scene = None if batch.scene is None else SceneArrays(*(moved(field) for field in batch.scene))
    return SceneBatch(
        scene, moved(batch.raster), moved(batch.images), batch.ego.to(device, non_blocking=True)
    )


def _tensor(array: Any, device: Any) -> Any:
    if array is None:
        return None
    tensor = array if isinstance(array, Tensor) else torch.from_numpy(_writable(np.asarray(array)))
    return tensor.to(device)


def _writable(array: Any) -> Any:
    """Memory-mapped rows may be read-only, of which torch warns."""
    return array if array.flags.writeable else array.copy()


__all__ = ["SceneBatch", "SceneTokens", "move_batch", "scene_batch", "scene_tensors"]
