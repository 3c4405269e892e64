#!/usr/bin/env bash
# Real models behind real OpenAI-compatible servers as annotators: labels, statuses and bills, with kill -9 of client and server.
#
#     make real-models
#     annotate build-dataset --narrativeqa nqa.parquet --sciq sciq.parquet --size 50 --max-words 90 --out real
#     benchmarks/real_servers.sh real results-servers
#
# The servers listen on loopback, on a free port each, and are stopped at the end. What to run, by variables:
#   SERVERS        which, "llama-cpp-python xllamacpp transformers" by default
#   LLAMA_PYTHON   an environment with llama-cpp-python[server]; GGUF its model, a file
#   XLLAMA_PYTHON  one with xllamacpp, which is llama.cpp's own server as a wheel
#   SERVE_PYTHON   one with transformers[serving]; MODEL its model, a folder with a chat template (models/smollm2)
#   PYTHON         one with this project
#   OPTIONS        of the annotator (temperature=0,max_tokens=128)
# A server whose environment is not there is left out, and said so.
set -euo pipefail
benchmark=${1:?a benchmark folder, see the head of this file}
out=${2:?a new folder for the results}
python=${PYTHON:-python3}
serve_python=${SERVE_PYTHON:-$python}
llama_python=${LLAMA_PYTHON:-$python}
xllama_python=${XLLAMA_PYTHON:-$python}
model=${MODEL:-models/smollm2}
gguf=${GGUF:-SmolLM2-135M-Instruct.Q4_1.gguf}
options=${OPTIONS:-temperature=0,max_tokens=128}
here=$(cd "$(dirname "$0")" && pwd)
export PYTHONPATH=${here%/*}${PYTHONPATH:+:$PYTHONPATH} OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} COLUMNS=${COLUMNS:-160}
[ -f "$model/config.json" ] || { echo "MODEL: $model is no model's folder; the prompts are counted with its tokenizer" >&2; exit 1; }
mkdir -p "$out"
server=
client=
trap 'for pid in $client $server; do kill -9 "$pid" 2>/dev/null || true; done' EXIT
trap 'exit 130' INT TERM

free_port() { "$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

start_server() { # name: starts it on $port, waits until it answers
  case $1 in
    llama-cpp-python)
      "$llama_python" -m llama_cpp.server --model "$gguf" --model_alias smollm2 --host 127.0.0.1 --port "$port" \
        --n_ctx 4096 --n_threads "$OMP_NUM_THREADS" --n_threads_batch "$OMP_NUM_THREADS" >>"$log" 2>&1 &
      ;;
    xllamacpp)
      "$xllama_python" - "$gguf" "$port" "$OMP_NUM_THREADS" >>"$log" 2>&1 <<'PYTHON' &
import sys, threading, xllamacpp
given = xllamacpp.CommonParams()
given.model.path, given.model_alias, given.hostnames = sys.argv[1], {"smollm2"}, ["127.0.0.1"]
given.port, given.n_parallel, given.n_ctx = int(sys.argv[2]), 8, 8 * 2048
given.cpuparams.n_threads = given.cpuparams_batch.n_threads = int(sys.argv[3])
server = xllamacpp.Server(given)
threading.Event().wait()
PYTHON
      ;;
    transformers)
      PYTHONPATH='' HF_HUB_OFFLINE=1 "$serve_python" -m transformers.cli.transformers serve "$model" --host 127.0.0.1 \
        --port "$port" --device cpu --log-level info >>"$log" 2>&1 &
      ;;
  esac
  server=$!
  for _ in $(seq 600); do
    if curl --silent --max-time 5 "http://127.0.0.1:$port/v1/models" >/dev/null; then return; fi
    kill -0 "$server" 2>/dev/null || break
    sleep 0.5
  done
  echo "$1 did not start; its last words: $(tail -n 1 "$log")" >&2
  exit 1
}

kill_now() { kill -9 "$1" && wait "$1" 2>/dev/null || true; }

lines() { if [ -e "$folder/ledger.jsonl" ]; then wc -l <"$folder/ledger.jsonl"; else echo 0; fi; }

label() { # in the background
  "$python" -m annotate label --benchmark "$folder" --annotator "$annotator" --base-url "http://127.0.0.1:$port/v1" \
    --concurrency "$slots" --timeout 600 >"$folder/label.txt" 2>>"$folder/notes.txt" &
  client=$!
}

wait_for() { # number of lines in the ledger
  while [ "$(lines)" -lt "$1" ] && kill -0 "$client" 2>/dev/null; do sleep 0.1; done
}

for name in ${SERVERS:-llama-cpp-python xllamacpp transformers}; do
  slots=1 # the servers of llama-cpp-python and transformers work on one request at a time
  case $name in
    llama-cpp-python) needs="$llama_python -c 'import llama_cpp.server.app'" annotator="openai:smollm2,$options,structured=schema" ;;
    xllamacpp) needs="$xllama_python -c 'import xllamacpp'" annotator="openai:smollm2,$options" slots=8 ;;
    transformers) needs="$serve_python -c 'import fastapi, transformers'" annotator="openai:$model,$options" ;;
    *) echo "no such server: $name" >&2 && exit 1 ;;
  esac
  if ! eval "$needs" 2>/dev/null; then echo "$name: left out, its environment is not there"; continue; fi
  port=$(free_port)
  folder=$out/$name
  log=$out/$name.server.log
  cp -r "$benchmark" "$folder"
  : >"$log"
  count=$(wc -l <"$folder/paragraphs.jsonl")
  start_server "$name"
  SECONDS=0

  label
  wait_for $((count / 4))
  kill_now "$client"
  echo "$name: client killed (kill -9) with $(lines) lines in the ledger after $SECONDS s"
  label
  wait_for $((count / 2))
  kill_now "$server"
  echo "$name: server killed (kill -9) with $(lines) lines in the ledger after $SECONDS s"
  start_server "$name"
  code=0
  wait "$client" || code=$?
  client=
  echo "$name: the client went on and ended with exit code $code after $SECONDS s"
  tail -n 1 "$folder/notes.txt"
  cat "$folder/label.txt"

  before=$(lines)
  label
  wait "$client" || true # it fails where the model labelled nothing
  client=
  echo "$name: run again, it asked for $(($(lines) - before)) more"
  kill "$server" && wait "$server" 2>/dev/null || true
  server=
  "$python" "$here/server_bills.py" "$folder" "$log" --tokenizer "$model"
  "$python" -m annotate label --benchmark "$folder" --annotator overlap --quiet >/dev/null
  "$python" -m annotate agreement --benchmark "$folder" --force | tee "$folder/agreement.txt"
done
