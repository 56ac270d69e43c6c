"""Oracle: a network with OpenPCDet's names, built here from spconv and torch, computes the same."""

import importlib.util
from pathlib import Path

import pytest
import spconv.pytorch as spconv
import torch
from mmdet3d.models.backbones import SECOND
from mmdet3d.models.middle_encoders import SparseEncoder
from mmdet3d.models.necks import SECONDFPN
from mmdet3d.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from nclr_mm.checkpoint import CONVERSIONS, convert, read_checkpoint

ROOT = Path(__file__).parents[2]
SHAPE = [41, 32, 48]


class MMDet3D(nn.Module):
    def __init__(self):
        super().__init__()
        self.middle_encoder = SparseEncoder(4, SHAPE)
        self.backbone = SECOND(256, [16, 24], [2, 1], [1, 2])
        self.neck = SECONDFPN([16, 24], [8, 12], [1, 2])

    def forward(self, features, coors):
        return self.neck(self.backbone(self.middle_encoder(features, coors, 1)))[0]


class OpenPCDet(nn.Module):
    """SECOND's network in the modules that OpenPCDet has."""

    def __init__(self):
        super().__init__()

        def sparse(kind, *args, **kwargs):
            out = args[1]
            norm = nn.BatchNorm1d(out, eps=1e-3, momentum=0.01)
            return spconv.SparseSequential(kind(*args, bias=False, **kwargs), norm, nn.ReLU())

        def stage(number, cin, cout, padding):
            down = sparse(spconv.SparseConv3d, cin, cout, 3, stride=2, padding=padding)
            rest = (
                sparse(spconv.SubMConv3d, cout, cout, 3, padding=1, indice_key=f'subm{number}')
                for _ in range(2)
            )
            return spconv.SparseSequential(down, *rest)

        encoder = nn.Module()
        encoder.conv_input = sparse(spconv.SubMConv3d, 4, 16, 3, padding=1, indice_key='subm1')
        encoder.conv1 = spconv.SparseSequential(
            sparse(spconv.SubMConv3d, 16, 16, 3, padding=1, indice_key='subm1')
        )
        encoder.conv2 = stage(2, 16, 32, 1)
        encoder.conv3 = stage(3, 32, 64, 1)
        encoder.conv4 = stage(4, 64, 64, (0, 1, 1))
        encoder.conv_out = sparse(spconv.SparseConv3d, 64, 128, (3, 1, 1), stride=(2, 1, 1))
        self.backbone_3d = encoder

        def norm(channels):
            return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)

        def block(cin, cout, stride, layers):
            first = nn.Conv2d(cin, cout, 3, stride, bias=False)
            modules = [nn.ZeroPad2d(1), first, norm(cout), nn.ReLU()]
            for _ in range(layers):
                conv = nn.Conv2d(cout, cout, 3, padding=1, bias=False)
                modules += [conv, norm(cout), nn.ReLU()]
            return nn.Sequential(*modules)

        def deblock(cin, cout, stride):
            conv = nn.ConvTranspose2d(cin, cout, stride, stride, bias=False)
            return nn.Sequential(conv, norm(cout), nn.ReLU())

        self.backbone_2d = nn.Module()
        self.backbone_2d.blocks = nn.ModuleList([block(256, 16, 1, 2), block(16, 24, 2, 1)])
        self.backbone_2d.deblocks = nn.ModuleList([deblock(16, 8, 1), deblock(24, 12, 2)])

    def forward(self, features, coors):
        x = spconv.SparseConvTensor(features, coors.int(), SHAPE, 1)
        for name in ('conv_input', 'conv1', 'conv2', 'conv3', 'conv4', 'conv_out'):
            x = getattr(self.backbone_3d, name)(x)
        x = x.dense().flatten(1, 2)
        ups = []
        pairs = zip(self.backbone_2d.blocks, self.backbone_2d.deblocks, strict=True)
        for block, deblock in pairs:
            x = block(x)
            ups.append(deblock(x))
        return torch.cat(ups, dim=1)


def randomised(model: nn.Module, seed: int) -> nn.Module:
    """Statistics and scales of their own, so that no two tensors are the same."""
    torch.manual_seed(seed)
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) * 0.4 + (0.5 if 'var' in name else -0.2))
    return model.eval()


@pytest.fixture(scope='module')
def voxels():
    torch.manual_seed(0)
    coors = (torch.rand(1, *SHAPE) < 0.02).nonzero()
    return torch.rand(len(coors), 4), coors


def save(path, key, model, prefix=''):
    torch.save({key: {prefix + n: v for n, v in model.state_dict().items()}, 'epoch': 3}, path)
    return path


def outputs(model, voxels):
    with torch.no_grad():
        return model(*voxels)


def test_openpcdet_computes_what_mmdet3d_did(tmp_path, voxels):
    source = save(tmp_path / 'nclr.pth', 'state_dict', randomised(MMDet3D(), 1))
    table = convert('nclr-to-openpcdet', source, tmp_path / 'pcdet.pth')
    theirs = OpenPCDet().eval()
    theirs.load_state_dict(torch.load(tmp_path / 'pcdet.pth', weights_only=True)['model_state'])
    expected = outputs(randomised(MMDet3D(), 1), voxels)
    assert expected.std() > 0.01
    torch.testing.assert_close(outputs(theirs, voxels), expected)
    assert 'backbone.blocks.1.3.weight  ->  backbone_2d.blocks.1.4.weight' in table
    assert table.endswith(f'{len(theirs.state_dict())} tensors mapped, 0 left over.')


@pytest.mark.parametrize('order', [(0, 1, 2, 3, 4), (1, 2, 3, 4, 0), (1, 2, 3, 0, 4)])
@pytest.mark.parametrize('direction', ['openpcdet-to-mmdet3d', 'official-to-mmdet3d'])
def test_mmdet3d_computes_what_openpcdet_did(tmp_path, voxels, order, direction):
    theirs = randomised(OpenPCDet(), 2)
    expected = outputs(theirs, voxels)
    prefix = 'encoder.' if direction.startswith('official') else ''
    state = {
        prefix + n: v.permute(order).contiguous() if v.dim() == 5 else v
        for n, v in theirs.state_dict().items()
    }
    state['dense_head.weight'] = torch.ones(1)
    torch.save({CONVERSIONS[direction].key: state}, tmp_path / 'theirs.pth')
    table = convert(direction, tmp_path / 'theirs.pth', tmp_path / 'mm.pth')
    assert 'dense_head.weight  left over  (1,)' in table
    ours = MMDet3D().eval()
    ours.load_state_dict(torch.load(tmp_path / 'mm.pth', weights_only=True)['state_dict'])
    torch.testing.assert_close(outputs(ours, voxels), expected)


def test_a_round_trip_changes_nothing(tmp_path):
    source = save(tmp_path / 'a.pth', 'state_dict', randomised(MMDet3D(), 3))
    convert('nclr-to-openpcdet', source, tmp_path / 'b.pth')
    convert('openpcdet-to-mmdet3d', tmp_path / 'b.pth', tmp_path / 'c.pth')
    convert('nclr-to-openpcdet', tmp_path / 'c.pth', tmp_path / 'd.pth')
    for first, last, key in (('a', 'c', 'state_dict'), ('b', 'd', 'model_state')):
        before = read_checkpoint(tmp_path / f'{first}.pth', key)
        after = read_checkpoint(tmp_path / f'{last}.pth', key)
        assert before.keys() == after.keys()
        assert all(torch.equal(after[n], v) for n, v in before.items())


@pytest.mark.parametrize(
    ('direction', 'network', 'prefix', 'field', 'wrapping'),
    [
        ('nclr-to-openpcdet', MMDet3D, 'model.', 'state_dict', 'prefix model.'),
        ('nclr-to-openpcdet', MMDet3D, '', 'model', 'model'),
        ('openpcdet-to-mmdet3d', OpenPCDet, 'module.', 'model', 'model, prefix module.'),
        ('official-to-mmdet3d', OpenPCDet, 'encoder.', 'student', 'student'),
        ('official-to-mmdet3d', OpenPCDet, 'net.encoder.', 'state_dict', 'prefix net.'),
    ],
)
def test_wrapped_weights_are_found(tmp_path, direction, network, prefix, field, wrapping):
    model, key = randomised(network(), 5), CONVERSIONS[direction].key
    bare = 'encoder.' if direction.startswith('official') else ''
    convert(direction, save(tmp_path / 'a.pth', key, model, bare), tmp_path / 'plain.pth')
    table = convert(direction, save(tmp_path / 'b.pth', field, model, prefix), tmp_path / 'out.pth')
    assert table.endswith(f'left over.\nFound in {tmp_path}/b.pth ({wrapping}).')
    assert (tmp_path / 'out.pth').read_bytes() == (tmp_path / 'plain.pth').read_bytes()


@pytest.mark.parametrize(
    'missing',
    [
        'middle_encoder.encoder_layers.encoder_layer3.1.0.weight',
        'middle_encoder.conv_out.1.running_var',
        'backbone.blocks.0.3.weight',
        'neck.deblocks.1.0.weight',
        'neck.deblocks.0.1.bias',
    ],
)
def test_an_incomplete_backbone_is_not_written(tmp_path, missing):
    state = MMDet3D().state_dict()
    del state[missing]
    torch.save(dict(state_dict=state), tmp_path / 'cut.pth')
    with pytest.raises(ValueError, match=f'cut.pth cannot be converted as .*first {missing}'):
        convert('nclr-to-openpcdet', tmp_path / 'cut.pth', tmp_path / 'out.pth')
    assert sorted(p.name for p in tmp_path.iterdir()) == ['cut.pth']


@pytest.mark.parametrize(
    ('gone', 'fault'),
    [
        (['neck.deblocks.1'], r'the blocks \[0, 1\] and the deblocks \[0\]'),
        (['backbone.blocks.1'], r'the blocks \[0\] and the deblocks \[0, 1\]'),
        (['backbone.blocks.1', 'neck.deblocks.1'], 'the same ones, two or more'),
        (['backbone.blocks', 'neck'], 'first backbone.blocks.0.0.weight'),
    ],
)
def test_a_network_without_its_last_level_is_not_written(tmp_path, gone, fault):
    state = MMDet3D().state_dict()
    left = {n: v for n, v in state.items() if not n.startswith(tuple(gone))}
    torch.save(dict(state_dict=left), tmp_path / 'cut.pth')
    with pytest.raises(ValueError, match=f'cut.pth cannot be converted as .*{fault}'):
        convert('nclr-to-openpcdet', tmp_path / 'cut.pth', tmp_path / 'out.pth')
    assert not (tmp_path / 'out.pth').exists()


def test_levels_that_do_not_fit_each_other_are_refused(tmp_path):
    state = MMDet3D().state_dict()
    state['backbone.blocks.1.0.weight'] = torch.zeros(24, 15, 3, 3)
    torch.save(dict(state_dict=state), tmp_path / 'odd.pth')
    with pytest.raises(ValueError, match=r'blocks\.0 ends with 16 channels'):
        convert('nclr-to-openpcdet', tmp_path / 'odd.pth', tmp_path / 'out.pth')


@pytest.mark.parametrize(
    ('name', 'shape', 'fault'),
    [
        ('middle_encoder.conv_input.1.weight', (), r'the shape \(\), expected 1 dim'),
        ('backbone.blocks.0.3.weight', (5,), r'blocks\.0\.3\.weight .* expected 4 dim'),
        ('middle_encoder.conv_out.0.weight', (8, 8), r'conv_out\.0\.weight .* expected 5 dim'),
        ('backbone.blocks.1.1.running_var', (99,), 'has 99 numbers, which its convolution'),
    ],
)
def test_tensors_of_other_shapes_are_refused(tmp_path, name, shape, fault):
    state = MMDet3D().state_dict()
    state[name] = torch.zeros(shape)
    torch.save(dict(state_dict=state), tmp_path / 'odd.pth')
    with pytest.raises(ValueError, match=f'odd.pth cannot be converted .*{fault}'):
        convert('nclr-to-openpcdet', tmp_path / 'odd.pth', tmp_path / 'out.pth')
    assert not (tmp_path / 'out.pth').exists()


def test_small_networks_have_no_counterpart(tmp_path):
    init_default_scope('mmdet3d')
    config = Config.fromfile(ROOT / 'configs/_base_/models/second-small_kitti.py')
    model = MODELS.build(config.model)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'small.pth')
    with pytest.raises(ValueError, match=r'small\.pth .* the stages \[1, 2, 3\]; .* has 4 stages'):
        convert('nclr-to-openpcdet', tmp_path / 'small.pth', tmp_path / 'out.pth')


def test_tensors_without_names_are_refused(tmp_path):
    torch.save(dict(state_dict={0: torch.zeros(1)}), tmp_path / 'list.pth')
    with pytest.raises(ValueError, match=r'list\.pth has tensors .* not called by names'):
        read_checkpoint(tmp_path / 'list.pth', 'state_dict')


def test_kernels_of_spconv_1_and_names_of_centerpoint(tmp_path, voxels):
    """Both are read; what is written is spconv 2's."""
    state = {
        f'pts_{n}': v.permute(1, 2, 3, 4, 0).contiguous() if v.dim() == 5 else v
        for n, v in randomised(MMDet3D(), 4).state_dict().items()
    }
    torch.save(dict(state_dict=state), tmp_path / 'old.pth')
    table = convert('nclr-to-openpcdet', tmp_path / 'old.pth', tmp_path / 'pcdet.pth')
    assert 'BEV blocks of 3 and 2 convolutions.' in table
    theirs = OpenPCDet().eval()
    theirs.load_state_dict(torch.load(tmp_path / 'pcdet.pth', weights_only=True)['model_state'])
    expected = outputs(randomised(MMDet3D(), 4), voxels)
    torch.testing.assert_close(outputs(theirs, voxels), expected)


class Arbitrary:
    def __reduce__(self):
        return print, ('code of the file runs',)


def test_a_file_that_would_run_code_is_not_read(tmp_path, capsys):
    content = dict(state_dict=MMDet3D().state_dict(), config=Arbitrary())
    torch.save(content, tmp_path / 'release.pth')
    with pytest.raises(
        ValueError, match=r'release.pth holds more than tensors .*print.* weights_only'
    ):
        read_checkpoint(tmp_path / 'release.pth', 'state_dict')
    assert 'runs' not in capsys.readouterr().out


def test_bad_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'gone\.pth does not exist'):
        read_checkpoint(tmp_path / 'gone.pth', 'state_dict')
    contents = (
        b'no checkpoint',
        b'this is not a checkpoint',
        b'\x89PNG',
        b'',
        b'PK\x03\x04',
        b'\x80',
    )
    for content in contents:
        (tmp_path / 'text.pth').write_bytes(content)
        with pytest.raises(ValueError, match=r'text\.pth is not a checkpoint of torch.save'):
            read_checkpoint(tmp_path / 'text.pth', 'state_dict')
    with pytest.raises(ValueError, match='is not a checkpoint'):
        read_checkpoint(tmp_path, 'state_dict')
    torch.save({f'field{i}': 0 for i in range(50)}, tmp_path / 'many.pth')
    with pytest.raises(ValueError, match=r'it holds field0, .*field7, \.\.\.\.$'):
        read_checkpoint(tmp_path / 'many.pth', 'state_dict')
    with pytest.raises(ValueError, match='is a folder'):
        convert('nclr-to-openpcdet', tmp_path / 'many.pth', tmp_path)
    torch.save(dict(model={}), tmp_path / 'other.pth')
    with pytest.raises(ValueError, match=r"other\.pth has no field 'state_dict'.*model"):
        read_checkpoint(tmp_path / 'other.pth', 'state_dict')


def test_the_command(tmp_path, capsys):
    path = ROOT / 'tools/convert_checkpoint.py'
    spec = importlib.util.spec_from_file_location('convert_checkpoint', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    source = save(tmp_path / 'a.pth', 'state_dict', MMDet3D())
    target = tmp_path / 'b.pth'
    assert module.main(['nclr-to-openpcdet', str(source), str(target)]) == 0
    assert 'tensors mapped' in capsys.readouterr().out and target.exists()
    assert module.main(['openpcdet-to-mmdet3d', str(source), str(tmp_path / 'c.pth')]) == 1
    assert "a.pth has no field 'model_state'" in capsys.readouterr().err
