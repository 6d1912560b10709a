"""What the studies share: runs of the shipped program, kept under a folder so that a study that was stopped goes on."""
import argparse
import json
import os
import subprocess
import time


def arguments(description):
    """The command line of a study."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--program", default="target/release/bbh", help="the program")
    parser.add_argument("--runs", required=True, help="folder of the runs; finished ones are not trained again")
    parser.add_argument("--out", required=True, help="JSON file for the results")
    return parser


def train(options, name, flags):
    """The summary of `bbh train FLAGS`, trained unless the run NAME has one already; None where training failed."""
    folder = os.path.join(options.runs, name)
    summary = os.path.join(folder, "summary.json")
    if not os.path.exists(summary):
        started = time.time()
        command = [options.program, "train", *flags, "--out", folder, "--quiet"]
        if os.path.exists(os.path.join(folder, "config.toml")):
            command = [options.program, "train", "--resume", folder, "--quiet"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            print(f"{name}: exit code {done.returncode}: {done.stderr.strip()}", flush=True)
            return None
        # Weights and moments of a layer-wise generator take 2.7 GB.
        os.remove(os.path.join(folder, "checkpoint.safetensors"))
        print(f"{name}: {time.time() - started:.0f} s", flush=True)
    with open(summary) as file:
        return json.load(file)


def write(options, rows):
    """The results as JSON."""
    with open(options.out, "w") as file:
        json.dump(rows, file, indent=1)
        file.write("\n")
