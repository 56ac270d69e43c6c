"""Every command in the README and in docs/ is one that this project takes; which of them are run,
test_doc_walk.py says."""

import inspect
import re
import sys

import pytest
from mmengine.config import Config, ConfigDict

from tests.doc_blocks import PAGES, REPO, blocks, words

# What stands for the user's own files in the pages.
PLACEHOLDERS = {'CONFIG', 'configs/nclr/NAME.py', 'configs/nclr/my_rig.py'}
# Commands of other programs, and where a test runs the like.
OTHERS = (
    r'source \.venv/bin/activate',
    r'export( MALLOC_\w+=\d+)+',
    r'\w+=\S+',
    r'MMCV_WITH_OPS=1 \.venv/bin/python -m pip wheel .*',
    r'\.venv/bin/pre-commit install',
    r'pip install -e \.',
    r"python -c 'import nclr_mm'",
    r'python -m nclr_mm train mine\.py',  # test_installed.py
)
COMMANDS = [
    pytest.param(command, id=f'{page}:{block.line}:{i}')
    for page in PAGES
    for block in blocks(page)
    if block.language == 'bash'
    for i, command in enumerate(block.commands)
]


def test_blocks_say_what_they_are():
    for page in PAGES:
        for block in blocks(page):
            assert block.language in ('bash', 'python', 'yaml', ''), (page, block.line)
            if not block.language:  # a picture of folders or of names
                assert not re.search(r'^(python|bash|make|pip) ', block.text, re.M), block.text


@pytest.mark.parametrize('command', COMMANDS)
def test_command(command, load_tool, monkeypatch):
    first, *rest = words(command)
    while re.fullmatch(r'OMP_NUM_THREADS=\d', first):
        first, *rest = rest
    if first == 'make':
        targets = re.search(r'^\.PHONY: (.*)$', (REPO / 'Makefile').read_text(), re.M)[1].split()
        assert rest[0] in targets
    elif first == 'bash':
        script, *arguments = rest
        assert (REPO / script).is_file()
        if 'slurm' in script:
            _, _, config, _, *options = arguments
        else:
            config, processes, *options = arguments
            assert processes.isdigit()
        tool = re.search(r'(train|test)\.sh', script)[1]
        check_arguments(load_tool(tool), [config, *options], monkeypatch)
    elif first == 'python' and rest[0].startswith('tools/'):
        name = re.fullmatch(r'tools/(\w+)\.py', rest[0])[1]
        check_arguments(load_tool(name), rest[1:], monkeypatch)
    elif rest[:2] == ['-m', 'nclr_mm.simulation.preview']:
        from nclr_mm.simulation import preview

        monkeypatch.setattr(sys, 'argv', rest[1:])
        preview.parse_args()
    else:
        assert any(re.fullmatch(pattern, command) for pattern in OTHERS), command


def check_arguments(tool, arguments, monkeypatch):
    """The tool takes them, and what they name is there."""
    monkeypatch.setattr(sys, 'argv', ['tool', *arguments])
    takes_arguments = inspect.signature(tool.parse_args).parameters
    args = tool.parse_args(arguments) if takes_arguments else tool.parse_args()
    config = getattr(args, 'config', None)
    if config is None or config in PLACEHOLDERS:
        return
    assert (REPO / config).is_file(), config
    options = getattr(args, 'cfg_options', None) or []  # as a dictionary, or as it was written
    cfg = Config.fromfile(REPO / config)
    for option in options:
        key = option.partition('=')[0]
        parent, _, last = key.rpartition('.')
        node = field(cfg, parent)
        assert node is not None and (last in node or key == 'load_from'), f'{config} has no {key}'


def field(cfg, key):
    """A part of a config by its dotted name, or None."""
    node = cfg
    for name in filter(None, key.split('.')):
        if isinstance(node, Config | ConfigDict | dict):
            node = node.get(name)
        else:
            node = node[int(name)] if name.isdigit() and int(name) < len(node) else None
        if node is None:
            return None
    return node
