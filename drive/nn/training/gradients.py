"""How the gradients of one batch are computed: eagerly, compiled, or replayed as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Literal

from drive.errors import InputError
from drive.nn._torch import nn, torch
from drive.nn.training.checkpoint import pack_random, unpack_random
from drive.nn.training.settings import FitSettings

Tensor = Any
Batch = Mapping[str, Tensor]
Loss = Callable[[Any, Batch, Any], "tuple[Tensor, Mapping[str, Any]]"]
Gradients = Callable[[Batch], "tuple[Tensor, dict[str, Tensor]]"]
Speed = Literal["eager", "graph", "compile"]
WARM = 3


def make_gradients(
    model: nn.Module, loss: Loss, generator: Any, device: Any, speed: Speed, bf16: bool
) -> Gradients:
    """A function of a batch that leaves the gradients in the parameters; nothing in it waits for the device.

    It returns the loss and its named figures, scalars on the device. `graph` needs batches of one shape and a
    loss that never looks at a value on the host.
    """
    network: Any = torch.compile(model) if speed == "compile" else model

    def computed(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        # Casts that are cached while a graph is captured would not be made again when it is replayed.
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16, cache_enabled=speed != "graph"):
            value, figures = loss(network, batch, generator)
        value.backward()
        return value.detach().double(), {name: _scalar(f, device) for name, f in figures.items()}

    if speed == "graph":
        if device.type != "cuda":
            raise InputError("a CUDA graph needs a CUDA device")
        return _Graph(model, computed, generator, device)

    def fresh(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        model.zero_grad(set_to_none=True)
        return computed(batch)

    return fresh


def use_bf16(settings: FitSettings, device: Any) -> bool:
    """Whether the network computes in bfloat16."""
    if settings.bf16 == "auto":
        return device.type == "cuda" and bool(torch.cuda.is_bf16_supported())
    return settings.bf16 == "on"


class _Graph:
    """Forward and backward captured once and replayed (docs.pytorch.org, notes on CUDA graphs).

    The gradients lie in the graph's own memory, and each replay writes over them.
    """

    def __init__(self, model: nn.Module, computed: Gradients, generator: Any, device: Any) -> None:
        self.model, self.computed, self.generator, self.device = model, computed, generator, device
        self.graph: Any = None
        self.batch: dict[str, Tensor] = {}
        self.found: tuple[Tensor, dict[str, Tensor]] = (None, {})

    def __call__(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        if self.graph is None:
            self._capture(batch)
        for name, held in self.batch.items():
            if name not in batch or batch[name].shape != held.shape or batch[name].dtype != held.dtype:
                raise InputError(
                    f"a CUDA graph needs batches of one shape; '{name}' changed: use speed=eager"
                )
            held.copy_(batch[name], non_blocking=True)
        self.graph.replay()
        return self.found

    def _capture(self, batch: Batch) -> None:
        self.batch = {name: value.clone() for name, value in batch.items()}
        buffers = {name: value.clone() for name, value in self.model.named_buffers()}
        shared, own = pack_random(self.device), self.generator.get_state()
        here, side = torch.cuda.current_stream(self.device), torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        side.wait_stream(here)
        with torch.cuda.stream(side):
            for _ in range(WARM):  # lazily made workspaces must not be made while capturing
                self.model.zero_grad(set_to_none=True)
                self.computed(self.batch)
        here.wait_stream(side)
        # The rehearsal leaves no trace: it drew numbers, and may have moved running means.
        self.model.zero_grad(set_to_none=True)
        with torch.no_grad():
            for name, value in self.model.named_buffers():
                value.copy_(buffers[name])
        unpack_random(self.device, *shared)
        self.generator.set_state(own)
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.generator)
        try:
            with torch.cuda.graph(graph):
                self.found = self.computed(self.batch)
        except RuntimeError as error:
            with suppress(RuntimeError):
                torch.cuda.synchronize(self.device)
            why = " ".join(str(error).split())[:120]
            raise InputError(
                f"the loss cannot be captured as a CUDA graph, use speed=eager ({why})"
            ) from error
        self.graph = graph


def _scalar(value: Tensor | float, device: Any) -> Tensor:
    if isinstance(value, torch.Tensor):
        return value.detach().double()
    return torch.full((), float(value), dtype=torch.float64, device=device)


__all__ = ["Batch", "Gradients", "Loss", "Speed", "make_gradients", "use_bf16"]
