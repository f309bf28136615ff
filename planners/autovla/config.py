"""How trainings are configured, by name: for a processor, for a GPU, and the text variant."""

from __future__ import annotations

from dataclasses import dataclass, field

from drive.errors import InputError
from drive.nn.fit import FitSettings
from drive.nn.store import DataRequest
from drive.planners.autovla.codebook import CodebookSettings
from drive.planners.autovla.model import TextSettings, VisionSettings, VLASettings
from drive.planners.autovla.product import Setup
from drive.planners.autovla.scene_words import PromptSettings
from drive.planners.autovla.sft import LossSettings

DATA = DataRequest(
    scenes=40, every=1.5, sensors=("vector", "image", "past"), picture=(84, 56), frames=4, scored=True
)


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """`batch` samples a step. Demonstrations whose own score is below `least` are left out. A tokenizer of
    `text_tokens` is trained unless `model.folder` brings one. `held_out` samples are validated on, of which
    `answered` are answered in full."""

    fit: FitSettings = field(
        default_factory=lambda: FitSettings(steps=1400, lr=1.5e-3, ema=0.995, validate_every=350)
    )
    model: VLASettings = field(default_factory=VLASettings)
    setup: Setup = field(default_factory=Setup)
    codebook: CodebookSettings = field(default_factory=lambda: CodebookSettings(tolerance=0.1))
    loss: LossSettings = field(default_factory=lambda: LossSettings(slow_weight=2.0))
    data: DataRequest = DATA
    batch: int = 16
    least: float = 0.5
    text_tokens: int = 600
    held_out: int = 192
    answered: int = 48

    def __post_init__(self) -> None:
        if min(self.batch, self.held_out, self.answered) < 1 or self.text_tokens < 300:
            raise InputError(
                "a training's batch, held_out and answered are 1 or more, text_tokens 300 or more"
            )


PAPER = LossSettings()
"""The published loss: samples that are thought over weigh 40 times as much."""
GPU = TrainConfig(
    fit=FitSettings(steps=20_000, lr=5e-4, warmup=500, ema=0.999, validate_every=2000),
    model=VLASettings(TextSettings(384, 8, 6, 2, 1152), VisionSettings(256, 4, 4, 768)),
    setup=Setup(picture=(168, 112)),
    data=DataRequest(scenes=160),
    batch=64,
    held_out=1024,
    answered=256,
)
"""About 20 million weights; never run to its end here."""
TEXT = TrainConfig(
    model=VLASettings(TextSettings(128, 4, 4, 2, 320), VisionSettings(32, 1, 1, 32)),
    setup=Setup(pictures=False, prompt=PromptSettings(agents=6, lines=True)),
)
"""The ablation: no pictures, the others and the lines as text."""
CODEBOOK_PAPER = CodebookSettings()
"""2048 actions at 5 cm."""

__all__ = ["CODEBOOK_PAPER", "DATA", "GPU", "PAPER", "TEXT", "TrainConfig"]
