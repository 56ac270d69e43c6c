# The small network goes on from the shipped weights and overfits one real nuScenes frame of six
# cameras under random perturbations: half an hour on two cores.
_base_ = [
    '../_base_/models/nclr_minkunet-small_lite0.py',
    '../_base_/datasets/real-nus-frame.py',
    '../_base_/schedules/pretrain-1000i.py',
    '../_base_/iter_runtime.py',
]

load_from = (
    '{{ fileDirname }}/weights/nclr_minkunet-small_spconv_lite0_1xb1-8000i_sim-streets-1152b20e.pth'
)

model = dict(calib_head=dict(num_voxels=384))

# Draw overlap, matches and poses of the first sample that is tested.
custom_hooks = [*_base_.custom_hooks, dict(type='CalibrationVisualizationHook', max_samples=1)]
