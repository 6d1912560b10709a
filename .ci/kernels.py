"""Compiles every kernel with a pinned nvcc; compares its PTX with kernels/ptx and what ptxas reports with kernels/usage.csv.

    python3 .ci/kernels.py            fails on PTX that differs, on spills, on stack frames, and on kernels that use more
                                      registers or shared memory than the table says
    python3 .ci/kernels.py --update   writes the PTX and the table

nvcc is taken from NVCC, else from the PATH, else from wheels that are installed into the folder NVCC_CACHE (default:
target/nvcc). Another version than the wheels' writes other PTX.

One PTX serves all architectures: it is made for compute_80, and what nvcc makes of these sources for compute_90a differs from
it in the .target line alone. It is marked as ISA 7.0, the first that has all that it says but for hints of ISA 8.3, which are left
out, for drivers from CUDA 11.0 on; ptxas would refuse it otherwise.
"""
import csv
import gzip
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "kernels" / "usage.csv"
PTX = ROOT / "kernels" / "ptx"
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


def compile_file(nvcc, path, folder):
    """PTX, rows of the table and complaints for one file."""
    ptx = Path(folder) / f"{path.stem}.ptx"
    command = [nvcc, "-std=c++17", "-arch=compute_80", "-ptx", "-Werror", "all-warnings"]
    result = subprocess.run(command + ["-I", str(ROOT / "kernels"), str(path), "-o", str(ptx)], capture_output=True, text=True)
    if result.returncode != 0:
        return "", [], [f"{path.name} does not compile:\n{result.stderr}"]
    text = re.sub(r"^\.version .*$", ".version 7.0", ptx.read_text(), count=1, flags=re.MULTILINE)
    text = re.sub(r'^\s*\.pragma "used_bytes_mask.*\n', "", text, flags=re.MULTILINE)
    # Names of a file's own symbols hold a hash of its path.
    text = re.sub(r"_INTERNAL_[0-9a-f]{8}_", "_INTERNAL_00000000_", text)
    ptx.write_text(text)
    rows, complaints = [], []
    for architecture in ARCHITECTURES:
        assemble(Path(nvcc).with_name("ptxas"), ptx, architecture, rows, complaints)
    return text, rows, complaints


def assemble(ptxas, ptx, architecture, rows, complaints):
    """Appends what ptxas says of the kernels of one file for one architecture."""
    command = [str(ptxas), f"-arch={architecture}", "-v", str(ptx), "-o", os.devnull]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        complaints.append(f"{ptx.name} for {architecture} is refused by ptxas:\n{result.stderr}")
    kernel = None
    for line in result.stderr.splitlines():
        if match := re.search(r"Compiling entry function '(\w+)'", line):
            kernel = match[1]
        elif match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            if any(int(number) for number in match.groups()):
                complaints.append(f"{ptx.stem}.cu: {kernel} for {architecture}: {match[0]}")
        elif match := re.search(r"Used (\d+) registers", line):
            shared = re.search(r"(\d+) bytes smem", line)
            values = [f"{ptx.stem}.cu", kernel, architecture, int(match[1]), int(shared[1]) if shared else 0]
            rows.append(dict(zip(FIELDS, values)))


def compare_ptx(texts):
    """Complaints about PTX that differs from the sources' or belongs to none."""
    complaints = []
    for stem, text in texts.items():
        path = PTX / f"{stem}.ptx.gz"
        if not path.exists() or gzip.decompress(path.read_bytes()).decode() != text:
            complaints.append(f"{path.relative_to(ROOT)} is not what {stem}.cu compiles to: python3 .ci/kernels.py --update")
    known = {f"{stem}.ptx.gz" for stem in texts}
    complaints += [f"{path.relative_to(ROOT)} has no source" for path in PTX.glob("*") if path.name not in known]
    return complaints


def write_ptx(texts):
    """Replaces kernels/ptx; a file whose text is the same keeps its bytes."""
    PTX.mkdir(exist_ok=True)
    for path in PTX.glob("*"):
        if path.name.removesuffix(".ptx.gz") not in texts:
            path.unlink()
    for stem, text in texts.items():
        path = PTX / f"{stem}.ptx.gz"
        if not path.exists() or gzip.decompress(path.read_bytes()).decode() != text:
            path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


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
    sources = sorted((ROOT / "kernels").glob("*.cu"))
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda path: compile_file(nvcc, path, folder), sources))
    texts = {path.stem: result[0] for path, result in zip(sources, results)}
    rows = [row for result in results for row in result[1]]
    complaints = [complaint for result in results for complaint in result[2]]
    rows.sort(key=lambda row: [row[field] for field in FIELDS[:3]])
    if "--update" in sys.argv[1:]:
        write_ptx(texts)
        with TABLE.open("w", newline="") as file:
            writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    else:
        table = list(csv.DictReader(TABLE.open())) if TABLE.exists() else []
        complaints += compare(rows, table) + compare_ptx(texts)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    print(f"{len(rows)} kernels compiled, {len(complaints)} complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
