"""Mean, deviation and paired gain of known values; the picture shows them."""

import cv2
import pytest

from nclr_mm.visualization.comparison import comparison_table, plot_comparison, summarise

RUNS = {
    ('random', 0.01): [0.20, 0.30, 0.40],
    ('nclr', 0.01): [0.25, 0.36, 0.43],
    ('random', 1.0): [0.60],
    ('nclr', 1.0): [0.61],
}


def test_table():
    assert comparison_table(RUNS).splitlines() == [
        '| labels | random | nclr | gain of nclr | seeds |',
        '| ---: | ---: | ---: | ---: | ---: |',
        '| 1 % | 30.0 ± 10.0 | 34.7 ± 9.1 | +4.7 ± 1.5 | 3 |',
        '| 100 % | 60.0 | 61.0 | +1.0 | 1 |',
    ]


def test_deviation_is_that_of_a_sample():
    mean, deviation = summarise([1, 2, 3])
    assert (mean, deviation) == pytest.approx((2, 1))


def test_picture(tmp_path):
    path = plot_comparison(RUNS, tmp_path / 'new/comparison.png', 'miou')
    image = cv2.imread(str(path))
    assert image.shape[0] > 300 and len({tuple(p) for p in image.reshape(-1, 3)[::7]}) > 20
    assert [p.name for p in path.parent.iterdir()] == ['comparison.png']
