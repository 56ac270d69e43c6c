"""Which runs tools/compare.py would do. That it does them is tested in test_finetuning.py."""

import sys

import pytest

LEAF = 'configs/semseg/minkunet34_w32_spconv_1xb8-500e_nus700-1pct.py'


@pytest.fixture
def compare(load_tool):
    return load_tool('compare')


def runs(compare, monkeypatch, out, *arguments):
    monkeypatch.setattr(sys, 'argv', ['compare.py', *map(str, arguments)])
    return compare.list_runs(compare.parse_args(), out, dict(random=None))


def test_seeds_are_added_to_the_offset_of_the_config(compare, repo, monkeypatch, tmp_path):
    found = runs(compare, monkeypatch, tmp_path, repo / LEAF, '--fractions', '0.01')
    offsets = [o for run in found for o in run.options if o.startswith('train_dataloader')]
    field = 'train_dataloader.dataset'
    assert [o for o in offsets if 'offset' in o] == [f'{field}.offset={99 + i}' for i in range(3)]
    assert [run.seed for run in found] == [0, 1, 2]
    assert len({run.inputs for run in found}) == 3


def test_it_may_be_called_from_anywhere(compare, repo, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (run,) = runs(compare, monkeypatch, tmp_path, repo / LEAF, '--fractions', '1', '--seeds', '3')
    assert run.config == LEAF and run.length == 500
    assert 'train_dataloader.dataset.offset=0' in run.options


def test_half_a_line_of_a_run_that_was_cut_off(compare, tmp_path):
    folder = tmp_path / 'run/vis_data'
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_text('{"miou": 0.5, "step": 7}\n{"miou": 0.')
    assert compare.last_validation(tmp_path, 'miou', 7)['miou'] == 0.5
    assert compare.last_validation(tmp_path, 'miou', 8) is None


def test_what_a_validation_logged_instead(compare, tmp_path):
    folder = tmp_path / 'run/vis_data'
    folder.mkdir(parents=True)
    lines = ['{"loss": 1, "lr": 0.1, "step": 7}', '{"AP_easy": 5, "time": 0.1, "step": 7}']
    (folder / 'scalars.json').write_text('\n'.join(lines))
    assert compare.logged_metrics(tmp_path, 7) == ['AP_easy']
    (folder / 'scalars.json').write_text(lines[0])
    assert compare.logged_metrics(tmp_path, 7) == []


def test_a_dataset_that_is_wrapped(compare, repo, monkeypatch, tmp_path):
    leaf = repo / 'configs/det3d/second_8xb6-80e_kitti-3d-3class.py'
    run, *_ = runs(compare, monkeypatch, tmp_path, leaf, '--fractions', '0.05', '--seeds', '3')
    options = [o for o in run.options if 'fraction' in o or 'offset' in o]
    field = 'train_dataloader.dataset.dataset'
    assert options == [f'{field}.fraction=0.05', f'{field}.offset=3']
