"""Boxes of info files: what is no box ends in a message that can be read. Oracle: its length."""

import numpy as np
import pytest

from nclr_mm.datasets.detection_infos import check_box

BOX = [1.0, -2.0, 0.5, 4.0, 1.5, 1.6, 0.1]


def doubled(kind, levels=60):
    """Of a few bytes in a file, and of 2 ** levels parts as a text or an array."""
    value = kind([1.0])
    for _ in range(levels):
        value = kind([value, value])
    return value


@pytest.mark.parametrize('box', [BOX, tuple(BOX), np.array(BOX), np.float32(BOX)])
def test_boxes(box):
    check_box(box, 'the box')


@pytest.mark.parametrize(
    ('box', 'printed'),
    [
        ([*BOX[:6], float('nan')], '0.5, 4.0, 1.5, 1.6, nan]'),
        (BOX[:6], '1.6]'),
        (None, 'None'),
        (3, '3'),
        ('x' * 1000, 'xxx'),
        ([0] * 1000, '...'),
        (np.zeros(7), 'ndarray'),
        (np.full(7, None), 'ndarray'),
        (doubled(list), '...'),
        (doubled(tuple), '...'),
        ([*BOX[:6], doubled(list)], '...'),
        (np.fromiter([doubled(list)] * 7, object), 'ndarray'),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_none(box, printed):
    with pytest.raises(ValueError, match='the box must be 7 finite numbers') as error:
        check_box(box, 'the box')
    assert printed in str(error.value) and len(str(error.value)) < 400
