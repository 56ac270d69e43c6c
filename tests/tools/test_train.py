"""tools/train.py and tools/test.py as commands: options, resuming, and errors of the user.

Oracle: the checkpoints and states that the runs leave behind.
"""

import runpy
import sys

import pytest
import torch

import nclr_mm  # noqa: F401 (allows loading the runner's checkpoints)


def load(path) -> dict:
    return torch.load(path, map_location='cpu')


def test_train_resume_and_test(run, folder):
    done = run('train.py', 'tiny.py')
    assert done.returncode == 0, done.stderr
    work_dir = folder / 'work_dirs/tiny'
    whole = load(work_dir / 'epoch_2.pth')
    assert 'dtype torch.float32' in done.stdout

    (work_dir / 'epoch_2.pth').unlink()
    (work_dir / 'last_checkpoint').write_text(str(work_dir / 'epoch_1.pth'))
    done = run('train.py', 'tiny.py', '--resume')
    assert done.returncode == 0, done.stderr
    assert 'epoch_1.pth' in done.stdout
    resumed = load(work_dir / 'epoch_2.pth')
    assert resumed['meta']['iter'] == 4
    torch.testing.assert_close(resumed['state_dict'], whole['state_dict'])

    done = run('test.py', 'tiny.py', str(work_dir / 'epoch_2.pth'), '--work-dir', 'elsewhere')
    assert done.returncode == 0, done.stderr
    expected = float(whole['state_dict']['linear.weight'].sum())
    assert f'value: {expected:.4f}' in done.stdout
    assert (folder / 'elsewhere').is_dir()


def test_the_first_run_with_resume_starts_from_the_weights_that_are_given(run, folder):
    """A job that is always started with --resume must not lose its load_from the first time."""
    weight = torch.full((2, 2), 3.0)
    torch.save(
        dict(state_dict={'linear.weight': weight, 'linear.bias': torch.zeros(2)}), 'start.pth'
    )
    done = run(
        *('train.py', 'tiny.py', '--resume', '--work-dir', 'out'),
        *('--cfg-options', 'load_from=start.pth', 'optim_wrapper.optimizer.lr=0'),
        'train_cfg.max_epochs=1',
    )
    assert done.returncode == 0, done.stderr
    assert torch.equal(load(folder / 'out/epoch_1.pth')['state_dict']['linear.weight'], weight)


def test_paths_in_options_keep_their_characters(run, folder):
    start = folder / "Zoë's Passport (1), a=b/the weights.pth"
    start.parent.mkdir()
    weight = torch.full((2, 2), 3.0)
    torch.save(dict(state_dict={'linear.weight': weight, 'linear.bias': torch.zeros(2)}), start)
    options = (f'load_from="{start}"', 'optim_wrapper.optimizer.lr=0', 'train_cfg.max_epochs=1')
    done = run('train.py', 'tiny.py', '--work-dir', 'my runs', '--cfg-options', *options)
    assert done.returncode == 0, done.stderr
    assert torch.equal(load(folder / 'my runs/epoch_1.pth')['state_dict']['linear.weight'], weight)


def test_options(run, folder):
    done = run(
        'train.py',
        'tiny.py',
        '--amp',
        '--work-dir',
        'out',
        '--cfg-options',
        'train_cfg.max_epochs=1',
        'optim_wrapper.optimizer.lr=0.5',
    )
    assert done.returncode == 0, done.stderr
    checkpoint = load(folder / 'out/epoch_1.pth')
    assert checkpoint['optimizer']['param_groups'][0]['lr'] == 0.5
    expected = 'float16' if torch.cuda.is_available() else 'bfloat16'
    assert f'dtype torch.{expected}' in done.stdout


@pytest.mark.parametrize(
    'arguments, sentence',
    [
        (['train.py', 'missing.py'], 'train.py: There is no config missing.py.'),
        (['test.py', 'missing.py'], 'test.py: There is no config missing.py.'),
        (['train.py', 'tiny.py', '--work-dir', 'tiny.py/sub'], 'work directory tiny.py/sub'),
        (['train.py', 'tiny.py', '--resume', 'missing.pth'], 'no checkpoint missing.pth.'),
        (['test.py', 'tiny.py', 'missing.pth'], 'no checkpoint missing.pth.'),
        (
            ['train.py', 'tiny.py', '--cfg-options', 'load_from=/a,b.pth'],
            "load_from takes one file, got ['/a', 'b.pth']; put quotes around a path with commas.",
        ),
        (['train.py', 'tiny.py', '--auto-scale-lr'], 'auto_scale_lr.base_batch_size'),
        (
            ['train.py', 'tiny.py', '--amp', '--cfg-options', 'optim_wrapper.type=Other'],
            '--amp needs an optim_wrapper of type OptimWrapper, not Other',
        ),
    ],
)
def test_errors_of_the_user_are_one_sentence(
    arguments, sentence, repo, folder, monkeypatch, capsys
):
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(sys, 'argv', arguments)
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(repo / 'tools' / arguments[0]), run_name='__main__')
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count('\n') == 1


@pytest.mark.parametrize(
    ('tool', 'loader'), [('train.py', 'train'), ('train.py', 'val'), ('test.py', 'test')]
)
def test_data_that_are_not_there(run, folder, tool, loader):
    """One sentence, before the first step."""
    config = (folder / 'tiny.py').read_text()
    config += '\nval_dataloader, val_cfg, val_evaluator = test_dataloader, dict(), test_evaluator\n'
    config += (
        "calibration = dict(type='CalibrationDataset', data_root='data', ann_file='infos.pkl')\n"
    )
    config += f'{loader}_dataloader = dict({loader}_dataloader, dataset=calibration)\n'
    (folder / 'tiny.py').write_text(config)
    done = run(tool, 'tiny.py')
    assert done.returncode == 2
    sentence = 'The info file data/infos.pkl is missing; it is made by'
    (line,) = (line for line in done.stderr.splitlines() if sentence in line)
    assert line.startswith(f'{tool}: ') and 'Traceback' not in done.stderr
    assert not list(folder.glob('work_dirs/*/*.pth'))


LISTED = """

@DATASETS.register_module()
class Listed(Two):
    ann_file = '/data/infos_val.pkl'


@METRICS.register_module()
class Annotated(Last):
    ann_file = '/data/infos_train.pkl'
"""


@pytest.mark.parametrize(('tool', 'loader'), [('train.py', 'val'), ('test.py', 'test')])
def test_annotations_of_another_info_file_end_the_run_before_the_first_step(
    run, folder, tool, loader
):
    with (folder / 'tiny_components.py').open('a') as file:
        file.write(LISTED)
    config = (folder / 'tiny.py').read_text()
    config += f'\n{loader}_dataloader = dict(test_dataloader, dataset=dict(type="Listed"))\n'
    config += f'{loader}_evaluator = [dict(type="Last"), dict(type="Annotated")]\n'
    (folder / 'tiny.py').write_text(config + f'{loader}_cfg = dict()\n')
    done = run(tool, 'tiny.py')
    assert done.returncode == 2 and 'Traceback' not in done.stderr
    [line] = [line for line in done.stderr.splitlines() if line.startswith(f'{tool}: ')]
    assert line == (
        f'{tool}: The data set of {loader}_dataloader reads /data/infos_val.pkl, but Annotated of '
        f'{loader}_evaluator reads /data/infos_train.pkl; both need the same ann_file.'
    )
    assert not list(folder.glob('work_dirs/*/*.pth'))


def test_grids_that_disagree_end_before_the_first_step(run, folder, repo):
    """NCLR and a detector of mmdet3d, trained and tested."""
    for tool, config in (
        ('train.py', 'nclr/nclr_second-small_spconv_lite0_1xb1-2500i_sim-kitti.py'),
        ('test.py', 'det3d/second-small_1xb1-600i_sim-kitti-3d-3class.py'),
    ):
        wrong = 'model.middle_encoder.sparse_shape=[21,192,192]'
        done = run(tool, repo / 'configs' / config, '--cfg-options', wrong)
        assert done.returncode == 2
        assert 'Traceback' not in done.stderr
        [line] = [line for line in done.stderr.splitlines() if line.startswith(f'{tool}: ')]
        assert 'model.middle_encoder.sparse_shape is [21, 192, 192], expected [21, ' in line
