"""The race: `processor run` beside its peers and beside the least that the work can cost.

Run by `ci/bench`, which installs what this needs. Every round runs every contender once on every
set, one after the other, so that what disturbs this machine disturbs them all.
"""

import argparse
import contextlib
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
MIB = 1024 * 1024
PART_SIZE = 8 * MIB
BUDGET_MIB = 256
# What the processor may take beside its budget.
ALLOWANCE_MIB = 64
FLOOR_DOWN = "floor: curl down"
FLOOR_UP = "floor: curl up"
# What bare URLs cost beside: nobody else asks for lengths before, or plans.
FLOOR_HEADS = "floor: curl HEADs"
PEERS = ["rclone", "archiver", "stream-zip", "zipstream-ng"]
CONTENDERS = ["processor", FLOOR_DOWN, FLOOR_UP, FLOOR_HEADS, *PEERS]


@dataclass(frozen=True)
class Photos:
    """A folder of photos of one size."""

    folder: str
    pattern: str
    count: int
    size: int


LARGE = Photos("large", "IMG_{:05}.jpg", 250, 8_000_000)
SMALL = Photos("small", "IMG_{:05}.jpg", 20_000, 20_000)
MEDIUM = Photos("medium", "IMG_{:05}.jpg", 2_000, 200_000)
VIDEO = Photos("video", "MOV_{:05}.mp4", 2, 1_500_000_000)


@dataclass(frozen=True)
class Set:
    """What everybody races over."""

    name: str
    title: str
    photos: tuple  # of (Photos, how many of them)
    path: str | None = None  # at the origin, if not the folder
    tls: bool = False  # to the sink; from the origin it always is
    sizes: bool = False  # whether the manifest gives them
    contenders: tuple = tuple(CONTENDERS)
    parallel: int = 32  # curl's, which was fastest
    waits: bool = False  # it is the origin's pace that counts, not the CPU's

    @property
    def bytes(self):
        return sum(photos.size * count for photos, count in self.photos)

    def files(self):
        for photos, count in self.photos:
            for index in range(count):
                yield f"{photos.folder}/{photos.pattern.format(index)}", photos.size


SETS = [
    Set("event", "25 × 8 MB", ((LARGE, 25),)),
    Set("wedding", "250 × 8 MB", ((LARGE, 250),)),
    Set("wedding-tls", "250 × 8 MB, TLS to the sink too", ((LARGE, 250),), tls=True),
    Set("thumbnails", "20,000 × 20 KB", ((SMALL, 20_000),), parallel=64),
    Set(
        "thumbnails-sizes",
        "20,000 × 20 KB, sizes in the manifest",
        ((SMALL, 20_000),),
        sizes=True,
        contenders=("processor",),
    ),
    Set("videos", "2 × 1.5 GB + 50 × 8 MB", ((VIDEO, 2), (LARGE, 50))),
    Set("limited", "25 × 8 MB at 2 MB/s a connection", ((LARGE, 25),), path="limited", waits=True),
    Set(
        "latency",
        "2,000 × 200 KB, each after 60 ms",
        ((MEDIUM, 2_000),),
        path="latency",
        parallel=256,
        waits=True,
    ),
    Set(
        "latency-sizes",
        "2,000 × 200 KB, each after 60 ms, sizes in the manifest",
        ((MEDIUM, 2_000),),
        path="latency",
        sizes=True,
        contenders=("processor",),
        waits=True,
    ),
]


@dataclass
class Cost:
    """What one run took."""

    wall: float
    cpu: float
    peak_mib: float


class Race:
    def __init__(self, work, tools):
        self.work, self.tools = work, tools
        self.photos, self.tls = work / "photos", work / "tls"
        self.services = contextlib.ExitStack()
        self.origin = self.plain = self.secure = ""
        self.budget_mib = BUDGET_MIB
        self.counter = 0
        self.listed = set()
        self.lock = threading.Lock()

    def make_photos(self):
        for photos in (LARGE, SMALL, MEDIUM, VIDEO):
            folder = self.photos / photos.folder
            made = folder / ".made"
            if made.exists():
                continue
            print(f"making {photos.count} photos of {photos.size:,} bytes …", file=sys.stderr)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            for index in range(photos.count):
                with open(folder / photos.pattern.format(index), "wb") as file:
                    for at in range(0, photos.size, PART_SIZE):
                        file.write(os.urandom(min(PART_SIZE, photos.size - at)))
            made.touch()
        part = self.work / "part"
        if not part.exists() or part.stat().st_size != PART_SIZE:
            part.write_bytes(os.urandom(PART_SIZE))

    def read_photos(self):
        """Has the photos in the page cache, so that nobody waits for the disk."""
        for path in sorted(self.photos.rglob("*.*")):
            with open(path, "rb", buffering=0) as file:
                while file.read(PART_SIZE):
                    pass

    def make_certificates(self):
        if (self.tls / "server.crt").exists():
            return
        self.tls.mkdir(parents=True, exist_ok=True)
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650"]

        def openssl(*args):
            command = ["openssl", "req", *key, *args]
            subprocess.run(command, cwd=self.tls, check=True, stderr=subprocess.DEVNULL)

        openssl("-x509", "-subj", "/CN=race", "-keyout", "ca.key", "-out", "ca.crt")
        openssl(
            *("-x509", "-CA", "ca.crt", "-CAkey", "ca.key", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"),
            *("-keyout", "server.key", "-out", "server.crt"),
        )

    def start(self, keep=None):
        """Starts the sink, and the origin if need be."""
        command = [self.tools / "examples/sink", "--cert", "server.crt", "--key", "server.key"]
        if keep:
            command += ["--keep", keep]
        sink = subprocess.Popen(
            command, cwd=self.tls, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        # It ends when its stdin is closed.
        self.services.callback(sink.wait)
        self.services.callback(sink.stdin.close)
        self.plain, self.secure = sink.stdout.readline().split()
        if self.origin:
            return
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        config = (HERE / "nginx.conf").read_text()
        for name, value in {
            "work": self.work,
            "port": port,
            "tls": self.tls,
            "photos": self.photos,
        }.items():
            config = config.replace("{" + name + "}", str(value))
        if os.geteuid() == 0:
            # So that its workers may read what is in root's home.
            config = "user root;\n" + config
        conf = self.work / "nginx.conf"
        conf.write_text(config)
        nginx = subprocess.Popen(
            ["nginx", "-p", "/usr/lib/nginx", "-c", conf], stderr=subprocess.DEVNULL
        )
        self.services.callback(nginx.wait)
        self.services.callback(nginx.terminate)
        self.origin = f"https://127.0.0.1:{port}"
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.1)
        raise SystemExit(f"nginx does not start; see {self.work}/nginx.log")

    def lists(self, race_set):
        """Writes what the contenders read: URLs, a manifest, curl's configuration."""
        base = self.work / race_set.name
        if base in self.listed:
            return base
        self.listed.add(base)
        paths = []
        for path, size in race_set.files():
            if race_set.path:
                path = f"{race_set.path}/{path.split('/')[1]}"
            paths.append((path, size))
        urls = [f"{self.origin}/{path}" for path, _ in paths]
        base.with_suffix(".urls").write_text("\n".join(urls) + "\n")
        base.with_suffix(".paths").write_text("\n".join(path for path, _ in paths) + "\n")
        base.with_suffix(".down").write_text(
            "".join(f'url = "{url}"\noutput = "/dev/null"\n' for url in urls)
        )
        photos = [
            {"url": url} | ({"size": size} if race_set.sizes else {})
            for url, (_, size) in zip(urls, paths)
        ]
        manifest = {"version": 1, "event_id": race_set.name, "photos": photos}
        base.with_suffix(".json").write_text(json.dumps(manifest))
        parts = -(-race_set.bytes // PART_SIZE)
        base.with_suffix(".up").write_text(
            "".join(
                f'upload-file = "{self.work}/part"\nurl = "{self.sink(race_set)}/race/part-{n}"\n'
                'output = "/dev/null"\n'
                for n in range(parts)
            )
        )
        return base

    def sink(self, race_set):
        return self.secure if race_set.tls else self.plain

    def command(self, contender, race_set, key):
        base = self.lists(race_set)
        sink = self.sink(race_set)
        ca = self.tls / "ca.crt"
        curl = ["curl", "-sS", "--fail", "--cacert", ca, "--parallel", "--parallel-immediate"]
        env = {
            "PATH": os.environ["PATH"],
            "SSL_CERT_FILE": str(ca),
            "NODE_EXTRA_CA_CERTS": str(ca),
            "HOME": str(self.work),
        }
        if contender == "processor":
            env |= {
                "R2_ENDPOINT": sink,
                "R2_ACCESS_KEY": "race",
                "R2_SECRET_KEY": "race-secret",
                "WPP_SOURCE__ALLOWED_HOSTS": "127.0.0.1",
                "WPP_SOURCE__ALLOW_PRIVATE": "true",
            }
            command = [
                *(self.tools / "processor", "run", base.with_suffix(".json")),
                *("--memory-budget", f"{self.budget_mib}MiB", "--output", f"s3://race/{key}"),
            ]
        elif contender == FLOOR_DOWN:
            parallel = str(race_set.parallel)
            command = [*curl, "--parallel-max", parallel, "-K", base.with_suffix(".down")]
        elif contender == FLOOR_HEADS:
            parallel = str(race_set.parallel)
            command = [*curl, "--head", "--parallel-max", parallel, "-K", base.with_suffix(".down")]
        elif contender == FLOOR_UP:
            command = [*curl, "--parallel-max", "16", "-K", base.with_suffix(".up")]
        elif contender == "rclone":
            remote = "s3,provider=Other,force_path_style=true,region=auto"
            remote += f",access_key_id=race,secret_access_key=race-secret,endpoint='{sink}'"
            command = [
                *("rclone", "archive", "create", "--config", "", "--quiet", "--ca-cert", ca),
                *("--files-from-raw", base.with_suffix(".paths"), "--no-traverse"),
                *("--http-url", self.origin, "--s3-no-check-bucket", "--s3-disable-checksum"),
                *("--s3-chunk-size", "8M", "--s3-upload-concurrency", "10"),
                *("--s3-use-multipart-etag=false", "--s3-use-unsigned-payload=true"),
                *(":http:", f":{remote}:race/{key}"),
            ]
        elif contender == "archiver":
            script = self.work / "archiver.mjs"
            command = ["node", script, base.with_suffix(".urls"), sink, key]
        else:
            script = HERE / "peers.py"
            command = [sys.executable, script, contender, base.with_suffix(".urls"), sink, key]
        return [str(word) for word in command], env

    def run(self, contender, race_set, key=None):
        with self.lock:
            self.counter += 1
            number = self.counter
            command, env = self.command(contender, race_set, key or f"{race_set.name}-{number}.zip")
        log = self.work / f"run-{number}.log"
        with open(log, "wb") as output:
            started = time.monotonic()
            process = subprocess.Popen(
                command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.monotonic() - started
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise SystemExit(f"{contender} failed on {race_set.title}:\n{log.read_text()[-2000:]}")
        log.unlink()
        return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)

    def profile(self, race_set):
        """Samples one run of ours, and prints where its CPU time goes: by program part, by function."""
        command, env = self.command("processor", race_set, f"{race_set.name}-profile.zip")
        data = self.work / "perf.data"
        record = ["perf", "record", "--quiet", "--freq", "2999", "--output", data, "--", *command]
        # The run's summary is on stderr, perf's own words too; only failures are of interest.
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(record, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode != 0:
            raise SystemExit(f"the profiled run of {race_set.title} failed:\n{done.stderr[-2000:]}")
        print(f"\n### {race_set.title}: {after.ru_minflt - before.ru_minflt:,} page faults (perf's included),")
        print(f"{after.ru_utime - before.ru_utime:.2f} s user, {after.ru_stime - before.ru_stime:.2f} s system")
        for keys, least in (("dso", "1"), ("symbol", "0.7")):
            print(f"\n### {race_set.title}: by {keys}\n", flush=True)
            report = ["perf", "report", "--stdio", "--quiet", "--no-children", "--input", data]
            report += ["--sort", keys, "--percent-limit", least]
            subprocess.run(report, check=True, stderr=subprocess.DEVNULL)
        data.unlink()

    def check(self, race_set, contender, folder):
        """Has a contender's archive kept, and holds every photo in it against the original."""
        key = f"{race_set.name}-{contender}.zip"
        self.run(contender, race_set, key)
        kept = folder / f"_race_{key}"
        with zipfile.ZipFile(kept) as archive:
            entries = {Path(info.filename).name: info for info in archive.infolist()}
            for path, _ in race_set.files():
                entry = entries.pop(Path(path).name)
                with archive.open(entry) as stored, open(self.photos / path, "rb") as original:
                    while True:
                        expected = original.read(MIB)
                        if stored.read(MIB) != expected:
                            raise SystemExit(f"{contender}: {path} differs in its archive")
                        if not expected:
                            break
            if entries:
                raise SystemExit(f"{contender}: {len(entries)} entries too many")
        kept.unlink()


def spread(values, digits):
    middle = f"{statistics.median(values):.{digits}f}"
    return f"{middle} ({min(values):.{digits}f}–{max(values):.{digits}f})"


@dataclass
class Results:
    """All costs, by set and contender."""

    costs: dict = field(default_factory=dict)

    def add(self, race_set, contender, cost):
        self.costs.setdefault(race_set.name, {}).setdefault(contender, []).append(cost)

    def median(self, race_set, contender, what):
        return statistics.median(getattr(c, what) for c in self.costs[race_set][contender])

    def table(self, race_set):
        gigabytes = race_set.bytes / 1e9
        print(f"\n### {race_set.title}\n")
        print("| | wall s | CPU s/GB | peak MiB |\n| --- | --- | --- | --- |")
        for contender, costs in self.costs[race_set.name].items():
            wall = spread([cost.wall for cost in costs], 2)
            cpu = spread([cost.cpu / gigabytes for cost in costs], 2)
            peak = spread([cost.peak_mib for cost in costs], 0)
            print(f"| {contender} | {wall} | {cpu} | {peak} |")

    def targets(self):
        """What was promised, what came of it, and whether that is enough."""
        ran = self.costs
        for race_set in SETS:
            name = race_set.name
            if name not in ran or "processor" not in ran[name]:
                continue
            ours = self.median(name, "processor", "wall")
            # Nobody else makes use of sizes.
            reference = name.removesuffix("-sizes")
            others = ran.get(reference, {})
            peers = [peer for peer in PEERS if peer in others]
            if peers:
                best = min(self.median(reference, peer, "wall") for peer in peers)
                # The promises are the issue's: so many times faster than the fastest peer.
                wanted = {"thumbnails": 5.0, "thumbnails-sizes": 5.0, "videos": 2.5}.get(name)
                if name.startswith("wedding"):
                    wanted = 1.7
                if wanted:
                    yield f"{race_set.title}: faster than every peer", best / ours, "≥", wanted
            if name.startswith("wedding"):
                cpu = self.median(name, "processor", "cpu")
                if peers:
                    best = min(self.median(name, peer, "cpu") for peer in peers)
                    yield f"{race_set.title}: CPU of the best peer's", cpu / best, "≤", 0.5
                if {FLOOR_DOWN, FLOOR_UP} <= ran[name].keys():
                    floor = sum(self.median(name, f, "cpu") for f in (FLOOR_DOWN, FLOOR_UP))
                    yield f"{race_set.title}: CPU of the floor's", cpu / floor, "≤", 1.5
            if race_set.waits and FLOOR_DOWN in others:
                floor = self.median(reference, FLOOR_DOWN, "wall")
                yield f"{race_set.title}: time of the floor's", ours / floor, "≤", 1.25
                if FLOOR_HEADS in others and not race_set.sizes:
                    floor += self.median(reference, FLOOR_HEADS, "wall")
                    what = f"{race_set.title}: time of the floor's, a HEAD each included"
                    yield what, ours / floor, "≤", 1.25
            peak = max(cost.peak_mib for cost in ran[name]["processor"])
            allowed = BUDGET_MIB + ALLOWANCE_MIB
            yield f"{race_set.title}: highest peak in MiB", peak, "≤", allowed

    def print(self):
        for race_set in SETS:
            if race_set.name in self.costs:
                self.table(race_set)
        print("\n### Targets\n\n| | found | wanted | |\n| --- | --- | --- | --- |")
        for what, found, relation, wanted in self.targets():
            met = found >= wanted if relation == "≥" else found <= wanted
            digits = 0 if wanted > 10 else 2
            result = "met" if met else "**missed**"
            print(f"| {what} | {found:.{digits}f} | {relation} {wanted:g} | {result} |")


def main():
    parser = argparse.ArgumentParser(prog="ci/bench", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each runs [5]")
    names = [race_set.name for race_set in SETS]
    parser.add_argument("--sets", default=",".join(names), help="which sets, of " + ", ".join(names))
    parser.add_argument("--contenders", help="who takes part, of processor, floor, " + ", ".join(PEERS))
    parser.add_argument("--budget", type=int, default=BUDGET_MIB, help="the processor's, in MiB [256]")
    parser.add_argument("--profile", action="store_true", help="sample the processor with perf instead")
    parser.add_argument("--no-check", action="store_true", help="do not look into the archives first")
    args = parser.parse_args()
    wanted_sets = args.sets.split(",")
    if unknown := set(wanted_sets) - set(names):
        parser.error(f"there is no set {', '.join(unknown)}")
    sets = [race_set for race_set in SETS if race_set.name in wanted_sets]
    wanted = args.contenders.split(",") if args.contenders else CONTENDERS
    unknown = set(wanted) - {"floor", *CONTENDERS}
    if unknown:
        parser.error(f"nobody is called {', '.join(unknown)}")
    work = Path(os.environ["BENCH_DIR"])
    race = Race(work, Path(os.environ["BENCH_TOOLS"]))
    race.budget_mib = args.budget
    # Modules are looked for beside the script.
    shutil.copy(HERE / "archiver.mjs", work)
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
    race.make_photos()
    race.make_certificates()
    race.read_photos()

    def contenders(race_set):
        return [c for c in race_set.contenders if c.split(":")[0] in wanted or c in wanted]

    if args.profile:
        with race.services:
            race.start()
            for race_set in sets:
                race.profile(race_set)
        return

    if not args.no_check:
        folder = work / "kept"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        checker = Race(work, race.tools)
        with checker.services:
            checker.start(keep=folder)
            for race_set in sets:
                for contender in contenders(race_set):
                    # The slow sets are of photos that the others have too.
                    if not race_set.waits and not contender.startswith("floor"):
                        print(f"checking {contender}: {race_set.title}", file=sys.stderr)
                        checker.check(race_set, contender, folder)
        shutil.rmtree(folder)

    results = Results()
    with race.services:
        race.start()
        for number in range(args.rounds):
            for race_set in sets:
                print(f"round {number + 1} of {args.rounds}: {race_set.title}", file=sys.stderr)
                for contender in contenders(race_set):
                    if not (race_set.waits and contender in PEERS):
                        results.add(race_set, contender, race.run(contender, race_set))
        # Who fetches one photo at a time waits for minutes where the origin is slow, and uses next
        # to no CPU. They may as well wait together, all rounds of them.
        waiting = [
            (race_set, contender)
            for race_set in sets
            for contender in contenders(race_set)
            if race_set.waits and contender in PEERS
        ] * args.rounds
        if waiting:
            print(f"{len(waiting)} runs of those who only wait, at once", file=sys.stderr)
            with ThreadPoolExecutor(len(waiting)) as pool:
                costs = pool.map(lambda job: race.run(job[1], job[0]), waiting)
                for (race_set, contender), cost in zip(waiting, costs):
                    results.add(race_set, contender, cost)
    results.print()


if __name__ == "__main__":
    main()
