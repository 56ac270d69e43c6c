"""What tools/train.py and tools/test.py share: arguments, config, and errors of the user."""

import argparse
import errno
import functools
import importlib.util
import logging
import math
import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar

from mmdet3d.registry import DATASETS
from mmengine.config import Config
from mmengine.config import DictAction as MMEngineDictAction
from mmengine.logging import print_log
from mmengine.registry import RUNNERS
from mmengine.runner import BaseLoop, Runner

from ..checkpoint import looks_like_checkpoint
from ..models.voxel_grid import VoxelGridError, check_voxel_grid
from ..reading import CheckpointError
from ..writing import UnwritableError
from .distributed import prepare_cpu_processes, unwrapped_model

__all__ = [
    'DictAction',
    'Home',
    'add_run_arguments',
    'build_dataset',
    'build_loops',
    'build_runner',
    'home_of',
    'load_config',
    'make_folder',
    'override',
    'read_config',
    'report_run_failure',
    'report_unwritable',
    'report_user_errors',
    'require_checkpoint',
]


Prepared = TypeVar('Prepared')
Given = ParamSpec('Given')

#: of disks that take no more, and of those that fail, also over a network
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
_FAILING = (errno.EIO, errno.ESTALE)


class Home(NamedTuple):
    """Where a tool that starts others works: the folder, and tools and configs as seen from it."""

    root: Path
    tools: str
    configs: str


def home_of(tool: str) -> Home:
    """Home of a tool by its ``__file__``: the repository; installed, the current folder."""
    root = Path(tool).resolve().parents[1]
    if (root / 'setup.py').is_file():
        return Home(root, 'tools', 'configs')
    return Home(Path.cwd(), str(root / 'tools'), str(root / 'configs'))


# A quote counts where an item begins, and the next one where the item ends: a path may hold others.
_PIECES = re.compile(r"""(?:^|(?<=[\[(,]))\s*(["']).*?\1(?=\s*(?:[\]),]|$))|.""", re.DOTALL)


class DictAction(MMEngineDictAction):
    """Read ``KEY=VALUE ...`` as mmengine does, but keep the characters of a value.

    mmengine removes all spaces. Here those around a value or an item of a list go, and those inside
    stay: ``key="[/media/My Passport/a, /b c/d]"`` names two folders. Within quotes commas do not
    separate, and brackets need no counterpart: ``key="['/a, b', '/c (d']"``. ``~/`` at the
    beginning of a value or an item is the home directory.
    """

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        """Add the options to those of the namespace; end the program where one cannot be read."""
        for text in values:
            if not text.partition('=')[0] or '=' not in text:
                raise argparse.ArgumentError(self, f'expected KEY=VALUE ..., got {text!r}')
        try:
            super().__call__(parser, namespace, values, option_string)
        except ValueError as error:
            raise argparse.ArgumentError(self, str(error)) from error

    @staticmethod
    def _parse_iterable(val: str) -> object:
        """The value of a text: a list, a tuple, a number, a bool, None, or the text itself."""
        val = val.strip()
        items, kind = _split(val), list
        if len(items) == 1:
            ends = val[:1] + val[-1:] if len(val) > 1 else ''
            if ends in ('""', "''"):
                val = val[1:-1]
                if val[:1] + val[-1:] in ('[]', '()', '""', "''"):
                    return DictAction._parse_iterable(val)
            if ends not in ('[]', '()'):
                val = os.path.expanduser(val) if val.startswith('~/') else val
                return DictAction._parse_int_float_bool(val)
            items, kind = _split(val[1:-1]), tuple if ends == '()' else list
        if not items[-1].strip():  # nothing follows the last comma, or there is no item
            items.pop()
        return kind(DictAction._parse_iterable(item) for item in items)


def _split(text: str) -> list[str]:
    """The parts of a text between the commas outside of brackets and quotes.

    Raises:
        ValueError: if its brackets do not match.
    """
    pieces = [piece[0] for piece in _PIECES.finditer(text)]
    items, depth = [''], 0
    for piece in pieces:
        depth += (piece in ('[', '(')) - (piece in (']', ')'))
        if piece == ',' and not depth:
            items.append('')
        else:
            items[-1] += piece
    if ',' in pieces and any(pieces.count(a) != pieces.count(b) for a, b in ('()', '[]')):
        raise ValueError(f'the brackets of {text!r} do not match; put quotes around a path')
    return items


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of mmdet3d's tools that training and testing have in common."""
    parser.add_argument('config', help='config; a Python program, which runs')
    parser.add_argument(
        '--work-dir', help='folder of logs and checkpoints; default: work_dirs/NAME'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        help='override settings of the config: key=value, key=[a,b], key.sub=value',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='how processes were started; dist_*.sh and slurm_*.sh set it',
    )
    # torch.distributed.launch passes --local-rank; torchrun sets LOCAL_RANK.
    parser.add_argument(
        '--local_rank', '--local-rank', type=int, default=0, help='set by launchers'
    )


def read_config(path: str | os.PathLike, options: Mapping | None = None) -> Config:
    """Read a config, which is a Python program and runs, and override settings of it.

    Args:
        path: the file, or ``nclr_mm::nclr/NAME.py`` for one that is installed with this package, as
            in ``_base_``.
        options: key -> value, where ``a.b.0`` is a key within dicts and lists.

    Raises:
        FileNotFoundError: if there is no such file, or no folder that takes temporary files.
        ValueError: if it cannot be read, or an option does not fit it.
    """
    package, named, inner = str(path).partition('::')
    if named and package == 'nclr_mm':
        path = Path(__file__).parents[1] / '.mim/configs' / inner
    if not Path(path).is_file():
        raise FileNotFoundError(f'There is no config {path}.')
    tempfile.gettempdir()  # where mmengine puts a copy; its own error says nothing of it
    try:
        config = Config.fromfile(str(path))
    except Exception as error:  # it may raise anything
        raise ValueError(f'The config {path} cannot be read: {error!r}.') from error
    return override(config, options, str(path))


def override(config: Config, options: Mapping | None, name: str) -> Config:
    """Override settings in place; ``name`` says in an error whose they are."""
    for key, value in (options or {}).items():
        try:
            config.merge_from_dict({key: value})
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise ValueError(f'The option {key}={value!r} does not fit {name}: {error}') from error
    return config


def load_config(args: argparse.Namespace) -> Config:
    """Read the config, apply the command line, and prepare processes without a GPU.

    Raises:
        FileNotFoundError: if there is no such config.
        ValueError: if it cannot be read or overridden.
        OSError: if the work directory cannot be written.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = read_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(args.config).stem)
    make_folder(cfg.work_dir, 'work directory')
    if not os.access(cfg.work_dir, os.W_OK):
        raise PermissionError(f'The work directory {cfg.work_dir} cannot be written.')
    prepare_cpu_processes(cfg)
    return cfg


def require_checkpoint(checkpoint: str | None) -> None:
    """Raise an error where a local checkpoint is missing or none, before anything starts."""
    if not isinstance(checkpoint, str | None):
        raise ValueError(
            f'load_from takes one file, got {checkpoint!r}; put quotes around a path with commas.'
        )
    if not checkpoint or '://' in checkpoint:
        return
    if not Path(checkpoint).is_file():
        raise FileNotFoundError(f'There is no checkpoint {checkpoint}.')
    if not looks_like_checkpoint(checkpoint):
        raise ValueError(f'{checkpoint} is not a checkpoint of torch.save.')


def add_moved_camera_options(parser) -> None:
    """Options of :func:`nclr_mm.calibration.find_moved_cameras`, for a parser or a group of one."""
    parser.add_argument(
        '--false-alarms',
        type=float,
        default=0.01,
        help='probability that a camera of a good rig is called moved; default: %(default)s',
    )
    parser.add_argument(
        '--shared-error',
        nargs=2,
        type=float,
        default=(0.0, 0.0),
        metavar=('DEGREES', 'METRES'),
        help='standard deviation of what the network is off for all matches of a camera; '
        'default: 0 0',
    )


def build_dataset(config: Mapping, name: str):
    """Build a dataset of a config.

    Args:
        config: of the dataset.
        name: of its dataloader, for an error.

    Raises:
        ValueError: if it has an argument that the dataset does not take, or lacks one.
    """
    try:
        return DATASETS.build(config)
    except TypeError as error:
        raise ValueError(f'The dataset of {name} cannot be built: {error}.') from error


def make_folder(path: str | os.PathLike, what: str = 'folder') -> None:
    """Make a folder of results, its parents included; ``what`` it is called in an error.

    Raises:
        OSError: naming it, where that cannot be.
    """
    if Path(path).exists() and not Path(path).is_dir():
        raise NotADirectoryError(f'The {what} {path} is a file; a folder was expected.')
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f'The {what} {path} cannot be made: {error}.') from error


def report_user_errors(prepare: Callable[[], Prepared]) -> Prepared:
    """Call ``prepare``; end the program with one sentence where the user's input is wrong.

    Only preparation is guarded: an error while training is a fault, and keeps its traceback.

    Returns:
        What ``prepare`` returns, such as the config.
    """
    try:
        return prepare()
    except (OSError, ValueError, KeyError, SyntaxError, ImportError) as error:
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f'{Path(sys.argv[0]).name}: {message}', file=sys.stderr)
        sys.exit(2)


def build_runner(cfg: Config) -> Runner:
    """Build the runner that the config names, mmengine's own if it names none.

    Without TensorBoard installed, its backend is left out, with a warning.

    Raises:
        VoxelGridError: if two places of the config state different grids of voxels.
    """
    backends = cfg.get('visualizer', {}).get('vis_backends') or []
    kept = [backend for backend in backends if backend['type'] != 'TensorboardVisBackend']
    if len(kept) < len(backends) and importlib.util.find_spec('tensorboard') is None:
        print_log(
            'TensorBoard is not installed; losses and pictures go to files alone.',
            'current',
            logging.WARNING,
        )
        cfg.visualizer.vis_backends = kept
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    check_voxel_grid(unwrapped_model(runner))
    return runner


def build_loops(runner: Runner, *names: str) -> None:
    """Build loops of a runner, with their data; end the program with one sentence where these fail.

    The runner itself would build them when it starts, and end with a traceback.

    Args:
        runner: mmengine's, or one of its kind.
        names: ``train``, ``val`` or ``test``, in the order in which the runner builds them.
    """
    try:
        for name in names:
            loop = getattr(runner, f'{name}_loop')
            if name != 'train' and loop is not None:
                _check_evaluated_frames(loop, name)
    except (FileNotFoundError, ValueError) as error:
        print(f'{Path(sys.argv[0]).name}: {error}', file=sys.stderr)
        sys.exit(2)


def _check_evaluated_frames(loop: BaseLoop, name: str) -> None:
    """Raise ValueError if a metric would score the predictions against other frames.

    Such metrics as mmdet3d's KittiMetric read the annotations from an ``ann_file`` of their own,
    after all predictions.

    Args:
        loop: of validation or testing.
        name: ``val`` or ``test``.
    """
    dataset = loop.dataloader.dataset
    while hasattr(dataset, 'dataset'):
        dataset = dataset.dataset
    read = getattr(dataset, 'ann_file', None)
    for metric in loop.evaluator.metrics:
        file = getattr(metric, 'ann_file', None)
        # Some metrics, such as LyftMetric, join it with their data_root.
        paths = (file, os.path.join(getattr(metric, 'data_root', None) or '', file or ''))
        if read and file and os.path.realpath(read) not in map(os.path.realpath, paths):
            raise ValueError(
                f'The data set of {name}_dataloader reads {read}, but {type(metric).__name__} of '
                f'{name}_evaluator reads {file}; both need the same ann_file.'
            )
        # mmengine numbers the frames that ``indices`` choose anew; the first n keep their numbers.
        chosen = getattr(dataset, '_indices', None)
        scored = getattr(metric, 'indices', chosen)
        most = math.inf if scored is None else scored
        first = isinstance(chosen, int) and isinstance(most, int | float) and 0 <= chosen <= most
        if chosen != scored and not first:
            raise ValueError(
                f'The data set of {name}_dataloader has indices={chosen}, but '
                f'{type(metric).__name__} of {name}_evaluator has indices={scored}; both need the '
                'same.'
            )


def report_run_failure(run: Callable[[], object], work_dir: str) -> None:
    """Run to the end; where a disk, a file of the results or a checkpoint fails, say so and end.

    That holds for files of the log, too: a line that cannot be written ends the run. Other errors
    of other files, as of a data set, keep their traceback.

    Args:
        run: builds the runner, and trains or tests.
        work_dir: folder of the results.
    """
    # Logging would print a traceback for each line, and go on.
    logging.FileHandler.handleError = _raise_of_disk
    try:
        run()
    except (CheckpointError, VoxelGridError) as error:
        print(f'{Path(sys.argv[0]).name}: {error}', file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        reason = _reason_of_disk(error, work_dir)
        if reason is None:
            raise
        sys.exit(
            f'{Path(sys.argv[0]).name}: The run ended, for {reason}: {error}. What was saved '
            'before is whole; once that is mended, train.py goes on with --resume.'
        )
    finally:
        del logging.FileHandler.handleError  # its parent's again


def _reason_of_disk(error: OSError, work_dir: str) -> str | None:
    """Why a run ended, if a disk or a file of its results is the reason."""
    name = error.filename if isinstance(error.filename, str | os.PathLike) else None
    # mmengine writes into the folder itself and into one that is named by the time; data may lie
    # in others.
    folder, inside = os.path.abspath(work_dir), None
    if name is not None:
        parts = Path(os.path.relpath(os.path.abspath(name), folder)).parts
        of_a_run = re.fullmatch(r'\d{8}_\d{6}', parts[0])
        inside = of_a_run or (len(parts) == 1 and parts[0] != os.pardir)
    if error.errno in _FULL:
        return f'{work_dir if inside or name is None else name} takes no more'
    if inside or isinstance(error, UnwritableError):
        return f'a file in {work_dir} cannot be used'
    # Of reading and writing, unlike of opening, the system names no file.
    return 'a disk fails' if name is None and error.errno in _FAILING else None


def _raise_of_disk(handler: logging.FileHandler, record: logging.LogRecord) -> None:
    """Called by a handler while it handles an error."""
    if isinstance(error := sys.exc_info()[1], OSError) and error.errno in _FULL + _FAILING:
        raise error
    logging.Handler.handleError(handler, record)


def report_unwritable(main: Callable[Given, Prepared]) -> Callable[Given, Prepared]:
    """Decorate the main function of a tool: it ends in a sentence if it cannot write a result."""

    @functools.wraps(main)
    def guarded(*args: Given.args, **kwargs: Given.kwargs) -> Prepared:
        try:
            return main(*args, **kwargs)
        except UnwritableError as error:
            print(f'{Path(sys.argv[0]).name}: {error}.', file=sys.stderr)
            sys.exit(2)

    return guarded
