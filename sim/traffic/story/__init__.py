"""Storyboards: what others do is written in a file, and waits for what the ego does."""

from drive.sim.traffic.story.model import Entity, Storyboard
from drive.sim.traffic.story.play import DIRECTOR, Play, rehearse

__all__ = ["DIRECTOR", "Entity", "Play", "Storyboard", "rehearse"]
