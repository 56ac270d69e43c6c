"""Files that are more than they seem."""

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest

from nclr_mm.datasets import checks
from nclr_mm.datasets.checks import read_label_archive


def write_archive(path, header, content=b''):
    """An archive with one array of a header of one's own."""
    text = header.encode().ljust(118) + b'\n'
    member = io.BytesIO()
    member.write(b'\x93NUMPY\x01\x00' + struct.pack('<H', len(text)) + text + content)
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('data.npy', member.getvalue())
    return path


def test_labels_are_read(tmp_path):
    labels = np.arange(7, dtype=np.uint16)
    np.savez_compressed(tmp_path / 'a.npz', data=labels)
    np.testing.assert_array_equal(read_label_archive(tmp_path / 'a.npz'), labels)
    # The oracle of the archives below: with a true header they are read.
    header = "{'descr': '<u2', 'fortran_order': False, 'shape': (7,), }"
    path = write_archive(tmp_path / 'b.npz', header, labels.tobytes())
    np.testing.assert_array_equal(read_label_archive(path), labels)


def test_an_archive_that_unpacks_to_too_much(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / 'a.npz', data=np.zeros(1_000_000, np.uint16))
    assert (tmp_path / 'a.npz').stat().st_size < 5000
    monkeypatch.setattr(checks, 'MAX_UNPACKED', 1_000_000)
    with pytest.raises(ValueError, match=r'a\.npz .* it unpacks to 2000128 bytes'):
        read_label_archive(tmp_path / 'a.npz')


@pytest.mark.parametrize('number', [10**6, 10**15, 10**30])
def test_an_array_that_says_it_is_larger_than_its_file(tmp_path, number):
    header = repr({'descr': '<u2', 'fortran_order': False, 'shape': (number,)})
    path = write_archive(tmp_path / 'a.npz', header, b'\0' * 20)
    with pytest.raises(ValueError, match=r'a\.npz is no readable \.npz file'):
        read_label_archive(path)


def test_an_array_of_objects_runs_nothing(tmp_path):
    class Boom:
        def __reduce__(self):
            return (tmp_path / 'code_was_run').mkdir, ()

    pickled = pickle.dumps(np.array([Boom()], dtype=object))
    header = "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    path = write_archive(tmp_path / 'a.npz', header, pickled)
    with pytest.raises(ValueError, match=r'a\.npz is no readable \.npz file'):
        read_label_archive(path)
    assert not (tmp_path / 'code_was_run').exists()
    with np.load(path, allow_pickle=True) as content:  # which would have run it
        content['data']
    assert (tmp_path / 'code_was_run').is_dir()
