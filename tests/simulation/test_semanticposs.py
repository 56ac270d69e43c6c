"""SemanticPOSS layout: the tag is the range image of the scan."""

import numpy as np
import pytest

from nclr_mm.datasets import converters
from nclr_mm.datasets.infos import read_infos
from nclr_mm.simulation.generate import generate


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return generate(
        tmp_path_factory.mktemp('drive'), 2, 4, 'semanticposs', scenes=2, progress=False
    )


def test_tags_say_which_beam_and_azimuth_each_point_has(root):
    folder = root / 'sequences/00'
    tag = np.fromfile(folder / 'tag/000000.tag', np.uint8).reshape(40, 1800)
    points = np.fromfile(folder / 'velodyne/000000.bin', '<f4').reshape(-1, 4)
    assert set(np.unique(tag)) == {0, 1} and tag.sum() == len(points) > 20000
    beam, column = np.nonzero(tag)
    elevation = np.degrees(np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1])))
    # Pandora: +7 degrees at the top, -16 at the bottom; a point lies on its beam.
    spread = [np.ptp(elevation[beam == b]) for b in range(40) if (beam == b).sum() > 1]
    assert max(spread) < 0.01
    middle = np.array([elevation[beam == b].mean() for b in range(40) if (beam == b).any()])
    assert (np.diff(middle) < 0).all()
    np.testing.assert_allclose(middle[-1], -16, atol=0.01)
    azimuth = np.degrees(np.arctan2(points[:, 1], points[:, 0]))
    off = (azimuth + column * 0.2 + 180) % 360 - 180
    assert np.abs(off).max() < 0.01


def test_labels_are_those_of_the_data_set(root):
    raw = np.fromfile(root / 'sequences/00/labels/000000.label', '<u4')
    known = {0, *range(4, 18), 21, 22}
    assert set(np.unique(raw & 0xFFFF)) <= known
    assert {22, 15} <= set(np.unique(raw & 0xFFFF))  # ground and building
    assert (raw[np.isin(raw & 0xFFFF, (22, 15))] >> 16 == 0).all()


def test_the_converter_reads_it(root, tmp_path):
    written = converters.create_semanticposs_infos(root, tmp_path, check=True)
    assert {split: len(read_infos(str(p), '')['data_list']) for split, p in written.items()} == {
        'train': 1,
        'val': 1,
    }
    entry = read_infos(str(written['train']), '')['data_list'][0]
    assert entry['lidar_points']['tag_path'] == 'sequences/00/tag/000000.tag'
    assert entry['scene'] == '00'


@pytest.mark.parametrize(
    ('content', 'message'),
    [(bytes(72000), 'marks 0 points'), (bytes(71999), 'has 71999 bytes, expected 40 beams')],
)
def test_a_wrong_tag_is_named(root, tmp_path, content, message):
    import shutil

    copy = shutil.copytree(root, tmp_path / 'copy')
    (copy / 'sequences/00/tag/000000.tag').write_bytes(content)
    with pytest.raises(ValueError, match=rf'000000\.tag {message}'):
        converters.create_semanticposs_infos(copy, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()
