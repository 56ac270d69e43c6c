"""mmengine: a run that is killed while it saves cannot be resumed.

Fault: the local backend writes checkpoints, and what `mmengine.dump` writes, under their final
names, so that a half-written one looks like a whole one; so do `Config.dump` and the backend of
pictures, which does not notice a full disk either. `last_checkpoint`, by which a run is resumed, is
emptied and then written; it holds a path as it was, so that a folder that was moved is not resumed
either, and a copy resumes the original, whose best checkpoint it removes. Checkpoints that are to
go, the best one too, are removed before the one in their place is saved: with `max_keep_ckpts=1`, a
run that ends between the two leaves none.

Files are written beside, then renamed. Where `last_checkpoint` names no file, the newest checkpoint
of the folder is taken. What is to go goes last, so that the disk must hold one checkpoint more, and
of the run's own folder.

Holds for: mmengine up to 0.10.7.
"""

import inspect
import os
import re
from pathlib import Path

import cv2
import mmengine.runner
import numpy as np
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.fileio.backends import LocalBackend
from mmengine.hooks import CheckpointHook
from mmengine.logging import print_log
from mmengine.runner import Runner, _flexible_runner, checkpoint, runner
from mmengine.visualization.vis_backend import LocalVisBackend, force_init_env

__all__ = ['apply', 'newest_checkpoint', 'put']

_CHECKPOINT = re.compile(r'(?:epoch|iter)_(\d+)\.pth')


def put(self: LocalBackend, obj: bytes, filepath: str | Path) -> None:
    """Write bytes to a file, at once: it holds the old content or all of the new.

    Raises:
        OSError: naming the file, if it cannot be written; the old content stays.
    """
    path = Path(filepath)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Of one name, so that what a killed process leaves is overwritten by the next.
    partial = path.with_name(f'{path.name}.tmp')
    try:
        with partial.open('wb') as file:
            file.write(obj)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error


def put_text(self: LocalBackend, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
    """Write text to a file, at once."""
    put(self, obj.encode(encoding), filepath)


_dump_config = Config.dump


def dump_config(self: Config, file: str | Path | None = None) -> str | None:
    """Write a config to a file, at once, or give its text where no file is named."""
    if file is None or Path(file).suffix != '.py':
        return _dump_config(self, file)  # other forms go through the backend
    put(LocalBackend(), self.pretty_text.encode(), file)
    return None


def add_image(
    self: LocalVisBackend, name: str, image: np.ndarray, step: int = 0, **kwargs: object
) -> None:
    """Write an RGB picture (H, W, 3) of uint8 to ``<name>_<step>.png``, at once."""
    _, content = cv2.imencode('.png', cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    put(LocalBackend(), content.tobytes(), Path(self._img_save_dir, f'{name}_{step}.png'))


def newest_checkpoint(path: str) -> str | None:
    """The checkpoint that a run in the folder goes on from; None, if there is none.

    That which ``last_checkpoint`` names: that of this name in the folder, which may be a copy, else
    where it says. If there is none, that of the folder with the highest number.
    """
    folder = Path(path)
    pointer = folder / 'last_checkpoint'
    named = pointer.read_text().strip() if pointer.is_file() else ''
    for path in (folder / Path(named).name, Path(named)) if named else ():
        if path.is_file():
            return str(path)
    found = {}
    for file in folder.glob('*.pth'):
        match = _CHECKPOINT.fullmatch(file.name)
        if match:
            found[int(match[1])] = str(file)
    if not found:
        print_log(f'There is no checkpoint in {folder} to go on from.', 'current')
        return None
    newest = found[max(found)]
    print_log(f'{pointer} names no checkpoint that is there; taking {newest}.', 'current')
    return newest


def save_checkpoint_with_step(self: CheckpointHook, runner: Runner, step: int, meta: dict) -> None:
    """Save a checkpoint, let `last_checkpoint` name it, then remove those that are too many."""
    keeps = self.max_keep_ckpts > 0
    steps = list(self.keep_ckpt_ids) if keeps else []
    if keeps:
        if steps[-1:] != [step]:  # the best one may be saved at the same step
            steps.append(step)
        # Those to be removed are listed in the checkpoint: where a run is killed before they are,
        # mmengine removes them when it is resumed.
        runner.message_hub.update_info('keep_ckpt_ids', steps)
    name = self.filename_tmpl.format(step)
    self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
    runner.message_hub.update_info('last_ckpt', self.last_ckpt)
    runner.save_checkpoint(
        self.out_dir,
        name,
        self.file_client_args,
        save_optimizer=self.save_optimizer,
        save_param_scheduler=self.save_param_scheduler,
        meta=meta,
        by_epoch=self.by_epoch,
        backend_args=self.backend_args,
        **self.args,
    )
    if is_main_process():
        put(LocalBackend(), self.last_ckpt.encode(), Path(runner.work_dir, 'last_checkpoint'))
    if keeps:
        self.keep_ckpt_ids.extend(steps[len(self.keep_ckpt_ids) :])  # drops the first of too many
        runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        for old in steps[: -self.max_keep_ckpts]:
            _remove(self, self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(old)))


def _remove(hook: CheckpointHook, path: str) -> bool:
    """Remove a checkpoint, if it is there; whether it was."""
    if not is_main_process():
        return False
    if hook.file_backend.isfile(path):
        hook.file_backend.remove(path)
    elif hook.file_backend.isdir(path):  # as DeepSpeed saves it
        hook.file_backend.rmtree(path)
    else:
        return False
    return True


_save_best_checkpoint = CheckpointHook._save_best_checkpoint


def save_best_checkpoint(self: CheckpointHook, runner: Runner, metrics: dict) -> None:
    """Save the best checkpoint of each metric, then remove those that were the best before."""
    if not self.save_best:
        return
    if len(self.key_indicators) == 1:
        names, paths = ['best_ckpt_path'], vars(self)
    else:
        names, paths = list(self.best_ckpt_path_dict), self.best_ckpt_path_dict
    before = {name: paths[name] for name in names}
    paths.update(dict.fromkeys(names))  # what mmengine does not know of it does not remove
    try:
        _save_best_checkpoint(self, runner, metrics)
    finally:
        paths.update({name: paths[name] or before[name] for name in names})
    kept = [os.path.basename(paths[name] or '') for name in names]
    for path in before.values():
        name = os.path.basename(path or '')
        if not name or name in kept:
            continue
        # In a copy of a folder, the path is still that of the run whose folder was copied.
        path = self.file_backend.join_path(self.out_dir, name)
        if _remove(self, path):
            runner.logger.info(f'The previous best checkpoint {path} is removed')


def apply() -> None:
    """Replace the functions at fault; those of another version are left."""
    if 'open(filepath' in inspect.getsource(LocalBackend.put):
        LocalBackend.put = put
        LocalBackend.put_text = put_text
    if 'imwrite' in inspect.getsource(LocalVisBackend.add_image):
        LocalVisBackend.add_image = force_init_env(add_image)
    if 'open(file' in inspect.getsource(Config.dump):
        Config.dump = dump_config
    if 'open(save_file' in inspect.getsource(CheckpointHook._save_checkpoint_with_step):
        CheckpointHook._save_checkpoint_with_step = save_checkpoint_with_step
    if 'backend.remove' in inspect.getsource(CheckpointHook._save_best_checkpoint):
        CheckpointHook._save_best_checkpoint = save_best_checkpoint
    # Each of them has the function under its own name.
    for module in (mmengine.runner, checkpoint, runner, _flexible_runner):
        module.find_latest_checkpoint = newest_checkpoint
