"""Scenario families: one file each, with `draw(rng) -> Draw`."""
