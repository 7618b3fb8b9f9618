"""Colours, and what the demo's people wear."""

import colorsys
from dataclasses import dataclass

import numpy as np

SKIN = ((0.95, 0.80, 0.69), (0.87, 0.67, 0.53), (0.76, 0.55, 0.40), (0.58, 0.39, 0.27), (0.39, 0.26, 0.18))
_HAIR = ((0.09, 0.07, 0.06), (0.28, 0.17, 0.10), (0.48, 0.30, 0.16), (0.80, 0.66, 0.38), (0.55, 0.53, 0.52))


def random_colour(
    rng: np.random.Generator,
    saturation: tuple[float, float] = (0.25, 0.9),
    value: tuple[float, float] = (0.25, 0.95),
) -> np.ndarray:
    hue, s, v = rng.random(), rng.uniform(*saturation), rng.uniform(*value)
    return 255 * np.array(colorsys.hsv_to_rgb(hue, s, v))[::-1]


def random_tone(rng: np.random.Generator, palette: tuple[tuple[float, float, float], ...]) -> np.ndarray:
    """A BGR colour between two neighbours of a palette."""
    place = rng.uniform(0, len(palette) - 1)
    low = int(place)
    mixed = np.array(palette[low]) + (place - low) * (np.array(palette[low + 1]) - palette[low])
    return 255 * mixed[::-1]


@dataclass(frozen=True)
class Wardrobe:
    """What a person wears; colours are BGR."""

    skin: np.ndarray
    hair: np.ndarray
    shirt: np.ndarray
    accent: np.ndarray
    vest: np.ndarray
    trousers: np.ndarray
    shoes: np.ndarray
    sleeve: float
    leg: float
    skirt: bool
    pattern: str
    haircut: str

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Wardrobe":
        shirt = random_colour(rng)
        # Light on dark, dark on light.
        vest = 0.25 * shirt + (190 if shirt.mean() < 110 else 10)
        return cls(
            skin=random_tone(rng, SKIN),
            hair=random_tone(rng, _HAIR),
            shirt=shirt,
            vest=vest,
            accent=random_colour(rng, value=(0.1, 1.0)),
            trousers=random_colour(rng, saturation=(0.1, 0.7), value=(0.15, 0.75)),
            shoes=random_colour(rng, saturation=(0.0, 0.6), value=(0.08, 0.95)),
            sleeve=float(rng.choice((0.0, 0.6, 1.9), p=(0.25, 0.5, 0.25))),
            leg=float(rng.choice((0.7, 1.95), p=(0.3, 0.7))),
            skirt=bool(rng.random() < 0.15),
            pattern=str(rng.choice(("plain", "stripes", "hoop"), p=(0.55, 0.25, 0.2))),
            haircut=str(rng.choice(("short", "long", "cap", "bald"), p=(0.45, 0.3, 0.15, 0.1))),
        )
