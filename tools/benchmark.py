"""Measure how fast a pretraining config trains and loads, beside a plain reference.

The reference (nclr_mm.benchmark.reference) runs on CPUs in the same process, with the official
settings on nuScenes: with these, ratios to it hold on any machine. Prints tables, and writes
figures and a plot where a folder is given.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from terminaltables import AsciiTable
from torch.utils.data import Dataset

import nclr_mm
from nclr_mm.benchmark import (
    VARIANTS,
    HeadLoad,
    Reference,
    build_dataset,
    build_training,
    growth_exponent,
    host_trips,
    loading_rate,
    measure_head,
    measure_pnp,
    measure_steps,
    measure_throughput,
    process_rates,
    reference_seconds,
    top_kernels,
    with_options,
)
from nclr_mm.engine.command_line import (
    DictAction,
    make_folder,
    read_config,
    report_unwritable,
    report_user_errors,
)
from nclr_mm.visualization.growth import plot_growth
from nclr_mm.visualization.report import write_text

WHAT = ('step', 'reference', 'head', 'pnp', 'variants', 'kernels', 'trips', 'workers', 'processes')
# What trains the whole model, and what needs data; the others make their own.
MODEL = {'step', 'variants', 'kernels', 'trips', 'processes'}
DATA = MODEL | {'reference', 'workers'}
# A step of the official release's VoxelNet branch and what loading its sample took, measured once
# on two cores of a server: seconds, bytes, seconds (docs/performance.md).
OFFICIAL = dict(step=11.5, peak_bytes=5.5e9, loading=0.116)
# What grows in the head, and from where.
BASE = HeadLoad()
GROWTH = {
    'cameras': [dict(cameras=n) for n in (1, 2, 4, 6, 12)],
    'batch': [dict(batch=n, cameras=2) for n in (1, 2, 4, 8)],
    'voxels': [dict(cameras=1, voxels=n * 1024) for n in (1, 2, 4, 8, 16, 32, 64)],
    'pixels': [
        dict(cameras=1, map_size=size) for size in ((56, 104), (112, 104), (112, 208), (224, 416))
    ],
}
SIZES = {
    'cameras': lambda load: load.cameras,
    'batch': lambda load: load.batch,
    'voxels': lambda load: load.voxels,
    'pixels': lambda load: load.map_size[0] * load.map_size[1],
    'voxels + pixels': lambda load: load.voxels + load.map_size[0] * load.map_size[1],
}
# Its memory is to be linear in both together, its time in each: attention reads all pairs.
MEMORY_OF = dict(voxels='voxels + pixels', pixels='voxels + pixels')


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='pretraining config; a Python program, which runs')
    parser.add_argument(
        '--what',
        nargs='+',
        choices=WHAT,
        default=['step', 'reference'],
        help='step: training steps and loading; reference: the plain reference; head: growth with '
        'cameras, batch, voxels and pixels; pnp: batched EPnP against OpenCV; variants: precision, '
        'memory format, optimiser and compilation, each alone and together; kernels: the ten '
        'costliest of a step; trips: where a GPU is waited for; workers: samples a second that '
        'loader workers bring; processes: samples a second that processes of one thread each '
        'train on CPUs; default: step reference',
    )
    parser.add_argument('-n', '--steps', type=int, default=5, help='that are timed')
    parser.add_argument('--warm-up', type=int, default=2, help='steps before them')
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument(
        '--variants',
        nargs='+',
        choices=VARIANTS,
        help='default: all; without a GPU those of fp16 are left out',
    )
    parser.add_argument(
        '--workers', nargs='+', type=int, default=[1], metavar='N', help='numbers of loader workers'
    )
    parser.add_argument(
        '--processes',
        nargs='+',
        type=int,
        default=[1, 2],
        metavar='N',
        help='numbers of training processes; default: 1 2',
    )
    parser.add_argument('--pose-loss', action='store_true', help='with the pose loss on')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('-o', '--out-dir', type=Path, help='for benchmark.json and growth.png')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, help='override settings of the config'
    )
    return parser.parse_args(argv)


def prepare(args: argparse.Namespace) -> tuple[Config, Dataset | None]:
    """Config, and training data where needed; what is wrong with either is found here."""
    if min(args.steps, args.batch_size, *args.workers, *args.processes) < 1 or args.warm_up < 0:
        raise ValueError(
            '--steps, --batch-size, --workers and --processes must be at least 1, --warm-up at '
            'least 0.'
        )
    check_device(args.device)
    if 'trips' in args.what and torch.device(args.device).type != 'cuda':
        raise ValueError(f'--what trips needs a GPU; --device is {args.device}.')
    cfg = read_config(args.config, args.cfg_options)
    if 'calib_head' not in cfg.get('model', {}):
        raise ValueError(f'{args.config} is no pretraining config: its model has no calib_head.')
    if args.out_dir is not None:
        make_folder(args.out_dir)
    init_default_scope(cfg.get('default_scope', 'mmdet3d'))
    if not DATA.intersection(args.what):
        return cfg, None
    dataset = build_dataset(cfg)
    dataset[0]
    if MODEL.intersection(args.what):  # without its weights, say, it cannot be built
        build_training(cfg, torch.device(args.device), args.pose_loss)
    return cfg, dataset


def check_device(name: str) -> None:
    """Raise ValueError where there is no such device."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f'--device {name} is none: {error}.') from error
    if device.type == 'cuda' and not torch.cuda.is_available():
        raise ValueError(f'--device {name}: PyTorch finds no GPU.')


def growth(head: Mapping, device: str) -> dict[str, dict]:
    """Seconds and bytes of the head for each row of ``GROWTH``, with their exponents."""
    result = {}
    for name, rows in GROWTH.items():
        loads = [HeadLoad(**{**vars(BASE), **row}) for row in rows]
        costs = []
        for load in loads:
            costs.append(measure_head(head, load, device))
            print(f'{name}: {load}: {costs[-1]["seconds"]:.2f} s', flush=True)
        result[name] = {
            cost: _curve(work, loads, [found[cost] for found in costs])
            for cost, work in (('seconds', name), ('bytes', MEMORY_OF.get(name, name)))
        }
    return result


def _curve(work: str, loads: Sequence[HeadLoad], values: Sequence[float]) -> dict:
    sizes = [SIZES[work](load) for load in loads]
    return dict(work=work, sizes=sizes, values=values, exponent=growth_exponent(sizes, values))


def step_table(figures: Mapping, unlike: str | None, reference: Mapping | None) -> str:
    """Parts of a step, beside the reference where its work is the same.

    Args:
        figures: of the step.
        unlike: what is not as in the official release, if anything.
        reference: seconds of the plain reference, if it was measured.
    """
    parts, total = figures['parts'], figures['step']
    rows = [['part', 'seconds', 'share']]
    rows += [[name, f'{s:.3f}', f'{100 * s / total:.1f} %'] for name, s in parts.items()]
    rows.append(['a step', f'{total:.2f}', ''])
    rows.append(['loading a sample', f'{figures["loading"]:.3f}', ''])
    rows.append(['peak memory', f'{figures["peak_bytes"] / 2**30:.2f} GiB', ''])
    table = AsciiTable(rows).table
    if unlike:
        return f'{table}\nnot compared with the reference or the official release: {unlike}'
    for name, official in OFFICIAL.items():
        table += f'\n{name}: {figures[name] / official:.2f} of the official release, measured once'
    if reference:
        costs = {k: v for k, v in reference.items() if k != 'loading'}
        table += f'\nstep: {total / sum(costs.values()):.2f} of the plain reference'
        if 'loading' in reference:
            share = figures['loading'] / reference['loading']
            table += f'\nloading: {share:.2f} of the plain reference'
    return table


def unlike_official(cfg: Config, sample: Mapping, args: argparse.Namespace) -> str | None:
    """What of the work is not that of the official release, whose step the reference is like."""
    network, head = cfg.model.img_backbone, cfg.model.calib_head
    images = tuple(sample['inputs']['img'].shape)
    differences = {
        'the device is no CPU': torch.device(args.device).type != 'cpu',
        f'the batch is {args.batch_size}, not 1': args.batch_size != 1,
        'without --pose-loss': not args.pose_loss,
        'the images are not six of 224x416': images != (6, 3, 224, 416),
        'the image network is no ResNet-50': network.get('depth') != 50,
        'the head does not draw 4096 voxels': head.get('num_voxels') != 4096,
        'the BEV network is not that of SECOND': 'middle_encoder' in cfg.model
        and cfg.model.backbone.get('out_channels') != [128, 256],
    }
    return ', '.join(name for name, differs in differences.items() if differs) or None


def default_variants(device: str) -> list[str]:
    on_gpu = torch.device(device).type == 'cuda'
    return [name for name in VARIANTS if on_gpu or not name.startswith('fp16')]


def variant_figures(cfg: Config, dataset: Dataset, args: argparse.Namespace) -> dict[str, dict]:
    """Throughput of each variant; printed as it is measured."""
    figures = {}
    for name in args.variants or default_variants(args.device):
        figures[name] = measure_throughput(
            with_options(cfg, VARIANTS[name]),
            dataset,
            args.device,
            args.steps,
            args.warm_up,
            args.batch_size,
            args.pose_loss,
        )
        print(f'{name}: {figures[name]["samples_per_second"]:.2f} samples a second', flush=True)
    return figures


def variant_table(figures: Mapping[str, Mapping]) -> str:
    first = next(iter(figures.values()))['samples_per_second']
    # On CPUs it is the process's, which never falls from one variant to the next.
    rows = [['variant', 'samples/s', 'ratio', 'step', 'peak so far', 'mean loss', 'warm-up']]
    for name, row in figures.items():
        rows.append(
            [
                name,
                f'{row["samples_per_second"]:.2f}',
                f'{row["samples_per_second"] / first:.2f}',
                f'{row["seconds"]:.3f} s',
                f'{row["peak_bytes"] / 2**30:.2f} GiB',
                f'{sum(row["losses"]) / len(row["losses"]):.4f}',
                f'{row["warm_up_seconds"]:.0f} s',
            ]
        )
    return AsciiTable(rows).table


def kernel_table(figures: Mapping) -> str:
    total = figures['kernel_seconds']
    rows = [['kernel', 'calls', 'ms', 'share']]
    for row in figures['kernels']:
        share = f'{100 * row["seconds"] / total:.1f} %'
        rows.append([row['name'][:80], row['calls'], f'{1000 * row["seconds"]:.1f}', share])
    table = AsciiTable(rows).table
    step = figures['seconds']
    return f'{table}\nall kernels: {total:.3f} s; the step under the profiler: {step:.3f} s'


def process_table(rates: Mapping[int, float]) -> str:
    first = next(iter(rates.values()))
    rows = [['processes', 'samples/s', 'ratio']]
    rows += [[number, f'{rate:.2f}', f'{rate / first:.2f}'] for number, rate in rates.items()]
    return AsciiTable(rows).table


def plain_seconds(cfg: Config, dataset: Dataset) -> dict[str, float]:
    """Seconds of the plain reference, for the images of the first sample."""
    images = [camera['img_path'] for camera in dataset.get_data_info(0)['images'].values()]
    return reference_seconds(
        Reference(cameras=len(images)), images=images, voxelnet='middle_encoder' in cfg.model
    )


def reference_table(seconds: Mapping[str, float]) -> str:
    rows = [['plain reference', 'seconds'], *([k, f'{v:.3f}'] for k, v in seconds.items())]
    return AsciiTable(rows).table


def growth_table(figures: Mapping[str, Mapping]) -> str:
    rows = [['head', 'exponent of seconds', 'exponent of bytes']]
    for name, series in figures.items():
        rows.append([name, *(f'{curve["exponent"]:.2f}' for curve in series.values())])
    return AsciiTable(rows).table


def worker_table(rates: Mapping[int, float]) -> str:
    rows = [['workers', 'samples/s'], *([n, f'{rate:.1f}'] for n, rate in rates.items())]
    return AsciiTable(rows).table


def measurements(
    cfg: Config, dataset: Dataset | None, args: argparse.Namespace
) -> dict[str, tuple[Callable[[], dict], Callable[[dict], str]]]:
    """How each of ``WHAT`` is measured, and how its figures are shown."""
    common = args.device, args.batch_size, args.pose_loss
    steps = args.steps, args.warm_up, args.batch_size, args.pose_loss
    return {
        'step': (lambda: measure_steps(cfg, dataset, args.device, *steps), lambda f: ''),
        'reference': (lambda: plain_seconds(cfg, dataset), reference_table),
        'head': (lambda: growth(cfg.model.calib_head, args.device), growth_table),
        'pnp': (
            measure_pnp,
            lambda f: AsciiTable([['EPnP', ''], *([k, f'{v:.4g}'] for k, v in f.items())]).table,
        ),
        'variants': (lambda: variant_figures(cfg, dataset, args), variant_table),
        'kernels': (lambda: top_kernels(cfg, dataset, *common), kernel_table),
        'trips': (
            lambda: host_trips(cfg, dataset, *common),
            lambda f: AsciiTable([['the host waits at', 'times a step'], *f.items()]).table,
        ),
        'workers': (lambda: loading_rate(dataset, args.workers), worker_table),
        'processes': (lambda: process_rates(cfg, args.processes, *steps), process_table),
    }


def settings(args: argparse.Namespace) -> dict:
    """What the figures depend on."""
    names = ('config', 'cfg_options', 'batch_size', 'pose_loss', 'steps', 'warm_up', 'device')
    device = torch.device(args.device)
    return dict(
        {name: getattr(args, name) for name in names},
        device_name=torch.cuda.get_device_name(device) if device.type == 'cuda' else 'CPU',
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        nclr_mm=nclr_mm.__version__,
    )


@report_unwritable
def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    # Of its information, how each weight was initialised is a thousand lines.
    MMLogger.get_current_instance().setLevel(logging.WARNING)
    cfg, dataset = report_user_errors(lambda: prepare(args))
    print(
        f'{args.config}: batch {args.batch_size}, {args.device}, {torch.get_num_threads()} threads'
    )
    figures: dict[str, dict] = dict(settings=settings(args))
    for name, (measure, table) in measurements(cfg, dataset, args).items():
        if name not in args.what:
            continue
        figures[name] = measure()
        print(table(figures[name]), flush=True)
        if args.out_dir is not None:
            write_text(args.out_dir / 'benchmark.json', json.dumps(figures, indent=1))
    if 'step' in figures:
        unlike = unlike_official(cfg, dataset[0], args)
        print(step_table(figures['step'], unlike, figures.get('reference')))
    if args.out_dir is not None:
        if 'head' in figures:
            plot_growth(figures['head'], args.out_dir / 'growth.png')
        print(args.out_dir / 'benchmark.json')
    return 0


if __name__ == '__main__':
    sys.exit(main())
