"""Whom the report's pictures show."""

import numpy as np

from pipeline.arrays import Array
from pipeline.people import People


def hardest(people: People, count: int = 8) -> Array:
    """Rows (at most count) of the people to show in pictures, the same for every network.

    Those with the most occluded joints among those with at least half of their joints labelled; at equal
    numbers the larger person; one an image.
    """
    labelled = people.labelled.sum(1)
    occluded = labelled - people.visible.sum(1)
    enough = labelled * 2 >= people.labelled.shape[1]
    order = np.lexsort((people.person_id, -people.scale[:, 0], -occluded, ~enough))
    first = np.unique(people.image[order], return_index=True)[1]
    return order[np.sort(first)[:count]]
