"""Checkpoints from a URL. Oracles: the tensors that were saved, a mark that code would leave."""

import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from mmengine.runner import checkpoint as loaders
from mmengine.runner import load_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader

import nclr_mm  # noqa: F401 (applies the workaround)
from tests.crafted import Boom

SCRIPT = """
import os
import torch
from mmengine.runner.checkpoint import CheckpointLoader

class Boom:
    def __reduce__(self):
        return os.mkdir, ('mark',)

# torch.hub takes what it has downloaded before.
os.makedirs('hub/checkpoints')
torch.save(dict(state_dict={}, crafted=Boom()), 'hub/checkpoints/crafted.pth')
os.environ['TORCH_HOME'] = '.'
CheckpointLoader.load_checkpoint('https://example.invalid/crafted.pth')
assert not os.path.isdir('mark'), 'code was run'
"""


@pytest.fixture
def url(tmp_path, monkeypatch):
    """The address of a server of the files in tmp_path; none is asked for through a proxy."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'home'))
    monkeypatch.setenv('no_proxy', '*')
    handler = functools.partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


def test_upstream_fault(without_workarounds):
    assert 'code was run' in without_workarounds(SCRIPT)


def test_tensors_are_loaded(url, tmp_path):
    saved = torch.nn.Linear(2, 3)
    torch.save(dict(state_dict=saved.state_dict()), tmp_path / 'good.pth')
    loaded = torch.nn.Linear(2, 3)
    load_checkpoint(loaded, f'{url}/good.pth', strict=True)
    torch.testing.assert_close(loaded.state_dict(), saved.state_dict())


def test_code_is_refused(url, tmp_path):
    torch.save(dict(state_dict={}, crafted=Boom(tmp_path / 'mark')), tmp_path / 'bad.pth')
    with pytest.raises(ValueError, match=r'bad\.pth holds more than tensors .*mkdir'):
        CheckpointLoader.load_checkpoint(f'{url}/bad.pth')
    with pytest.raises(ValueError, match=r'bad\.pth holds more than tensors .*mkdir'):
        loaders.load_url(f'{url}/bad.pth', map_location='cpu', weights_only=False)
    assert not (tmp_path / 'mark').exists()
