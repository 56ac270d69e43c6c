# PV-RCNN on the small network of second-small_kitti.py: a quarter of the keypoints, of the
# proposals and of the regions that are refined, 64 points in each, and narrower layers.
voxel_size = [0.2, 0.2, 0.2]
voxel_range = [0, -25.6, -3, 51.2, 25.6, 1]
# All that depends on the two is computed from them.
sparse_shape = [
    round((voxel_range[i + 3] - voxel_range[i]) / voxel_size[i]) + (i == 2) for i in (2, 1, 0)
]
anchor_ranges = [[*voxel_range[:2], z, *voxel_range[3:5], z] for z in (-0.6, -0.6, -1.78)]
# Statistics that keep up with some hundred steps.
norm = dict(eps=1e-3, momentum=0.05)
sampled = dict(type='StackedSAModuleMSG', sample_nums=(16, 16), use_xyz=True)
narrow = dict(sampled, mlp_channels=((16, 16), (16, 16)))
wide = dict(sampled, mlp_channels=((32, 32), (32, 32)))
# Of the second stage the same for each class.
region_assigner = dict(
    type='Max3DIoUAssigner',
    iou_calculator=dict(type='BboxOverlaps3D', coordinate='lidar'),
    pos_iou_thr=0.55,
    neg_iou_thr=0.55,
    min_pos_iou=0.55,
    ignore_iof_thr=-1,
)
anchor_assigner = dict(
    type='Max3DIoUAssigner', iou_calculator=dict(type='BboxOverlapsNearest3D'), ignore_iof_thr=-1
)
small_object = dict(anchor_assigner, pos_iou_thr=0.5, neg_iou_thr=0.35, min_pos_iou=0.35)
car = dict(anchor_assigner, pos_iou_thr=0.6, neg_iou_thr=0.45, min_pos_iou=0.45)
suppression = dict(score_thr=0, use_rotate_nms=True)

model = dict(
    type='PointVoxelRCNN',
    data_preprocessor=dict(
        type='CheckedDet3DDataPreprocessor',
        voxel=True,
        voxel_layer=dict(
            max_num_points=5,
            point_cloud_range=voxel_range,
            voxel_size=voxel_size,
            max_voxels=(16000, 40000),
        ),
    ),
    voxel_encoder=dict(type='HardSimpleVFE'),
    middle_encoder=dict(
        type='CalibrationSparseEncoder',
        in_channels=4,
        sparse_shape=sparse_shape,
        encoder_channels=((16,), (32, 32), (64, 64)),
        encoder_paddings=((1,), (1, 1), (1, 1)),
        norm_cfg=dict(norm, type='BN1d'),
        order=('conv', 'norm', 'act'),
        return_middle_feats=True,
    ),
    points_encoder=dict(
        type='VoxelSetAbstraction',
        num_keypoints=512,
        fused_out_channel=64,
        voxel_size=voxel_size,
        point_cloud_range=voxel_range,
        voxel_sa_cfgs_list=[
            dict(narrow, in_channels=16, scale_factor=1, radius=(0.4, 0.8)),
            dict(narrow, in_channels=32, scale_factor=2, radius=(0.8, 1.2)),
            dict(wide, in_channels=64, scale_factor=4, radius=(1.2, 2.4)),
        ],
        rawpoints_sa_cfgs=dict(narrow, in_channels=1, radius=(0.4, 0.8)),
        bev_feat_channel=256,
        bev_scale_factor=4,
    ),
    backbone=dict(
        type='SECOND',
        in_channels=256,
        layer_nums=[2, 2],
        layer_strides=[1, 2],
        out_channels=[64, 128],
        norm_cfg=dict(norm, type='BN'),
    ),
    neck=dict(
        type='SECONDFPN',
        in_channels=[64, 128],
        upsample_strides=[2, 4],
        out_channels=[64, 64],
        norm_cfg=dict(norm, type='BN'),
    ),
    rpn_head=dict(
        type='PartA2RPNHead',
        num_classes=3,
        in_channels=128,
        feat_channels=128,
        use_direction_classifier=True,
        dir_offset=0.78539,
        anchor_generator=dict(
            type='Anchor3DRangeGenerator',
            ranges=anchor_ranges,
            sizes=[[0.8, 0.6, 1.73], [1.76, 0.6, 1.73], [3.9, 1.6, 1.56]],
            rotations=[0, 1.57],
            reshape_out=False,
        ),
        diff_rad_by_sin=True,
        assigner_per_size=True,
        assign_per_class=True,
        bbox_coder=dict(type='DeltaXYZWLHRBBoxCoder'),
        loss_cls=dict(
            type='mmdet.FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0
        ),
        loss_bbox=dict(type='mmdet.SmoothL1Loss', beta=1 / 9, loss_weight=2.0),
        loss_dir=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=False, loss_weight=0.2),
    ),
    roi_head=dict(
        type='PVRCNNRoiHead',
        num_classes=3,
        semantic_head=dict(
            type='ForegroundSegmentationHead',
            # Keypoints before they are fused: points 32, three levels 32 + 32 + 64, BEV 256.
            in_channels=416,
            extra_width=0.1,
            loss_seg=dict(
                type='mmdet.FocalLoss',
                use_sigmoid=True,
                reduction='sum',
                gamma=2.0,
                alpha=0.25,
                activated=True,
                loss_weight=1.0,
            ),
        ),
        bbox_roi_extractor=dict(
            type='Batch3DRoIGridExtractor',
            grid_size=4,
            roi_layer=dict(wide, in_channels=64, radius=(0.8, 1.6), pool_mod='max'),
        ),
        bbox_head=dict(
            type='PVRCNNBBoxHead',
            in_channels=64,
            grid_size=4,
            num_classes=3,
            class_agnostic=True,
            shared_fc_channels=(128, 128),
            reg_channels=(128, 128),
            cls_channels=(128, 128),
            dropout_ratio=0.3,
            with_corner_loss=True,
            bbox_coder=dict(type='DeltaXYZWLHRBBoxCoder'),
            loss_bbox=dict(type='mmdet.SmoothL1Loss', beta=1 / 9, reduction='sum', loss_weight=1.0),
            loss_cls=dict(
                type='mmdet.CrossEntropyLoss', use_sigmoid=True, reduction='sum', loss_weight=1.0
            ),
        ),
    ),
    train_cfg=dict(
        rpn=dict(
            assigner=[small_object, small_object, car],
            allowed_border=0,
            pos_weight=-1,
            debug=False,
        ),
        rpn_proposal=dict(suppression, nms_pre=2000, nms_post=256, max_num=256, nms_thr=0.8),
        rcnn=dict(
            assigner=[region_assigner] * 3,
            sampler=dict(
                type='IoUNegPiecewiseSampler',
                num=32,
                pos_fraction=0.5,
                neg_piece_fractions=[0.8, 0.2],
                neg_iou_piece_thrs=[0.55, 0.1],
                neg_pos_ub=-1,
                add_gt_as_proposals=False,
                return_iou=True,
            ),
            cls_pos_thr=0.75,
            cls_neg_thr=0.25,
        ),
    ),
    test_cfg=dict(
        rpn=dict(suppression, nms_pre=1024, nms_post=100, max_num=100, nms_thr=0.7),
        rcnn=dict(use_rotate_nms=True, use_raw_score=True, nms_thr=0.1, score_thr=0.1),
    ),
)
