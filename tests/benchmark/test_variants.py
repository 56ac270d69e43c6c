"""Variants of a training step: what they change, and that their figures are of what ran."""

import json
import math

import pytest
import torch
from mmengine.config import Config

from nclr_mm.benchmark import (
    VARIANTS,
    build_dataset,
    host_trips,
    loading_rate,
    measure_steps,
    measure_throughput,
    process_rates,
    scaling,
    top_kernels,
    with_options,
)
from nclr_mm.datasets import converters
from tests.datasets.layouts import make_nuscenes

LEAF = 'configs/nclr/nclr_minkunet-small_spconv_lite0_1xb1-2000i_sim-nus.py'


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = make_nuscenes(tmp_path_factory.mktemp('data'), ('a', 'b'), frames=2)
    (root / 'splits.json').write_text(json.dumps(dict(train=['a'], val=['b'])))
    converters.create_nuscenes_infos(root)
    return root


@pytest.fixture(scope='module')
def cfg(repo, data):
    config = Config.fromfile(repo / LEAF)
    return with_options(config, {'train_dataloader.dataset.data_root': f'{data}/'})


@pytest.fixture(scope='module')
def dataset(cfg):
    return build_dataset(cfg)


def test_options_leave_the_config_that_they_are_given(cfg):
    changed = with_options(cfg, VARIANTS['fp16 and all'])
    assert changed.optim_wrapper.type == 'AmpOptimWrapper'
    assert changed.optim_wrapper.optimizer.fused and changed.model.channels_last
    assert changed.model.compile_dense
    assert changed.optim_wrapper.optimizer.lr == cfg.optim_wrapper.optimizer.lr
    assert cfg.optim_wrapper.type == 'OptimWrapper' and 'channels_last' not in cfg.model


def test_all_is_each_of_the_others():
    for precision in ('bf16', 'fp16'):
        names = (precision, 'channels_last', 'fused optimiser', 'compiled')
        wanted = {k: v for name in names for k, v in VARIANTS[name].items()}
        assert VARIANTS[f'{precision} and all'] == wanted


@pytest.mark.slow
def test_each_variant_trains(cfg, dataset):
    # Compilation needs a compiler and minutes; its equality is another test.
    losses = {}
    for name in ('float32', 'channels_last', 'fused optimiser', 'cached images', 'bf16'):
        found = measure_throughput(with_options(cfg, VARIANTS[name]), dataset, steps=2, warm_up=1)
        assert found['samples_per_second'] == pytest.approx(1 / found['seconds'])
        assert found['peak_bytes'] > 1e8 and len(found['losses']) == 2
        losses[name] = found['losses']
    assert losses['channels_last'] == pytest.approx(losses['float32'], rel=1e-3)
    assert losses['cached images'] == pytest.approx(losses['float32'], rel=1e-3)
    assert losses['fused optimiser'] == pytest.approx(losses['float32'], rel=1e-3)
    assert losses['bf16'] == pytest.approx(losses['float32'], rel=0.02)


def test_parts_are_those_of_a_whole_step(cfg, dataset):
    parts = measure_steps(cfg, dataset, steps=2, warm_up=0)
    whole = measure_throughput(cfg, dataset, steps=2, warm_up=0)
    assert parts['losses'] == pytest.approx(whole['losses'], rel=1e-3)
    assert parts['step'] == pytest.approx(sum(parts['parts'].values()))


def test_processes_that_train_apart_are_found(monkeypatch):
    model = torch.nn.Linear(2, 2)

    def gather(sums, own):
        sums[:] = [own, own + 1e-3]

    monkeypatch.setattr(scaling.dist, 'get_world_size', lambda: 2)
    monkeypatch.setattr(scaling.dist, 'all_gather_object', gather)
    with pytest.raises(RuntimeError, match='did not train one model'):
        scaling.check_same_weights(model)


def test_kernels_are_the_costliest_first(cfg, dataset):
    found = top_kernels(cfg, dataset, number=5, warm_up=1)
    seconds = [row['seconds'] for row in found['kernels']]
    assert len(seconds) == 5 and seconds == sorted(seconds, reverse=True)
    assert sum(seconds) < found['kernel_seconds'] < found['seconds'] * torch.get_num_threads() * 1.1
    assert all(row['calls'] >= 1 and row['name'] for row in found['kernels'])


def test_trips_are_those_to_a_gpu(cfg, dataset):
    with pytest.raises(ValueError, match='Only a GPU is waited for; the device is cpu'):
        host_trips(cfg, dataset, 'cpu')


def test_rate_of_loading(dataset):
    rates = loading_rate(dataset, [1, 2], samples=4)
    assert list(rates) == [1, 2]
    assert all(rate > 0 and math.isfinite(rate) for rate in rates.values())


@pytest.mark.slow
def test_rate_of_processes(cfg):
    rates = process_rates(cfg, [1, 2], steps=1, warm_up=0)
    assert list(rates) == [1, 2]
    assert all(rate > 0 and math.isfinite(rate) for rate in rates.values())


def test_the_tool_prints_tables_and_writes_figures(repo, data, tmp_path, load_tool, capsys):
    tool = load_tool('benchmark')
    options = ['--cfg-options', f'train_dataloader.dataset.data_root={data}/']
    what = ['--what', 'step', 'variants', 'workers', '--variants', 'float32']
    arguments = [str(repo / LEAF), *what, '--steps', '1', '--warm-up', '0', '--device', 'cpu']
    assert tool.main([*arguments, '-o', str(tmp_path), *options]) == 0
    printed = capsys.readouterr().out
    assert (
        '| float32 ' in printed and '| a step ' in printed and '| workers | samples/s |' in printed
    )
    figures = json.loads((tmp_path / 'benchmark.json').read_text())
    assert set(figures) == {'settings', 'step', 'variants', 'workers'}
    assert figures['settings']['batch_size'] == 1 and figures['settings']['device'] == 'cpu'
    assert 'not compared' in printed and 'of the official release, measured' not in printed
    rate = figures['variants']['float32']['samples_per_second']
    assert f'| {rate:.2f} ' in printed


def test_what_makes_its_own_data_needs_none(repo, tmp_path, load_tool, monkeypatch):
    tool = load_tool('benchmark')
    monkeypatch.setattr(tool, 'measure_pnp', lambda: dict(forward=0.5))
    arguments = [str(repo / LEAF), '--what', 'pnp', '--device', 'cpu', '-o', str(tmp_path)]
    missing = f'train_dataloader.dataset.data_root={tmp_path}/missing/'
    assert tool.main([*arguments, '--cfg-options', missing]) == 0
    assert json.loads((tmp_path / 'benchmark.json').read_text())['pnp'] == dict(forward=0.5)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--steps', '0'], 'must be at least 1'),
        (['--workers', '0'], 'must be at least 1'),
        (['--processes', '0'], 'must be at least 1'),
        (['--what', 'trips', '--device', 'cpu'], '--what trips needs a GPU'),
        (['--device', 'abacus'], '--device abacus is none'),
        (['--device', 'cpu', '-o', __file__], 'is a file; a folder was expected'),
    ],
)
def test_arguments_without_sense(repo, load_tool, arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        load_tool('benchmark').main([str(repo / LEAF), *arguments])
    assert stop.value.code != 0
    captured = capsys.readouterr()
    assert message in captured.err + captured.out + str(stop.value.code)
