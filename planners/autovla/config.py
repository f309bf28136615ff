"""How trainings are configured, by name: for a processor, for a GPU, and the text variant."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from drive.errors import InputError
from drive.nn.fit import FitSettings
from drive.nn.store import DataRequest
from drive.planners.autovla.codebook import CodebookSettings
from drive.planners.autovla.grpo import GRPOSettings
from drive.planners.autovla.model import TextSettings, VisionSettings, VLASettings
from drive.planners.autovla.product import Setup
from drive.planners.autovla.reward import RewardSettings
from drive.planners.autovla.scene_words import PromptSettings
from drive.planners.autovla.seen import SeenSettings
from drive.planners.autovla.sft import LossSettings

DATA = DataRequest(
    scenes=40, every=1.5, speed=8.0, past="driven", sensors=("vector", "image", "past"), picture=(84, 56),
    frames=4, scored=True,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """`batch` samples a step, of which a share `even` is drawn evenly from moments that brake, slow down and
    speed up. After the first training come `rounds` of driving in `round_scenes` fresh scenes of each family
    and learning again, each `again` times as long and at half the rate. Demonstrations whose own score is
    below `least` are left out. `compiled` networks need a C++ compiler, and learn twice as fast on a CPU with
    `fit.bf16=on`. A tokenizer of `text_tokens` is trained unless `model.folder` brings one.
    `held_out` samples are validated on, of which `answered` are answered in full. `start` are weights to go
    on from, with their tokenizer, codebook and setup."""

    fit: FitSettings = field(
        default_factory=lambda: FitSettings(steps=600, lr=2e-3, ema=0.995, validate_every=300)
    )
    model: VLASettings = field(default_factory=VLASettings)
    setup: Setup = field(default_factory=Setup)
    codebook: CodebookSettings = field(default_factory=lambda: CodebookSettings(tolerance=0.1))
    loss: LossSettings = field(default_factory=lambda: LossSettings(slow_weight=2.0, change=2.0, spread=0.1))
    seen: SeenSettings = field(default_factory=SeenSettings)
    data: DataRequest = DATA
    batch: int = 16
    least: float = 0.5
    text_tokens: int = 900
    held_out: int = 192
    answered: int = 48
    start: str = ""
    even: float = 0.0
    compiled: bool = False
    rounds: int = 0
    round_scenes: int = 6
    again: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.even <= 1.0 or self.rounds < 0 or self.round_scenes < 1 or self.again <= 0.0:
            raise InputError("a training's even is 0 to 1, rounds 0 or more, round_scenes and again positive")
        if min(self.batch, self.held_out, self.answered) < 1 or self.text_tokens < 300:
            raise InputError(
                "a training's batch, held_out and answered are 1 or more, text_tokens 300 or more"
            )


PAPER = LossSettings()
"""The published loss: samples that are thought over weigh 40 times as much."""


@dataclass(frozen=True, slots=True)
class RFTConfig:
    """`start` are the weights to go on from, `rival` others to compare with afterwards. `moments` of fresh
    scenes are learnt from, `batch` prompts a step; `held_out` ones of validation scenes are answered at each
    validation, and `tested` ones of others when all is done."""

    start: str = ""
    rival: str = ""
    fit: FitSettings = field(default_factory=lambda: FitSettings(steps=60))
    grpo: GRPOSettings = field(default_factory=GRPOSettings)
    reward: RewardSettings = field(default_factory=RewardSettings)
    data: DataRequest = field(default_factory=DataRequest)
    batch: int = 4
    moments: int = 192
    held_out: int = 64
    tested: int = 256

    def __post_init__(self) -> None:
        if min(self.batch, self.moments, self.held_out, self.tested) < 1:
            raise InputError("a fine-tuning's batch, moments, held_out and tested are 1 or more")


@dataclass(frozen=True, slots=True)
class ReflexConfig:
    """`start` are the weights whose states are read; `batch` moments a step, `width` of the head. A pressure
    that is told too small counts `caution` times its squared error, one too large 1 - `caution` times: who
    is unsure brakes. In `own_scenes` fresh scenes of each family `start` drives itself, without a reflex, and
    that is learnt from as well: the expert comes too near to nobody."""

    start: str = ""
    fit: FitSettings = field(
        default_factory=lambda: FitSettings(
            steps=1500, lr=2e-3, ema=0.99, weight_decay=1e-3, validate_every=250
        )
    )
    data: DataRequest = DATA
    batch: int = 256
    width: int = 128
    caution: float = 0.85
    own_scenes: int = 10

    def __post_init__(self) -> None:
        if min(self.batch, self.width) < 1 or self.own_scenes < 0:
            raise InputError("a reflex's batch and width are 1 or more, its own_scenes 0 or more")
        if not 0.0 < self.caution < 1.0:
            raise InputError("a reflex's caution lies between 0 and 1")


THOUGHTFUL = DataRequest(
    families=(
        "occluded_pedestrian", "unprotected_left", "t_junction_yield", "roundabout", "dense_merge", "cut_in",
        "parked_vehicle_two_way", "signalised_intersection", "stop_for_lead", "stop_and_go",
        "lane_change_for_route", "construction_narrowing",
    ),
    scenes=40,
    first_seed=20_000,
    every=1.5,
    past="driven",
)  # fmt: skip
"""Scenes in which there is something to think about."""
_SLOWLY = FitSettings(
    steps=360,
    lr=2e-4,
    warmup=5,
    ema=0.97,
    validate_every=60,
    log_every=10,
    weight_decay=0.01,
)
_OURS = GRPOSettings(group=12, temperature=0.7, modes="each", mean="all", worse=0.2)
RFT_CPU = RFTConfig(
    fit=_SLOWLY,
    grpo=_OURS,
    reward=RewardSettings(penalty=0.02),
    data=THOUGHTFUL,
    batch=8,
    moments=3600,
    held_out=384,
    tested=1024,
)
"""Ours: both ways of thinking are dealt, a thought costs little, and what is worse is hardly unlearnt."""
RFT_GPU = RFTConfig(
    fit=replace(_SLOWLY, steps=1000, validate_every=100),
    grpo=_OURS,
    reward=RewardSettings(penalty=0.02),
    data=replace(THOUGHTFUL, scenes=100),
    batch=32,
    moments=4096,
    held_out=1024,
    tested=4096,
)
GPU = TrainConfig(
    fit=FitSettings(steps=20_000, lr=5e-4, warmup=500, ema=0.999, validate_every=2000),
    model=VLASettings(TextSettings(384, 8, 6, 2, 1152), VisionSettings(256, 4, 4, 768)),
    setup=Setup(picture=(168, 112)),
    data=replace(DATA, scenes=160),
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

__all__ = [
    "CODEBOOK_PAPER",
    "DATA",
    "GPU",
    "PAPER",
    "RFT_CPU",
    "RFT_GPU",
    "TEXT",
    "THOUGHTFUL",
    "RFTConfig",
    "ReflexConfig",
    "TrainConfig",
]
