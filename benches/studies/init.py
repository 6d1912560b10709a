"""Initialisations and optimisers of the generators: `python3 benches/studies/init.py --runs DIR --out FILE`.

For each generator: glorot and hyperfan-in, Adam and RMSProp; the rate of each is the best of RATES by the negative
log-likelihood of a validation set after two epochs with a seed of its own. Then runs of 1, 3 and 10 epochs, each with the
whole schedule (warm-up, cosine, KL term in the second half), on the first IMAGES images of MNIST, evaluated on its 10,000
test images. Rows of other generators that FILE holds already stay. BBH_DATA names the folder with mnist/.
"""
import json
import os
import statistics

from common import arguments, train, write

RATES = ["1e-4", "5e-4", "2e-3"]
# Seeds of runs of so many epochs; the larger the generators, the fewer.
SEEDS = {"shared": {1: 3, 3: 3, 10: 3}, "sliced": {1: 3, 3: 3, 10: 1}, "layer-wise": {1: 3, 3: 3, 10: 1}}
ARMS = [(init, optimizer) for init in ("glorot", "hyperfan-in") for optimizer in ("adam", "rmsprop")]


def best_rate(options, generator, init, optimizer):
    """The rate of the lowest validation loss; a run that ended without a finite loss counts as the worst."""

    def validation(rate):
        flags = common_flags(options, generator, init, optimizer, rate, 100, 2)
        name = f"rate-{generator}-{init}-{optimizer}-{rate}"
        if train(options, name, [*flags, "--valid-fraction", "0.2", "--eval-samples", "1"]) is None:
            return float("inf")
        with open(os.path.join(options.runs, name, "metrics.jsonl")) as file:
            return json.loads(file.readlines()[-1])["valid_nll"]

    return min(RATES, key=validation)


def common_flags(options, generator, init, optimizer, rate, seed, epochs):
    """What every run of the study is given."""
    choice = ["--generator", generator, "--init", init, "--optimizer", optimizer, "--lr", rate]
    size = ["--train-limit", str(options.images), "--epochs", str(epochs), "--seed", str(seed)]
    return ["mnist", *choice, *size, "--ood", "none"]


def row(options, generator, arm, rate, epochs, seeds):
    """Median, least and greatest accuracy and NLL over seeds."""
    flags = [common_flags(options, generator, *arm, rate, seed, epochs) for seed in range(seeds)]
    names = [f"{generator}-{'-'.join(arm)}-{epochs}-{seed}" for seed in range(seeds)]
    runs = [train(options, name, [*flags, "--eval-samples", "5"]) for name, flags in zip(names, flags)]
    tests = [run["test"] for run in runs if run is not None]
    figures = {
        figure: {"median": statistics.median(values), "least": min(values), "greatest": max(values)}
        for figure in ("accuracy", "nll")
        if (values := [test[figure] for test in tests])
    }
    known = {"generator": generator, "init": arm[0], "optimizer": arm[1], "lr": rate, "images": options.images}
    return {**known, "epochs": epochs, "seeds": len(tests), **figures}


def main():
    parser = arguments(__doc__)
    parser.add_argument("--images", type=int, default=10000, help="training images")
    parser.add_argument("--generators", default="shared,sliced,layer-wise")
    options = parser.parse_args()
    generators = options.generators.split(",")
    rows = []
    if os.path.exists(options.out):
        with open(options.out) as file:
            rows = [known for known in json.load(file) if known["generator"] not in generators]
    for generator in generators:
        for arm in ARMS:
            rate = best_rate(options, generator, *arm)
            for epochs, seeds in SEEDS[generator].items():
                rows.append(row(options, generator, arm, rate, epochs, seeds))
                print(json.dumps(rows[-1]), flush=True)
                write(options, rows)


if __name__ == "__main__":
    main()
