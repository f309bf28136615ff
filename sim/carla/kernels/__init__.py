"""Compiled loops of the CARLA world: motion, contacts, lights, states and rays."""
