// What 5,000 photos cost: under 50 ms of CPU and 32 MiB, which a Worker has little of.
//
// Measured is the whole workerd process, by what the kernel has counted for its threads: what the module
// does, but also compiling it, collecting garbage, and the runtime's own work for eleven requests, which
// Cloudflare does not charge for. So the module itself is well below. `first` is the first request of a fresh
// isolate, where nothing is compiled; `warm` is the sixth. Both are the least of five: what else the machine does
// (caches emptied, cores shared) only ever adds.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { caller, finish, provision, unique, worker } from "./support.mjs";

const PHOTOS = 5000;
const MAX_CPU_MS = 50;
const MAX_MEMORY = 32 * 2 ** 20;
const RUNS = 5;

/** workerd, of which this process has just started one. */
function pidOfWorkerd(known) {
  const children = readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, "utf8").trim().split(" ");
  const [pid] = children.filter((it) => !known.has(it) && readFileSync(`/proc/${it}/cmdline`, "utf8").includes("workerd"));
  known.add(pid);
  return pid;
}

/** Milliseconds that all threads have had a CPU for. */
const cpu = (pid) =>
  readdirSync(`/proc/${pid}/task`).reduce((sum, thread) => sum + Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]), 0) / 1e6;

/** Resident bytes, now (`VmRSS`) or the most there ever were (`VmHWM`). */
const resident = (pid, what) => 1024 * Number(new RegExp(`${what}:\\s*(\\d+)`).exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]);

const least = (name) => Math.min(...runs.map((run) => run[name]));

let settings;
const runs = [];
before(async () => {
  settings = await provision("budget");
  const known = new Set();
  for (let run = 0; run < RUNS; run++) {
    const miniflare = await worker("harness.mjs", { bindings: settings });
    const pid = pidOfWorkerd(known);
    const call = caller(miniflare);
    const cost = async () => {
      const start = cpu(pid);
      const { status } = await call("submitPrepared", [unique("budget")]);
      assert.equal(status, "queued");
      return cpu(pid) - start;
    };
    // The isolate is there, but none of the module has run.
    await miniflare.dispatchFetch("http://worker/prepare?count=0");
    const before = resident(pid, "VmRSS");
    await miniflare.dispatchFetch(`http://worker/prepare?count=${PHOTOS}`);
    const first = await cost();
    const memory = resident(pid, "VmHWM") - before;
    for (let again = 0; again < 4; again++) await cost();
    runs.push({ first, warm: await cost(), memory });
    await miniflare.dispose();
  }
});
after(finish);

const shown = (name, unit = 1) => runs.map((run) => (run[name] / unit).toFixed(1)).join(", ");

for (const name of ["first", "warm"])
  test(`${PHOTOS} photos, ${name}: under ${MAX_CPU_MS} ms of CPU`, (t) => {
    const took = least(name);
    t.diagnostic(`at least ${took.toFixed(1)} ms, of ${shown(name)}`);
    assert(took < MAX_CPU_MS, `${took} ms`);
  });

test(`${PHOTOS} photos: under 32 MiB`, (t) => {
  const most = Math.max(...runs.map((run) => run.memory));
  t.diagnostic(`at most ${(most / 2 ** 20).toFixed(1)} MiB more than before, photos included, of ${shown("memory", 2 ** 20)}`);
  assert(most < MAX_MEMORY, `${most} bytes`);
});
