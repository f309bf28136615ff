"""Errors of the CARLA world; their messages go to the client that asked."""

from __future__ import annotations

from drive.errors import InputError


class SpawnError(InputError):
    """An actor cannot be made: unknown blueprint, bad attribute, no such parent, or its place is taken."""


class ActorError(InputError):
    """An actor does not exist, or is of another kind than what is asked of it needs."""
