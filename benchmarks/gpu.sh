#!/usr/bin/env bash
# Measures metarl on the GPU of a machine without a network: Python 3.12 and torch are
# all that it needs. Wheels come along, in parts that a transfer of 64 MiB can carry.
#
#   bash benchmarks/gpu.sh pack             # here: writes gpu_wheels/part_000, ...
#   bash benchmarks/gpu.sh join PART...     # there, once a call: keeps parts in /tmp
#   bash benchmarks/gpu.sh run [OPTION ...] # there: installs, then benchmarks/gpu.py
#   bash benchmarks/gpu.sh rehearse         # here: the same on Warp's CPU device
set -euo pipefail
cd "$(dirname "$0")/.."
parts=gpu_wheels kept=/tmp/metarl_gpu

case ${1:-} in
  pack)
    rm -rf "$parts" && mkdir -p "$parts/wheels"
    # Torch is there already. Wheels of other platforms cannot be resolved with it.
    python3 -m pip download --quiet --only-binary :all: --no-deps \
      --python-version 3.12 --platform manylinux_2_28_x86_64 \
      --platform manylinux_2_27_x86_64 --platform manylinux_2_17_x86_64 \
      --platform manylinux2014_x86_64 -d "$parts/wheels" -c constraints.txt \
      mujoco mujoco-core mujoco-warp warp-lang etils numpy scipy gymnasium cloudpickle \
      farama-notifications typing-extensions stable-baselines3 tyro rich docstring-parser \
      markdown-it-py mdurl pygments typeguard absl-py fsspec zipp importlib-resources \
      safetensors filelock jinja2 markupsafe matplotlib contourpy cycler fonttools \
      kiwisolver packaging pillow pyparsing python-dateutil six pandas
    tar -C "$parts" -cf - wheels | split -b 50M -d -a 3 - "$parts/part_"
    rm -rf "$parts/wheels"
    ls -l "$parts"
    ;;
  join)
    mkdir -p "$kept"
    cp "${@:2}" "$kept/"
    ls "$kept"
    ;;
  run)
    mkdir -p "$kept/site"
    cat "$kept"/part_* | tar -C "$kept" -xf -
    python3 -m pip install --quiet --no-deps --no-index --target "$kept/site" \
      "$kept"/wheels/*.whl
    PYTHONPATH="$PWD:$kept/site" python3 benchmarks/gpu.py "${@:2}"
    ;;
  rehearse)
    python3 benchmarks/gpu.py --device cpu --families cheetah-direction --worlds 4 \
      --tasks 4 --seconds 0.5 --train cheetah-direction --minutes 0 --simulations 8 \
      "${@:2}"
    ;;
  *)
    sed -n 's/^#   //p' "$0"
    exit 2
    ;;
esac
