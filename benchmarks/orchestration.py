"""What Prefect adds to an audit: start-up, overhead over the plain functions, and one process beside two.

    python benchmarks/orchestration.py [--plan PLAN] [--rounds 3] [--with-server] [--cache FOLDER]

Without a plan it is the demonstration. Every audit runs in a new process into a new run folder, with one cache that was
filled before (so that no network is trained; one that is there already may be named), in turns. Times are those of the
wall, as people wait for them: run it on a machine that does nothing else. The overhead is the difference of medians.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from importlib import resources
from pathlib import Path

PROJECT = Path(__file__).parent.parent
sys.path.insert(0, str(PROJECT))

START = """
import sys, time
from pathlib import Path
begun = time.monotonic()
from flows import process_settings
process_settings.configure(Path(sys.argv[1]), prefect=True)
import prefect
imported = time.monotonic()
@prefect.flow
def nothing():
    return 0
nothing()
first = time.monotonic()
nothing()
print(imported - begun, first - imported, time.monotonic() - first)
"""


def environment(**more: str) -> dict[str, str]:
    """Return the environment of an audit, without settings of whoever runs this."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "WOLFHOUND_"))}
    return kept | {"PYTHONPATH": str(PROJECT)} | more


def seconds(plan: Path, folder: Path, cache: Path, *options: str, given: dict[str, str]) -> float:
    """Return how long one audit takes from its command to its exit, its cache warm."""
    root = Path(tempfile.mkdtemp(dir=folder)) / "run"
    command = [sys.executable, "-m", "flows.cli", "run", str(plan), "--quiet", "--cache", str(cache)]
    begun = time.monotonic()
    done = subprocess.run([*command, "--output", str(root), *options], env=given, capture_output=True, check=False)
    if done.returncode not in (0, 1, 3):
        raise SystemExit(done.stderr.decode())
    return time.monotonic() - begun


def start_up(folder: Path) -> Sequence[float]:
    """Return the seconds that Prefect's import, a first flow with the embedded server, and a second flow take."""
    command = [sys.executable, "-c", START, str(folder / "start")]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    return [float(part) for part in done.stdout.split()[-3:]]


def told(name: str, taken: Sequence[float], beside: float | None = None) -> float:
    """Print the times of one way to run the audit, and return their median."""
    middle = statistics.median(taken)
    added = "" if beside is None else f"   {middle - beside:+.1f} s ({100 * (middle / beside - 1):+.1f} %)"
    print(f"{name:32}{middle:8.1f} s   [{min(taken):.1f}, {max(taken):.1f}]{added}", flush=True)
    return middle


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plan", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--with-server", action="store_true", help="also one and two processes on a Prefect server")
    parser.add_argument("--cache", type=Path, help="a cache to fill and use, kept afterwards")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        cache = (asked.cache or folder / "cache").resolve()
        plan = asked.plan or stack.enter_context(resources.as_file(resources.files("plans") / "demonstration.yaml"))
        imported, first, second = start_up(folder)
        print(f"import {imported:.1f} s, first flow {first:.1f} s (embedded server), second flow {second:.2f} s")
        ways = {
            "plain functions": (("--without-prefect",), environment()),
            "Prefect, embedded server": ((), environment()),
        }
        if asked.with_server:
            from tests.flows.servers import prefect_server

            server = stack.enter_context(prefect_server(folder))
            on_server = environment(PREFECT_API_URL=server["PREFECT_API_URL"], PREFECT_HOME=server["PREFECT_HOME"])
            ways |= {f"Prefect, {n} process(es)": (("--runner", f"processes:{n}"), on_server) for n in (1, 2)}
        seconds(plan, folder, cache, "--without-prefect", given=environment())  # fills the cache
        taken: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(asked.rounds):
            for way, (options, given) in ways.items():
                taken[way].append(seconds(plan, folder, cache, *options, given=given))
        plain = told("plain functions", taken.pop("plain functions"))
        for way, times in taken.items():
            told(way, times, plain)


if __name__ == "__main__":
    main()
