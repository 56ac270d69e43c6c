"""The pretraining detector."""

import torch
from mmdet3d.models.detectors import Base3DDetector
from mmdet3d.registry import MODELS
from torch import Tensor, nn

from ..heads.calibration_head import Scene
from ..layers.frozen_features import FrozenFeatures


@MODELS.register_module()
class NCLR(Base3DDetector):
    """Pretrain a LiDAR backbone by calibrating it against cameras (NCLR, arXiv 2401.12452).

    Names in the state dict are those of the mmdet3d model that is fine-tuned: ``backbone`` is the
    segmentor's backbone, so that ``load_from`` of this model's checkpoint is all it needs.

    Args:
        backbone: point branch, called with voxel features (Nv, C) and coordinates (Nv, 4).
        img_backbone: image branch; called with images (B*V, 3, H, W), returns a tuple of maps.
        img_neck: brings the maps to one map (B*V, C, h, w).
        calib_head: the calibration head.
        data_preprocessor: see :class:`nclr_mm.models.CalibrationDataPreprocessor`.
        channels_last: whether the convolutions on dense maps keep their weights, and with them
            their maps, channels last in memory; the same results but for rounding.
        compile_dense: whether ``torch.compile`` compiles them, at their first call and again for
            sizes of a new kind. Names in the state dict stay.
        img_cache_gib: memory for features of the frozen image backbone, on the model's device, in
            GiB: an image that is seen again, to the bit, is not computed again.
    """

    def __init__(
        self,
        backbone: dict,
        img_backbone: dict,
        img_neck: dict,
        calib_head: dict,
        data_preprocessor: dict | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        init_cfg: dict | None = None,
        channels_last: bool = False,
        compile_dense: bool = False,
        img_cache_gib: float = 0.0,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.backbone = MODELS.build(backbone)
        self.img_backbone = MODELS.build(img_backbone)
        self.img_neck = MODELS.build(img_neck)
        self.calib_head = MODELS.build(calib_head)
        self.channels_last = channels_last
        self.compile_dense = compile_dense
        self._prepare_dense(self.img_backbone, self.img_neck)
        self.img_cache = FrozenFeatures(img_cache_gib * 2**30) if img_cache_gib else None
        # Other weights give other features.
        self.register_load_state_dict_post_hook(_forget_images)

    def _prepare_dense(self, *modules: nn.Module) -> None:
        # In the constructor, so that distributed training sees the memory format.
        for module in modules:
            if self.channels_last:
                module.to(memory_format=torch.channels_last)
            if self.compile_dense:
                module.compile()

    def extract_point_feat(self, voxels: dict) -> Tensor:
        """Run the point branch on the data preprocessor's ``voxels``; returns (Nv, C)."""
        return self.calib_head.point_in(self.backbone(voxels['voxels'], voxels['coors']))

    def extract_img_feat(self, imgs: Tensor) -> Tensor:
        """Run the image branch on images (B, V, 3, H, W); returns (B*V, C, h, w)."""
        imgs = imgs.flatten(0, 1)
        if self.img_cache is None:
            return self.img_neck(self.img_backbone(imgs))
        return self.img_neck(self.img_cache(self.img_backbone, imgs))

    def extract_feat(self, inputs: dict) -> tuple[Tensor, Tensor]:
        """Run both branches.

        Args:
            inputs: ``voxels`` and ``imgs`` of the data preprocessor.

        Returns:
            Voxel features (Nv, C) and image features (B*V, C, h, w).
        """
        return self.extract_point_feat(inputs['voxels']), self.extract_img_feat(inputs['imgs'])

    def extract_scene(self, inputs: dict, data_samples: list) -> Scene:
        """Run both branches and bring their features into the head's form."""
        point_features, image_features = self.extract_feat(inputs)
        image_size = tuple(inputs['imgs'].shape[-2:])
        return self.calib_head.make_scene(
            point_features, inputs['voxels'], image_features, data_samples, image_size
        )

    def loss(self, inputs: dict, data_samples: list, **kwargs) -> dict[str, Tensor]:
        """Compute the losses of a batch; see :meth:`CalibrationHead.loss`."""
        return self.calib_head.loss(self.extract_scene(inputs, data_samples))

    def predict(self, inputs: dict, data_samples: list, **kwargs) -> list:
        """Calibrate: each data sample gets ``pred_calib``; see :meth:`CalibrationHead.predict`."""
        predictions = self.calib_head.predict(self.extract_scene(inputs, data_samples))
        for sample, prediction in zip(data_samples, predictions, strict=True):
            sample.pred_calib = prediction
        return data_samples

    def _forward(self, inputs: dict, data_samples=None, **kwargs) -> tuple[Tensor, Tensor]:
        return self.extract_feat(inputs)


def _forget_images(model: NCLR, incompatible_keys: object) -> None:
    if model.img_cache is not None:
        model.img_cache.clear()
