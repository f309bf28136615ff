"""Tokens of pictures and of views from above: convolutions whose normalisation knows one moment alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drive.errors import InputError
from drive.nn._torch import Tensor, functional, nn, torch

if TYPE_CHECKING:
    from drive.nn.encoders import EncoderSettings
    from drive.nn.tokens import SceneBatch


class RasterTokens(nn.Module):
    """Stride 16 by convolutions over the view from above (B, C, 128, 128): 8 x 8 tokens."""

    def __init__(self, settings: EncoderSettings) -> None:
        super().__init__()
        c = settings.channels
        self.channels = settings.raster_channels
        self.net = nn.Sequential(
            _stem(settings.raster_channels, c, kernel=5),
            ResidualBlock(c, c, stride=2),
            ResidualBlock(c, 2 * c, stride=2),
            ResidualBlock(2 * c, 2 * c, stride=2),
        )
        self.grid = _Grid(2 * c, settings.width, (8, 8))

    def forward(self, batch: SceneBatch) -> tuple[Tensor, None]:
        raster = batch.raster
        if raster is None:
            raise InputError("this encoder reads rasters, and the batch has none")
        if raster.ndim != 4 or raster.shape[1] != self.channels:
            raise InputError(f"a raster must be (B, {self.channels}, H, W), got {tuple(raster.shape)}")
        return self.grid(self.net(raster.to(self.grid.position.dtype) / 255.0)), None


class ImageTokens(nn.Module):
    """A residual network of 18 layers (He et al. 2016, table 1) over the panorama of all views.

    Its last stage keeps its resolution, so that 96 x 384 pixels give 6 x 24 tokens.
    """

    def __init__(self, settings: EncoderSettings) -> None:
        super().__init__()
        c = settings.channels
        self.net = nn.Sequential(
            _stem(3, c, kernel=7),
            nn.MaxPool2d(3, stride=2, padding=1),
            *(ResidualBlock(c, c), ResidualBlock(c, c)),
            *(ResidualBlock(c, 2 * c, stride=2), ResidualBlock(2 * c, 2 * c)),
            *(ResidualBlock(2 * c, 4 * c, stride=2), ResidualBlock(4 * c, 4 * c)),
            *(ResidualBlock(4 * c, 4 * c), ResidualBlock(4 * c, 4 * c)),
        )
        self.grid = _Grid(4 * c, settings.width, (6, 24))

    def forward(self, batch: SceneBatch) -> tuple[Tensor, None]:
        images = batch.images
        if images is None:
            raise InputError("this encoder reads images, and the batch has none")
        if images.ndim != 5 or images.shape[-1] != 3:
            raise InputError(f"images must be (B, V, H, W, 3), got {tuple(images.shape)}")
        panorama = images.permute(0, 4, 2, 1, 3).flatten(3)  # (B, 3, H, V * W): views side by side
        return self.grid(self.net(panorama.to(self.grid.position.dtype) / 127.5 - 1.0)), None


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with group normalisation and a way around them."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm, self.norm_second = _group_norm(outputs), _group_norm(outputs)
        self.around: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.around = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), _group_norm(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm_second(self.second(functional.relu(self.norm(self.first(x)))))
        return functional.relu(inner + self.around(x))


class _Grid(nn.Module):
    """A map of features (B, C, h, w) as tokens (B, rows * columns, d) that know their place."""

    def __init__(self, channels: int, width: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.size = grid
        self.project = nn.Linear(channels, width)
        self.position = nn.Parameter(torch.randn(grid[0] * grid[1], width) * 0.02)

    def forward(self, features: Tensor) -> Tensor:
        if features.shape[-2:] != self.size:
            features = functional.adaptive_avg_pool2d(features, self.size)
        out: Tensor = self.project(features.flatten(2).transpose(1, 2)) + self.position
        return out


def _stem(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, 2, kernel // 2, bias=False)
    return nn.Sequential(convolution, _group_norm(outputs), nn.ReLU())


def _group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(8, channels)


__all__ = ["ImageTokens", "RasterTokens", "ResidualBlock"]
