"""Oracle: torch's dense convolution on a volume with zeros where there is no voxel."""

import torch
import torch.nn.functional as F
from spconv.pytorch import SparseConvTensor, SubMConv3d

import nclr_mm  # noqa: F401 (applies the workaround)

SCRIPT = """
import torch
from spconv.pytorch import SparseConvTensor, SubMConv3d
torch.manual_seed(0)
indices = torch.ones(1, 4, 5, 6).nonzero().int()
features = torch.randn(len(indices), 1)
convolution = SubMConv3d(1, 1, 3, bias=False)
with torch.no_grad():
    strided = convolution(SparseConvTensor(features, indices, [4, 5, 6], 1)).features
    plain = convolution(SparseConvTensor(features, indices.contiguous(), [4, 5, 6], 1)).features
torch.testing.assert_close(strided, plain)
"""


def test_upstream_fault(without_workarounds):
    assert 'Tensor-likes are not close' in without_workarounds(SCRIPT)


def test_indices_of_any_strides_give_the_dense_result():
    torch.manual_seed(0)
    occupied = torch.rand(2, 4, 5, 6) < 0.5
    indices = occupied.nonzero().int()
    assert not indices.is_contiguous()
    features = torch.randn(len(indices), 3)
    convolution = SubMConv3d(3, 3, 3, bias=False)
    with torch.no_grad():
        found = convolution(SparseConvTensor(features, indices, [4, 5, 6], 2)).features
        volume = torch.zeros(2, 4, 5, 6, 3)
        volume[occupied] = features
        kernel = convolution.weight.permute(0, 4, 1, 2, 3)  # spconv keeps (out, x, y, z, in)
        dense = F.conv3d(volume.permute(0, 4, 1, 2, 3), kernel, padding=1)
    torch.testing.assert_close(found, dense.permute(0, 2, 3, 4, 1)[occupied], atol=1e-5, rtol=1e-4)
