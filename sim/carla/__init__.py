"""CARLA's client protocol over this toolkit's own simulator, and the bridge to either."""
