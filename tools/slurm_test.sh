#!/usr/bin/env bash
# Start tools/test.py on a slurm cluster.
#   [GPUS=8] [GPUS_PER_NODE=8] [CPUS_PER_TASK=5] [SRUN_ARGS=...] \
#     bash tools/slurm_test.sh PARTITION JOB CONFIG CHECKPOINT [arguments of test.py]
set -euo pipefail
partition=$1 job=$2 config=$3 checkpoint=$4
shift 4
gpus_per_node=${GPUS_PER_NODE:-8}

# SRUN_ARGS is meant to be split into words.
# shellcheck disable=SC2086
srun -p "$partition" --job-name="$job" \
  --gres="gpu:$gpus_per_node" --ntasks="${GPUS:-8}" --ntasks-per-node="$gpus_per_node" \
  --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
  "${PYTHON:-python}" -u "$(dirname "$0")/test.py" "$config" "$checkpoint" \
  --launcher=slurm "$@"
