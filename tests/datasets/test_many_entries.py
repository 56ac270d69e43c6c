"""An info file of 100,000 entries: what loader workers cost beside it."""

import copy
import os
import time

import pytest
from mmdet3d.registry import DATASETS
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from tests.proc import HAS_MEMORY, own_bytes
from tests.test_bad_input import PIPELINE, Rig

ENTRIES = 100_000


@pytest.mark.slow
@pytest.mark.skipif(not HAS_MEMORY, reason='memory is read in /proc')
def test_workers_share_the_entries(tmp_path, capsys):
    rig = Rig()
    first = rig.info['data_list'][0]
    rig.info['data_list'] = [{**copy.deepcopy(first), 'sample_idx': i} for i in range(ENTRIES)]
    rig.write(tmp_path)
    start = time.perf_counter()
    dataset = DATASETS.build(
        dict(
            type='CalibrationDataset',
            ann_file='infos.json',
            data_root=str(tmp_path),
            pipeline=PIPELINE,
        )
    )
    opened = time.perf_counter() - start
    assert len(dataset) == ENTRIES
    entries = dataset.data_bytes.nbytes
    figures = {}
    for number in (1, 2, 4):
        start = time.perf_counter()
        loader = iter(
            DataLoader(dataset, num_workers=number, collate_fn=pseudo_collate, prefetch_factor=1)
        )
        for _ in range(2 * number):
            next(loader)
        figures[number] = (
            time.perf_counter() - start,
            max(own_bytes(worker.pid) for worker in loader._workers),
        )
        del loader
    with capsys.disabled():
        print(
            f'\n{ENTRIES} entries, {entries / 2**20:.0f} MiB serialised, opened in {opened:.0f} s'
        )
        for number, (seconds, own) in figures.items():
            print(
                f'{number} workers: two samples each after {seconds:.2f} s, {own / 2**20:.0f} MiB'
            )
    # No worker has the entries for itself, however many there are.
    assert all(own < entries / 2 for _, own in figures.values())
    assert figures[4][1] < 1.5 * figures[1][1]
    # Four start no slower than one after the other, as many at a time as there are cores.
    assert figures[4][0] < 2 * figures[1][0] * max(1, 4 / os.cpu_count()) + 1
