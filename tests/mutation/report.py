"""Tell which mutations no test noticed.

    python tests/mutation/report.py SESSION PERCENT

Ends with 1 where fewer than so many percent were noticed.
"""

import sys

from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome


def main() -> None:
    noticed, survived = 0, []
    with use_db(sys.argv[1], WorkDB.Mode.open) as database:
        for job, result in database.completed_work_items:
            if result.test_outcome == TestOutcome.SURVIVED:
                survived.append((job.mutations[0], result.diff))
            elif result.test_outcome is not None:
                noticed += 1
    for mutation, diff in sorted(survived, key=lambda pair: str(pair[0].module_path)):
        print(f'{mutation.module_path}:{mutation.start_pos[0]}')
        print(
            '\n'.join(
                line for line in diff.splitlines() if line[:1] in '+-' and line[1:2] != line[:1]
            )
        )
    number = noticed + len(survived)
    share = 100 * noticed / max(number, 1)
    print(f'{noticed} of {number} mutations were noticed, {share:.1f} %.')
    sys.exit(share < float(sys.argv[2]))


if __name__ == '__main__':
    main()
