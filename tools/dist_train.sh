#!/usr/bin/env bash
# Start tools/train.py in several processes of this machine, one for each GPU (on a machine without a
# GPU: that many CPU processes).
#   bash tools/dist_train.sh CONFIG PROCESSES [arguments of train.py]
# Several machines: set NNODES, NODE_RANK, MASTER_ADDR and PORT on each.
set -euo pipefail
config=$1 processes=$2
shift 2

"${PYTHON:-python}" -m torch.distributed.run \
  --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
  --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
  --nproc_per_node="$processes" \
  "$(dirname "$0")/train.py" "$config" --launcher pytorch "$@"
