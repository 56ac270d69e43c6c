"""Oracle: ``subprocess.run``, which starts an interpreter for each program."""

import os
import subprocess
import sys

import pytest

from tests.programs import run_program

SCRIPT = """
import os, sys
import beside, elsewhere
print(sys.argv, __name__, os.getcwd(), os.environ['ANIMAL'], beside.VALUE, elsewhere.VALUE)
print('told', file=sys.stderr)
{end}
"""


@pytest.mark.parametrize(
    'end',
    ['', 'sys.exit(3)', "sys.exit('a sentence')", 'sys.exit()', "print('no newline', end='')"],
)
def test_it_ends_as_a_program_does(tmp_path, end):
    (tmp_path / 'scripts').mkdir()
    (tmp_path / 'path').mkdir()
    (tmp_path / 'scripts/beside.py').write_text('VALUE = 1')
    (tmp_path / 'path/elsewhere.py').write_text('VALUE = 2')
    (tmp_path / 'scripts/script.py').write_text(SCRIPT.format(end=end))
    command = ['scripts/script.py', 'one', '--two']
    env = {**os.environ, 'ANIMAL': 'cat', 'PYTHONPATH': str(tmp_path / 'path')}
    ours = run_program(*command, cwd=tmp_path, env=env)
    theirs = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    ours.stdout = ours.stdout.replace(f'{tmp_path}/scripts/script.py', 'scripts/script.py')
    assert (ours.returncode, ours.stdout, ours.stderr) == (
        theirs.returncode,
        theirs.stdout,
        theirs.stderr,
    )


def test_an_error_has_its_traceback(tmp_path):
    (tmp_path / 'script.py').write_text("raise ValueError('what is wrong')")
    done = run_program('script.py', cwd=tmp_path)
    assert done.returncode == 1
    assert 'Traceback' in done.stderr and 'ValueError: what is wrong' in done.stderr


def test_one_that_takes_too_long_is_killed(tmp_path):
    (tmp_path / 'script.py').write_text('import time; time.sleep(60)')
    with pytest.raises(subprocess.TimeoutExpired):
        run_program('script.py', cwd=tmp_path, timeout=0.5)


def test_copies_draw_numbers_of_their_own(tmp_path):
    (tmp_path / 'script.py').write_text(
        'import random, numpy, torch; print(random.random(), numpy.random.rand(), torch.rand(1))'
    )
    first, second = (run_program('script.py', cwd=tmp_path).stdout.split() for _ in range(2))
    assert len(first) == 3 and not set(first) & set(second)
