"""Keep geometry out of half precision.

A pixel of a 400 px image has no exact bfloat16 value, and a range of 50 m is kept to 0.25 m by it:
poses must not be computed that way, whatever the training loop has switched on.
"""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeGuard, TypeVar

import torch
from torch import Tensor

P = ParamSpec('P')
R = TypeVar('R')


def _is_float(value: object) -> TypeGuard[Tensor]:
    return isinstance(value, Tensor) and value.is_floating_point()


def full_precision(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function so that it computes in float32 at least, also under autocast.

    All floating tensors among the arguments are brought to their common dtype, float32 at least
    (float64 stays float64), and autocast is off inside. Gradients return in the dtype of the
    argument. Integer and bool tensors, and everything else, pass unchanged.

    Example:
        >>> @full_precision
        ... def double(x):
        ...     return 2 * x
        >>> double(torch.ones(1, dtype=torch.bfloat16)).dtype
        torch.float32
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        floats = [v for v in (*args, *kwargs.values()) if _is_float(v)]
        dtype = functools.reduce(torch.promote_types, [v.dtype for v in floats], torch.float32)
        device_type = floats[0].device.type if floats else 'cpu'
        cast_args: Any = [v.to(dtype) if _is_float(v) else v for v in args]
        cast_kwargs: Any = {k: v.to(dtype) if _is_float(v) else v for k, v in kwargs.items()}
        with torch.autocast(device_type, enabled=False):
            return function(*cast_args, **cast_kwargs)

    return wrapper
