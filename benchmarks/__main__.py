"""All benchmarks, one after the other: ``python -m benchmarks [NAME ...] [-- --quick]``.

Each prints ratios against a floor or a library of the same run; nothing here passes or fails.
"""

import argparse
import importlib.util
import subprocess
import sys

# Name -> what it measures; a name is a module beside this file.
BENCHMARKS = {
    "pipeline": "packing a layer, against gunzip + gzip + sha256 and against tarfile + gzip",
    "compressors": "the two compressors alone, against zlib 6",
    "fileserver": "serving artifacts, against nginx",
    "registry": "requests to registries, against bare aiohttp",
    "apiserver": "the embedded API, against kube-apiserver with etcd",
    "scale": "10 000 objects: cold start, a no-change run against a bare HEAD, memory",
    "cli": "start of the command line, against python -c pass",
}


def main() -> int:
    """Run the named benchmarks, all of them by default; 1 if one could not run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    chosen = parser.parse_args().names or list(BENCHMARKS)
    unknown = [name for name in chosen if name not in BENCHMARKS]
    if unknown:
        parser.error(f"unknown benchmark {', '.join(unknown)}: there is {', '.join(BENCHMARKS)}")
    failed = []
    for name in chosen:
        print(f"\n== {name}: {BENCHMARKS[name]}", flush=True)
        module = f"benchmarks.{name}"
        if importlib.util.find_spec(module) is None:
            failed.append(name)
            continue
        if subprocess.run([sys.executable, "-m", module], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"\ncould not run: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
