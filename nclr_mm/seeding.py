"""Seeds of numbers: the same for the same numbers, on any machine."""

import numpy as np
from mmengine.runner import set_random_seed


def seed_generators(*numbers: int) -> None:
    """Seed Python's, numpy's and torch's generators.

    Args:
        numbers: not negative, all of which take part: (0, 1) and (1, 0) are different.
    """
    # With their number, for a sequence counts as equal to itself with zeros at its end.
    sequence = np.random.SeedSequence((len(numbers), *numbers))
    set_random_seed(int(sequence.generate_state(1)[0]))
