"""mmdet3d: gradients of PV-RCNN are not the same in two runs on CPUs.

Fault: `bilinear_interpolate_torch`, with which `VoxelSetAbstraction` reads the BEV map, indexes it
by rows and columns. torch sums the gradients of a cell that is read several times in whichever
order its threads come.

Here whole rows of the map are selected by their numbers, whose gradients torch sums in their order.
The results are the same.

Holds for: mmdet3d 1.4 with torch up to 2.13.
"""

from torch import Tensor


def read_bilinearly(inputs: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Interpolate a map between its cells; outside of it, weights are as mmdet3d has them.

    Args:
        inputs: (H, W, C).
        x, y: (N,) columns and rows.

    Returns:
        (N, C).
    """
    height, width, _ = inputs.shape
    left, top = x.floor().long(), y.floor().long()
    columns = [left.clamp(0, width - 1), (left + 1).clamp(0, width - 1)]
    rows = [top.clamp(0, height - 1), (top + 1).clamp(0, height - 1)]
    weights_x = [columns[1] - x, x - columns[0]]
    weights_y = [rows[1] - y, y - rows[0]]
    cells = inputs.flatten(0, 1)
    return sum(
        cells.index_select(0, row * width + column) * (weight_x * weight_y)[:, None]
        for column, weight_x in zip(columns, weights_x, strict=True)
        for row, weight_y in zip(rows, weights_y, strict=True)
    )


def apply() -> None:
    """Replace the function."""
    from mmdet3d.models.middle_encoders import voxel_set_abstraction

    voxel_set_abstraction.bilinear_interpolate_torch = read_bilinearly
