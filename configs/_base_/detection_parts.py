# Parts that configs of mmdet3d's detectors take by name: two bases may not share a key, so that
# these cannot set the hooks or the model themselves.
detection_hooks = dict(
    # --resume needs something to go on from; theirs are written at the end alone.
    checkpoint=dict(interval=1, max_keep_ckpts=3),
    exact_resume=dict(type='ExactResumeHook'),
    finite_gradients=dict(type='FiniteGradientsHook'),
    left_out_counts=dict(type='LeftOutCountsHook'),
    # load_from must fill all that NCLR pretrains.
    loaded_weights=dict(
        type='LoadedWeightsHook', modules=['voxel_encoder', 'middle_encoder', 'backbone', 'neck']
    ),
)
randomness = dict(seed=0)

checked_model = dict(
    data_preprocessor=dict(type='CheckedDet3DDataPreprocessor'),
    middle_encoder=dict(type='CalibrationSparseEncoder'),
)
# Of a scan only what the camera sees is left, which may be nothing.
load_view_points = dict(type='LoadLidarPoints', allow_empty=True)
