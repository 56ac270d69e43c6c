#!/usr/bin/env bash
# Start tools/test.py in several processes of this machine, one for each GPU (on a machine without a
# GPU: that many CPU processes).
#   bash tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [arguments of test.py]
# Several machines: set NNODES, NODE_RANK, MASTER_ADDR and PORT on each.
set -euo pipefail
config=$1 checkpoint=$2 processes=$3
shift 3

"${PYTHON:-python}" -m torch.distributed.run \
  --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
  --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
  --nproc_per_node="$processes" \
  "$(dirname "$0")/test.py" "$config" "$checkpoint" --launcher pytorch "$@"
