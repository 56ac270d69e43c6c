"""Two machines, made of network namespaces that see each other over a wire of their own.

Oracle: the weights of one process that takes both samples of each step.
"""

import subprocess
import uuid

import pytest
import torch

import nclr_mm  # noqa: F401 (allows loading the runner's checkpoints)
from tests.tools.conftest import environment

ADDRESSES = '10.213.77.1', '10.213.77.2'


def ip(*arguments: str) -> None:
    subprocess.run(['ip', *arguments], check=True, capture_output=True)


@pytest.fixture
def hosts():
    """Names of two namespaces that are joined by a pair of interfaces called ``wire``."""
    names = [f'nclr-{uuid.uuid4().hex[:6]}' for _ in ADDRESSES]
    try:
        for name in names:
            ip('netns', 'add', name)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f'this machine lets this user make no network namespaces: {error}')
    try:
        ip('link', 'add', 'wire', 'netns', names[0], 'type', 'veth')
        ip('-n', names[0], 'link', 'set', 'veth0', 'netns', names[1], 'name', 'wire')
        for name, address in zip(names, ADDRESSES, strict=True):
            ip('-n', name, 'address', 'add', f'{address}/24', 'dev', 'wire')
            for interface in ('lo', 'wire'):
                ip('-n', name, 'link', 'set', interface, 'up')
        yield names
    finally:
        for name in names:
            ip('netns', 'delete', name)


@pytest.mark.slow
def test_two_hosts_train_as_one_process(repo, folder, run, hosts):
    starts = [
        subprocess.Popen(
            ['ip', 'netns', 'exec', name, 'bash', str(repo / 'tools/dist_train.sh')]
            + ['tiny.py', '1', '--work-dir', f'host{rank}'],
            env={
                **environment(repo, folder),
                'NNODES': '2',
                'NODE_RANK': str(rank),
                'MASTER_ADDR': ADDRESSES[0],
                'GLOO_SOCKET_IFNAME': 'wire',
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank, name in enumerate(hosts)
    ]
    for start in starts:
        log, _ = start.communicate(timeout=300)
        assert start.returncode == 0, log
    done = run(
        *('train.py', 'tiny.py', '--work-dir', 'one'),
        *('--cfg-options', 'train_dataloader.batch_size=2'),
    )
    assert done.returncode == 0, done.stderr
    found, expected = (
        torch.load(folder / work_dir / 'epoch_2.pth') for work_dir in ('host0', 'one')
    )
    assert found['meta']['iter'] == expected['meta']['iter'] == 2
    torch.testing.assert_close(found['state_dict'], expected['state_dict'])
    assert not list(folder.glob('host1/*.pth'))  # the first process saves for all
