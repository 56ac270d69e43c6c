"""nuscenes-devkit: a detector that finds nothing cannot be evaluated.

Fault: `_get_box_class_field` looks at the first box to tell detections from tracks, and raises an
error without any. Then it does not matter which they are; detections are taken.

Holds for: nuscenes-devkit up to 1.2.0.
"""

import importlib.util


def apply() -> None:
    """Let a set of boxes be empty."""
    if importlib.util.find_spec('nuscenes') is None:
        return
    from nuscenes.eval.common import loaders

    original = loaders._get_box_class_field
    if getattr(original, 'takes_no_boxes', False):
        return

    def class_field(eval_boxes) -> str:
        """Name of the field that holds the class of the boxes."""
        return original(eval_boxes) if eval_boxes.all else 'detection_name'

    class_field.takes_no_boxes = True
    loaders._get_box_class_field = class_field
