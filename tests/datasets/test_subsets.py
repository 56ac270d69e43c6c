"""Label fractions choose what the published protocols choose."""

import pytest

from nclr_mm.datasets.subsets import choose_frames, describe

# Scans of SemanticKITTI's training sequences (semantic-kitti.org).
SEMANTICKITTI = {
    '00': 4541,
    '01': 1101,
    '02': 4661,
    '03': 801,
    '04': 271,
    '05': 2761,
    '06': 1101,
    '07': 1101,
    '09': 1591,
    '10': 1201,
}
SCENES_600 = [f'scene-{i:04d}' for i in range(600) for _ in range(40)]
SCENES_700 = [f'scene-{i:04d}' for i in range(700) for _ in range(40)]


@pytest.mark.parametrize(
    ('fraction', 'number'), [(0.001, 17), (0.01, 188), (0.1, 1912), (0.5, 9560), (1.0, 19130)]
)
def test_semantickitti_has_as_many_frames_as_the_official_lists(fraction, number):
    sequences = [name for name, count in SEMANTICKITTI.items() for _ in range(count)]
    chosen = choose_frames(sequences, fraction, 'frames-of-sequences')
    assert len(chosen) == len(set(chosen)) == number
    assert {sequences[i] for i in chosen} == set(SEMANTICKITTI)


@pytest.mark.parametrize(
    ('scenes', 'fraction', 'number'),
    [
        (SCENES_600, 0.001, 1),
        (SCENES_600, 0.01, 6),
        (SCENES_600, 0.1, 60),
        (SCENES_600, 0.5, 300),
        (SCENES_600, 1.0, 600),
        (SCENES_700, 0.01, 7),
        (SCENES_700, 0.05, 35),
        (SCENES_700, 0.1, 70),
        (SCENES_700, 0.25, 175),
    ],
)
def test_nuscenes_has_every_kth_scene(scenes, fraction, number):
    chosen = choose_frames(scenes, fraction, 'scenes')
    names = list(dict.fromkeys(scenes[i] for i in chosen))
    assert len(names) == number
    assert names[0] == 'scene-0000'
    assert len(chosen) == 40 * number  # whole scenes


def test_every_kth_scene_by_hand():
    scenes = ['a', 'a', 'b', 'c', 'c', 'd']
    assert choose_frames(scenes, 0.5, 'scenes') == [0, 1, 3, 4]
    assert choose_frames(scenes, 0.5, 'scenes', offset=1) == [2, 5]


def test_frames_by_hand():
    scenes = ['a'] * 4 + ['b'] * 6
    assert choose_frames(scenes, 0.25, 'frames') == [0, 4, 8]
    assert choose_frames(scenes, 0.25, 'frames', offset=3) == [3, 7]
    assert choose_frames(scenes, 0.5, 'frames-of-sequences') == [0, 2, 4, 6, 8]
    assert choose_frames(scenes, 0.5, 'frames-of-sequences', offset=1) == [1, 3, 5, 7, 9]
    # One frame of 4 and one of 6, 5 x 0.618 = 3.09 gaps on: at 0.09 of the sequence.
    assert choose_frames(scenes, 0.1, 'frames-of-sequences', offset=5) == [0, 4]
    assert choose_frames(scenes, 0.1, 'frames-of-sequences', offset=1) == [2, 7]


def test_repeats_of_a_drive_lie_far_apart():
    drive = ['00'] * 1000
    (a,), (b,), (c,) = (choose_frames(drive, 0.001, 'frames-of-sequences', o) for o in range(3))
    assert min(abs(a - b), abs(b - c), abs(a - c)) > 200


def test_repeats_do_not_overlap():
    parts = [set(choose_frames(SCENES_600, 0.01, 'scenes', offset)) for offset in range(3)]
    assert not (parts[0] & parts[1] or parts[1] & parts[2] or parts[0] & parts[2])


def test_nothing_chosen_is_an_error_that_says_so():
    with pytest.raises(ValueError, match='selects nothing of 400 frames'):
        choose_frames(['a', 'b'] * 200, 1e-9, 'frames-of-sequences')
    with pytest.raises(ValueError, match='selects nothing of 2 scenes'):
        choose_frames(['a', 'b'], 0.1, 'scenes', offset=2)


@pytest.mark.parametrize('protocol', ['scenes', 'frames'])
def test_offsets_count_modulo_k(protocol):
    scenes = [f's{i}' for i in range(600)]
    for offset in (0, 1, 42, 1235):
        chosen = choose_frames(scenes, 0.5, protocol, offset)
        assert chosen == list(range(offset % 2, 600, 2))


def test_slidr_keeps_the_last_of_each_k():
    """Its loader counts scenes from 1 and keeps those whose count is a multiple of k."""
    chosen = choose_frames(SCENES_700, 0.05, 'scenes', offset=19)
    names = list(dict.fromkeys(SCENES_700[i] for i in chosen))
    counted = enumerate(dict.fromkeys(SCENES_700), start=1)
    expected = [name for count, name in counted if count % 20 == 0]
    assert names == expected and len(names) == 35


@pytest.mark.parametrize('fraction', [0.99, 0.7, 0.4, 0.3, 0.15])
def test_what_every_kth_cannot_give_is_an_error(fraction):
    with pytest.raises(ValueError, match=rf'must be 1/k, such as .*; got {fraction}'):
        choose_frames(SCENES_600, fraction, 'scenes')


@pytest.mark.parametrize('fraction', [0, -0.1, 1.5])
def test_a_fraction_out_of_range_is_an_error(fraction):
    with pytest.raises(ValueError, match=r'fraction must be in \(0, 1\]'):
        choose_frames(['a'], fraction, 'scenes')


def test_an_unknown_protocol_is_an_error():
    with pytest.raises(ValueError, match='protocol must be one of'):
        choose_frames(['a'], 0.5, 'points')


def test_what_was_chosen_is_named():
    assert describe(['a', 'a', 'c'], ['0', '1', '2'], 'scenes') == '2 scenes: a, c'
    assert describe(['a', 'b'], ['a_0', 'b_7'], 'frames-of-sequences') == '2 frames: a_0, b_7'
    assert describe(['a'] * 3, ['0', '1', '2'], 'frames', limit=2) == '3 frames: 0, 1 and 1 more'
