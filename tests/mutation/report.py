"""Tell which mutations no test noticed.

    python tests/mutation/report.py SESSION PERCENT

Ends with 1 where fewer than so many percent were noticed. A mutation is noticed by a test that
fails, or by tests that take too long; what ended in any other way, or was not tried, is not.
"""

import sys
from collections import Counter

from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkResult

#: the last line of ask.py, or all that cosmic-ray writes of one that it has stopped
ENDS = {
    'ended with 1': 'failed',
    'ended with 2': 'failed',  # to be imported, which without the mutation they did not
    'ended with late': 'late',
    'timeout': 'late',
}


def end_of(result: WorkResult) -> str:
    """How the tests of a mutation ended: 'survived', 'failed', 'late' or 'unclear'."""
    if result.test_outcome == TestOutcome.SURVIVED:
        return 'survived'
    if result.test_outcome != TestOutcome.KILLED:
        return 'unclear'
    return ENDS.get(((result.output or '').splitlines() or [''])[-1], 'unclear')


def main() -> None:
    ends, shown = Counter(), []
    with use_db(sys.argv[1], WorkDB.Mode.open) as database:
        ends['unclear'] += sum(1 for _ in database.pending_work_items)
        for job, result in database.completed_work_items:
            # Where an operator finds nothing to change there is no mutation.
            if result.worker_outcome in (WorkerOutcome.SKIPPED, WorkerOutcome.NO_TEST):
                continue
            end = end_of(result)
            ends[end] += 1
            if end in ('survived', 'unclear'):
                shown.append((job.mutations[0], end, result))
    for mutation, end, result in sorted(shown, key=lambda row: str(row[0].module_path)):
        print(f'{mutation.module_path}:{mutation.start_pos[0]}', end)
        lines = (result.diff or '').splitlines()
        changed = [line for line in lines if line[:1] in '+-' and line[1:2] != line[:1]]
        said = (result.output or '').splitlines()[-1:] if end == 'unclear' else []
        print('\n'.join(changed + said))
    noticed, number = ends['failed'] + ends['late'], ends.total()
    share = 100 * noticed / max(number, 1)
    print(
        f'{noticed} of {number} mutations were noticed, {share:.1f} %: a test failed on '
        f'{ends["failed"]}, {ends["late"]} took too long. {ends["survived"]} passed all tests; '
        f'{ends["unclear"]} ended in another way, and count as not noticed.'
    )
    sys.exit(share < float(sys.argv[2]))


if __name__ == '__main__':
    main()
