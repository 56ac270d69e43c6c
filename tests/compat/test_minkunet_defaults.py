"""Oracle: the channels that mmdet3d documents as its defaults."""

from mmdet3d.models.backbones import MinkUNetBackbone

import nclr_mm  # noqa: F401 (applies the workaround)


def test_upstream_fault(without_workarounds):
    error = without_workarounds(
        'from mmdet3d.models.backbones import MinkUNetBackbone\n'
        'MinkUNetBackbone(sparseconv_backend="spconv")\n'
        'MinkUNetBackbone(sparseconv_backend="spconv")\n'
    )
    assert 'AssertionError' in error


def test_networks_with_default_channels_are_equal():
    first = MinkUNetBackbone(sparseconv_backend='spconv').state_dict()
    second = MinkUNetBackbone(4, sparseconv_backend='spconv').state_dict()
    assert {k: v.shape for k, v in first.items()} == {k: v.shape for k, v in second.items()}
    # Defaults: base 32, encoder 32 64 128 256, decoder 256 128 96 96.
    assert first['encoder.3.0.0.weight'].shape[-1] == 128
    assert first['decoder.3.0.0.weight'].shape == (96, 2, 2, 2, 96)


def test_lists_passed_in_stay_visible_to_subclasses():
    """SPVCNN reads `decoder_channels` after its base class has inserted the encoder's output."""
    decoder_channels = [8, 4]
    MinkUNetBackbone(
        base_channels=4,
        num_stages=2,
        encoder_channels=[4, 8],
        decoder_channels=decoder_channels,
        sparseconv_backend='spconv',
    )
    assert decoder_channels == [8, 8, 4]
