"""Panoptic parts: offsets by hand, objects found from them, and the quality of known answers."""

import numpy as np
import pytest
import torch
import torch.distributed as dist
from mmdet3d.registry import METRICS, MODELS
from mmdet3d.structures import Det3DDataSample, PointData

from nclr_mm.models.data_preprocessors.segmentation_data_preprocessor import voxel_offsets
from nclr_mm.models.task_modules import HDBSCANClustering, MeanShiftClustering
from tests.processes import run_in_processes

THINGS = (0, 1)
IGNORE = 4
BACKBONE = dict(
    type='CalibrationMinkUNet',
    in_channels=1,
    num_stages=4,
    base_channels=8,
    encoder_channels=[8, 8, 16, 16],
    encoder_blocks=[1, 1, 1, 1],
    decoder_channels=[16, 16, 8, 8],
    decoder_blocks=[1, 1, 1, 1],
)


def model(**kwargs):
    torch.manual_seed(0)
    return MODELS.build(
        dict(
            type='PanopticMinkUNet',
            data_preprocessor=dict(
                type='SegmentationDataPreprocessor',
                voxel_size=[0.2, 0.2, 0.2],
                feature_columns=[3],
                ignore_index=IGNORE,
                thing_labels=THINGS,
            ),
            backbone=BACKBONE,
            decode_head=dict(
                type='LovaszMinkUNetHead',
                channels=8,
                num_classes=IGNORE,
                dropout_ratio=0,
                ignore_index=IGNORE,
                loss_decode=dict(
                    type='mmdet.CrossEntropyLoss', avg_non_ignore=True, loss_weight=2.0
                ),
                loss_lovasz=dict(type='LovaszLoss', reduction='none', loss_weight=6.0),
            ),
            offset_head=dict(type='OffsetHead', channels=8),
            clustering=dict(type='MeanShiftClustering', bandwidth=1.2),
            thing_labels=THINGS,
            **{'min_points': 5, **kwargs},
        )
    )


def scene(seed=0):
    """Three cars, a walker and ground: points, labels and instances."""
    rng = np.random.default_rng(seed)
    centres = np.array([[5, 0, 1], [12, 4, 1], [5, 9, 1], [-6, 2, 1]], float)
    points = [c + rng.uniform(-0.8, 0.8, (60, 3)) for c in centres]
    points.append(np.c_[rng.uniform(-15, 15, (300, 2)), np.zeros(300)])
    labels = np.repeat([0, 0, 0, 1, 3], [60, 60, 60, 60, 300])
    instances = np.repeat([2**16 + 1, 2**16 + 2, 2**16 + 3, 2**17 + 1, 3], [60, 60, 60, 60, 300])
    cloud = np.c_[np.concatenate(points), rng.uniform(size=540)]
    return torch.tensor(cloud, dtype=torch.float32), torch.tensor(labels), torch.tensor(instances)


def batch(*scenes):
    samples = [
        Det3DDataSample(gt_pts_seg=PointData(pts_semantic_mask=s, pts_instance_mask=i))
        for _, s, i in scenes
    ]
    return dict(inputs=dict(points=[p for p, _, _ in scenes]), data_samples=samples)


def test_offsets_lead_to_the_centres():
    points, labels, instances = scene()
    data = model().data_preprocessor(batch(scene(1), (points, labels, instances)), training=True)
    sample = data['data_samples'][1]
    count = len(sample.batch_idx)
    xyz = data['inputs']['voxels']['xyz'][-count:]
    offsets = sample.gt_pts_seg.voxel_offset
    for instance in np.unique(instances):
        members = instances == instance
        voxels = torch.unique(sample.point2voxel_map[members])
        if instance == 3:
            shared = set(sample.point2voxel_map[~members].tolist())
            alone = [v for v in voxels.tolist() if v not in shared]
            assert len(alone) > 100 and offsets[alone].isnan().all()
            continue
        centre = points[members, :3].mean(dim=0)
        torch.testing.assert_close(
            xyz[voxels] + offsets[voxels], centre.expand(len(voxels), 3), atol=1e-4, rtol=0
        )


def test_no_object_gives_no_offset():
    points = torch.rand(4, 3)
    nothing = torch.zeros(4, dtype=torch.bool)
    index = torch.arange(4)
    assert voxel_offsets(points, index, nothing, index, points).isnan().all()


def test_true_offsets_give_the_objects_back():
    """With a head that knows the truth, clusters are the objects, one and all."""
    points, labels, instances = scene()
    net = model().eval()
    truth = net.data_preprocessor(batch((points, labels, instances)), training=True)
    known = truth['data_samples'][0]
    xyz = truth['inputs']['voxels']['xyz']
    sample = Det3DDataSample(pred_pts_seg=PointData(pts_semantic_mask=labels.clone()))
    sample.point2voxel_map = known.point2voxel_map
    net.add_instances(sample, xyz + known.gt_pts_seg.voxel_offset.nan_to_num())
    found = sample.pred_pts_seg.pts_instance_mask
    things = labels < 2
    assert len(np.unique(found[things])) == 4 and (found[things] > 0).all()
    pairs = {*zip(found[things].tolist(), instances[things].tolist(), strict=True)}
    assert len(pairs) == 4
    assert (found[~things] == 0).all()


def test_small_clumps_are_no_objects():
    points, labels, instances = scene()
    net = model(min_points=61).eval()
    known = net.data_preprocessor(batch((points, labels, instances)), training=True)
    sample = Det3DDataSample(pred_pts_seg=PointData(pts_semantic_mask=labels.clone()))
    sample.point2voxel_map = known['data_samples'][0].point2voxel_map
    net.add_instances(sample, known['inputs']['voxels']['xyz'])
    assert (sample.pred_pts_seg.pts_instance_mask == 0).all()


@pytest.mark.parametrize(
    'clustering', [MeanShiftClustering(1.2), HDBSCANClustering(10)], ids=['mean shift', 'hdbscan']
)
def test_clumps_are_found(clustering):
    rng = np.random.default_rng(0)
    clumps = [rng.normal(c, 0.1, (40, 3)) for c in ((0, 0, 0), (5, 0, 0), (0, 6, 0))]
    clusters = clustering(np.concatenate(clumps)).reshape(3, 40)
    assert (clusters == clusters[:, :1]).all() and len(set(clusters[:, 0])) == 3
    assert clustering(np.zeros((0, 3))).shape == (0,)


@pytest.mark.parametrize('spread', [0.1, 0.2, 0.3])
def test_a_lone_object_is_found_whole(spread):
    points = np.random.default_rng(0).normal(0, spread, (200, 3))
    assert (HDBSCANClustering()(points) == 0).mean() > 0.9


def jaccard_loss(wrong: set[int], members: set[int]) -> float:
    """Jaccard loss of a class when these voxels are taken for or against it wrongly."""
    return len(wrong) / len(members | wrong)


def test_semantic_losses_are_their_definitions():
    """Cross entropy, and the Lovasz extension of the Jaccard loss of sets, as in the paper."""
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(30, 4)), rng.integers(0, 3, 30)  # class 3 does not occur
    labels[[2, 11]] = IGNORE
    head = model().decode_head
    sample = Det3DDataSample()
    sample.gt_pts_seg = PointData(voxel_semantic_mask=torch.tensor(labels))
    losses = head.loss_by_feat(torch.tensor(logits, dtype=torch.float32), [sample])

    known = np.flatnonzero(labels != IGNORE)
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    entropy = -np.mean([np.log(chances[i, labels[i]]) for i in known])
    assert float(losses['loss_sem_seg']) == pytest.approx(head.loss_decode.loss_weight * entropy)
    extensions = []
    for label in range(3):
        members = {i for i in known if labels[i] == label}
        error = {i: abs((i in members) - chances[i, label]) for i in known}
        wrong, before, total = set(), 0.0, 0.0
        for i in sorted(error, key=error.get, reverse=True):
            wrong.add(i)
            after = jaccard_loss(wrong, members)
            total += error[i] * (after - before)
            before = after
        extensions.append(total)
    weight = head.loss_lovasz.loss_weight
    assert float(losses['loss_lovasz']) == pytest.approx(weight * np.mean(extensions), rel=1e-5)


def test_offset_loss_by_hand():
    head = MODELS.build(dict(type='OffsetHead', channels=2, loss_weight=3.0))
    head.layers = torch.nn.Linear(2, 3)
    torch.nn.init.zeros_(head.layers.weight)
    head.layers.bias.data = torch.tensor([1.0, 0.0, -1.0])
    nothing = [float('nan')] * 3
    target = torch.tensor([[1.0, 0.0, -1.0], nothing, [0.0, 2.0, 0.0]])
    sample = Det3DDataSample()
    sample.gt_pts_seg = PointData(voxel_offset=target)
    # Distances 0 and 1 + 2 + 1 over two voxels of objects.
    assert float(head.loss(torch.rand(3, 2), [sample])['loss_offset']) == pytest.approx(3 * 4 / 2)


def offset_gradients(samples):
    """Gradient of the offset loss over samples of so many voxels, so many of them of objects."""
    torch.manual_seed(0)
    head = MODELS.build(dict(type='OffsetHead', channels=2))
    structures, features = [], []
    for voxels, of_objects in samples:
        random = torch.Generator().manual_seed(voxels)
        features.append(torch.randn(voxels, 2, generator=random))
        target = torch.randn(voxels, 3, generator=random)
        target[of_objects:] = float('nan')
        structures.append(Det3DDataSample(gt_pts_seg=PointData(voxel_offset=target)))
    head.loss(torch.cat(features), structures)['loss_offset'].backward()
    return torch.cat([weight.grad.flatten() for weight in head.parameters()])


SHARES = ((10, 2), (200, 200), (30, 0))


def offset_gradients_in_a_process(number):
    gradient = offset_gradients([SHARES[dist.get_rank() % number]])
    dist.all_reduce(gradient)
    return gradient / dist.get_world_size()


@pytest.mark.parametrize('number', [2, 3])
def test_the_offset_loss_of_processes_is_that_of_one(number, tmp_path):
    """Objects are unequally shared. Oracle: one process with all samples."""
    found = run_in_processes(offset_gradients_in_a_process, number, tmp_path / 'run', number)
    expected = offset_gradients(SHARES[:number])
    alone = torch.stack([offset_gradients([share]) for share in SHARES[:number]]).mean(0)
    assert (alone - expected).norm() > 0.1 * expected.norm()
    for gradient in found:
        torch.testing.assert_close(gradient, expected)


def test_a_single_labelled_voxel_gives_finite_losses():
    net = model().train()
    points, labels, instances = scene()
    labels = torch.where(torch.arange(540) == 0, labels, IGNORE)
    data = net.data_preprocessor(batch((points, labels, instances)), training=True)
    assert (data['data_samples'][0].gt_pts_seg.voxel_semantic_mask != IGNORE).sum() == 1
    losses = net(**data, mode='loss')
    assert losses['loss_lovasz'] == 0 and losses['loss_sem_seg'] > 0


def test_a_step_trains_every_part_and_predicts():
    net = model().train()
    ignored = (scene()[0], torch.full((540,), IGNORE), torch.full((540,), IGNORE))
    for scenes in ((scene(), scene(1)), (ignored,)):
        net.zero_grad()
        data = net.data_preprocessor(batch(*scenes), training=True)
        losses = net(**data, mode='loss')
        assert set(losses) == {'loss_sem_seg', 'loss_lovasz', 'loss_offset'}
        sum(losses.values()).backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    net.eval()
    data = net.data_preprocessor(batch(scene()), training=False)
    with torch.no_grad():
        (sample,) = net(**data, mode='predict')
    assert sample.pred_pts_seg.pts_semantic_mask.shape == (540,)
    assert sample.pred_pts_seg.pts_instance_mask.shape == (540,)


def metric():
    out = METRICS.build(dict(type='PanopticMetric', min_num_points=1))
    out.dataset_meta = dict(
        classes=('car', 'person', 'road', 'building'),
        thing_labels=[0, 1],
        stuff_labels=[2, 3],
        label2cat={0: 'car', 1: 'person', 2: 'road', 3: 'building'},
        ignore_index=4,
    )
    return out


def test_panoptic_quality_of_known_answers():
    semantic = np.repeat([0, 0, 1, 2, 3, 4], 10)
    instance = np.repeat([100, 101, 102, 2, 3, 4], 10)
    truth = dict(pts_semantic_mask=semantic, pts_instance_mask=instance)
    perfect = dict(pts_semantic_mask=semantic % 4, pts_instance_mask=np.repeat(range(6), 10))
    result = metric().compute_metrics([(truth, perfect)])
    assert result['pq'] == result['miou'] == result['pq_things'] == 1
    # Two cars taken for one: IoU 0.5 is no match, so one wrong and two missed.
    merged = dict(perfect, pts_instance_mask=np.repeat([0, 0, 2, 3, 4, 5], 10))
    result = metric().compute_metrics([(truth, merged)])
    assert result['pq_things'] == pytest.approx((0 + 1) / 2)
    # 8 of the 10 points of one of two cars: IoU 0.8.
    part = perfect['pts_semantic_mask'].copy()
    part[:2] = 2
    result = metric().compute_metrics([(truth, dict(perfect, pts_semantic_mask=part))])
    assert result['pq_things'] == pytest.approx(((0.8 + 1) / 2 + 1) / 2)
