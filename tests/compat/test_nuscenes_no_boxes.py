"""Oracle: average precision of a detector that finds nothing, which is 0."""

from nuscenes.eval.common.data_classes import EvalBoxes
from nuscenes.eval.common.loaders import filter_eval_boxes
from nuscenes.eval.detection.algo import accumulate
from nuscenes.eval.detection.data_classes import DetectionBox

import nclr_mm  # noqa: F401 (applies the workaround)


def test_upstream_fault(without_workarounds):
    error = without_workarounds(
        'from nuscenes.eval.common.data_classes import EvalBoxes\n'
        'from nuscenes.eval.common.loaders import filter_eval_boxes\n'
        'boxes = EvalBoxes()\n'
        "boxes.add_boxes('sample', [])\n"
        'filter_eval_boxes(None, boxes, {})\n'
    )
    assert 'Invalid box type: None' in error


class WithoutAnnotations:
    """A data set whose samples hold no objects."""

    def get(self, table, token):
        return dict(anns=[])


def test_nothing_is_found():
    boxes = EvalBoxes()
    boxes.add_boxes('sample', [])
    assert filter_eval_boxes(WithoutAnnotations(), boxes, {}).all == []
    truth = EvalBoxes()
    truth.add_boxes('sample', [DetectionBox(sample_token='sample', detection_name='car')])
    data = accumulate(truth, boxes, 'car', lambda *_: 0.0, 1.0)
    assert data.precision.max() == 0
