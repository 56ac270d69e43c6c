"""tools/report.py on logs as mmengine writes them."""

import json

import pytest

from nclr_mm.visualization import read_run


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('report')


def log(folder, rows):
    path = folder / 'vis_data/scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text(''.join(json.dumps(row) + '\n' for row in rows))


def step(number, loss, **more):
    return dict(lr=0.1, data_time=0.0, loss=loss, time=1.0, iter=number, step=number, **more)


@pytest.fixture
def run(tmp_path):
    """Interrupted after step 30, gone on from the checkpoint of step 20."""
    work_dir = tmp_path / 'run'
    first = [step(10, 3.0), step(20, 2.0), dict(mIoU=0.2, step=20), step(30, 9.0)]
    log(work_dir / '20260101_000000', first)
    second = [step(30, 1.5), step(40, 1.0, loss_pose=5.0), dict(mIoU=0.4, other=1.0, step=40)]
    log(work_dir / '20260101_010000', second)
    return work_dir


def test_runs_are_read_over_interruptions(run):
    training, validation = read_run(run)
    assert list(training) == ['lr', 'loss', 'loss_pose']
    steps, values = training['loss']
    assert steps.tolist() == [10, 20, 30, 40] and values.tolist() == [3.0, 2.0, 1.5, 1.0]
    assert training['loss_pose'][0].tolist() == [40]
    assert validation['mIoU'][0].tolist() == [20, 40]
    assert validation['mIoU'][1].tolist() == [0.2, 0.4]


def test_table_and_pictures(tool, run, tmp_path):
    other = tmp_path / 'other'
    log(other / '20260101_000000', [step(10, 3.0), dict(mIoU=0.5, step=10)])
    out = tmp_path / 'report'
    assert tool.main([str(run), str(other), '-o', str(out)]) == 0
    text = (out / 'README.md').read_text()
    assert '| metric | run | other |' in text
    assert '| mIoU | 0.400 | 0.500 |' in text
    assert '| other | 1.000 |  |' in text
    for name in ('run_training', 'run_validation', 'other_training', 'other_validation'):
        assert (out / f'{name}.png').read_bytes().startswith(b'\x89PNG')
        assert f'({name}.png)' in text
    assert tool.main([str(run), '-o', str(out), '--metric', 'mI*']) == 0
    assert '| other |' not in (out / 'README.md').read_text()


def test_a_metric_that_is_not_there(tool, run, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        tool.main([str(run), '-o', str(tmp_path / 'out'), '--metric', 'nope'])
    assert end.value.code == 2 and 'No metric is called nope; there are' in capsys.readouterr().err


def test_runs_of_the_same_name(tool, run, tmp_path):
    log(tmp_path / 'b/run/20260101_000000', [step(10, 1.0)])
    assert tool.main([str(run), str(tmp_path / 'b/run'), '-o', str(tmp_path / 'out')]) == 0
    assert (tmp_path / 'out/b_run_training.png').is_file()


def test_a_folder_without_a_run(tool, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        tool.main([str(tmp_path), '-o', str(tmp_path / 'out')])
    assert end.value.code == 2
    assert f'{tmp_path} holds no log of a run' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()
