"""Oracle: plain AdamW, which keeps its whole state in each process."""

import subprocess
from pathlib import Path

import mmengine
import pytest
import torch

import nclr_mm  # noqa: F401 (applies the workaround)
from tests.tools.conftest import environment, folder  # noqa: F401 (a fixture)

ADAMW = "dict(type='AdamW', lr=0.1)"
SHARDED = "dict(type='ZeroRedundancyOptimizer', optimizer_type='AdamW', lr=0.1)"


@pytest.fixture
def train(repo, folder):  # noqa: F811
    """Train in two processes; returns the newest checkpoint."""

    def start(name: str, optimizer: str, epochs: int, *options: str) -> dict:
        text = (folder / 'tiny.py').read_text()
        config = text.replace("dict(type='SGD', lr=0.1)", optimizer)
        assert config != text
        (folder / f'{name}.py').write_text(config)
        options += ('--cfg-options', f'train_cfg.max_epochs={epochs}')
        done = subprocess.run(
            ['bash', str(repo / 'tools/dist_train.sh'), f'{name}.py', '2', *options],
            env={**environment(repo, folder), 'PORT': '29633'},
            capture_output=True,
            text=True,
            timeout=200,  # the fault is a run that hangs
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return torch.load(folder / f'work_dirs/{name}/epoch_{epochs}.pth')

    return start


def test_upstream_fault():
    """The state is collected within what the first process alone calls."""
    collecting = 'consolidate_state_dict()'
    optimizer, runner = (
        Path(mmengine.__file__).parent.joinpath(name).read_text()
        for name in ('optim/optimizer/zero_optimizer.py', 'runner/runner.py')
    )
    assert collecting in optimizer.split('def state_dict')[1]
    assert collecting not in runner
    assert '@master_only\n    def save_checkpoint' in runner


@pytest.mark.slow
def test_a_sharded_optimiser_trains_saves_and_goes_on(train):
    plain = train('plain', ADAMW, 4)
    sharded = train('sharded', SHARDED, 2)
    state = sharded['optimizer']['state']
    assert len(state) == 2 and all(values['exp_avg'].any() for values in state.values())
    resumed = train('sharded', SHARDED, 4, '--resume')
    torch.testing.assert_close(resumed['state_dict'], plain['state_dict'])
    for own, expected in zip(
        resumed['optimizer']['state'].values(), plain['optimizer']['state'].values(), strict=True
    ):
        torch.testing.assert_close(own, expected)
