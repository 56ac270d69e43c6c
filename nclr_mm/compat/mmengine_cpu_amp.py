"""mmengine: `AmpOptimWrapper` refuses to work on CPUs.

Fault: its constructor asserts that there is an accelerator, though mmengine's own `autocast` takes
bfloat16 on CPUs, and torch's gradient scaler switches itself off there (bfloat16 has the exponents
of float32 and needs no scaling). With the assertion out of the way the wrapper trains on CPUs.

Holds for: mmengine up to 0.10.7.
"""

from mmengine.device import get_device
from mmengine.optim.optimizer import amp_optimizer_wrapper


def _has_device_for_autocast() -> bool:
    """The CPU, too, is a device for mixed precision."""
    return True


def apply() -> None:
    """Let the constructor pass where the CPU is the only device."""
    # The module uses `is_cuda_available` in the assertion alone.
    if get_device() == 'cpu' and hasattr(amp_optimizer_wrapper, 'is_cuda_available'):
        amp_optimizer_wrapper.is_cuda_available = _has_device_for_autocast
