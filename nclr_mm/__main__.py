"""The tools, wherever the package is installed: ``python -m nclr_mm TOOL ARGUMENTS``."""

import runpy
import sys
from pathlib import Path

TOOLS = Path(__file__).parent / '.mim/tools'


def main() -> None:
    """Run the tool that is named first, with the other arguments."""
    names = sorted(path.stem for path in TOOLS.glob('*.py'))
    if len(sys.argv) < 2 or sys.argv[1] not in names:
        given = f'there is no tool {sys.argv[1]!r}' if len(sys.argv) > 1 else 'no tool was named'
        print(
            f'usage: python -m nclr_mm TOOL [ARGUMENTS]\n{given}; there are: {", ".join(names)}',
            file=sys.stderr,
        )
        sys.exit(0 if sys.argv[1:] in (['-h'], ['--help']) else 2)
    path = TOOLS / f'{sys.argv[1]}.py'
    sys.argv = [str(path), *sys.argv[2:]]
    runpy.run_path(str(path), run_name='__main__')


if __name__ == '__main__':
    main()
