#!/usr/bin/env python3
"""The work of `bbh profile` in PyTorch: training steps, and single pieces of them, timed on the device.

    python3 step.py [--device cuda] [--only NAME ...] [--mode eager,graph,compile-graph,compile] [--math tf32,fp32] [--mc]
                    [--repeats N] [--seconds BUDGET] [--date TEXT] [--json FILE]

Names: the configurations of `bbh profile` (lenet-full, lenet-sliced, lenet-shared, lenet-map), and conv2d-s5, conv2d-s100,
normals, fill, copy, product, predict.
Modes of a training step: eager; graph (the whole step, with fused Adam, as one CUDA graph); compile (torch.compile of loss
and gradients, fused Adam); compile-graph (that as one CUDA graph). Other pieces say in `mode` how they do their work.

Output (--json FILE, and a table on standard output):
    {"device", "torch", "cuda", "date",
     "results": [{"name", "mode", "math", "us_median", "us_p10", "us_p90", "repeats",
                  "mc", "parameters", "loss", "kl"   (training steps; loss and kl of the last one that was timed)
                  "gbps"                             (normals, fill: bytes written; copy: read and written)
                  "gflops"                           (conv2d forward, product)
                  "images", "samples"                (predict)}],
     "failed": [{"name", "mode", "math", "reason"}]}
us: microseconds of one repetition, between CUDA events of repetitions that follow one another without a pause. `date` is
--date as given. What is not done within --seconds is listed in `failed` with that reason. Exit code 1 when nothing could be
measured, 2 for wrong use.
"""

import argparse
import gc
import json
import math
import signal
import sys
import time

import torch

import networks
import pieces
from timing import Timer, captured, set_math

MODES = ("eager", "graph", "compile-graph", "compile")
COMPILE_MODE = "max-autotune-no-cudagraphs"


class Report:
    """Results and failures; the file is written after each, so that an end by force leaves what there is."""

    def __init__(self, args):
        self.args, self.timer, self.start = args, Timer(args.device, args.repeats), time.monotonic()
        on_gpu = args.device.type == "cuda"
        self.content = {
            "device": torch.cuda.get_device_name(args.device) if on_gpu else "cpu",
            "torch": torch.__version__,
            "cuda": torch.version.cuda if on_gpu else None,
            "date": args.date,
            "results": [],
            "failed": [],
        }

    def measure(self, labels, prepare, figures=lambda us: {}):
        """Times the work that `prepare()` returns; `figures(us)` derives more from its median."""
        words = " ".join(str(labels[key]) for key in ("name", "mode", "math"))
        try:
            self.set_alarm()
            set_math(labels["math"])
            result = {**labels, **self.timer.measure(prepare())}
            result.update(figures(result["us_median"]))
            self.content["results"].append(result)
            print(f"{words:<40} {result['us_median']:>12.1f} us   10%..90% {result['us_p10']:.1f}..{result['us_p90']:.1f}")
        except Exception as error:  # Whatever one piece raises, the others are still measured.
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:400]
            self.content["failed"].append({**labels, "reason": reason})
            print(f"{words:<40} failed: {reason[:200]}")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
        sys.stdout.flush()
        self.write()
        gc.collect()
        if self.args.device.type == "cuda":
            torch.cuda.empty_cache()

    def set_alarm(self):
        """Raises TimeoutError at the end of --seconds, be it in the middle of a compilation."""

        def end(*_):
            raise TimeoutError(f"not done within {self.args.seconds:g} s")

        if self.args.seconds:
            left = self.args.seconds - (time.monotonic() - self.start)
            signal.signal(signal.SIGALRM, end)
            signal.setitimer(signal.ITIMER_REAL, max(left, 1e-3))

    def write(self):
        if self.args.json:
            with open(self.args.json, "w") as file:
                json.dump(self.content, file, indent=1, allow_nan=False)
                file.write("\n")


def training_step(report, name, mode, arithmetic):
    """One configuration in one mode."""
    args, kept = report.args, {}

    def prepare():
        torch.manual_seed(0)
        if mode.startswith("compile"):
            torch._dynamo.reset()
        step = networks.Step(name, args.device, args.mc, fused_distances=mode.startswith("compile"))
        optimizer = step.optimizer()
        forward = torch.compile(step, mode=COMPILE_MODE) if mode.startswith("compile") else step
        kept["parameters"] = sum(p.numel() for p in step.parameters())

        def work():
            optimizer.zero_grad(set_to_none=True)
            loss, _, kl = forward()
            loss.backward()
            optimizer.step()
            kept["loss"], kept["kl"] = loss.detach(), kl

        return captured(work) if mode.endswith("graph") else work

    def figures(_us):
        loss, kl = float(kept["loss"]), float(kept["kl"])
        if not (math.isfinite(loss) and math.isfinite(kl)):
            raise ArithmeticError(f"the step ended with loss {loss} and kl {kl}")
        return {"parameters": kept["parameters"], "loss": loss, "kl": kl}

    report.measure({"name": name, "mode": mode, "math": arithmetic, "mc": args.mc}, prepare, figures)


def convolutions(report, samples, arithmetic):
    """Per-sample convolutions: grouped, and one after another."""
    for form in ("grouped", "loop"):
        for part in ("forward", "forward and gradients"):
            flop = []

            def prepare():
                works, work_flop = pieces.per_sample_conv(report.args.device, samples, form == "grouped")
                flop.append(work_flop)
                return works[0] if part == "forward" else works[1]

            labels = {"name": f"conv2d-s{samples}", "mode": f"{form} {part}", "math": arithmetic}
            rate = lambda us: {"gflops": round(flop[0] / us * 1e-3, 1)} if part == "forward" else {}
            report.measure(labels, prepare, rate)


def memory_rate(report, name, make, count):
    """A piece whose figure is bytes over time."""
    moved = []

    def prepare():
        work, work_bytes = make(report.args.device, count)
        moved.append(work_bytes)
        return work

    rate = lambda us: {"gbps": round(moved[0] / us * 1e-3, 1)}
    report.measure({"name": name, "mode": f"{count} elements", "math": "fp32"}, prepare, rate)


def products(report, size):
    """The ceilings of matrix products: fp32, tf32, bf16."""
    for arithmetic in ("fp32", "tf32", "bf16"):
        dtype = torch.bfloat16 if arithmetic == "bf16" else torch.float32
        prepare = lambda: pieces.product(report.args.device, size, dtype)[0]
        rate = lambda us: {"gflops": round(2.0 * size**3 / us * 1e-3, 1)}
        report.measure({"name": "product", "mode": f"{size}", "math": arithmetic}, prepare, rate)


def predictions(report, images, samples, arithmetic):
    """Monte-Carlo prediction in both forms, launched one by one and as one CUDA graph."""
    for form in ("grouped", "loop"):
        for mode in ("eager", "graph") if report.args.device.type == "cuda" else ("eager",):

            def prepare():
                work = getattr(pieces.Predict(report.args.device, images, samples), form)
                return captured(work) if mode == "graph" else work

            labels = {"name": "predict", "mode": f"{form} {mode}", "math": arithmetic}
            report.measure(labels, prepare, lambda _us: {"images": images, "samples": samples})


def plan(report):
    """(name, function that measures it), in the order of use: what matters most comes first, compilation last."""
    args, on_gpu = report.args, report.args.device.type == "cuda"
    elements, size = (64 << 20, 8192) if on_gpu else (1 << 20, 256)
    steps = [
        (name, lambda name=name, mode=mode, arithmetic=arithmetic: training_step(report, name, mode, arithmetic))
        for mode in args.mode
        for arithmetic in args.math
        for name in networks.CONFIGS
    ]
    compiled = sum(mode.startswith("compile") for mode in args.mode) * len(args.math) * len(networks.CONFIGS)
    early = len(steps) - compiled
    others = [
        ("copy", lambda: memory_rate(report, "copy", pieces.copy, elements)),
        ("fill", lambda: memory_rate(report, "fill", pieces.fill, elements)),
        ("normals", lambda: memory_rate(report, "normals", pieces.normals, elements)),
        ("product", lambda: products(report, size)),
    ]
    images, samples = (pieces.TEST_IMAGES, pieces.POSTERIOR) if on_gpu else (200, 4)
    for arithmetic in args.math:
        others += [
            ("conv2d-s5", lambda arithmetic=arithmetic: convolutions(report, 5, arithmetic)),
            ("conv2d-s100", lambda arithmetic=arithmetic: convolutions(report, 100, arithmetic)),
            ("predict", lambda arithmetic=arithmetic: predictions(report, images, samples, arithmetic)),
        ]
    return steps[:early] + others + steps[early:]


def listed(allowed):
    """A parser of comma-separated words, kept in the order of `allowed`."""

    def parse(text):
        words = text.split(",")
        if unknown := [word for word in words if word not in allowed]:
            raise argparse.ArgumentTypeError(f"expected some of {','.join(allowed)}, found {','.join(unknown)}")
        return [word for word in allowed if word in words]

    return parse


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"))
    parser.add_argument("--only", nargs="+", metavar="NAME")
    parser.add_argument("--mode", type=listed(MODES))
    parser.add_argument("--math", type=listed(("tf32", "fp32")))
    parser.add_argument("--mc", action="store_true", help="all samples in the likelihood")
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--date")
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    on_gpu = args.device.type == "cuda"
    if on_gpu and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch finds no GPU; see nvidia-smi, or use --device cpu")
    if not on_gpu and args.mode and any(mode.endswith("graph") for mode in args.mode):
        parser.error(f"--mode {','.join(args.mode)}: CUDA graphs need --device cuda; use eager or compile")
    if args.repeats is not None and args.repeats < 1:
        parser.error(f"--repeats: expected at least 1, found {args.repeats}")
    args.mode = args.mode or (list(MODES) if on_gpu else ["eager"])
    args.math = args.math or (["tf32", "fp32"] if on_gpu else ["fp32"])
    return parser, args


def main():
    parser, args = arguments()
    torch.backends.cudnn.benchmark = True
    if args.device.type == "cuda":
        torch.cuda.set_device(args.device.index or 0)
    report = Report(args)
    work = plan(report)
    names = [name for name, _ in work]
    if unknown := [name for name in args.only or [] if name not in names]:
        parser.error(f"--only: expected some of {' '.join(dict.fromkeys(names))}, found {' '.join(unknown)}")
    for name, run in work:
        if not args.only or name in args.only:
            run()
    report.write()
    sys.exit(0 if report.content["results"] else 1)


if __name__ == "__main__":
    main()
