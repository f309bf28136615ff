"""Vehicle parameters and the columns of a state."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drive import vehicle
from drive.errors import InputError
from drive.vehicle import AgentKind, RoverParams, VehicleParams, center_to_rear, rear_to_center


def test_state_columns_are_named_once_and_in_order():
    assert vehicle.STATE_COLUMNS == ("x", "y", "heading", "speed", "acceleration", "steering", "yaw_rate")
    named = (vehicle.X, vehicle.Y, vehicle.HEADING, vehicle.SPEED, vehicle.ACCELERATION, vehicle.STEERING)
    assert named == (0, 1, 2, 3, 4, 5)
    assert (vehicle.YAW_RATE, vehicle.Z, vehicle.PITCH, vehicle.ROLL) == (6, 7, 8, 9)


def test_default_vehicle_is_nuplans_pacifica():
    v = VehicleParams()
    assert (v.length, v.width, v.height, v.wheelbase, v.rear_axle_to_center) == (
        5.176,
        2.297,
        1.777,
        3.089,
        1.461,
    )


@pytest.mark.parametrize("name", ["length", "width", "height", "wheelbase", "max_speed", "max_steering_rate"])
@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_impossible_vehicles_are_refused(name, value):
    with pytest.raises(InputError, match=f"vehicle {name} must be positive"):
        VehicleParams(**{name: value})


def test_steering_beyond_a_right_angle_is_refused():
    with pytest.raises(InputError, match="below pi / 2"):
        VehicleParams(max_steering=1.6)
    with pytest.raises(InputError, match="rover mass"):
        RoverParams(mass=-1.0)


def test_whole_numbers_make_the_same_vehicle():
    assert VehicleParams(length=5) == VehicleParams(length=5.0)
    assert isinstance(VehicleParams(length=5).length, float)


@given(st.floats(-4, 4), st.floats(0, 3), st.tuples(st.floats(-99, 99), st.floats(-99, 99)))
def test_rear_axle_and_centre_invert_each_other(heading, distance, rear):
    center = rear_to_center([*rear, heading], distance)
    assert np.hypot(*(center - rear)) == pytest.approx(distance, abs=1e-9)
    assert center_to_rear(center, heading, distance) == pytest.approx(rear, abs=1e-9)


def test_the_centre_lies_in_front_of_the_rear_axle():
    assert rear_to_center([[0.0, 0.0, np.pi / 2]], 1.5) == pytest.approx(np.array([[0.0, 1.5]]))


def test_kinds_keep_their_stored_values():
    assert [k.name for k in sorted(AgentKind)][:4] == ["VEHICLE", "BICYCLE", "PEDESTRIAN", "STATIC"]
    assert {k for k in AgentKind if k.is_vulnerable} == {AgentKind.BICYCLE, AgentKind.PEDESTRIAN}
    assert not AgentKind.BICYCLE.is_motor_vehicle
    assert AgentKind.BUS.is_motor_vehicle
