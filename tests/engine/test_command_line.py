"""Configs of the command line: what is overridden, and what is said of errors."""

import pytest

from nclr_mm.engine.command_line import read_config


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text(
        "model = dict(type='Net', init_cfg=None, stages=[dict(n=1), dict(n=2)])\nlr = 0.1\n"
    )
    return path


def test_settings_are_overridden(config):
    cfg = read_config(config, {'model.type': 'Other', 'model.stages.1.n': 5, 'new.key': 'x'})
    assert cfg.model.type == 'Other' and cfg.model.stages[1].n == 5
    assert cfg.new.key == 'x' and cfg.lr == 0.1


@pytest.mark.parametrize(
    'option',
    [{'model.init_cfg.checkpoint': 'file'}, {'model.stages.7.n': 1}, {'lr.scale': 2}],
    ids=str,
)
def test_what_does_not_fit_is_named(config, option):
    with pytest.raises(ValueError, match='does not fit') as error:
        read_config(config, {'model.type': 'Other', **option})
    assert next(iter(option)) in str(error.value) and str(config) in str(error.value)


@pytest.mark.parametrize('text', ['model = dict(', 'raise RuntimeError', "_base_ = ['gone.py']"])
def test_what_cannot_be_read(config, text):
    config.write_text(text)
    with pytest.raises(ValueError, match=r'config\.py cannot be read'):
        read_config(config)


def test_there_is_none(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no config .*gone\.py'):
        read_config(tmp_path / 'gone.py')


def test_configs_that_are_installed_with_the_package():
    name = 'nclr_minkunet-small_spconv_lite0_1xb1-8000i_sim-streets'
    assert read_config(f'nclr_mm::nclr/{name}.py').model.type == 'NCLR'
    with pytest.raises(FileNotFoundError, match=r'There is no config .*gone\.py'):
        read_config('nclr_mm::nclr/gone.py')
    with pytest.raises(FileNotFoundError, match=r'There is no config no_package::x\.py'):
        read_config('no_package::x.py')
