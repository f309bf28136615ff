"""The CARLA leaderboard's and Bench2Drive's formulas, applied to runs of this toolkit."""

from drive.eval.metrics.carla.bench2drive import BENCH2DRIVE, Bench2DriveScore
from drive.eval.metrics.carla.driving import CARLA_1_0, CARLA_2_0, CARLA_2_1, CarlaScore, infraction_penalty

__all__ = [
    "BENCH2DRIVE",
    "CARLA_1_0",
    "CARLA_2_0",
    "CARLA_2_1",
    "Bench2DriveScore",
    "CarlaScore",
    "infraction_penalty",
]
