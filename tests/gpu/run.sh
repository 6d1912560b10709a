#!/usr/bin/env bash
# Proof on a machine with a GPU: kernels against the CPU, compute-sanitizer, graph capture, MNIST, profiles, the same work in
# PyTorch. Needs bash, coreutils and NVIDIA's driver; uses python3 with torch and compute-sanitizer where they are installed.
#
#     run.sh FOLDER OUT       FOLDER: made by pack.sh; OUT: new or empty
#
# Writes OUT/summary.json (a line per step: step, status passed|failed|skipped, seconds, reason), OUT/results.json (that with
# card, driver, date and every figure), OUT/profile-*.svg (rooflines), OUT/logs/STEP.log. Goes on after failures; exit code 1
# when a step failed, 2 for wrong use.
#
# Time: 540 s in all (BBH_GPU_SECONDS). A step ends at its own limit, named where it is called below, or at the end of the
# whole; steps without time left are skipped. What proves most comes first: of the 540 s parity, graphs and MNIST are meant to
# take 90, profiles 90, PyTorch 180, the sanitizers what is left.
#
# BBH_GPU_DEVICE=cuda:1      another GPU
# BBH_GPU_STEPS='info torch' these steps only; patterns as in profile-*
# BBH_GPU_OPS='conv2d noise' ops that the sanitizers check, by default all
# BBH_GPU_QUICK=1            tiny runs of every step, for checking this script; BBH_GPU_SET names a small data set for them
set -uo pipefail
export LC_ALL=C

fail() { echo "run.sh: $1" >&2; exit 2; }

[[ $# == 2 ]] || fail "expected FOLDER (made by pack.sh) and OUT (a new folder), found $# arguments"
folder=$(cd "$1" 2>/dev/null && pwd) || fail "$1: expected a folder made by pack.sh, found none"
[[ -x $folder/bbh ]] || fail "$folder/bbh: expected the program, found none; make the folder with pack.sh"
mkdir -p "$2/logs" && out=$(cd "$2" && pwd) || fail "$2: cannot be made"
[[ ! -e $out/summary.json ]] || fail "$out: expected a new folder, found the results of another run"
bbh=$folder/bbh
device=${BBH_GPU_DEVICE:-cuda}
quick=${BBH_GPU_QUICK:-}
python=${BBH_GPU_PYTHON:-python3}
deadline=$(($(date +%s) + ${BBH_GPU_SECONDS:-540}))
date=$(date -u +%Y-%m-%dT%H:%M:%SZ)
export BBH_DATA=$folder/data
steps=()

# --- JSON ---

# A text as a JSON string.
json_string() {
    local text=$1
    text=${text//\\/\\\\}
    text=${text//\"/\\\"}
    text=${text//$'\t'/ }
    text=${text//$'\r'/ }
    text=${text//$'\n'/ }
    printf '"%s"' "${text//[[:cntrl:]]/}"
}

# The same, or null for the empty text.
json_text() { if [[ -n $1 ]]; then json_string "$1"; else printf null; fi; }

# A file that holds one JSON value, or null where it is missing or was cut off.
json_file() {
    local text=
    [[ -r $1 ]] && text=$(<"$1")
    case $text in
        '{'*'}' | '['*']') printf '%s' "$text" ;;
        *) printf null ;;
    esac
}

# The text after "name": in a JSON text, without quotes; empty where there is none, and for null.
json_field() {
    local pattern="\"$1\": ?\"?([^\",}]*)"
    if [[ $2 =~ $pattern && ${BASH_REMATCH[1]} != null ]]; then printf '%s' "${BASH_REMATCH[1]}"; fi
}

# {"name": content, ...} of the files PREFIX-name.json.
json_files() {
    local file name separator=
    printf '{'
    for file in "$out/$1-"*.json; do
        [[ -e $file ]] || continue
        name=${file##*/"$1"-}
        printf '%s\n  %s: ' "$separator" "$(json_string "${name%.json}")"
        json_file "$file"
        separator=,
    done
    printf '}'
}

write_summary() {
    local index
    printf '['
    for index in "${!steps[@]}"; do
        ((index == 0)) || printf ','
        printf '\n  %s' "${steps[index]}"
    done
    printf '\n]\n'
}

write_results() {
    local info driver=
    info=$(json_file "$out/info.json")
    driver=$(json_field driver_version "$info")
    if [[ -z $driver ]] && command -v nvidia-smi >/dev/null; then
        driver=$(timeout 20 nvidia-smi --query-gpu=driver_version --format=csv,noheader)
        driver=${driver%%$'\n'*}
    fi
    printf '{\n "date": %s,\n "card": %s,\n "driver": %s,\n' "$(json_string "$date")" \
        "$(json_text "$(card "$info")")" "$(json_text "$driver")"
    printf ' "steps": %s,\n "info": %s,\n' "$(write_summary)" "$info"
    printf ' "parity": %s,\n' "$(json_file "$out/parity.json")"
    printf ' "profile": %s,\n "mnist": %s,\n' "$(json_files profile)" "$(json_files mnist)"
    printf ' "torch": %s\n}\n' "$(json_file "$out/torch.json")"
}

# The name of the GPU that --device names.
card() {
    local info=$1 ordinal=${device#cuda}
    ordinal=${ordinal#:}
    json_field name "${info#*"\"ordinal\":${ordinal:-0},"}"
}

# --- Steps ---

# Runs a command until the end of the step.
limited() {
    local left=$((step_end - $(date +%s)))
    ((left > 0)) || return 124
    timeout -k 5 "$left" "$@"
}

# Ends a step that cannot be done here, with the reason.
skip() { echo "$1"; exit 77; }

# Ends a step that found something wrong.
wrong() { echo "$1"; exit 1; }

# What a log says last; an error of the program where it has one, for hints may follow it.
last_words() {
    local line last= error=
    while IFS= read -r line; do
        [[ -z $line ]] || last=$line
        [[ $line != bbh:* && $line != error:* ]] || error=$line
    done <"$1"
    printf '%s' "${error:-$last}"
}

chosen() {
    local pattern
    [[ -n ${BBH_GPU_STEPS:-} ]] || return 0
    set -f
    for pattern in $BBH_GPU_STEPS; do
        # shellcheck disable=SC2053
        [[ $1 == $pattern ]] && { set +f; return 0; }
    done
    set +f
    return 1
}

# step NAME LIMIT FUNCTION [ARGUMENT ...]: runs a function in a process of its own. Its last line is the reason.
step() {
    local name=$1 limit=$2 log=$out/logs/$1.log start now code status reason
    shift 2
    chosen "$name" || return 0
    now=$(date +%s)
    start=$(date +%s%N)
    step_end=$((now + limit < deadline ? now + limit : deadline))
    if ((step_end - now < 3)); then
        echo "no time left (BBH_GPU_SECONDS)" >"$log"
        code=77
    else
        ("$@") >"$log" 2>&1
        code=$?
    fi
    reason=$(last_words "$log")
    case $code in
        0) status=passed ;;
        77) status=skipped ;;
        124 | 137) status=failed reason="ran past its $((step_end - now)) s" ;;
        *) status=failed reason=${reason:-exit code $code} ;;
    esac
    local milliseconds=$((($(date +%s%N) - start) / 1000000))
    local seconds
    seconds=$(printf '%d.%03d' $((milliseconds / 1000)) $((milliseconds % 1000)))
    steps+=("$(printf '{"step": "%s", "status": "%s", "seconds": %s, "reason": %s}' "$name" "$status" "$seconds" \
        "$(json_string "${reason:0:300}")")")
    printf '%-28s %-8s %8s s  %s\n' "$name" "$status" "$seconds" "${reason:0:120}"
    write_summary >"$out/summary.json"
    [[ $status != failed ]] || failed=1
}

# The device that --device names must be there.
check_info() {
    limited "$bbh" info --json >"$out/info.json" || exit $?
    local info wanted=$device missing
    info=$(<"$out/info.json")
    missing=$(json_field missing "$info")
    [[ $wanted != cuda ]] || wanted=cuda:0
    [[ $info == *"\"$wanted\""* ]] || wrong "$wanted is not among the devices; ${missing:-see $out/info.json}"
    echo "$(card "$info"), $(json_field ptx "$info")"
}

# Every kernel against the CPU in f64.
check_parity() {
    local ops=()
    [[ -z $quick ]] || ops=(--op softmax)
    limited "$bbh" parity --device "$device" --json "${ops[@]}" >"$out/parity.json" || exit $?
    local text kernels
    text=$(json_file "$out/parity.json")
    kernels=${text//\"kernel\"/$'\1'}
    kernels=${kernels//[^$'\1']/}
    [[ -n $kernels ]] || wrong "no kernel in parity.json"
    echo "${#kernels} kernels"
}

find_sanitizer() {
    local candidate
    for candidate in "$(command -v compute-sanitizer)" "${CUDA_HOME:-/usr/local/cuda}/bin/compute-sanitizer" \
        /usr/local/cuda*/bin/compute-sanitizer /usr/local/cuda*/compute-sanitizer/compute-sanitizer \
        /opt/nvidia/*/bin/compute-sanitizer /usr/lib/nvidia-cuda-toolkit/compute-sanitizer/compute-sanitizer; do
        [[ -x $candidate ]] && { echo "$candidate"; return 0; }
    done
    return 1
}

# check_sanitizer TOOL [OPTION ...]: the parity run under compute-sanitizer, which must count no finding.
check_sanitizer() {
    local sanitizer op ops text tool=$1
    sanitizer=$(find_sanitizer) || skip "compute-sanitizer is not installed"
    ops=${BBH_GPU_OPS:-all}
    [[ -z $quick ]] || ops=softmax
    shift
    for op in $ops; do
        local only=(--op "$op") report=$out/logs/$tool-$op.txt
        [[ $op != all ]] || only=()
        limited "$sanitizer" --tool "$tool" "$@" --error-exitcode 9 --print-limit 20 --log-file "$report" \
            "$bbh" parity --device "$device" "${only[@]}" || { local code=$?; tail -n 3 "$report"; exit $code; }
        text=$(<"$report")
        [[ $text == *'ERROR SUMMARY: 0 errors'* || $text == *'RACECHECK SUMMARY: 0 hazards'* ]] ||
            wrong "$tool, $op: no summary without findings in $report"
    done
    echo "no finding in: $ops"
}

# Lines of metrics.jsonl without the figures that depend on the clock.
metrics() {
    local line
    while IFS= read -r line; do
        while [[ $line =~ ^(.*)\"(seconds|images_per_second)\":[^,\}]*(.*)$ ]]; do
            line=${BASH_REMATCH[1]}${BASH_REMATCH[3]}
        done
        printf '%s\n' "$line"
    done <"$1/metrics.jsonl"
}

# The tensors of a checkpoint: what follows the header, whose length the first 8 bytes tell.
tensors() {
    local header
    header=$(od -An -t u8 -N 8 "$1/checkpoint.safetensors") || return
    tail -c "+$((header + 9))" "$1/checkpoint.safetensors"
}

# check_graph NAME FLAG ...: a training by captured graphs ends with the bits of one that launches kernel by kernel.
check_graph() {
    local name=$1 way bytes epochs set=${BBH_GPU_SET:-synthetic}
    shift
    [[ -n $quick ]] || set=synthetic
    for way in graph eager; do
        local eager=0
        [[ $way == graph ]] || eager=1
        BBH_CUDA_EAGER=$eager limited "$bbh" train "$set" "$@" --anneal 1,1 --epochs 2 --ood none --device "$device" --quiet \
            --out "$out/runs/$name-$way" || exit $?
    done
    [[ $(metrics "$out/runs/$name-graph") == "$(metrics "$out/runs/$name-eager")" ]] || wrong "metrics differ"
    cmp <(tensors "$out/runs/$name-graph") <(tensors "$out/runs/$name-eager") || wrong "tensors of the checkpoints differ"
    bytes=$(tensors "$out/runs/$name-graph" | wc -c)
    epochs=$(metrics "$out/runs/$name-graph" | wc -l)
    ((bytes > 0 && epochs == 2)) || wrong "expected tensors and 2 epochs to compare, found $bytes bytes and $epochs epochs"
    echo "$bytes bytes of tensors and $epochs epochs the same"
}

# train_mnist NAME FLAG ...: trains, keeps the summary, says the accuracy in units of 0.01%.
train_mnist() {
    local name=$1 summary accuracy
    shift
    limited "$bbh" train mnist --epochs 3 --ood none --quiet --out "$out/runs/mnist-$name" "$@" >&2 || return $?
    summary=$(<"$out/runs/mnist-$name/summary.json")
    printf '%s\n' "$summary" >"$out/mnist-$name.json"
    accuracy=$(json_field accuracy "$summary")
    printf '%.0f' "${accuracy}e4"
}

# check_mnist NAME FLAG ...: the GPU in both arithmetics and the CPU, whose accuracies must agree.
check_mnist() {
    local name=$1 fast exact cpu difference
    shift
    [[ -d $BBH_DATA/mnist ]] || skip "no MNIST files in $BBH_DATA/mnist (pack.sh takes them from BBH_DATA)"
    fast=$(train_mnist "$name-tf32" "$@" --device "$device") || exit $?
    exact=$(train_mnist "$name-fp32" "$@" --device "$device" --math fp32 --eval-samples 20) || exit $?
    cpu=$(train_mnist "$name-cpu" "$@" --device cpu --eval-samples 20) || exit $?
    for difference in $((fast - cpu)) $((exact - cpu)); do
        ((${difference#-} <= 50)) || wrong "accuracies differ by more than 0.5%: tf32 $fast, fp32 $exact, cpu $cpu in 0.01%"
    done
    echo "accuracy in 0.01%: tf32 $fast, fp32 $exact, cpu $cpu"
}

# profile NAME FLAG ...
profile() {
    local name=$1
    shift
    limited "$bbh" profile --device "$device" --json "$@" >"$out/profile-$name.json"
}

# The same work in PyTorch.
run_torch() {
    local found flags
    command -v "$python" >/dev/null || skip "$python is not installed"
    # Python looks for modules in the current folder first.
    cd "$out" || exit
    found=$(limited "$python" -c 'import torch; print(torch.__version__, torch.cuda.is_available())' 2>&1) ||
        skip "$python cannot import torch: ${found##*$'\n'}"
    found=${found##*$'\n'}
    if [[ -n $quick ]]; then
        flags=(--device cpu --only copy product --repeats 1)
    elif [[ $found == *True ]]; then
        # It ends by itself, for importing and tidying up take their time too.
        flags=(--device "$device" --seconds $((step_end - $(date +%s) - 30)))
    else
        skip "torch ${found% *} finds no GPU"
    fi
    limited "$python" "$folder/torch/step.py" "${flags[@]}" --date "$date" --json "$out/torch.json" || exit $?
    echo "torch ${found% *}"
}

failed=0
step info 20 check_info
step parity 90 check_parity
if [[ -n $quick ]]; then
    small=(--model mlp --mlp-units 12 --hidden-units 8,16 --batch 20 --train-limit 60 --eval-samples 2)
    step graph-shared 60 check_graph shared "${small[@]}"
    step profile-softmax 60 profile softmax --kernel softmax --shape S=1,N=10 --repeats 1
else
    step graph-shared 30 check_graph shared --train-limit 2000
    step graph-sliced-bf16 30 check_graph sliced-bf16 --generator sliced --math bf16 --train-limit 2000
    step mnist-map 60 check_mnist map --method map
    step mnist-shared 120 check_mnist shared
    for math in tf32 fp32 bf16; do
        for config in full sliced shared map; do
            step "profile-$config-$math" 20 profile "$config-$math" --config "lenet-$config" --math "$math" \
                --svg "$out/profile-$config-$math.svg"
        done
        step "profile-conv2d-s5-$math" 20 profile "conv2d-s5-$math" --kernel conv2d --shape S=5 --math "$math"
        step "profile-conv2d-s100-$math" 20 profile "conv2d-s100-$math" --kernel conv2d --shape S=100 --math "$math"
    done
    # The decisive kernels of kernels/PREDICTIONS.md, at its sizes.
    for config in lenet-dropout lenet-ensemble lenet-bbb lenet-mnf resnet-full resnet-map; do
        step "profile-$config" 20 profile "$config" --config "$config"
    done
    step profile-rank-update 20 profile rank-update --kernel linear_rank_update --shape N=5,I=512,O=400000
    step profile-skinny 20 profile skinny --kernel linear --shape S=1,N=5,I=512,O=400000
    step profile-generator 20 profile generator --kernel linear --shape S=1,N=650,I=512,O=3316
    step profile-normals 20 profile normals --kernel normal --shape D=67108864
    step profile-distances 20 profile distances --kernel pairwise_distances
    step profile-conv2d-pool-s5 20 profile conv2d-pool-s5 --kernel conv2d_pool --shape S=5
    step profile-conv2d-pool-s100 20 profile conv2d-pool-s100 --kernel conv2d_pool --shape S=100
    step profile-conv2d-grad-input 20 profile conv2d-grad-input --kernel conv2d_grad_input
    step profile-conv2d-grad-weight 20 profile conv2d-grad-weight --kernel conv2d_grad_weight
fi
step torch 180 run_torch
step memcheck 120 check_sanitizer memcheck
step racecheck 120 check_sanitizer racecheck --racecheck-report all
step initcheck 90 check_sanitizer initcheck
write_results >"$out/results.json"
rm -f "$out"/runs/*/*.safetensors
echo "$out/results.json"
exit "$failed"
