"""A model that trains in no time, and the tools as commands."""

import os
import subprocess
import sys

import pytest

from tests.programs import run_program

COMPONENTS = """
import torch
from mmdet3d.registry import DATASETS, METRICS, MODELS
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel


@MODELS.register_module()
class Tiny(BaseModel):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(2, 2)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        outputs = self.linear(torch.stack(list(inputs)))
        if mode == 'loss':
            print('dtype', outputs.dtype)
            return dict(loss=outputs.float().square().mean())
        return [dict(value=float(self.linear.weight.sum()))]


@DATASETS.register_module()
class Two(torch.utils.data.Dataset):
    metainfo = {}

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return dict(inputs=torch.tensor([1.0, index]))


@METRICS.register_module()
class Last(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results.append(data_samples[0]['value'])

    def compute_metrics(self, results):
        return dict(value=results[-1])
"""

CONFIG = """
custom_imports = dict(imports=['tiny_components'], allow_failed_imports=False)
default_scope = 'mmdet3d'
model = dict(type='Tiny')
_loader = dict(batch_size=1, num_workers=0, dataset=dict(type='Two'))
train_dataloader = dict(sampler=dict(type='DefaultSampler', shuffle=True), **_loader)
test_dataloader = dict(sampler=dict(type='DefaultSampler', shuffle=False), **_loader)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))
train_cfg = dict(by_epoch=True, max_epochs=2)
test_cfg = dict()
test_evaluator = dict(type='Last')
default_hooks = dict(checkpoint=dict(type='CheckpointHook', interval=1))
randomness = dict(seed=0)
"""


def environment(repo, folder) -> dict[str, str]:
    """Variables with which the tools find the model."""
    own = {'OMP_NUM_THREADS': '1', 'PYTHONPATH': f'{repo}:{folder}', 'PYTHON': sys.executable}
    return {**os.environ, **own}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that is not the repository, with a config; the working directory."""
    (tmp_path / 'tiny_components.py').write_text(COMPONENTS)
    (tmp_path / 'tiny.py').write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(repo, folder):
    """Run a tool as a command."""

    def start(tool: str, *arguments: str) -> subprocess.CompletedProcess:
        program = (repo / 'tools' / tool, *arguments)
        return run_program(*program, cwd=folder, env=environment(repo, folder))

    return start
