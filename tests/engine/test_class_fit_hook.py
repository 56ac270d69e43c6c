"""Model and data that disagree about classes stop a run before its first step."""

from types import SimpleNamespace

import pytest
import torch
from mmdet3d.models.segmentors import Seg3DTTAModel
from torch import nn

from nclr_mm.engine.hooks import ClassFitHook

META = dict(classes=('car', 'road', 'tree'), ignore_index=3, thing_labels=[0])


class Segmentor(nn.Module):
    """Only what the hook looks at."""

    def __init__(self, classes=3, ignored=3, ignored_voxels=3, things=None, voxel_things=None):
        super().__init__()
        self.data_preprocessor = SimpleNamespace(
            ignore_index=ignored_voxels,
            thing_labels=None if voxel_things is None else torch.tensor(voxel_things),
        )
        self.decode_head = SimpleNamespace(num_classes=classes, ignore_index=ignored)
        if things is not None:
            self.thing_labels = torch.tensor(things)

    def test_step(self, data):
        raise NotImplementedError


def run_all(model, meta=META, wrap=lambda model: model):
    """Call the hook as training, validation and test do."""
    loader = SimpleNamespace(dataset=SimpleNamespace(metainfo=meta))
    runner = SimpleNamespace(
        model=wrap(model),
        train_dataloader=loader,
        val_dataloader=loader,
        test_dataloader=loader,
        val_loop=object(),
    )
    hook = ClassFitHook()
    errors = []
    for call in (hook.before_train, hook.before_val, hook.before_test):
        try:
            call(runner)
        except ValueError as error:
            errors.append(str(error))
    return errors


def test_what_fits_passes():
    assert run_all(Segmentor()) == []
    assert run_all(Segmentor(things=[0], voxel_things=[0])) == []


def test_data_without_classes_are_passed_over():
    assert run_all(Segmentor(classes=7), meta={}) == []


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(classes=4), 'model.decode_head.num_classes=3, but the config has 4'),
        (dict(ignored=0), 'model.decode_head.ignore_index=3, but the config has 0'),
        (dict(ignored_voxels=255), 'model.data_preprocessor.ignore_index=3, .* has 255'),
        (dict(things=[0, 1]), r'model.thing_labels=\[0\], but the config has \[0, 1\]'),
        (dict(voxel_things=[2]), r'model.data_preprocessor.thing_labels=\[0\], .* has \[2\]'),
    ],
)
@pytest.mark.parametrize('wrap', [lambda model: model, Seg3DTTAModel], ids=['plain', 'tta'])
def test_what_does_not_fit_is_named(change, message, wrap):
    errors = run_all(Segmentor(**change), wrap=wrap)
    assert len(errors) == 3
    for error in errors:
        with pytest.raises(ValueError, match=rf'3 classes \(car, road, tree\) .*{message}'):
            raise ValueError(error)
