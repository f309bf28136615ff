"""Scenario families: one file each, with `draw(rng, difficulty) -> Draw`."""
