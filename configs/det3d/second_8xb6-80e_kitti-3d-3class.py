# SECOND on KITTI with mmdet3d's default settings; load_from=CHECKPOINT starts from pretraining.
_base_ = ['mmdet3d::second/second_hv_secfpn_8xb6-80e_kitti-3d-3class.py']
db_sampler = dict(_base_.db_sampler, type='CheckedDataBaseSampler')
train_pipeline = [
    dict(stage, db_sampler=db_sampler) if stage['type'] == 'ObjectSample' else stage
    for stage in _base_.train_pipeline
]
train_dataloader = dict(
    dataset=dict(dataset=dict(type='KittiDetectionDataset', pipeline=train_pipeline))
)
val_dataloader = dict(dataset=dict(type='KittiDetectionDataset'))
test_dataloader = val_dataloader
val_evaluator = dict(type='KittiDetectionMetric')
test_evaluator = val_evaluator

# --resume needs something to go on from; theirs are written at the end alone.
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=3))

custom_imports = dict(imports=['nclr_mm'], allow_failed_imports=False)
# load_from must fill all that NCLR pretrains.
pretrained = ['voxel_encoder', 'middle_encoder', 'backbone', 'neck']
custom_hooks = [dict(type='LoadedWeightsHook', modules=pretrained)]
