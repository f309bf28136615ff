"""The sensors of CARLA 0.9.15 and 0.9.16, their attributes and defaults, as its documentation gives them."""

from __future__ import annotations

Row = tuple[str, str, str]

_LENS: tuple[Row, ...] = (
    ("image_size_x", "int", "800"), ("image_size_y", "int", "600"), ("fov", "float", "90.0"),
    ("lens_circle_falloff", "float", "5.0"), ("lens_circle_multiplier", "float", "0.0"),
    ("lens_k", "float", "-1.0"), ("lens_kcube", "float", "0.0"), ("lens_x_size", "float", "0.08"),
    ("lens_y_size", "float", "0.08"),
)  # fmt: skip
_FILM: tuple[Row, ...] = (
    ("bloom_intensity", "float", "0.675"), ("fstop", "float", "1.4"), ("iso", "float", "100.0"),
    ("gamma", "float", "2.2"), ("lens_flare_intensity", "float", "0.1"), ("shutter_speed", "float", "200.0"),
    ("min_fstop", "float", "1.2"), ("blade_count", "int", "5"), ("exposure_mode", "string", "histogram"),
    ("exposure_compensation", "float", "0.0"), ("exposure_min_bright", "float", "10.0"),
    ("exposure_max_bright", "float", "12.0"), ("exposure_speed_up", "float", "3.0"),
    ("exposure_speed_down", "float", "1.0"), ("calibration_constant", "float", "16.0"),
    ("focal_distance", "float", "1000.0"), ("blur_amount", "float", "1.0"), ("blur_radius", "float", "0.0"),
    ("motion_blur_intensity", "float", "0.45"), ("motion_blur_max_distortion", "float", "0.35"),
    ("motion_blur_min_object_screen_size", "float", "0.1"), ("slope", "float", "0.88"),
    ("toe", "float", "0.55"), ("shoulder", "float", "0.26"), ("black_clip", "float", "0.0"),
    ("white_clip", "float", "0.04"), ("temp", "float", "6500.0"), ("tint", "float", "0.0"),
    ("chromatic_aberration_intensity", "float", "0.0"), ("chromatic_aberration_offset", "float", "0.0"),
    ("enable_postprocess_effects", "bool", "true"),
)  # fmt: skip
_RAYS: tuple[Row, ...] = (
    ("channels", "int", "32"), ("range", "float", "10.0"), ("points_per_second", "int", "56000"),
    ("rotation_frequency", "float", "10.0"), ("upper_fov", "float", "10.0"), ("lower_fov", "float", "-30.0"),
    ("horizontal_fov", "float", "360.0"),
)  # fmt: skip
SENSORS: dict[str, tuple[Row, ...]] = {
    "sensor.camera.rgb": (*_LENS, *_FILM),
    "sensor.camera.depth": _LENS,
    "sensor.camera.semantic_segmentation": _LENS,
    "sensor.camera.instance_segmentation": _LENS,
    "sensor.lidar.ray_cast": (
        *_RAYS,
        ("atmosphere_attenuation_rate", "float", "0.004"), ("dropoff_general_rate", "float", "0.45"),
        ("dropoff_intensity_limit", "float", "0.8"), ("dropoff_zero_intensity", "float", "0.4"),
        ("noise_stddev", "float", "0.0"), ("noise_seed", "int", "0"),
    ),
    "sensor.lidar.ray_cast_semantic": _RAYS,
    "sensor.other.radar": (
        ("horizontal_fov", "float", "30.0"), ("vertical_fov", "float", "30.0"), ("range", "float", "100.0"),
        ("points_per_second", "int", "1500"), ("noise_seed", "int", "0"),
    ),
    "sensor.other.collision": (),
    "sensor.other.lane_invasion": (),
    "sensor.other.obstacle": (
        ("distance", "float", "5.0"), ("hit_radius", "float", "0.5"), ("only_dynamics", "bool", "false"),
        ("debug_linetrace", "bool", "false"),
    ),
    "sensor.other.gnss": (
        ("noise_alt_bias", "float", "0.0"), ("noise_alt_stddev", "float", "0.0"),
        ("noise_lat_bias", "float", "0.0"), ("noise_lat_stddev", "float", "0.0"),
        ("noise_lon_bias", "float", "0.0"), ("noise_lon_stddev", "float", "0.0"), ("noise_seed", "int", "0"),
    ),
    "sensor.other.imu": (
        ("noise_accel_stddev_x", "float", "0.0"), ("noise_accel_stddev_y", "float", "0.0"),
        ("noise_accel_stddev_z", "float", "0.0"), ("noise_gyro_bias_x", "float", "0.0"),
        ("noise_gyro_bias_y", "float", "0.0"), ("noise_gyro_bias_z", "float", "0.0"),
        ("noise_gyro_stddev_x", "float", "0.0"), ("noise_gyro_stddev_y", "float", "0.0"),
        ("noise_gyro_stddev_z", "float", "0.0"), ("noise_seed", "int", "0"),
    ),
}  # fmt: skip
LOCATED = ("controller.ai.walker", "spectator", "util.actor.empty")
"""Actors that only have a place."""
