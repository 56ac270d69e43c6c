# Six cameras on many simulated streets, three of them a step; goes on from the shipped weights of
# one camera: an hour on two cores.
#   python tools/create_data.py simulation --out data/simulation --frames 240 \
#     --frames-per-scene 2 --seed 1 --workers 2
#   python tools/create_data.py nuscenes --root-path data/simulation/nuscenes
_base_ = [
    '../_base_/models/nclr_minkunet-small_lite0.py',
    '../_base_/datasets/sim-nus-calib.py',
    '../_base_/schedules/pretrain-2000i.py',
    '../_base_/iter_runtime.py',
]

load_from = (
    '{{ fileDirname }}/weights/nclr_minkunet-small_spconv_lite0_1xb1-8000i_sim-streets-1152b20e.pth'
)

model = dict(
    calib_head=dict(
        num_voxels=384,
        # Fitted (rig_trials.fit_inflation) on 24 streets that it was not trained on.
        test_cfg=dict(rig_solver=dict(type='RigSolver', inflation=3.15)),
    )
)
train_pipeline = [dict(type='SampleCameras', num=3), *_base_.train_pipeline]
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(lr=1e-3))

# Draw overlap, matches and poses of the first sample that is tested.
custom_hooks = [*_base_.custom_hooks, dict(type='CalibrationVisualizationHook', max_samples=1)]
