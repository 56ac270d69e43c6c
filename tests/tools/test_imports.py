"""What the other tests of tools, which start from a process that has the package, would not see."""

import ast

import pytest

from tests.conftest import REPO

# create_data.py imports what a command needs, so that none asks for the packages of others.
TOOLS = sorted({p.name for p in (REPO / 'tools').glob('*.py')} - {'create_data.py'})


@pytest.mark.parametrize('tool', TOOLS)
def test_the_package_is_imported_before_anything_is_read(tool):
    """Its import registers the components and guards how checkpoints and info files are read."""
    imported = set()
    for statement in ast.parse((REPO / 'tools' / tool).read_text()).body:
        if isinstance(statement, ast.Import):
            imported |= {alias.name.partition('.')[0] for alias in statement.names}
        elif isinstance(statement, ast.ImportFrom):
            imported.add((statement.module or '').partition('.')[0])
    assert 'nclr_mm' in imported


@pytest.mark.parametrize('tool', TOOLS)
def test_options_are_read_by_the_action_that_keeps_spaces(tool):
    """That of mmengine removes them from paths."""
    for statement in ast.walk(ast.parse((REPO / 'tools' / tool).read_text())):
        if isinstance(statement, ast.ImportFrom) and 'mmengine' in (statement.module or ''):
            assert 'DictAction' not in {alias.name for alias in statement.names}
