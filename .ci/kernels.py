"""Compiles every kernel with a pinned nvcc and compares what ptxas reports with kernels/usage.csv.

    python3 .ci/kernels.py            fails on spills, on stack frames, and on kernels that use more than the table says
    python3 .ci/kernels.py --update   writes the table

nvcc is taken from NVCC, else from the PATH, else from wheels that are installed into the folder NVCC_CACHE (default:
target/nvcc).
"""
import csv
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "kernels" / "usage.csv"
FIELDS = ["file", "kernel", "architecture", "registers", "shared_bytes"]
ARCHITECTURES = ["sm_80", "sm_90a"]
WHEELS = [
    "nvidia-cuda-nvcc==13.0.88",
    "nvidia-nvvm==13.0.88",
    "nvidia-cuda-crt==13.0.88",
    "nvidia-cuda-runtime==13.0.96",
]


def find_nvcc():
    """Path of a compiler; installs the wheels when there is none."""
    known = os.environ.get("NVCC") or shutil.which("nvcc")
    if known:
        return known
    folder = Path(os.environ.get("NVCC_CACHE", ROOT / "target" / "nvcc"))
    nvcc = folder / "nvidia" / "cu13" / "bin" / "nvcc"
    if not nvcc.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
        subprocess.run(pip + WHEELS, check=True)
    return str(nvcc)


def compile_file(nvcc, path, architecture):
    """Rows of the table and complaints for one file."""
    command = [nvcc, "-std=c++17", f"-arch={architecture}", "-cubin", "-Xptxas", "-v", "-Werror", "all-warnings"]
    command += ["-I", str(ROOT / "kernels"), str(path), "-o", os.devnull]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        return [], [f"{path.name} for {architecture} does not compile:\n{result.stderr}"]
    rows, complaints, kernel = [], [], None
    for line in result.stderr.splitlines():
        if match := re.search(r"Compiling entry function '(\w+)'", line):
            kernel = match[1]
        elif match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            if any(int(number) for number in match.groups()):
                complaints.append(f"{path.name}: {kernel} for {architecture}: {match[0]}")
        elif match := re.search(r"Used (\d+) registers", line):
            shared = re.search(r"(\d+) bytes smem", line)
            values = [path.name, kernel, architecture, int(match[1]), int(shared[1]) if shared else 0]
            rows.append(dict(zip(FIELDS, values)))
    return rows, complaints


def compare(rows, table):
    """Complaints about kernels that use more than the table says, or that only one of the two knows."""
    key = lambda row: (row["file"], row["kernel"], row["architecture"])
    known = {key(row): row for row in table}
    found = {key(row): row for row in rows}
    complaints = [f"{' '.join(name)} is in the table but not in the sources" for name in known.keys() - found.keys()]
    for name, row in found.items():
        if name not in known:
            complaints.append(f"{' '.join(name)} is not in the table")
            continue
        for field in ("registers", "shared_bytes"):
            if row[field] > int(known[name][field]):
                complaints.append(f"{' '.join(name)}: {row[field]} {field}, the table says {known[name][field]}")
    return complaints


def main():
    nvcc = find_nvcc()
    jobs = [(path, arch) for path in sorted((ROOT / "kernels").glob("*.cu")) for arch in ARCHITECTURES]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda job: compile_file(nvcc, *job), jobs))
    rows = [row for result in results for row in result[0]]
    complaints = [complaint for result in results for complaint in result[1]]
    rows.sort(key=lambda row: [row[field] for field in FIELDS[:3]])
    if "--update" in sys.argv[1:]:
        with TABLE.open("w", newline="") as file:
            writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    else:
        table = list(csv.DictReader(TABLE.open())) if TABLE.exists() else []
        complaints += compare(rows, table)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    print(f"{len(rows)} kernels compiled, {len(complaints)} complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
