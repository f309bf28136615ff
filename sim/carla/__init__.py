"""CARLA: a light server that CARLA's own client connects to, and the world behind it."""
