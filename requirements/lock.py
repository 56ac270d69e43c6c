"""Write the hashes of everything that `make install` takes from a package index.

    make lock

Asks pip which files it would install for this interpreter and machine, and writes their versions
and SHA-256 hashes to requirements/lock-cpXY.txt, mmcv's, which is built last, to lock-mmcv.txt.
`make install LOCKED=1` then takes these files and no others.
"""

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
FILES = 'build', 'runtime', 'dev', 'docs'
HEAD = '# Written by `make lock`; for CPython {}.{} on Linux x86_64, without a GPU.\n'


def chosen(*requirements: str) -> list[str]:
    """Lines `name==version --hash=...` of what pip would install, sorted by name."""
    done = subprocess.run(
        [sys.executable, '-m', 'pip', 'install', '--dry-run', '--ignore-installed', '--no-deps']
        + ['--no-build-isolation', '--quiet', '--report', '-', *requirements],
        stdout=subprocess.PIPE,
        check=True,
    )
    lines = []
    for item in json.loads(done.stdout)['install']:
        digest = item['download_info']['archive_info']['hashes']['sha256']
        name, version = item['metadata']['name'], item['metadata']['version']
        lines.append(f'{name}=={version} --hash=sha256:{digest}\n')
    return sorted(lines, key=str.lower)


def main() -> None:
    mmcv, *others = sys.argv[1:]
    files = [word for name in FILES for word in ('-r', str(HERE / f'{name}.txt'))]
    head = HEAD.format(*sys.version_info)
    tag = f'cp{sys.version_info[0]}{sys.version_info[1]}'
    (HERE / f'lock-{tag}.txt').write_text(head + ''.join(chosen(*files, *others)))
    source = chosen('--no-binary', 'mmcv', mmcv)
    (HERE / 'lock-mmcv.txt').write_text('# Written by `make lock`.\n' + ''.join(source))


if __name__ == '__main__':
    main()
