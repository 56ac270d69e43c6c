"""Names and kernel layouts of the VoxelNet in mmdet3d, OpenPCDet and the official NCLR release.

All three have the network of SECOND: a sparse encoder with strides up to 8, and a BEV network.

========================================  =====================================
mmdet3d, and this project's pretraining   OpenPCDet
========================================  =====================================
middle_encoder.conv_input.K               backbone_3d.conv_input.K
middle_encoder.encoder_layers             backbone_3d.convI.J.K
.encoder_layerI.J.K
middle_encoder.conv_out.K                 backbone_3d.conv_out.K
backbone.blocks.I.J                       backbone_2d.blocks.I.(J + 1)
neck.deblocks.I.J                         backbone_2d.deblocks.I.J
========================================  =====================================

OpenPCDet begins each BEV block with a padding layer. The official release has OpenPCDet's names
behind ``encoder.``. Kernels of sparse convolutions are (out, z, y, x, in) in spconv 2, which is
written; (z, y, x, in, out) in spconv 1 and (z, y, x, out, in) in early spconv 2 are read as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from torch import Tensor

# Convolutions of each stage of the sparse encoder.
STAGES = {1: 1, 2: 3, 3: 3, 4: 3}
NORM = ('weight', 'bias', 'running_mean', 'running_var')
# Before the names of the point branch in mmdet3d's multimodal detectors.
_POINT_BRANCH = 'pts_'

_TO_OPENPCDET = (
    (r'middle_encoder\.(conv_input|conv_out)\.(.+)', r'backbone_3d.\1.\2'),
    (r'middle_encoder\.encoder_layers\.encoder_layer(\d+)\.(.+)', r'backbone_3d.conv\1.\2'),
    (r'backbone\.blocks\.(\d+)\.(\d+)\.(.+)', lambda m: _block('backbone_2d', m, 1)),
    (r'neck\.deblocks\.(.+)', r'backbone_2d.deblocks.\1'),
)
_FROM_OPENPCDET = (
    (r'backbone_3d\.(conv_input|conv_out)\.(.+)', r'middle_encoder.\1.\2'),
    (r'backbone_3d\.conv(\d+)\.(.+)', r'middle_encoder.encoder_layers.encoder_layer\1.\2'),
    (r'backbone_2d\.blocks\.(\d+)\.(\d+)\.(.+)', lambda m: _block('backbone', m, -1)),
    (r'backbone_2d\.deblocks\.(.+)', r'neck.deblocks.\1'),
)


#: patterns of names, and what they become
_Rules = Iterable[tuple[str, str | Callable[[re.Match], str]]]


def _block(module: str, match: re.Match, shift: int) -> str:
    level, layer, rest = match.groups()
    return f'{module}.blocks.{level}.{int(layer) + shift}.{rest}'


def _rename(names: Iterable[str], rules: _Rules) -> dict[str, str]:
    """The new name of each that the rules know."""
    renamed = {}
    for name in names:
        for pattern, replacement in rules:
            match = re.fullmatch(pattern, name)
            if match:
                renamed[name] = (
                    replacement(match) if callable(replacement) else match.expand(replacement)
                )
                break
    return renamed


def is_of_mmdet3d(name: str) -> bool:
    """Whether a tensor of that name is one of a VoxelNet in mmdet3d."""
    return bool(_rename([name.removeprefix(_POINT_BRANCH)], _TO_OPENPCDET))


def is_of_openpcdet(name: str, prefix: str = '') -> bool:
    """Whether a tensor of that name is one of a VoxelNet in OpenPCDet, behind a prefix."""
    bare = name.removeprefix(prefix)
    return name.startswith(prefix) and bool(_rename([bare], _FROM_OPENPCDET))


def to_openpcdet(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Rename the tensors of a VoxelNet for OpenPCDet.

    Args:
        state: state dict of this project's pretraining or of an mmdet3d detector, those that call
            the point branch ``pts_...`` (CenterPoint) among them.

    Returns:
        OpenPCDet's tensors, and the new name of each tensor that was mapped.

    Raises:
        ValueError: if the sparse encoder or the BEV network is not complete.
    """
    bare = {n.removeprefix(_POINT_BRANCH): n for n in state}
    names = _rename(bare, _TO_OPENPCDET)
    tensors = {old: state[bare[old]] for old in names}
    require_voxelnet(tensors)
    _turn_kernels(tensors)
    return (
        {new: tensors[old] for old, new in names.items()},
        {bare[old]: new for old, new in names.items()},
    )


def from_openpcdet(
    state: Mapping[str, Tensor], prefix: str = ''
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Rename the tensors of OpenPCDet's SECOND or PV-RCNN, or of the official NCLR release.

    Args:
        state: OpenPCDet's ``model_state``, or ``state_dict`` of the official release.
        prefix: what stands before OpenPCDet's names, ``encoder.`` in the official release.

    Returns:
        The tensors of mmdet3d, and the new name of each tensor that was mapped.

    Raises:
        ValueError: if the sparse encoder or the BEV network is not complete.
    """
    bare = {n.removeprefix(prefix): n for n in state if n.startswith(prefix)}
    names = _rename(bare, _FROM_OPENPCDET)
    tensors = {new: state[bare[old]] for old, new in names.items()}
    require_voxelnet(tensors)
    _turn_kernels(tensors)
    return tensors, {bare[old]: new for old, new in names.items()}


def _turn_kernels(tensors: dict[str, Tensor]) -> None:
    """Bring the sparse kernels of mmdet3d's names to (out, z, y, x, in), in place."""
    order = _kernel_order(tensors)
    for name, value in tensors.items():
        if value.dim() == 5:
            tensors[name] = value.permute(order).contiguous()


def _kernel_order(tensors: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Permutation to (out, z, y, x, in), told from the first convolution and its norm."""
    kernel = tensors['middle_encoder.conv_input.0.weight']
    out = len(tensors['middle_encoder.conv_input.1.weight'])
    orders = {0: (0, 1, 2, 3, 4), 4: (4, 0, 1, 2, 3), 3: (3, 0, 1, 2, 4)}
    for axis, order in orders.items():
        if kernel.dim() == 5 and kernel.shape[axis] == out:
            return order
    raise ValueError(
        f'middle_encoder.conv_input.0.weight has the shape {tuple(kernel.shape)}, in which the '
        f'{out} output channels of its batch norm are not found.'
    )


def require_voxelnet(state: Mapping[str, Tensor]) -> None:
    """Refuse weights in which a part of SECOND's network is missing.

    How many convolutions a BEV block has is not known from elsewhere: if whole layers are missing
    at its end, nothing tells.

    Raises:
        ValueError: naming the first tensor that is missing and how many are, or the levels of the
            BEV network that do not fit each other.
    """
    _require_stages(state)
    convolutions = ['middle_encoder.conv_input', 'middle_encoder.conv_out']
    convolutions += [
        f'middle_encoder.encoder_layers.encoder_layer{stage}.{layer}'
        for stage, layers in STAGES.items()
        for layer in range(layers)
    ]
    wanted = []
    for name in convolutions:
        wanted += [f'{name}.0.weight', *(f'{name}.1.{field}' for field in NORM)]
    for module in ('backbone.blocks', 'neck.deblocks'):
        layers = sorted(
            {
                (int(match[1]), int(match[2]))
                for name in state
                if (match := re.match(rf'{re.escape(module)}\.(\d+)\.(\d+)\.', name))
            }
        )
        levels = max((level for level, _ in layers), default=0)
        for level in range(levels + 1):
            last = max((layer for at, layer in layers if at == level), default=1)
            # Convolution, norm and activation by turns.
            for layer in range(0, last, 3):
                wanted.append(f'{module}.{level}.{layer}.weight')
                wanted += [f'{module}.{level}.{layer + 1}.{field}' for field in NORM]
    missing = [name for name in wanted if name not in state]
    if missing:
        raise ValueError(
            f'The VoxelNet is not complete: {len(missing)} of at least {len(wanted)} tensors are '
            f'missing, first {missing[0]}.'
        )
    _require_shapes(state, wanted)
    _require_levels(state)


def _require_stages(state: Mapping[str, Tensor]) -> None:
    """Refuse an encoder of other stages, such as that of the small networks."""
    found = {
        int(match[1])
        for name in state
        if (match := re.match(r'middle_encoder\.encoder_layers\.encoder_layer(\d+)\.', name))
    }
    if found and found != set(STAGES):
        raise ValueError(
            f'Its sparse encoder has the stages {sorted(found)}; the network of SECOND, which '
            f'OpenPCDet has, has {len(STAGES)} stages of {", ".join(map(str, STAGES.values()))} '
            'convolutions.'
        )


def _require_shapes(state: Mapping[str, Tensor], names: Iterable[str]) -> None:
    """Refuse tensors that cannot be what their names say."""
    for name in names:
        layer = int(re.findall(r'\.(\d+)\.\w+$', name)[0])
        sparse = name.startswith('middle_encoder.')
        norm = layer % 3 == 1
        dimensions = 1 if norm else 5 if sparse else 4
        if state[name].dim() != dimensions:
            raise ValueError(
                f'{name} has the shape {tuple(state[name].shape)}, expected {dimensions} '
                'dimensions.'
            )
        if norm:
            kernel = state[re.sub(r'\d+\.\w+$', f'{layer - 1}.weight', name)]
            if len(state[name]) not in kernel.shape:
                raise ValueError(
                    f'{name} has {len(state[name])} numbers, which its convolution of shape '
                    f'{tuple(kernel.shape)} does not give.'
                )


def _require_levels(state: Mapping[str, Tensor]) -> None:
    """Refuse a BEV network that lacks whole levels: each block feeds the next and a deblock."""
    depths = block_depths(state)
    ends = {int(n.split('.')[2]) for n in state if n.startswith('neck.deblocks.')}
    if len(depths) < 2 or ends != set(depths):
        raise ValueError(
            f'The VoxelNet is not complete: its BEV network has the blocks {sorted(depths)} and '
            f'the deblocks {sorted(ends)}, expected the same ones, two or more.'
        )
    for level, depth in depths.items():
        channels = len(state[f'backbone.blocks.{level}.{3 * (depth - 1)}.weight'])
        # A transposed convolution has its inputs first, a plain one second.
        deblock = state[f'neck.deblocks.{level}.0.weight'].shape[:2]
        following = state.get(f'backbone.blocks.{level + 1}.0.weight')
        if channels not in deblock or (following is not None and following.shape[1] != channels):
            raise ValueError(
                f'The VoxelNet does not fit together: backbone.blocks.{level} ends with {channels} '
                'channels, which its deblock or the next block does not take.'
            )


def block_depths(state: Mapping[str, Tensor]) -> dict[int, int]:
    """Number of convolutions of each BEV block, by mmdet3d's or OpenPCDet's names."""
    depths: dict[int, int] = {}
    for name, value in state.items():
        match = re.fullmatch(r'backbone(?:_2d)?\.blocks\.(\d+)\.\d+\.weight', name)
        if match and value.dim() == 4:
            depths[int(match[1])] = depths.get(int(match[1]), 0) + 1
    return dict(sorted(depths.items()))
