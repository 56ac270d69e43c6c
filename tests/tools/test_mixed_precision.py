"""Mixed precision on a CPU, over hundreds of steps. Oracle: the same run in float32."""

import json

import numpy as np
import pytest
import torch

from nclr_mm.datasets import converters
from nclr_mm.simulation.generate import generate
from tests.programs import run_program
from tests.tools.test_memory import CONFIG, SMALLER

STEPS = 500


def losses_of(root, work_dir, *more) -> np.ndarray:
    """Losses (STEPS,) of a training, the pose loss included for the last fifth."""
    options = dict(
        SMALLER,
        **{f'{name}_dataloader.dataset.data_root': f'{root}/' for name in ('train', 'val', 'test')},
        **{
            'train_cfg.max_iters': STEPS,
            'train_cfg.val_interval': STEPS,
            'custom_hooks.0.begin': STEPS * 4 // 5,
            'default_hooks.logger.interval': 1,
            'log_processor.window_size': 1,
        },
    )
    done = run_program(
        *('tools/train.py', CONFIG, '--work-dir', work_dir, *more, '--cfg-options'),
        *(f'{name}={value}' for name, value in options.items()),
        timeout=3600,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    (log,) = work_dir.glob('*/vis_data/scalars.json')
    rows = map(json.loads, log.read_text().splitlines())
    return np.array([row['loss'] for row in rows if 'loss' in row])


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason='--amp is float16 where there is a GPU')
def test_bfloat16_learns_as_float32_does(tmp_path):
    root = generate(tmp_path / 'streets', 8, 1, 'semantickitti', scenes=8, progress=False)
    converters.create_semantickitti_infos(root)
    whole = losses_of(root, tmp_path / 'float32')
    mixed = losses_of(root, tmp_path / 'bfloat16', '--amp')
    assert len(whole) == len(mixed) == STEPS
    assert np.isfinite(mixed).all()
    assert not np.array_equal(whole, mixed)  # it was another precision
    hundreds = whole.reshape(-1, 100).mean(1), mixed.reshape(-1, 100).mean(1)
    print(np.round(hundreds, 2).tolist())
    assert hundreds[0][-2] < 0.9 * hundreds[0][0]  # there was something to learn
    np.testing.assert_allclose(*hundreds, rtol=0.05)
