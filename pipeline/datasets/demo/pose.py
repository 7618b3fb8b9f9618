"""How the demo's people hold themselves: standing, walking, sitting, jumping and more."""

from dataclasses import dataclass

import numpy as np

from pipeline.datasets.demo.space import SIDES


@dataclass(frozen=True)
class Limb:
    """An arm or leg: flexion (forward) and abduction (to its side) at the trunk, the middle joint's bend."""

    flexion: float
    abduction: float
    bend: float
    towards: tuple[float, float, float] = (0.0, 0.3, 1.0)


@dataclass(frozen=True)
class Pose:
    """Angles in degrees; `lean` forward and `tilt` sideways are the trunk's, `roll` the whole body's."""

    arms: dict[str, Limb]
    legs: dict[str, Limb]
    lean: float
    tilt: float
    roll: float
    seated: bool


def random_pose(rng: np.random.Generator) -> Pose:
    kind = rng.choice(8, p=(0.24, 0.21, 0.21, 0.06, 0.1, 0.09, 0.04, 0.05))

    def normal(mean: float, spread: float) -> float:
        return float(mean + spread * np.clip(rng.standard_normal(), -2, 2))

    def arm() -> Limb:
        # A hand on the hip, a relaxed arm, or one held out.
        style = rng.random()
        if style < 0.15:
            return Limb(normal(-10, 8), normal(48, 6), normal(95, 10), (0.0, -0.2, 0.15))
        if style < 0.8:
            return Limb(normal(5, 14), normal(14, 8), abs(normal(20, 20)))
        return Limb(normal(25, 25), normal(50, 20), abs(normal(40, 30)), (0.0, 0.8, 0.6))

    arms = {side: arm() for side in SIDES}
    legs = {side: Limb(normal(2, 7), abs(normal(7, 5)), abs(normal(4, 5))) for side in SIDES}
    lean, tilt, roll = normal(3, 5), normal(0, 5), normal(0, 3)
    ahead, behind = ("left", "right") if rng.random() < 0.5 else ("right", "left")
    if kind == 1:  # walking, running
        speed = rng.uniform(0.3, 1.0)
        legs = {
            ahead: Limb(normal(15 + 40 * speed, 6), 4, abs(normal(10 + 45 * speed, 12))),
            behind: Limb(normal(-12 - 18 * speed, 6), 4, abs(normal(15 + 50 * speed, 15))),
        }
        bend = 25 + 65 * speed
        arms = {
            behind: Limb(normal(15 + 35 * speed, 8), abs(normal(8, 5)), normal(bend, 10)),
            ahead: Limb(normal(-15 - 35 * speed, 8), abs(normal(8, 5)), normal(bend, 10)),
        }
        lean += 12 * speed
    elif kind == 2:  # one or both arms raised
        for side in (ahead, behind) if rng.random() < 0.6 else (ahead,):
            towards = (rng.uniform(-1, 1), 1.0, rng.uniform(-0.2, 0.6))
            arms[side] = Limb(normal(0, 15), normal(125, 28), abs(normal(25, 25)), towards)
    elif kind == 3:  # bending down
        lean = normal(65, 15)
        arms = {side: Limb(normal(lean, 14), abs(normal(10, 8)), abs(normal(15, 15))) for side in SIDES}
        legs = {side: Limb(normal(8, 8), abs(normal(8, 5)), abs(normal(15, 12))) for side in SIDES}
    elif kind == 4:  # sitting
        lean = normal(5, 10)
        legs = {side: Limb(normal(84, 8), abs(normal(9, 7)), normal(82, 14)) for side in SIDES}
        arms = {side: Limb(normal(30, 18), abs(normal(12, 8)), abs(normal(45, 25))) for side in SIDES}
    elif kind == 5:  # jumping
        legs = {side: Limb(normal(18, 25), abs(normal(24, 10)), abs(normal(45, 30))) for side in SIDES}
        arms = {
            side: Limb(normal(0, 25), normal(105, 35), abs(normal(35, 25)), (0.0, 1.0, 0.4)) for side in SIDES
        }
        lean, roll = normal(5, 12), normal(0, 14)
    elif kind == 6:  # squatting
        lean = normal(25, 10)
        legs = {side: Limb(normal(85, 12), abs(normal(20, 8)), normal(115, 12)) for side in SIDES}
        arms = {side: Limb(normal(55, 20), abs(normal(12, 8)), abs(normal(40, 25))) for side in SIDES}
    elif kind == 7:  # kicking, a step up
        legs[ahead] = Limb(normal(65, 18), abs(normal(10, 8)), abs(normal(45, 30)))
        tilt, lean = normal(0, 10), normal(-6, 8)
        arms[behind] = Limb(normal(30, 30), normal(65, 20), abs(normal(30, 20)))
    return Pose(arms, legs, lean, tilt, roll, seated=kind == 4)
