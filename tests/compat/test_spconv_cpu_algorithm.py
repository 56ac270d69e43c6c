"""Layers whose algorithm is that of spconv's wheels for GPUs, on CPU tensors.

The wheel for CPUs gives its layers the native algorithm, which is the oracle; the other one is set
by hand. With spconv-cu126 itself, on a machine without a GPU, the same holds.
"""

import copy

import torch
from spconv.core import ConvAlgo
from spconv.pytorch import (
    SparseConv3d,
    SparseConvTensor,
    SparseInverseConv3d,
    SparseSequential,
    SubMConv3d,
)

import nclr_mm  # noqa: F401 (applies the workaround)


def test_upstream_fault(without_workarounds):
    error = without_workarounds(
        'import torch\n'
        'from spconv.core import ConvAlgo\n'
        'from spconv.pytorch import SparseConvTensor, SubMConv3d\n'
        'coors = torch.tensor([[0, 1, 1, 1], [0, 1, 1, 2]], dtype=torch.int32)\n'
        'conv = SubMConv3d(3, 3, 3, bias=False)\n'
        'conv.algo = ConvAlgo.MaskImplicitGemm\n'
        'conv(SparseConvTensor(torch.ones(2, 3), coors, [4, 4, 4], 1))\n'
    )
    assert 'get_indice_pairs_implicit_gemm' in error


def network(algorithm: ConvAlgo) -> SparseSequential:
    torch.manual_seed(0)
    layers = SparseSequential(
        SubMConv3d(3, 4, 3, indice_key='level0'),
        SubMConv3d(4, 4, 3, indice_key='level0'),  # reads the pairs of the layer before
        SparseConv3d(4, 5, 2, stride=2, indice_key='down'),
        SparseInverseConv3d(5, 2, 2, indice_key='down'),
    )
    for layer in layers:
        layer.algo = algorithm
    return layers


def outputs_and_gradients(layers: SparseSequential) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    indices = (torch.rand(2, 6, 8, 4, generator=generator) < 0.3).nonzero().int()
    features = torch.randn(len(indices), 3, generator=generator, requires_grad=True)
    out = layers(SparseConvTensor(features, indices, [6, 8, 4], 2)).features
    inputs = [features, *layers.parameters()]
    return [out, *torch.autograd.grad(out.square().sum(), inputs)]


def test_a_layer_for_gpus_computes_on_cpus_what_the_native_one_does():
    found = outputs_and_gradients(network(ConvAlgo.MaskImplicitGemm))
    expected = outputs_and_gradients(network(ConvAlgo.Native))
    for value, reference in zip(found, expected, strict=True):
        assert reference.abs().max() > 0
        torch.testing.assert_close(value, reference, rtol=0, atol=0)


def test_the_layer_keeps_its_algorithm_and_its_copy():
    layers = network(ConvAlgo.MaskImplicitGemm)
    outputs_and_gradients(layers)
    assert {layer.algo for layer in layers} == {ConvAlgo.MaskImplicitGemm}
    copied = copy.deepcopy(layers)
    assert {layer.algo for layer in copied} == {ConvAlgo.MaskImplicitGemm}
