"""Measure how fast a pretraining config trains and loads, beside a plain reference.

The reference (nclr_mm.benchmark.reference) runs in the same process: its ratios hold on any
machine. Prints tables, and writes figures and a plot where a folder is given.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from mmengine.config import Config, DictAction
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from terminaltables import AsciiTable

import nclr_mm  # noqa: F401 (registers the components)
from nclr_mm.benchmark import (
    VARIANTS,
    HeadLoad,
    Reference,
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
from nclr_mm.engine.command_line import read_config, report_user_errors
from nclr_mm.visualization.growth import plot_growth
from nclr_mm.visualization.report import write_text

WHAT = ('step', 'reference', 'head', 'pnp', 'variants', 'kernels', 'trips', 'workers', 'processes')
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


def prepare(args: argparse.Namespace) -> Config:
    """The config; what is wrong with the arguments is found here."""
    if min(args.steps, args.batch_size, *args.workers, *args.processes) < 1 or args.warm_up < 0:
        raise ValueError(
            '--steps, --batch-size, --workers and --processes must be at least 1, --warm-up at '
            'least 0.'
        )
    if 'trips' in args.what and torch.device(args.device).type != 'cuda':
        raise ValueError(f'--what trips needs a GPU; --device is {args.device}.')
    cfg = read_config(args.config, args.cfg_options)
    if 'calib_head' not in cfg.get('model', {}):
        raise ValueError(f'{args.config} is no pretraining config: its model has no calib_head.')
    init_default_scope(cfg.default_scope)
    return cfg


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


def step_table(figures: Mapping, reference: Mapping | None) -> str:
    parts, total = figures['parts'], figures['step']
    rows = [['part', 'seconds', 'share']]
    rows += [[name, f'{s:.3f}', f'{100 * s / total:.1f} %'] for name, s in parts.items()]
    rows.append(['a step', f'{total:.2f}', ''])
    rows.append(['loading a sample', f'{figures["loading"]:.3f}', ''])
    rows.append(['peak memory', f'{figures["peak_bytes"] / 2**30:.2f} GiB', ''])
    table = AsciiTable(rows).table
    for name, official in OFFICIAL.items():
        table += f'\n{name}: {figures[name] / official:.2f} of the official release, measured once'
    if reference:
        costs = {k: v for k, v in reference.items() if k != 'loading'}
        table += f'\nstep: {total / sum(costs.values()):.2f} of the plain reference'
        if 'loading' in reference:
            share = figures['loading'] / reference['loading']
            table += f'\nloading: {share:.2f} of the plain reference'
    return table


def default_variants(device: str) -> list[str]:
    on_gpu = torch.device(device).type == 'cuda'
    return [name for name in VARIANTS if on_gpu or not name.startswith('fp16')]


def variant_figures(cfg: Config, args: argparse.Namespace) -> dict[str, dict]:
    """Throughput of each variant; printed as it is measured."""
    figures = {}
    for name in args.variants or default_variants(args.device):
        figures[name] = measure_throughput(
            with_options(cfg, VARIANTS[name]),
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
    rows = [['variant', 'samples/s', 'ratio', 'step', 'peak memory', 'mean loss', 'warm-up']]
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


def images_of(cfg: Config) -> list[str]:
    """Paths of the first training sample's images."""
    from mmdet3d.registry import DATASETS

    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    return [camera['img_path'] for camera in dataset.get_data_info(0)['images'].values()]


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    cfg = report_user_errors(lambda: prepare(args))
    # Of its information, how each weight was initialised is a thousand lines.
    MMLogger.get_current_instance().setLevel(logging.WARNING)
    figures: dict[str, dict] = {}
    print(
        f'{args.config}: batch {args.batch_size}, {args.device}, {torch.get_num_threads()} threads'
    )
    if 'step' in args.what:
        figures['step'] = report_user_errors(
            lambda: measure_steps(
                cfg, args.device, args.steps, args.warm_up, args.batch_size, args.pose_loss
            )
        )
    if 'reference' in args.what:
        images = report_user_errors(lambda: images_of(cfg))
        voxelnet = 'middle_encoder' in cfg.model
        figures['reference'] = reference_seconds(
            Reference(cameras=len(images)), images=images, voxelnet=voxelnet
        )
        rows = [['plain reference', 'seconds']]
        rows += [[name, f'{seconds:.3f}'] for name, seconds in figures['reference'].items()]
        print(AsciiTable(rows).table)
    if 'step' in figures:
        print(step_table(figures['step'], figures.get('reference')))
    if 'head' in args.what:
        figures['head'] = growth(cfg.model.calib_head, args.device)
        rows = [['head', 'exponent of seconds', 'exponent of bytes']]
        for name, series in figures['head'].items():
            rows.append([name, *(f'{curve["exponent"]:.2f}' for curve in series.values())])
        print(AsciiTable(rows).table)
    if 'pnp' in args.what:
        figures['pnp'] = measure_pnp()
        rows = [['EPnP', 'value'], *([k, f'{v:.4g}'] for k, v in figures['pnp'].items())]
        print(AsciiTable(rows).table)
    device, batch = args.device, args.batch_size
    if 'variants' in args.what:
        figures['variants'] = report_user_errors(lambda: variant_figures(cfg, args))
        print(variant_table(figures['variants']))
    if 'kernels' in args.what:
        figures['kernels'] = report_user_errors(
            lambda: top_kernels(cfg, device, batch, args.pose_loss)
        )
        print(kernel_table(figures['kernels']))
    if 'trips' in args.what:
        figures['trips'] = report_user_errors(
            lambda: host_trips(cfg, device, batch, args.pose_loss)
        )
        rows = [['the host waits at', 'times a step'], *figures['trips'].items()]
        print(AsciiTable(rows).table)
    if 'workers' in args.what:
        figures['workers'] = report_user_errors(lambda: loading_rate(cfg, args.workers))
        rows = [['workers', 'samples/s']]
        rows += [[number, f'{rate:.1f}'] for number, rate in figures['workers'].items()]
        print(AsciiTable(rows).table)
    if 'processes' in args.what:
        figures['processes'] = report_user_errors(
            lambda: process_rates(
                cfg, args.processes, args.steps, args.warm_up, batch, args.pose_loss
            )
        )
        print(process_table(figures['processes']))
    if args.out_dir is not None:
        args.out_dir.mkdir(parents=True, exist_ok=True)
        write_text(args.out_dir / 'benchmark.json', json.dumps(figures, indent=1))
        if 'head' in figures:
            plot_growth(figures['head'], args.out_dir / 'growth.png')
        print(args.out_dir / 'benchmark.json')
    return 0


if __name__ == '__main__':
    sys.exit(main())
