"""Oracles: the values in mmdet3d's own tests, which run on GPUs alone, and scenes by hand."""

import numpy as np
import pytest
import torch
from mmdet3d.evaluation import do_eval, kitti_eval

import nclr_mm  # noqa: F401 (the overlaps of boxes run on CPUs with it)

# The annotations and results of mmdet3d 1.4, tests/test_evaluation/test_functional.
NOTHING = [-1000.0] * 3
BOXES_2D = [
    [674.9179, 165.48549, 693.23694, 193.42134],
    [676.21954, 165.70988, 691.63745, 193.83748],
    [389.4093, 182.48041, 421.49072, 202.13422],
    [232.0577, 186.16724, 301.94623, 217.4024],
    [758.6537, 172.98509, 816.32434, 212.76743],
]
NAMES = ['Pedestrian', 'Cyclist', 'Car', 'Car', 'Car']
TRUTH = dict(
    name=np.array([*NAMES, 'DontCare', 'DontCare']),
    truncated=np.array([0.0, 0, 0, -1, -1, -1, -1]),
    occluded=np.array([0, 0, 3, -1, -1, -1, -1]),
    alpha=np.array([-1.57, 1.85, -1.65, -10, -10, -10, -10]),
    bbox=np.array([*BOXES_2D, [532.37, 176.35, 542.68, 185.27], [559.62, 175.83, 575.4, 183.15]]),
    dimensions=np.array(
        [[12.34, 2.85, 2.63], [3.69, 1.67, 1.87], [2.02, 1.86, 0.6], *[[-1.0] * 3] * 4]
    ),
    location=np.array(
        [[0.47, 1.49, 69.44], [-16.53, 2.39, 58.49], [4.59, 1.32, 45.84], *[NOTHING] * 4]
    ),
    rotation_y=np.array([-1.56, 1.57, -1.55, -10, -10, -10, -10]),
)
FOUND = dict(
    name=np.array(NAMES),
    truncated=np.zeros(5),
    occluded=np.zeros(5, dtype=int),
    alpha=np.array([1.0744612, 1.2775835, 1.82563, 2.1145396, -1.7676563]),
    bbox=np.array(BOXES_2D),
    dimensions=np.array(
        [
            [1.4441837, 1.7450154, 0.53160036],
            [1.6501029, 1.7540325, 0.5162356],
            [3.9313498, 1.4899347, 1.5655756],
            [4.0111866, 1.5350999, 1.585221],
            [3.7337692, 1.5117968, 1.5515774],
        ]
    ),
    location=np.array(
        [
            [4.6671643, 1.285098, 45.836895],
            [4.658241, 1.3088846, 45.85148],
            [-16.598526, 2.298814, 58.618088],
            [-18.629122, 2.2990575, 39.305355],
            [7.0964046, 1.5178275, 29.32426],
        ]
    ),
    rotation_y=np.array([1.174933, 1.3778262, 1.550529, 1.6742425, -1.5330327]),
    score=np.array([0.18151495, 0.57920843, 0.27795696, 0.23100418, 0.21541929]),
)


def test_the_values_of_mmdet3ds_own_test():
    overlaps = np.array([[[0.5, 0.5, 0.7]] * 3, [[0.5, 0.5, 0.7], *[[0.25, 0.25, 0.5]] * 2]])
    found = do_eval([TRUTH], [FOUND], [1, 2, 0], overlaps, ['bbox', 'bev', '3d', 'aos'])
    none = np.zeros((3, 3, 2))
    box11 = np.full((3, 3, 2), 100 / 11)
    box11[:, 0] = 0
    aos11 = np.repeat([[0.55020816], [8.36633862], [8.63476893]], 3, axis=1)
    aos11[:, 0] = 0
    box40, aos40 = none.copy(), none.copy()
    box40[2, 1:], aos40[2, 1:] = 2.5, 1.58140643
    expected = (box11, none, none, np.stack([aos11] * 2, axis=2), box40, none, none, aos40)
    for name, value, reference in zip(
        ('bbox R11', 'bev R11', '3d R11', 'aos R11', 'bbox R40', 'bev R40', '3d R40', 'aos R40'),
        found,
        expected,
        strict=True,
    ):
        np.testing.assert_allclose(value, reference, err_msg=name, atol=1e-6)


def cars(number: int, shift: float = 0.0, **more) -> dict:
    """Cars in a row, each 4 m long, 2 m wide and high, turned by 90 degrees from the x axis."""
    return dict(
        dict(
            name=np.array(['Car'] * number),
            truncated=np.zeros(number),
            occluded=np.zeros(number, dtype=int),
            alpha=np.full(number, 0.3),
            bbox=np.stack([[100.0 * i, 100, 100.0 * i + 80, 180] for i in range(number)]),
            dimensions=np.tile([4.0, 2.0, 2.0], (number, 1)),  # length, height, width
            location=np.array([[6.0 * i, 1.5, 20.0 + shift] for i in range(number)]),
            rotation_y=np.full(number, np.pi / 2),
        ),
        **more,
    )


@pytest.mark.parametrize(
    ('shift', 'found'),
    [
        # Along their length cars overlap by (4 - d) / (4 + d): 0.78 and 0.6.
        pytest.param(0.0, True, id='exact'),
        pytest.param(0.5, True, id='half a metre off'),
        pytest.param(1.0, False, id='a metre off'),
    ],
)
def test_overlap_of_cars_by_hand(shift, found):
    # 41 cars and more are needed for each of the 40 recalls to be reached.
    truth = [cars(6) for _ in range(10)]
    results = [cars(6, shift, score=np.full(6, 0.9)) for _ in range(10)]
    _, values = kitti_eval(truth, results, ['Car'])
    for kind in ('3D', 'BEV'):
        assert values[f'KITTI/Car_{kind}_AP40_moderate_strict'] == pytest.approx(100.0 * found)
        assert values[f'KITTI/Car_{kind}_AP11_moderate_strict'] == pytest.approx(100.0 * found)
        assert values[f'KITTI/Car_{kind}_AP40_moderate_loose'] == pytest.approx(100.0)
    assert values['KITTI/Car_2D_AP40_moderate_strict'] == pytest.approx(100.0)


def test_half_of_the_cars_by_hand():
    truth = [cars(6) for _ in range(10)]
    results = [cars(3, score=np.full(3, 0.9)) for _ in range(10)]
    _, values = kitti_eval(truth, results, ['Car'])
    # Precision 1 up to recall 0.5, none beyond: 20 of the 40 recalls, as well as R11's 0 to 0.5.
    assert values['KITTI/Car_3D_AP40_moderate_strict'] == pytest.approx(50, abs=2.6)
    assert values['KITTI/Car_3D_AP11_moderate_strict'] == pytest.approx(100 * 6 / 11, abs=1e-6)


def instance(box: list[float]) -> dict:
    """A car in mmdet3d's info form; box: x, y, z, length, height, width, yaw in camera 0."""
    return dict(
        bbox=[100.0, 100, 180, 180],
        bbox_label=0,
        bbox_3d=box,
        truncated=0.0,
        occluded=0,
        alpha=0.3,
        score=0.0,
    )


def test_frames_without_objects_count_for_nothing():
    from mmdet3d.registry import METRICS

    metric = METRICS.build(dict(type='KittiDetectionMetric', ann_file=''))
    box = [6.0, 1.5, 20.0, 4.0, 2.0, 2.0, np.pi / 2]
    frames = [dict(instances=[instance(box)]), dict(instances=[])] * 50
    infos = dict(metainfo=dict(categories=dict(Car=0, DontCare=-1)), data_list=frames)
    infos['data_list'] = [dict(frame) for frame in frames]
    truth = [frame['kitti_annos'] for frame in metric.convert_annos_to_kitti_annos(infos)]
    one = cars(1, score=np.array([0.9]))
    one.update(location=np.array([box[:3]]), bbox=np.array([[100.0, 100, 180, 180]]))
    none = {name: value[:0] for name, value in one.items()}
    _, values = kitti_eval(truth, [one, none] * 50, ['Car'])
    assert values['KITTI/Car_3D_AP40_moderate_strict'] == pytest.approx(100.0)
    # A car that is seen in each of the empty frames is wrong half of the time.
    _, values = kitti_eval(truth, [one, one] * 50, ['Car'])
    assert values['KITTI/Car_3D_AP40_moderate_strict'] == pytest.approx(50.0, abs=1.5)


def test_few_frames_count_several_times(tmp_path):
    from mmdet3d.registry import METRICS
    from mmdet3d.structures import LiDARInstance3DBoxes
    from mmengine import dump

    # A camera that looks along the LiDAR's x, and a car 20 m in front of it.
    lidar2cam = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    cam2img = np.array([[700.0, 0, 600, 0], [0, 700, 180, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    image = dict(cam2img=cam2img, lidar2cam=lidar2cam, height=375, width=1242)
    car_in_camera = [0.0, 1.7, 20.0, 4.0, 1.5, 1.6, -np.pi / 2]
    frame = dict(sample_idx=7, images=dict(CAM2=image), instances=[instance(car_in_camera)])
    frame['instances'][0]['bbox'] = [570.0, 183, 630, 242]
    infos = dict(
        metainfo=dict(categories=dict(Car=0)), data_list=[dict(sample_idx=6, instances=[]), frame]
    )
    dump(infos, tmp_path / 'infos.pkl')
    found = dict(
        bboxes_3d=LiDARInstance3DBoxes([[20.0, 0, -1.7, 4.0, 1.6, 1.5, 0]]),
        scores_3d=torch.tensor([0.9]),
        labels_3d=torch.tensor([0]),
    )
    # One object alone reaches the recall at 0, which is not among the 40.
    expected = [(1, [1], 0.0), (41, [1], 100.0), (41, -1, 100.0)]
    for repeats, indices, value in expected:
        metric = METRICS.build(
            dict(
                type='KittiDetectionMetric',
                ann_file=str(tmp_path / 'infos.pkl'),
                indices=indices,
                repeats=repeats,
            )
        )
        metric.dataset_meta = dict(classes=['Car'])
        sample = dict(sample_idx=0, pred_instances_3d=found, pred_instances={})
        metric.process({}, [sample])
        values = metric.evaluate(1)
        name = 'Kitti metric/pred_instances_3d/KITTI/Car_3D_AP40_easy_strict'
        assert values[name] == pytest.approx(value), values
    with pytest.raises(ValueError, match='repeats must be at least 1, got 0'):
        METRICS.build(dict(type='KittiDetectionMetric', ann_file='', repeats=0))
