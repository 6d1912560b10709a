#!/usr/bin/env bash
# Gathers what run.sh needs on a machine without a compiler: the program, run.sh, the PyTorch scripts, and, where BBH_DATA is
# set, the files of BBH_DATA/mnist.
#
#     pack.sh FOLDER          new or empty
#
# With a CUDA compiler (see build/ptx.rs) the program carries machine code for BBH_ARCHITECTURES, by default 80,90; without one,
# or with NVCC=none, the committed PTX alone. Fails when the folder exceeds 64 MiB.
set -euo pipefail

fail() { echo "pack.sh: $1" >&2; exit "$2"; }

[[ $# == 1 ]] || fail "expected a new folder, found $# arguments" 2
mkdir -p "$1"
folder=$(cd "$1" && pwd)
[[ -z $(ls -A "$folder") ]] || fail "$folder: expected a new or empty folder, found files in it" 2
data=
if [[ -n ${BBH_DATA:-} ]]; then
    data=$(cd "$BBH_DATA/mnist" 2>/dev/null && pwd) ||
        fail "$BBH_DATA/mnist: expected the MNIST files, found no folder; bbh data fetch mnist, or leave BBH_DATA unset" 2
fi
cd "$(dirname "$0")/../.."

export BBH_ARCHITECTURES=${BBH_ARCHITECTURES:-80,90}
cargo build --release --locked --bin bbh
strip -o "$folder/bbh" "${CARGO_TARGET_DIR:-target}/release/bbh"
cp tests/gpu/run.sh "$folder/"
mkdir "$folder/torch"
cp benches/torch/*.py "$folder/torch/"

if [[ -n $data ]]; then
    mkdir -p "$folder/data/mnist"
    for file in "$data"/*-ubyte*; do
        case $file in
            *.gz) cp "$file" "$folder/data/mnist/" ;;
            *) gzip -n9c "$file" >"$folder/data/mnist/$(basename "$file").gz" ;;
        esac
    done
    chmod -R u+w "$folder/data"
fi

bytes=$(du -sb "$folder" | cut -f1)
((bytes <= 64 << 20)) || fail "$folder: expected at most 64 MiB, found $((bytes >> 20)); name fewer BBH_ARCHITECTURES" 1
"$folder/bbh" info
echo "$folder: $((bytes >> 20)) MiB. On the GPU machine: $(basename "$folder")/run.sh $(basename "$folder") results"
