"""The pages of docs/ build without a warning."""

import subprocess
import sys


def test_pages_build_without_a_warning(repo, tmp_path):
    done = subprocess.run(
        [sys.executable, '-m', 'sphinx', '-W', '--keep-going', '-q', 'docs', str(tmp_path)],
        cwd=repo,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    for page in ('index', 'install', 'calibration', 'api'):
        assert (tmp_path / f'{page}.html').is_file()
    api = (tmp_path / 'api.html').read_text()
    assert 'nclr_mm.apis.calibrate' in api and 'covariance' in api
