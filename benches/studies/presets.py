"""One epoch of every preset on its real data: `python3 benches/studies/presets.py --runs DIR --out FILE`.

BBH_DATA names the folder with mnist/ and cifar-10-batches-bin/. Prints a table and writes the same as JSON.
"""
import subprocess

from common import arguments, train, write


def main():
    parser = arguments(__doc__)
    parser.add_argument("--cifar-limit", help="training images of CIFAR5, where the folder holds only some of its files")
    parser.add_argument("--eval-samples", default="10", help="posterior samples of the evaluation")
    options = parser.parse_args()
    listed = subprocess.run([options.program, "presets"], capture_output=True, text=True, check=True).stdout
    names = [line.split()[0] for line in listed.splitlines() if line.startswith("paper/")]
    rows = []
    for name in names:
        flags = ["--preset", name, "--epochs", "1", "--eval-samples", options.eval_samples, "--ood", "none"]
        if "cifar5" in name and options.cifar_limit:
            flags += ["--train-limit", options.cifar_limit]
        summary = train(options, name.replace("/", "-"), flags)
        if summary is None:
            continue
        test = summary["test"]
        size = {"steps": summary["steps"], "test_images": test["images"], "samples": test["samples"]}
        rows.append({"preset": name, **size, "accuracy": test["accuracy"], "nll": test["nll"]})
        print(f"| `{name}` | {100 * test['accuracy']:.2f}% | {test['nll']:.3f} |", flush=True)
        write(options, rows)
    missing = set(names) - {row["preset"] for row in rows}
    if missing:
        raise SystemExit(f"failed: {', '.join(sorted(missing))}")


if __name__ == "__main__":
    main()
