"""Oracle: mmdet3d's own function in a fresh interpreter, to which nothing was done."""

import subprocess
import sys

import pytest
import torch

from nclr_mm.compat.mmdet3d_bev_features import read_bilinearly

DATA = """
import torch
torch.set_num_threads(2)
generator = torch.Generator().manual_seed(0)
inputs = torch.randn(40, 30, 64, generator=generator).requires_grad_()
x, y = (torch.rand(2, 20000, generator=generator) * 44 - 2)  # beyond the border too
share = torch.randn(20000, 64, generator=generator)
"""
SCRIPT = f"""
{DATA}
from mmdet3d.models.middle_encoders.voxel_set_abstraction import bilinear_interpolate_torch
found = bilinear_interpolate_torch(inputs, x, y)
gradient = lambda: torch.autograd.grad(found, inputs, share, retain_graph=True)[0]
first = gradient()
torch.save(dict(found=found.detach(), grad=first), 'theirs.pth')
# Where another program has one of the cores, the threads seldom meet.
assert all(torch.equal(gradient(), first) for _ in range(500)), 'not the same'
"""


def test_upstream_fault(without_workarounds):
    assert 'not the same' in without_workarounds(SCRIPT, threads=2)


def test_values_are_theirs_and_gradients_always_the_same(tmp_path):
    subprocess.run([sys.executable, '-c', SCRIPT], cwd=tmp_path, capture_output=True)
    theirs = torch.load(tmp_path / 'theirs.pth')
    data: dict = {}
    threads = torch.get_num_threads()
    try:
        exec(DATA, data)
        found = read_bilinearly(data['inputs'], data['x'], data['y'])
        grads = [
            torch.autograd.grad(found, data['inputs'], data['share'], retain_graph=True)[0]
            for _ in range(20)
        ]
    finally:
        torch.set_num_threads(threads)
    torch.testing.assert_close(found, theirs['found'])
    # Cells of the border sum some hundred large shares that cancel.
    torch.testing.assert_close(grads[0], theirs['grad'], atol=5e-3, rtol=1e-3)
    assert all(torch.equal(grad, grads[0]) for grad in grads)


def test_mmdet3d_uses_it():
    from mmdet3d.models.middle_encoders import voxel_set_abstraction

    assert voxel_set_abstraction.bilinear_interpolate_torch is read_bilinearly


@pytest.mark.parametrize(('x', 'y'), [(0.0, 0.0), (1.5, 2.25), (28.9, 38.1)])
def test_a_plane_is_read_as_it_is(x, y):
    rows, columns = torch.meshgrid(torch.arange(40.0), torch.arange(30.0), indexing='ij')
    plane = (2 * columns - 3 * rows + 1)[..., None]
    found = read_bilinearly(plane, torch.tensor([x]), torch.tensor([y]))
    assert found.item() == pytest.approx(2 * x - 3 * y + 1, abs=1e-4)
