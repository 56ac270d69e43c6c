"""All workarounds together."""

from nclr_mm import compat


def test_each_module_names_its_fault_and_the_versions():
    for workaround in compat.WORKAROUNDS:
        assert 'Fault:' in workaround.__doc__
        assert 'Holds for:' in workaround.__doc__


def test_applying_twice_changes_nothing():
    from mmdet3d.models.backbones import MinkUNetBackbone
    from mmengine.optim.optimizer import amp_optimizer_wrapper
    from spconv.pytorch import SparseConvTensor, ops
    from torch.serialization import get_safe_globals

    def state():
        return (
            getattr(ops, 'get_current_stream', None),
            getattr(ops, 'SpconvOps', None),
            amp_optimizer_wrapper.is_cuda_available,
            MinkUNetBackbone.__init__,
            SparseConvTensor.__init__,
            set(get_safe_globals()),
        )

    before = state()
    compat.apply()
    assert state() == before
