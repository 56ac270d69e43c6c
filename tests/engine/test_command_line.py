"""Configs of the command line: what is overridden, and what is said of errors, full disks too."""

import argparse
import errno
import logging
import os
import re
from types import SimpleNamespace

import pytest
from mmengine.dataset import BaseDataset, RepeatDataset

from nclr_mm.engine.command_line import (
    DictAction,
    build_loops,
    read_config,
    report_run_failure,
    report_unwritable,
)
from nclr_mm.reading import load_checkpoint
from nclr_mm.writing import write_whole


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text(
        "model = dict(type='Net', init_cfg=None, stages=[dict(n=1), dict(n=2)])\nlr = 0.1\n"
    )
    return path


def options(*given):
    """What a tool reads from its command line."""
    parser = argparse.ArgumentParser(prog='some.py')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    return parser.parse_args(['--cfg-options', *given]).cfg_options


@pytest.mark.parametrize(
    ('text', 'value'),
    [
        ('/media/My Passport/nuscenes/', '/media/My Passport/nuscenes/'),
        ("/home/Zoë O'Brien/a=b (1)/x [2].pth", "/home/Zoë O'Brien/a=b (1)/x [2].pth"),
        ('[/media/My Passport/a, /b c/d]', ['/media/My Passport/a', '/b c/d']),
        ('( /a b , (/c d,  1 ) )', ('/a b', ('/c d', 1))),
        ('/a b, /c d', ['/a b', '/c d']),
        ("'/a, b/c (d.pth'", '/a, b/c (d.pth'),
        ("""["/a, b", '/c [d', /e f]""", ['/a, b', '/c [d', '/e f']),
        ("[it's a, it's b]", ["it's a", "it's b"]),
        ("' /a '", ' /a '),
        ("['~/a b', /b/~c]", ['/home/me/a b', '/b/~c']),
        ('~/a', '/home/me/a'),
        # As mmengine reads them.
        ('[1, 2.5,True , None,x]', [1, 2.5, True, None, 'x']),
        ('[(1,2),(a,b)]', [(1, 2), ('a', 'b')]),
        ('1,2', [1, 2]),
        ('[a,]', ['a']),
        ('"[1,2]"', [1, 2]),
        ("'1'", 1),
        ('"None"', None),
        (' 1e-3', 0.001),
        ('[ ]', []),
        ('()', ()),
        ('', ''),
    ],
)
def test_values_keep_their_characters(text, value, monkeypatch):
    monkeypatch.setenv('HOME', '/home/me')
    assert options(f'key.sub={text}', 'other=1') == {'key.sub': value, 'other': 1}


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('key', "expected KEY=VALUE ..., got 'key'"),
        ('=5', "expected KEY=VALUE ..., got '=5'"),
        ('key=[/a (1, /b]', "the brackets of '[/a (1, /b]' do not match; put quotes around a path"),
    ],
)
def test_options_that_cannot_be_read(text, message, capsys):
    with pytest.raises(SystemExit) as end:
        options(text)
    assert end.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == f'some.py: error: argument --cfg-options: {message}'


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


def test_a_result_that_cannot_be_written_ends_in_a_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr('sys.argv', ['tools/some.py'])
    (tmp_path / 'file').touch()

    @report_unwritable
    def main(path, code):
        """What it does."""
        write_whole(path, b'')
        return code

    assert main(tmp_path / 'result', code=3) == 3 and main.__doc__ == 'What it does.'
    with pytest.raises(SystemExit) as end:
        main(tmp_path / 'file/result', code=0)
    message = f'some.py: [Errno 17] {tmp_path}/file/result cannot be written: File exists.\n'
    assert end.value.code == 2 and capsys.readouterr().err == message


def test_other_errors_of_the_system_keep_their_traceback(tmp_path):
    with pytest.raises(FileNotFoundError):
        report_unwritable(lambda: (tmp_path / 'gone').read_bytes())()
    with pytest.raises(FileNotFoundError):
        report_run_failure((tmp_path / 'gone').read_bytes, 'out')


def test_a_checkpoint_that_is_cut_off_ends_a_run_in_a_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr('sys.argv', ['tools/some.py'])
    (tmp_path / 'cut.pth').write_bytes(b'\x80\x02}')
    with pytest.raises(SystemExit) as end:
        report_run_failure(lambda: load_checkpoint(tmp_path / 'cut.pth'), 'out')
    assert end.value.code == 2
    message = 'some.py: .*/cut.pth is not a checkpoint of torch.save, or is cut off: .*\n'
    assert re.fullmatch(message, capsys.readouterr().err)


@pytest.mark.parametrize(
    ('code', 'file', 'message'),
    [
        pytest.param(errno.ENOENT, 'out/gone', 'a file in out cannot be used: .*gone', id='gone'),
        pytest.param(
            errno.EACCES, 'out/20260102_030405/vis_data/log', 'a file in out cannot', id='forbidden'
        ),
        pytest.param(errno.ENOSPC, None, 'for out takes no more: .*No space', id='full'),
        pytest.param(errno.ENOSPC, 'out/a.pth', 'for out takes no more: .*a.pth', id='full, named'),
        pytest.param(errno.ENOSPC, 'tmp/x', 'for tmp/x takes no more: ', id='another disk is full'),
        pytest.param(errno.EIO, None, 'a disk fails: .*Input/output error', id='failing disk'),
        pytest.param(errno.ESTALE, None, 'a disk fails: .*[Ss]tale', id='network'),
        pytest.param(errno.ENOENT, 'scan.bin', None, id='data'),
        pytest.param(errno.ENOENT, 'out/data/scans/1.bin', None, id='data in the work directory'),
        pytest.param(errno.EIO, 'scan.bin', None, id='data on a failing disk'),
    ],
)
@pytest.mark.parametrize('work_dir', ['out', '../{name}/out', '{folder}/out'])
def test_a_disk_ends_a_run_in_a_sentence(code, file, message, work_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    work_dir = work_dir.format(name=tmp_path.name, folder=tmp_path)

    def run():
        raise OSError(code, os.strerror(code), *([file] if file else []))

    if message is None:
        with pytest.raises(OSError, match=re.escape(os.strerror(code))) as error:
            report_run_failure(run, work_dir)
        assert error.value.filename == file
        return
    message = message.replace(' out ', f' {re.escape(work_dir)} ')
    with pytest.raises(SystemExit, match=rf'The run ended, .*{message}.*\. What .* --resume\.'):
        report_run_failure(run, work_dir)


def test_a_line_of_the_log_that_does_not_fit_ends_the_run(tmp_path, limit_files, capsys):
    handler = logging.FileHandler(tmp_path / 'log')

    def line(*args, text='x'):
        handler.handle(logging.LogRecord('name', logging.INFO, 'file', 1, text, args, None))

    # A line at fault, which logging tells of on its own.
    report_run_failure(lambda: line(1, text='%s and %s'), 'out')
    assert 'not enough arguments for format string' in capsys.readouterr().err
    limit_files(0)
    with pytest.raises(SystemExit, match=r'The run ended, for out takes no more: .*too large'):
        report_run_failure(line, 'out')
    assert capsys.readouterr().err == ''
    line()  # as before: not raised, but told
    assert 'File too large' in capsys.readouterr().err


def test_no_folder_that_takes_temporary_files(config, monkeypatch, limit_files):
    monkeypatch.setattr('tempfile.tempdir', None)
    limit_files(0)
    with pytest.raises(FileNotFoundError, match='No usable temporary directory found'):
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


@pytest.mark.parametrize(
    ('data', 'metric', 'message'),
    [
        (dict(ann_file='a.pkl'), dict(ann_file='root/a.pkl'), None),
        (dict(ann_file='../root/a.pkl'), dict(ann_file='linked/a.pkl'), None),
        (dict(ann_file='a.pkl'), dict(ann_file='a.pkl'), r'reads root/a\.pkl, but .* reads a\.pkl'),
        (dict(ann_file='a.pkl'), dict(ann_file='a.pkl', data_root='root/'), None),
        (
            dict(ann_file='a.pkl'),
            dict(ann_file='b.pkl', data_root='root'),
            r'.* reads b\.pkl; both',
        ),
        (dict(ann_file='a.pkl'), dict(ann_file=None), None),
        (dict(ann_file='a.pkl'), {}, None),
        (dict(ann_file='a.pkl', indices=[1, 2]), {}, None),
        (dict(indices=[2, 1]), dict(indices=[2, 1]), None),
        (
            dict(indices=[2, 1]),
            dict(indices=None),
            r'has indices=\[2, 1\], but .* has indices=None',
        ),
        (dict(indices=2), dict(indices=None), None),
        (dict(indices=2), dict(indices=3), None),
        (dict(indices=3), dict(indices=2), 'has indices=3, but .* has indices=2; both'),
        (dict(indices=-2), dict(indices=3), 'has indices=-2, but .* has indices=3; both'),
        ({}, dict(indices=3), 'has indices=None, but .* has indices=3; both'),
    ],
)
@pytest.mark.parametrize('wrapped', [False, True])
def test_frames_that_are_scored_are_those_that_are_predicted(
    data, metric, message, wrapped, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'root').mkdir()
    (tmp_path / 'linked').symlink_to('root')
    dataset = BaseDataset(data_root='root', lazy_init=True, **data)
    if wrapped:
        dataset = RepeatDataset(dataset, 2, lazy_init=True)
    loop = SimpleNamespace(
        dataloader=SimpleNamespace(dataset=dataset),
        evaluator=SimpleNamespace(metrics=[SimpleNamespace(), SimpleNamespace(**metric)]),
    )
    runner = SimpleNamespace(train_loop=object(), val_loop=None, test_loop=loop)
    if message is None:
        return build_loops(runner, 'train', 'val', 'test')
    with pytest.raises(SystemExit) as end:
        build_loops(runner, 'test')
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.count('\n') == 1 and re.search(f'of test_dataloader {message}', said)
