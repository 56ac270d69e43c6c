"""What a checkpoint gave to a model is found out by value."""

from collections import OrderedDict
from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint, save_checkpoint
from torch import nn

from nclr_mm.apis import init_model
from nclr_mm.engine.hooks import LoadedWeightsHook
from nclr_mm.models.backbones import CalibrationMinkUNet
from nclr_mm.reading import CheckpointError, complete_versions

SMALL = dict(
    in_channels=1,
    base_channels=8,
    encoder_channels=[8, 8, 16, 16],
    encoder_blocks=[1, 1, 1, 1],
    decoder_channels=[16, 16, 8, 8],
    decoder_blocks=[1, 1, 1, 1],
)


class Model(nn.Module):
    def __init__(self, head, **changes):
        super().__init__()
        self.backbone = CalibrationMinkUNet(**dict(SMALL, **changes))
        setattr(self, head, nn.Linear(8, 3))


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmdet3d')


@pytest.fixture
def logged(monkeypatch):
    """What the hook writes into the log."""
    lines = []
    monkeypatch.setattr(
        'nclr_mm.engine.hooks.loaded_weights_hook.print_log', lambda text, *args: lines.append(text)
    )
    return lines


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / 'pretrained.pth'
    save_checkpoint(dict(state_dict=Model('calib_head').state_dict(), meta={}), str(path))
    return path


def load(path, model, hook, change=lambda state: state, event='before_train', wrap=None):
    """As mmengine's Runner does it: the hook sees the checkpoint, then the model gets it."""
    content = torch.load(path, map_location='cpu', weights_only=False)
    content['state_dict'] = change(content['state_dict'])
    if wrap:
        content = wrap(content['state_dict'])
    runner = SimpleNamespace(model=model, _load_from=str(path))
    hook.after_load_checkpoint(runner, content)
    torch.save(content, path)
    load_checkpoint(model, str(path))
    getattr(hook, event)(runner)


def test_a_complete_backbone_is_reported(checkpoint, logged):
    model = Model('decode_head')
    load(checkpoint, model, LoadedWeightsHook())
    number = len(model.backbone.state_dict())
    assert (
        f'loaded {number} of {number + 2} tensors of the model (backbone {number}); '
        'not loaded: decode_head 2; left over in the checkpoint: calib_head 2.'
    ) in logged[-1]
    saved = torch.load(checkpoint, weights_only=False)['state_dict']
    kernels = [n for n, p in model.named_parameters() if p.dim() == 5]
    assert len(kernels) > 20
    assert all(torch.equal(model.state_dict()[n], saved[n]) for n in kernels)


@pytest.mark.parametrize('kind', [dict, OrderedDict])
@pytest.mark.parametrize('prefix', ['', 'pts_'])
def test_kernels_without_versions_are_loaded(kind, prefix, checkpoint):
    """Their shapes prove the layout of spconv 2, also where a head has another shape."""
    saved = torch.load(checkpoint, weights_only=False)['state_dict']
    model = nn.Module()
    setattr(model, f'{prefix}backbone', CalibrationMinkUNet(**SMALL))
    model.calib_head = nn.Linear(8, 5)
    hook = LoadedWeightsHook(modules=[f'{prefix}backbone'], prefix=prefix)
    load(checkpoint, model, hook, change=kind)
    names = [name for name in saved if name.startswith('backbone.')]
    assert len(names) > 100
    assert all(torch.equal(model.state_dict()[prefix + n], saved[n]) for n in names)


def test_kernels_of_a_voxelnet_without_versions_are_loaded(repo, tmp_path):
    config = repo / 'configs/nclr/nclr_second-small_spconv_lite0_1xb1-2500i_sim-kitti.py'
    model, other = init_model(config), init_model(config)
    state = dict(model.state_dict())
    torch.save(dict(state_dict=state), tmp_path / 'plain.pth')
    load(tmp_path / 'plain.pth', other, LoadedWeightsHook(), event='before_test')
    assert sum(value.dim() == 5 for value in state.values()) > 5
    assert all(torch.equal(other.state_dict()[name], state[name]) for name in state)


def test_kernels_marked_as_of_spconv_1_but_of_the_shapes_of_spconv_2(checkpoint):
    def change(state):
        state._metadata = {module: dict(version=1) for module in state._metadata}
        return state

    load(checkpoint, Model('calib_head'), LoadedWeightsHook(), change=change, event='before_test')


def test_kernels_of_equal_axes_follow_the_rule_of_mmdet3d():
    """3 channels and 3 voxels a side: turned axes have the shape that is expected."""
    settings = dict(
        in_channels=3, base_channels=3, encoder_channels=[3] * 4, decoder_channels=[3] * 4
    )
    model = Model('calib_head', **settings)
    model.calib_head = nn.Linear(3, 3)
    state = model.state_dict()
    plain = OrderedDict((n, v) for n, v in state.items() if v.dim() < 5 or len(set(v.shape)) == 1)
    assert sum(value.dim() == 5 for value in plain.values()) > 10
    complete_versions(plain, state)
    assert not hasattr(plain, '_metadata')


def test_a_tensor_less_is_an_error(checkpoint):
    def drop(state):
        del state['backbone.conv_input.0.0.weight']
        return state

    with pytest.raises(ValueError, match=r'1 of \d+ .*conv_input\.0\.0\.weight \(missing'):
        load(checkpoint, Model('decode_head'), LoadedWeightsHook(), change=drop)


@pytest.mark.parametrize('event', ['before_train', 'before_test'])
def test_weights_that_are_not_finite_are_an_error(event, checkpoint):
    def spoil(state):
        state['backbone.conv_input.0.0.weight'][0] = float('nan')
        return state

    with pytest.raises(ValueError, match=r'1 of \d+ .*conv_input\.0\.0\.weight \(not finite'):
        load(checkpoint, Model('calib_head'), LoadedWeightsHook(), change=spoil, event=event)


@pytest.mark.parametrize('dtype', [torch.float64, torch.float16], ids=str)
def test_weights_of_another_precision_are_loaded(dtype, checkpoint, logged):
    def change(state):
        for name, value in state.items():
            state[name] = value.to(dtype) if value.is_floating_point() else value
        return state

    load(checkpoint, Model('calib_head'), LoadedWeightsHook(), change=change, event='before_test')
    assert 'not loaded: none' in logged[-1]


def test_another_width_is_an_error(checkpoint):
    with pytest.raises(ValueError, match=r'first backbone\..* here, .* in the checkpoint'):
        load(checkpoint, Model('decode_head', base_channels=16), LoadedWeightsHook())


def test_a_module_that_the_model_lacks_is_an_error(checkpoint):
    with pytest.raises(ValueError, match="Model has no module 'neck'"):
        load(checkpoint, Model('decode_head'), LoadedWeightsHook(modules=['neck']))


def test_without_a_checkpoint_it_says_so(logged):
    LoadedWeightsHook().before_train(SimpleNamespace(model=Model('decode_head')))
    assert 'No checkpoint was loaded' in logged[-1]


def test_a_test_wants_the_whole_model(checkpoint, logged):
    load(checkpoint, Model('calib_head'), LoadedWeightsHook(), event='before_test')
    assert 'not loaded: none' in logged[-1]
    with pytest.raises(ValueError, match=r"did not fill 'decode_head': 2 of 2 .*missing"):
        load(checkpoint, Model('decode_head'), LoadedWeightsHook(), event='before_test')


def test_a_prefix_for_detectors_that_have_one(checkpoint):
    """As in CenterPoint: names and versions are renamed, or mmdet3d would turn kernels round."""
    first, other = Model('calib_head'), nn.Module()
    load(checkpoint, first, LoadedWeightsHook())
    other.pts_backbone = CalibrationMinkUNet(**SMALL)
    hook = LoadedWeightsHook(modules=['pts_backbone'], prefix='pts_')
    load(checkpoint, other, hook)
    for name, value in first.backbone.state_dict().items():
        assert torch.equal(other.pts_backbone.state_dict()[name], value), name
    # The detector's own checkpoint, of a run that is resumed or tested, has the prefix.
    save_checkpoint(dict(state_dict=other.state_dict(), meta={}), str(checkpoint))
    load(checkpoint, other, hook)


def behind(prefix, state):
    """The state of a module that holds the model behind the prefix, with all versions."""
    outer = OrderedDict((prefix + name, value) for name, value in state.items())
    outer._metadata = OrderedDict(
        (f'{prefix}{name}'.rstrip('.'), version) for name, version in state._metadata.items()
    )
    return outer


WRAPPINGS = {
    'prefix module.': lambda s: dict(state_dict=behind('module.', s)),
    'model_state': lambda s: dict(model_state=s, epoch=3),
    'model, prefix module._orig_mod.': lambda s: dict(model=behind('module._orig_mod.', s)),
    'prefix model.': lambda s: dict(state_dict=behind('model.', s), callbacks={}),
    'teacher, prefix student.': lambda s: dict(teacher=behind('student.', s)),
    'without module. inside names': lambda s: dict(
        state_dict={n.replace('.', '.module.', 1): v for n, v in s.items()}
    ),
}


@pytest.mark.parametrize('wrapping', WRAPPINGS)
@pytest.mark.parametrize('prefix', ['', 'pts_'])
def test_weights_of_other_code_are_found(wrapping, prefix, checkpoint, logged):
    saved = torch.load(checkpoint, weights_only=False)['state_dict']
    if prefix:
        model = nn.Module()
        model.pts_backbone = CalibrationMinkUNet(**SMALL)
    else:
        model = Model('decode_head')
    hook = LoadedWeightsHook(modules=[f'{prefix}backbone'], prefix=prefix)
    load(checkpoint, model, hook, wrap=WRAPPINGS[wrapping])
    assert f'{checkpoint.name} ({wrapping}): loaded ' in logged[-1]
    kernels = [n for n in saved if n.startswith('backbone.') and saved[n].dim() == 5]
    assert len(kernels) > 20
    for name in kernels:
        assert torch.equal(model.state_dict()[prefix + name], saved[name]), name


def test_wrong_weights_behind_a_prefix_are_named(checkpoint):
    def wrap(state):
        del state['backbone.conv_input.0.0.weight']
        return dict(model=behind('module.', state))

    message = (
        r"pretrained\.pth \(model, prefix module\.\) did not fill 'backbone': 1 of \d+ .*missing"
    )
    with pytest.raises(ValueError, match=message):
        load(checkpoint, Model('decode_head'), LoadedWeightsHook(), wrap=wrap)


def test_wrapped_kernels_without_versions(checkpoint):
    """Of spconv 2, and of spconv 1, which mmdet3d turns."""
    saved = torch.load(checkpoint, weights_only=False)['state_dict']
    turned = {
        name: value.permute(1, 2, 3, 4, 0) if value.dim() == 5 else value
        for name, value in saved.items()
    }
    for given in (dict(saved), turned):
        model = Model('calib_head')
        content = dict(model={f'net.{name}': value for name, value in given.items()})
        load(checkpoint, model, LoadedWeightsHook(), wrap=lambda _, content=content: content)
        assert all(torch.equal(model.state_dict()[name], saved[name]) for name in saved)
        torch.save(dict(state_dict=saved), checkpoint)


@pytest.mark.parametrize(
    'content', [[1], dict(state_dict=[1]), dict(state_dict={0: torch.ones(1)})]
)
def test_what_holds_no_tensors_by_name_is_an_error(content):
    runner = SimpleNamespace(model=Model('decode_head'), _load_from='odd.pth')
    with pytest.raises(CheckpointError, match=r'^odd\.pth does not hold tensors by name\.$'):
        LoadedWeightsHook().after_load_checkpoint(runner, content)


def test_a_checkpoint_that_is_resumed_is_left_as_it_is():
    state = Model('decode_head').state_dict()
    content = dict(state_dict=state, ema_state_dict=behind('module.', state), meta={})
    kept = dict(content)
    for resumes in (True, False):
        runner = SimpleNamespace(model=Model('decode_head'), _load_from='a.pth', _resume=resumes)
        LoadedWeightsHook().after_load_checkpoint(runner, content)
        assert content.keys() == kept.keys()
        assert all(content[name] is kept[name] for name in kept)
    runner._resume = True
    wrapped = dict(state_dict=behind('module.', state))
    before = wrapped['state_dict']
    LoadedWeightsHook().after_load_checkpoint(runner, wrapped)
    assert wrapped['state_dict'] is before
