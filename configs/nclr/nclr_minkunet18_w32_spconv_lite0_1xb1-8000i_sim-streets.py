# Many simulated streets, MinkUNet18 of the official width and voxels of 0.2 m.
_base_ = ['./nclr_minkunet-small_spconv_lite0_1xb1-8000i_sim-streets.py']

model = dict(
    backbone=dict(
        base_channels=32,
        encoder_channels=[32, 64, 128, 256],
        encoder_blocks=[2, 2, 2, 2],
        decoder_channels=[256, 128, 96, 96],
        decoder_blocks=[2, 2, 2, 2],
    ),
    calib_head=dict(point_channels=96),
)
