"""The kernels of sparse convolutions after loading, by value.

mmdet3d replaces spconv's loading and turns the axes of every kernel unless the state dict carries
`_metadata` with version 2. A state dict that has lost it loads without an error, and wrongly.
"""

from collections import OrderedDict

import pytest
import torch
from mmdet3d.models.backbones import MinkUNetBackbone
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.runner.checkpoint import load_checkpoint
from torch import nn

import nclr_mm  # noqa: F401 (allows loading the runner's checkpoints)


class Segmentor(BaseModel):
    def __init__(self):
        super().__init__()
        # Three channels, as many as a kernel is wide: turned axes have the shape that is expected.
        self.backbone = MinkUNetBackbone(
            in_channels=3,
            base_channels=3,
            num_stages=1,
            encoder_channels=[3],
            encoder_blocks=[1],
            decoder_channels=[3],
            decoder_blocks=[1],
            sparseconv_backend='spconv',
        )
        self.head = nn.Linear(3, 2)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return dict(loss=sum(p.square().sum() for p in self.parameters()))


class OneSample(torch.utils.data.Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return dict(inputs=torch.zeros(1))


def make_runner(work_dir, **options) -> Runner:
    return Runner(
        Segmentor(),
        str(work_dir),
        train_dataloader=dict(
            dataset=OneSample(), batch_size=1, sampler=dict(type='DefaultSampler'), num_workers=0
        ),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        default_scope='mmdet3d',
        log_level='WARNING',
        experiment_name=work_dir.name,
        **options,
    )


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('pretraining')
    runner = make_runner(work_dir)
    runner.train()
    return work_dir / 'epoch_1.pth', {k: v.clone() for k, v in runner.model.state_dict().items()}


def kernels(state_dict):
    return {k: v for k, v in state_dict.items() if v.ndim == 5}


def test_load_from_loads_every_kernel_by_value(checkpoint, tmp_path):
    path, saved = checkpoint
    runner = make_runner(tmp_path / 'fine_tuning', load_from=str(path))
    before = {k: v.clone() for k, v in runner.model.state_dict().items()}
    runner.load_or_resume()
    loaded = runner.model.state_dict()
    assert len(kernels(saved)) == 9
    for name, kernel in kernels(saved).items():
        assert not torch.equal(before[name], kernel)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in saved.items())


def test_load_from_finds_weights_of_other_code(checkpoint, tmp_path):
    """The runner, its hook and mmdet3d's loading together: the versions are found as well."""
    path, saved = checkpoint
    outer = nn.Module()
    outer.module = nn.Module()
    outer.module.net = Segmentor()
    outer.module.net.load_state_dict(torch.load(path)['state_dict'])
    torch.save(dict(model_state=outer.state_dict()), tmp_path / 'wrapped.pth')
    hooks = [dict(type='LoadedWeightsHook')]
    options = dict(load_from=str(tmp_path / 'wrapped.pth'), custom_hooks=hooks)
    runner = make_runner(tmp_path / 'fine_tuning', **options)
    runner.load_or_resume()
    loaded = runner.model.state_dict()
    assert len(kernels(saved)) == 9
    assert all(torch.equal(loaded[name], tensor) for name, tensor in saved.items())


def test_a_state_dict_without_metadata_loads_wrong_kernels(checkpoint, tmp_path):
    """Upstream behaviour, pinned: exports must keep `_metadata`."""
    path, saved = checkpoint
    stripped = OrderedDict(torch.load(path)['state_dict'])
    assert not hasattr(stripped, '_metadata')
    torch.save(dict(state_dict=stripped), tmp_path / 'stripped.pth')
    model = Segmentor()
    load_checkpoint(model, str(tmp_path / 'stripped.pth'))
    loaded = model.state_dict()
    wrong = [k for k, v in kernels(saved).items() if not torch.equal(loaded[k], v)]
    assert wrong == list(kernels(saved))
    assert torch.equal(loaded['head.weight'], saved['head.weight'])
