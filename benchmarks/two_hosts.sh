#!/bin/sh
# A Ray cluster of two hosts, whose second loses its network in the middle of a run and gets it back: is everything
# scored once, and is the folder that of a local run? Two network namespaces are the hosts, joined by a cable of their own.
#
#     sudo benchmarks/two_hosts.sh            # 200 examples; a cut of 10 seconds, one of 90, and one for the whole run
#
# Linux, root, iproute2 and the extra `ray`. PYTHON names the interpreter. Nothing of it can be reached from outside, and
# nothing is left: namespaces, processes and folders are removed at the end.
set -eu
examples=${EXAMPLES:-200}
cuts=${CUTS:-"10 90 never"}
python=${PYTHON:-python3}
methods="--method gradient-norm --method input-x-gradient --method attention-rollout"
head=heat-head-$$ worker=heat-worker-$$
head_ip=10.231.77.1 worker_ip=10.231.77.2
root=$(cd "$(dirname "$0")/.." && pwd)
folder=$(mktemp -d /tmp/hosts.XXXXXX)
export OMP_NUM_THREADS=1 RAY_USAGE_STATS_ENABLED=0 RAY_worker_niceness=0 PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"

# Hosts of a cluster share a secret: Ray asks for one where its owner has ever made one.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
RAY_AUTH_TOKEN=$("$python" -c 'import secrets; print(secrets.token_hex(32))')

clean() {
  status=$?
  for host in $worker $head; do
    for pid in $(ip netns pids $host 2>/dev/null); do kill -9 "$pid" 2>/dev/null || true; done
    ip netns del $host 2>/dev/null || true
  done
  [ -n "${KEEP:-}" ] || rm -rf "$folder"
  exit $status
}
trap clean EXIT INT TERM

on() {  # a command on a host; each host has a /tmp/ray of its own, as two machines have
  host=$1; shift
  ip netns exec "$host" sh -c 'mount --bind "$0" /tmp/ray && exec "$@"' "$folder/$host" "$@"
}
evaluate() { "$python" -m evaluate alignment --benchmark bench $methods --quiet "$@" >/dev/null; }
count() { ls "$folder/$1/attributions" 2>/dev/null | wc -l; }

mkdir -p /tmp/ray "$folder/$head" "$folder/$worker"
cd "$folder"
"$python" -m annotate build-dataset --size "$examples" --out bench --quiet >/dev/null
"$python" -m annotate label --benchmark bench --quiet >/dev/null
evaluate --out local
total=$(count local)
echo "local: $total attributions"

ip netns add $head
ip netns add $worker
ip link add eth0 netns $head type veth peer name eth0 netns $worker
ip -n $head addr add $head_ip/24 dev eth0
ip -n $worker addr add $worker_ip/24 dev eth0
for host in $head $worker; do
  ip -n $host link set lo up
  ip -n $host link set eth0 up
done
ray="$python -m ray.scripts.scripts start --num-cpus 1 --object-store-memory 200000000 --disable-usage-stats --block"
on $head $ray --head --node-ip-address $head_ip --port 6379 --include-dashboard false >head.log 2>&1 &
# A host that Ray gave up leaves the cluster; whatever supervises the machine starts it anew.
while :; do on $worker $ray --address $head_ip:6379 --node-ip-address $worker_ip >>worker.log 2>&1 || sleep 2; done &
supervisor=$!
nodes() {
  on $head "$python" -c "import ray; ray.init('$head_ip:6379', logging_level='ERROR', log_to_driver=False); \
print(sum(node['Alive'] for node in ray.nodes()))" 2>/dev/null || echo 0
}
until [ "$(nodes)" = 2 ]; do sleep 1; done

for seconds in $cuts; do
  out=cut-$seconds
  until [ "$(nodes)" = 2 ]; do sleep 1; done
  on $head "$python" -m evaluate alignment --benchmark bench $methods --quiet --out "$out" \
    --engine ray --address $head_ip:6379 --num-workers 2 >"$out.table" &
  run=$!
  while [ "$(count "$out")" -lt $((total / 3)) ]; do kill -0 $run; sleep 0.2; done
  ip -n $worker link set eth0 down
  echo "cut at $(count "$out") attributions"
  code=0
  if [ "$seconds" = never ]; then
    wait $run || code=$?
    echo "ended without the second host"
    ip -n $worker link set eth0 up
  else
    sleep "$seconds"
    ip -n $worker link set eth0 up
    echo "restored after $seconds s at $(count "$out") attributions"
    wait $run || code=$?
  fi
  echo "exit $code; $(wc -l <"$out/timings.jsonl") attributions timed, $(wc -l <"$out/scores.jsonl") rows of scores"
  # Rows stand in the order in which pieces were finished; times and the manifest's are of each run.
  for name in items.jsonl scores.jsonl; do
    for side in local "$out"; do sort "$side/$name" >"$side.sorted"; done
    cmp local.sorted "$out.sorted" && echo "$name: the same rows, each once"
  done
  diff -r local/attributions "$out/attributions" && cmp local/alignment.csv "$out/alignment.csv" &&
    echo "$(count "$out") attributions and the table: the same bytes"
done
kill $supervisor
