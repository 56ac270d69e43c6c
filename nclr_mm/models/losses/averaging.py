"""Means over the batch of all processes."""

from mmengine.dist import all_reduce, get_world_size
from torch import Tensor


def batch_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of the values that count, over the batch of all processes.

    Distributed training averages the gradients of its processes. For these to be those of one
    process with the whole batch, each takes its own sum relative to the mean number of values a
    process, as mmdet3d's heads do. All processes must call this in the same order.

    Args:
        values: of any shape.
        mask: bool, of the same shape.

    Returns:
        Scalar whose mean over the processes is the mean; zero, and connected to the values, where
        none counts.
    """
    number = mask.sum().to(values.dtype)
    all_reduce(number, 'mean')
    return (values * mask).sum() / number.clamp(min=1 / get_world_size())
