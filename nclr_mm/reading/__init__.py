"""Reading of files that may come from elsewhere, without trust."""

from .archives import check_archive
from .checkpoints import CheckpointError, NoCheckpointError, load_checkpoint
from .pickle_keys import check_keys
from .weights import Weights, complete_versions, find_weights

__all__ = [
    'CheckpointError',
    'NoCheckpointError',
    'Weights',
    'check_archive',
    'check_keys',
    'complete_versions',
    'find_weights',
    'load_checkpoint',
]
