"""Leave out the mutations of annotations, which nothing evaluates, and draw some of the rest.

    python tests/mutation/choose.py SESSION NUMBER

The draw is the same each time (seed 0). Of all mutations of a module with many operators, few would
tell more than a draw does.
"""

import ast
import functools
import random
import sys
from pathlib import Path

from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import WorkerOutcome, WorkResult


@functools.cache
def annotations(path: str) -> list[tuple]:
    """First and last places (line, column) of all annotations of a file."""
    places = []
    for node in ast.walk(ast.parse(Path(path).read_text())):
        found = [getattr(node, 'annotation', None), getattr(node, 'returns', None)]
        for part in found:
            if isinstance(part, ast.AST):
                first = part.lineno, part.col_offset
                places.append((first, (part.end_lineno, part.end_col_offset)))
    return places


def main() -> None:
    with use_db(sys.argv[1], WorkDB.Mode.open) as database:
        tried, skipped = [], []
        for item in database.pending_work_items:
            (mutation,) = item.mutations
            start = tuple(mutation.start_pos)
            spans = annotations(str(mutation.module_path))
            within = any(first <= start < last for first, last in spans)
            (skipped if within else tried).append(item)

        def name(item) -> str:
            (mutation,) = item.mutations
            parts = mutation.module_path, mutation.operator_name, mutation.occurrence
            return ' '.join(map(str, (*parts, mutation.operator_args)))

        tried.sort(key=name)
        random.Random(0).shuffle(tried)
        for item in [*skipped, *tried[int(sys.argv[2]) :]]:
            database.set_result(item.job_id, WorkResult(WorkerOutcome.SKIPPED))


if __name__ == '__main__':
    main()
