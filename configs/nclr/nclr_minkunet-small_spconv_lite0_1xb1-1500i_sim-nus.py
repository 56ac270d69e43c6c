# The demo: a simulated drive in the nuScenes layout, minutes on two cores.
_base_ = [
    '../_base_/models/nclr_minkunet-small_lite0.py',
    '../_base_/datasets/sim-nus-calib.py',
    '../_base_/schedules/pretrain-1500i.py',
    '../_base_/default_runtime.py',
]
