"""The commands of the README and of docs/ are run as they are written, page by page, on small data.

A folder holds copies of tools and configs and four simulated data sets. The configs are cut to one
iteration or epoch; of the commands themselves only what ``REWRITTEN`` says is changed.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet3d.registry import MODELS
from mmengine.config import Config

from nclr_mm.apis import init_model
from nclr_mm.datasets import NuScenesSegmentationDataset
from nclr_mm.simulation.generate import generate
from tests.apis.seeing_model import CAM2IMG, image, scan
from tests.doc_blocks import REPO, blocks

pytestmark = pytest.mark.slow

PRETRAINING = 'configs/nclr/nclr_minkunet-small_spconv_lite0_1xb1-8000i_sim-streets.py'
SEGMENTATION = 'configs/semseg/minkunet-small_spconv_1xb2-1000i_sim-streets.py'
OFFICIAL = 'nclr_minkunet34_w32_spconv_r50-dino_1xb10-50e_nus'
LAYOUTS = ('nuscenes', 'kitti', 'semantickitti', 'semanticposs')

# Shorter, or smaller; and what the page leaves to its reader.
REWRITTEN = [
    (r'create_data\.py simulation ', 'create_data.py simulation --overwrite '),
    (r'--frames \d+', '--frames 4'),
    (r'--scenes 12', '--scenes 2'),
    (r'--sample 7', '--sample 1'),
    (r'00:0-29', '00:0-0'),
    (r'00:34-39', '00:1-1'),
    (r'00:0-39', '00:0-1'),
    (r'00:0-23', '00:0-0'),
    (r'00:24-29', '00:1-1'),
    (r'01:0-5', '01:0-1'),
    (r'v1\.0-trainval', 'v1.0-mini'),
    (r'iter_\d+\.pth', 'iter_1.pth'),
    (r'epoch_\d+\.pth', 'epoch_1.pth'),
    (r'--fractions [\d. ]+', '--fractions 1 '),
    (r'--seeds [\d ]+', ''),
    (r'tools/compare\.py (\S+)', r'tools/compare.py \1 --seeds 0'),
    (r'NAME', Path(PRETRAINING).stem),
    (r'\.py 8\b', '.py 1'),  # processes
    (r'=FILE', '=resnet50.pth'),
    # An untrained network finds no pose, and says so.
    (r'(.*tools/(check_)?calibrat(e|ion)\.py .*)', r'\1 || [ $? -eq 4 ]'),
    (r'--max-frames 20', '--max-frames 2'),
    (r'--frames-per-scene 20', '--frames-per-scene 2'),
    (r'(tools/evaluate_rig\.py .*? -o \S+)', r'\1 --numbers 1 --looks 1'),
    (r'--index 0 7', '--index 0'),
    (r' (-n|--steps|--warm-up|--batch-size) \d+', ''),
    (r'(tools/benchmark\.py \S+)', r'\1 --steps 1 --warm-up 0'),
    # The growth of the head takes half an hour; tests/benchmark runs it with small sizes.
    (r'--what head ', '--what '),
    # bfloat16 takes minutes a step on most CPUs, and waits are counted on a GPU.
    (r'--what variants', '--variants float32 --what variants'),
    *([] if torch.cuda.is_available() else [(r' trips\b', '')]),
    (r'(max_iters|val_interval)=[25]00', r'\1=1'),
    (r'00003\[4-9\]', '00000[01]'),
]
# Where another test runs them.
ELSEWHERE = {
    r'make .*|source .*|\.venv/.*|.*slurm_train.*': 'tests/test_doc_commands.py',
    r'.* official-to-mmdet3d .*': 'tests/checkpoint/test_convert.py',
    r'python tools/test\.py CONFIG CHECKPOINT --tta': 'tests/tools/test_finetuning.py',
    r'.*submission\.form.*': 'tests/tools/test_finetuning.py',
    r'python -m nclr_mm train mine\.py': 'tests/test_installed.py',
    r'.*configs/nclr/my_rig\.py.*': 'tests/datasets/test_data_docs.py',
    r'python tools/(rebuild|quickstart)\.py.*': 'tests/tools/test_zoo.py',
}
PAGES = {
    'README.md': dict(CONFIG=PRETRAINING, CHECKPOINT='nclr.pth'),
    'docs/calibration.md': dict(CONFIG=PRETRAINING, CHECKPOINT='nclr.pth'),
    'docs/configs.md': dict(CONFIG=f'configs/nclr/{OFFICIAL}.py'),
    'docs/data.md': dict(CONFIG=PRETRAINING),
    'docs/detection.md': {},
    'docs/get_started.md': dict(CONFIG=PRETRAINING, CHECKPOINT='nclr.pth'),
    'docs/model_zoo.md': {},
    'docs/performance.md': dict(CONFIG=f'configs/nclr/{OFFICIAL}.py'),
    'docs/results.md': {},
    'docs/segmentation.md': dict(CONFIG=SEGMENTATION, CHECKPOINT='segmentation.pth'),
    'docs/simulation.md': {},
}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """The folder in which a reader would be."""
    out = tmp_path_factory.mktemp('walk')
    shutil.copytree(REPO / 'tools', out / 'tools')
    shutil.copytree(REPO / 'configs/_base_', out / 'configs/_base_')
    shutil.copytree(REPO / 'configs/nclr/weights', out / 'configs/nclr/weights')
    (out / 'docs/images').mkdir(parents=True)
    text = ''.join(filled(block.text, page) for page in PAGES for block in blocks(page))
    for leaf in sorted(set(re.findall(r'configs/[a-z0-9]+/[\w-]+\.py', text))):
        if not (REPO / leaf).is_file():
            continue  # the reader writes it
        (out / leaf).parent.mkdir(exist_ok=True)
        short(Config.fromfile(REPO / leaf)).dump(out / leaf)
    for layout in LAYOUTS:
        root = generate(out / 'data', 4, 5, layout, scenes=2, workers=2, progress=False)
        if layout == 'nuscenes':
            name_as_official(root)
        run(out, f'python tools/create_data.py {layout} --root-path {root}')
    for layout in ('kitti', 'semantickitti'):
        shutil.copytree(out / f'data/{layout}', out / f'data/streets/{layout}')
    torch.manual_seed(7)
    for name, config in dict(nclr=PRETRAINING, segmentation=SEGMENTATION).items():
        torch.save(dict(state_dict=init_model(REPO / config).state_dict()), out / f'{name}.pth')
    for name in (OFFICIAL, Path(PRETRAINING).stem):
        model = MODELS.build(Config.fromfile(out / f'configs/nclr/{name}.py').model)
        (out / f'work_dirs/{name}').mkdir(parents=True)
        for ending in ('epoch_1', 'iter_1'):
            torch.save(dict(state_dict=model.state_dict()), out / f'work_dirs/{name}/{ending}.pth')
        if name == OFFICIAL:
            torch.save(model.img_backbone.state_dict(), out / 'resnet50.pth')
    reader_files(out)
    return out


def name_as_official(root: Path) -> None:
    """Give the scenes names of the official splits, which nuScenes' own metric looks up."""
    splits = root / 'splits.json'
    validation = json.loads(splits.read_text())['val']
    table = root / 'v1.0-mini/scene.json'
    scenes = json.loads(table.read_text())
    for scene in scenes:
        scene['name'] = 'scene-0103' if scene['name'] in validation else 'scene-0061'
    table.write_text(json.dumps(scenes))
    splits.unlink()


def short(cfg: Config) -> Config:
    """The config with one iteration or epoch of single samples."""
    by_epoch = cfg.train_cfg.get('by_epoch', False)
    cfg.train_cfg.update({'max_epochs' if by_epoch else 'max_iters': 1}, val_interval=1)
    hooks = cfg.setdefault('default_hooks', {})
    for name in ('logger', 'checkpoint'):
        hooks.setdefault(name, {})['interval'] = 1
    for part in ('train', 'val', 'test'):
        loader = cfg.get(f'{part}_dataloader')
        if loader is None:
            continue
        loader.update(num_workers=0, persistent_workers=False, batch_size=1)
        dataset = loader.dataset
        while True:
            dataset.update({k: 1 for k in ('times', 'repeats') if k in dataset})
            if 'fraction' in dataset:
                dataset.fraction = 1.0
            if 'dataset' not in dataset:
                break
            dataset = dataset.dataset
        for long, name in dict(pretrain600='train', verify100='val').items():
            if 'ann_file' in dataset:
                dataset.ann_file = dataset.ann_file.replace(long, name)
        if dataset.type == 'NuScenesDetectionDataset':  # which its metric looks the tables up by
            dataset.metainfo = dict(dataset.get('metainfo') or {}, version='v1.0-mini')
        if dataset.type == 'NuScenesSegmentationDataset':
            dataset.data_prefix = {
                key: prefix.replace('v1.0-trainval', 'v1.0-mini')
                for key, prefix in NuScenesSegmentationDataset.DATA_PREFIX.items()
            }
    image_branch = cfg.model.get('img_backbone', {})
    if 'dino' in str(image_branch.get('init_cfg', '')):
        image_branch.init_cfg.checkpoint = 'resnet50.pth'
    return cfg


def reader_files(out: Path) -> None:
    """A scan, images and intrinsics of the reader's own, and two runs."""
    for name in ('RUN', 'OTHER'):
        log = out / f'work_dirs/{name}/20260101_000000/vis_data/scalars.json'
        log.parent.mkdir(parents=True)
        log.write_text(
            ''.join(json.dumps(dict(loss=3.0 - i, iter=i, step=i)) + '\n' for i in (1, 2))
        )
        shutil.copyfile(out / 'nclr.pth', out / f'work_dirs/{name}/iter_1.pth')
    for name in ('scan', 'scan0', 'scan1', 'scan2'):
        scan(0).astype(np.float32).tofile(out / f'{name}.bin')
    for name in ('camera', *(f'{side}{i}' for side in ('front', 'left') for i in range(3))):
        cv2.imwrite(str(out / f'{name}.png'), image(0))
    shutil.copyfile(out / 'front0.png', out / 'front.png')


def rig_files(out: Path, cameras: Sequence[str]) -> None:
    """Intrinsics and poses of the cameras that a page speaks of."""
    for name, matrix in (('K', CAM2IMG), ('T', np.eye(4))):
        (out / f'{name}.json').write_text(json.dumps(dict.fromkeys(cameras, matrix.tolist())))
    known = dict(cam2img=CAM2IMG.tolist(), rig2cam=np.eye(4).tolist())
    (out / 'rig.json').write_text(json.dumps(dict(cameras=dict.fromkeys(cameras, known))))
    for name in ('points', *cameras):
        (out / 'drive' / name).mkdir(parents=True, exist_ok=True)
        source = 'scan0.bin' if name == 'points' else 'front0.png'
        shutil.copyfile(out / source, out / 'drive' / name / f'0{Path(source).suffix}')


def run(folder: Path, script: str) -> None:
    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    done = subprocess.run(
        ['bash', '-euxo', 'pipefail', '-c', script],
        cwd=folder,
        env={**os.environ, 'PATH': path, 'PORT': '29731'},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f'{script}\n{done.stdout[-1500:]}\n{done.stderr[-4000:]}'


@pytest.mark.parametrize('page', PAGES)
def test_page(page, folder):
    for other in folder.glob('work_dirs/compare-*'):  # runs of another page's command
        shutil.rmtree(other)
    rig_files(folder, ['front', 'left'] if page == 'docs/calibration.md' else ['front'])
    script = []
    for block in blocks(page):
        if block.language == 'bash':
            script += block.commands
        elif page == 'docs/calibration.md' and block.language == 'python':
            example = f'example{len(script)}.py'
            (folder / example).write_text(filled(block.text, page))
            script.append(f'python {example}')
    kept = [c for c in script if not any(re.fullmatch(other, c) for other in ELSEWHERE)]
    assert kept
    run(folder, '\n'.join(filled(command, page) for command in kept))


def filled(command: str, page: str) -> str:
    for name, value in PAGES[page].items():
        command = re.sub(rf'\b{name}\b', value, command)
    for pattern, new in REWRITTEN:
        command = re.sub(pattern, new, command)
    return command


def test_what_is_run_elsewhere_is_there():
    for test in ELSEWHERE.values():
        assert (REPO / test).is_file()
