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


def trained(root, work_dir, *more) -> tuple[np.ndarray, dict]:
    """Losses (STEPS,) of a training, in the last fifth with that of poses, and its evaluation."""
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
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    (evaluation,) = (row for row in rows if 'overlap/point_f1' in row)
    return np.array([row['loss'] for row in rows if 'loss' in row]), evaluation


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason='--amp is float16 where there is a GPU')
def test_bfloat16_learns_as_float32_does(tmp_path):
    root = generate(tmp_path / 'streets', 8, 1, 'semantickitti', scenes=8, progress=False)
    converters.create_semantickitti_infos(root)
    whole, expected = trained(root, tmp_path / 'float32')
    mixed, found = trained(root, tmp_path / 'bfloat16', '--amp')
    assert len(whole) == len(mixed) == STEPS
    assert np.isfinite(mixed).all()
    assert not np.array_equal(whole, mixed)  # it was another precision
    hundreds = whole.reshape(-1, 100).mean(1), mixed.reshape(-1, 100).mean(1)
    names = [name for name in expected if name.startswith(('overlap/', 'camera/', 'match/'))]
    print(np.round(hundreds, 2).tolist(), {name: (expected[name], found[name]) for name in names})
    assert hundreds[0][-2] < 0.9 * hundreds[0][0]  # there was something to learn
    np.testing.assert_allclose(*hundreds, rtol=0.05)
    for name in ('overlap/point_f1', 'overlap/pixel_f1'):
        assert found[name] == pytest.approx(expected[name], abs=0.05)
