"""Calls about actors: blueprints, spawning, destroying, what they are, where they are put."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from drive.sim.carla.calls.table import IGNORED, call, void
from drive.sim.carla.streams import SENSORS
from drive.sim.carla.wire import shapes, values
from drive.sim.carla.world.blueprints import BLUEPRINTS

if TYPE_CHECKING:
    from drive.sim.carla.server import Server
    from drive.sim.carla.session import Session
    from drive.sim.carla.wire.versions import Version
    from drive.sim.carla.world.actors import Actor
    from drive.sim.carla.world.blueprints import Attribute

MOST_ACTORS = 1 << 14


def box_of(actor: Actor) -> Any:
    """Half extents about a middle, in the actor's axes; of a light or a sign its trigger volume."""
    return shapes.box(actor.center, actor.half, (0.0, 0.0, 0.0))


def packed_actor(server: Server, number: int, session: Session | None = None) -> Any:
    """An actor as the client's struct. Raises InputError when it is not there."""
    actor = server.world.actor(number)
    token = server.token(number + SENSORS, session) if server.is_a(number, "sensor") else b""
    return shapes.actor(
        server.release,
        actor.id,
        actor.parent,
        actor.uid,
        actor.type_id,
        actor.attributes,
        box_of(actor),
        actor.labels,
        token,
    )


@lru_cache(maxsize=4)
def _definitions(release: Version) -> list[Any]:
    return [[b.uid, b.id, b.tags, [_attribute(release, a) for a in b.attributes]] for b in BLUEPRINTS]


def _attribute(release: Version, a: Attribute) -> list[Any]:
    kind = release.attribute_type(a.type)
    return [a.id, kind, a.value, list(a.recommended), a.modifiable, a.restrict]


def _actor_definitions(server: Server, session: Session) -> list[Any]:
    return _definitions(server.release)


def _spectator(server: Server, session: Session) -> Any:
    return packed_actor(server, server.world.spectator_id, session)


def _actors_by_id(server: Server, session: Session, ids: Any) -> list[Any]:
    """Those that are there; the client takes the rest for gone."""
    wanted = [values.actor_id(number) for number in values.array(ids, "the ids", 0, MOST_ACTORS)]
    return [packed_actor(server, number, session) for number in wanted if server.is_a(number)]


def spawn(
    server: Server, session: Session, description: Any, pose: Any, parent: int = 0, attachment: int = 0
) -> int:
    """Returns the id. Raises InputError: an unknown blueprint, a bad attribute, a place that is taken."""
    blueprint, attributes = values.description(description)
    number = server.world.spawn(blueprint, values.transform(pose), attributes, parent, attachment)
    session.spawned.add(number)
    return number


def _spawn_actor(server: Server, session: Session, description: Any, pose: Any) -> Any:
    return packed_actor(server, spawn(server, session, description, pose), session)


def _spawn_attached(
    server: Server, session: Session, description: Any, pose: Any, parent: Any, attachment: Any = 0
) -> Any:
    to, how = values.actor_id(parent), values.integer(attachment, "the attachment", 0, 16)
    return packed_actor(server, spawn(server, session, description, pose, to, how), session)


def destroy(server: Server, number: int) -> bool:
    return bool(server.destroy([number]))


def _destroy_actor(server: Server, session: Session, actor: Any) -> bool:
    return destroy(server, values.actor_id(actor))


def _bounding_box(server: Server, session: Session, actor: Any) -> Any:
    return box_of(server.world.actor(values.actor_id(actor)))


def _transform_of(server: Server, session: Session, actor: Any, component: Any = "") -> Any:
    """Actors have no further components here: whatever is asked for lies at the actor's own place."""
    return shapes.transform(server.world.transform(values.actor_id(actor)))


def _relative_transform_of(server: Server, session: Session, actor: Any, component: Any = "") -> Any:
    server.world.actor(values.actor_id(actor))
    return shapes.transform((0.0,) * 6)


def _nothing_of(server: Server, session: Session, actor: Any) -> list[Any]:
    server.world.actor(values.actor_id(actor))
    return []


def _set_location(server: Server, session: Session, actor: Any, location: Any) -> None:
    server.world.set_location(values.actor_id(actor), values.vector(location, "the location"))


def _set_transform(server: Server, session: Session, actor: Any, pose: Any) -> None:
    server.world.set_transform(values.actor_id(actor), values.transform(pose))


def _set_velocity(server: Server, session: Session, actor: Any, vector: Any) -> None:
    server.world.set_target_velocity(values.actor_id(actor), values.vector(vector))


def _set_angular_velocity(server: Server, session: Session, actor: Any, vector: Any) -> None:
    server.world.set_target_angular_velocity(values.actor_id(actor), values.vector(vector))


def _constant_velocity(server: Server, session: Session, actor: Any, vector: Any) -> None:
    server.world.enable_constant_velocity(values.actor_id(actor), values.vector(vector))


def _no_constant_velocity(server: Server, session: Session, actor: Any) -> None:
    server.world.disable_constant_velocity(values.actor_id(actor))


def _impulse(server: Server, session: Session, actor: Any, vector: Any, at: Any = None) -> None:
    server.world.add_impulse(values.actor_id(actor), values.vector(vector))


def _force(server: Server, session: Session, actor: Any, vector: Any, at: Any = None) -> None:
    server.world.add_force(values.actor_id(actor), values.vector(vector))


def _angular_impulse(server: Server, session: Session, actor: Any, vector: Any) -> None:
    server.world.add_angular_impulse(values.actor_id(actor), values.vector(vector))


def _torque(server: Server, session: Session, actor: Any, vector: Any) -> None:
    server.world.add_torque(values.actor_id(actor), values.vector(vector))


def _simulate_physics(server: Server, session: Session, actor: Any, on: Any) -> None:
    server.world.set_simulate_physics(values.actor_id(actor), values.flag(on, "simulate_physics"))


def _gravity(server: Server, session: Session, actor: Any, on: Any) -> None:
    server.world.set_gravity(values.actor_id(actor), values.flag(on, "gravity"))


def _collisions(server: Server, session: Session, actor: Any, on: Any) -> None:
    server.world.set_collisions(values.actor_id(actor), values.flag(on, "collisions"))


def _dead(server: Server, session: Session, actor: Any) -> None:
    server.world.set_dead(values.actor_id(actor))


ACTORS = {
    "get_actor_definitions": call(_actor_definitions),
    "get_spectator": call(_spectator),
    "get_actors_by_id": call(_actors_by_id),
    "spawn_actor": call(_spawn_actor),
    "spawn_actor_with_parent": call(_spawn_attached),
    "destroy_actor": call(_destroy_actor),
    "get_actor_bounding_box": call(_bounding_box),
    "get_actor_component_world_transform": call(_transform_of),
    "get_actor_component_relative_transform": call(_relative_transform_of),
    "get_actor_component_names": call(_nothing_of),
    "get_actor_bone_names": call(_nothing_of),
    "get_actor_bone_world_transforms": call(_nothing_of),
    "get_actor_bone_relative_transforms": call(_nothing_of),
    "get_actor_socket_names": call(_nothing_of),
    "get_actor_socket_world_transforms": call(_nothing_of),
    "get_actor_socket_relative_transforms": call(_nothing_of),
    "set_actor_location": void(_set_location),
    "set_actor_transform": void(_set_transform),
    "set_actor_target_velocity": void(_set_velocity),
    "set_actor_target_angular_velocity": void(_set_angular_velocity),
    "enable_actor_constant_velocity": void(_constant_velocity),
    "disable_actor_constant_velocity": void(_no_constant_velocity),
    "add_actor_impulse": void(_impulse),
    "add_actor_impulse_at_location": void(_impulse),
    "add_actor_force": void(_force),
    "add_actor_force_at_location": void(_force),
    "add_actor_angular_impulse": void(_angular_impulse),
    "add_actor_torque": void(_torque),
    "set_actor_simulate_physics": void(_simulate_physics),
    "set_actor_enable_gravity": void(_gravity),
    "set_actor_collisions": void(_collisions),
    "set_actor_dead": void(_dead),
    "set_actor_autopilot": IGNORED,
}
