"""The world behind the CARLA server: actors, motion, contacts, lights and sensors."""
