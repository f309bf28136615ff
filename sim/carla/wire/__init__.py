"""CARLA's client protocol as bytes: messages, encodings, stream records. Nothing here knows a world."""
