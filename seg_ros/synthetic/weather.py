"""Light and air of open roads."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from seg_ros.synthetic.basics import Triple
from seg_ros.synthetic.light import Light, make_light, sun_direction


class Weather(NamedTuple):
    """What `make_light` is told, and what only open roads have."""

    sun_heading: float = -2.4  # [rad] in the world; the road starts along 0
    sun_height: float = 0.7  # [rad]
    sun: float = 2.0
    sunlight: Triple = (0.82, 0.95, 1.03)
    sky: float = 0.55
    warmth: float = 0.1
    cloud: float = 0.2
    dusk: float = 0.0
    gain: float = 0.95
    haze: float = 420.0
    halo: float = 0.0
    beam: float = 0.0
    noise: float = 1.8  # of the sensor, in display values
    glare: float = 0.0  # how far bright light spreads over the picture


def draw_weather(rng: np.random.Generator, light: str) -> Weather:
    """Draw the weather of a kind: day, low sun, overcast, mist, dusk or night."""
    heading = rng.uniform(-math.pi, math.pi)
    gain = rng.uniform(0.8, 1.2)
    if light == "day":
        return Weather(
            heading,
            rng.uniform(0.45, 1.1),
            sun=rng.uniform(1.5, 2.4),
            cloud=rng.uniform(0.0, 0.6),
            gain=gain,
            haze=rng.uniform(300.0, 900.0),
        )
    if light == "low sun":
        # Half of the time ahead, where it blinds.
        heading = rng.normal(0.0, 0.4) if rng.random() < 0.6 else heading
        return Weather(
            heading,
            rng.uniform(0.07, 0.22),
            sun=rng.uniform(1.4, 2.2),
            sunlight=(0.50, 0.80, 1.10),
            sky=rng.uniform(0.3, 0.5),
            warmth=rng.uniform(0.4, 1.0),
            cloud=rng.uniform(0.0, 0.5),
            gain=gain,
            haze=rng.uniform(150.0, 500.0),
            halo=rng.uniform(0.5, 1.6),
            glare=rng.uniform(0.1, 0.3),
        )
    if light == "dusk":
        return Weather(
            heading,
            0.3,
            sun=0.0,
            sky=rng.uniform(0.04, 0.14),
            warmth=rng.uniform(0.2, 0.9),
            cloud=rng.uniform(0.2, 0.9),
            dusk=1.0,
            gain=rng.uniform(1.0, 2.2),
            beam=rng.uniform(0.1, 0.5),
            noise=2.5,
            glare=0.15,
        )
    if light == "night":
        return Weather(
            heading,
            1.2,
            sun=0.0,
            sky=rng.uniform(0.001, 0.007),
            warmth=rng.uniform(0.3, 1.0),
            cloud=rng.uniform(0.3, 1.0),
            dusk=1.0,
            gain=rng.uniform(0.8, 1.8),
            beam=rng.uniform(1.6, 5.0),
            noise=rng.uniform(2.0, 5.0),
            glare=rng.uniform(0.2, 0.5),
        )
    mist = light == "mist"
    return Weather(
        heading,
        0.9,
        sun=rng.uniform(0.0, 0.15),
        sky=rng.uniform(0.4, 0.75),
        warmth=rng.uniform(0.0, 0.3),
        cloud=rng.uniform(0.75, 1.0),
        gain=gain,
        haze=rng.uniform(30.0, 110.0) if mist else rng.uniform(180.0, 500.0),
    )


def weather_light(weather: Weather, x: float, y: float, heading: float) -> Light:
    """Light where the vehicle is at a world pose."""
    to_sun = sun_direction(weather.sun_heading, weather.sun_height)
    light = make_light(
        to_sun,
        weather.sun * np.array(weather.sunlight),
        weather.sun,
        weather.sky,
        weather.warmth,
        weather.cloud,
        weather.dusk,
        weather.gain,
    )
    c, s = math.cos(heading), math.sin(heading)
    return light._replace(
        haze=weather.haze,
        reach=1.0 + 1.3 / math.tan(weather.sun_height),
        halo=weather.halo,
        beam=weather.beam,
        beam_pose=(x + 1.9 * c, y + 1.9 * s, c, s),
    )
