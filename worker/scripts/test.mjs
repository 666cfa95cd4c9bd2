// Every test: the types, the build and its length, and the module and the example in workerd against the real
// services. Starts services of its own (ci/services) unless their environment is there already, and builds the
// programs that the tests run, unless `TEST_BINARIES` is the folder that they are in. Arguments are the test files to run, all unless
// there are some.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL("..", import.meta.url));
const root = path.dirname(path.resolve(here));
const stop = (why) => (console.error(`test: ${why}`), process.exit(1));
const run = (command, args, options) => {
  const { status, error } = spawnSync(command, args, { stdio: "inherit", ...options });
  if (error) stop(`${command} cannot be started: ${error.code}`);
  return status;
};

process.chdir(here);
// Not by npm, which may be one that wants another Node.
const node = (...args) => run(process.execPath, args);
const tsc = "node_modules/typescript/bin/tsc";
const isBuilt = process.env.TEST_WORKER_IS_BUILT === "1";
if ((!isBuilt && node("scripts/build.mjs")) || node(tsc, "--project", "src") || node(tsc, "--project", "example")) stop("it does not build");
const env = { ...process.env };
if (!env.TEST_BINARIES) {
  const built = ["build", "--locked", "--quiet", "--bin", "processor", "--bin", "submit", "--example", "origin"];
  if (run("cargo", built, { cwd: root })) stop("the programs cannot be built");
  const { target_directory } = JSON.parse(execFileSync("cargo", ["metadata", "--format-version=1", "--no-deps"], { cwd: root }));
  env.TEST_BINARIES = path.join(target_directory, "debug");
}
let services;
if (!env.TEST_MOTO) {
  services = { ...env, SERVICES_RUN: mkdtempSync(path.join(tmpdir(), "wpp-worker-services.")) };
  if (run(path.join(root, "ci/services"), ["up"], { env: services })) stop("the services do not run");
  // What it prints is for the shell to read.
  const said = execFileSync("bash", ["-c", 'eval "$(ci/services env)" && env -0'], { cwd: root, env: services, encoding: "utf8" });
  for (const line of said.split("\0").filter((it) => it.startsWith("TEST_"))) env[line.slice(0, line.indexOf("="))] = line.slice(line.indexOf("=") + 1);
}
const files = process.argv.length > 2 ? process.argv.slice(2) : ["test/*.test.mjs"];
// One file after the other: `budget` counts what others would take away from it.
const status = run(process.execPath, ["--test", "--test-concurrency=1", "--test-reporter=spec", ...files], { env });
if (services) {
  run(path.join(root, "ci/services"), ["down"], { env: services });
  rmSync(services.SERVICES_RUN, { recursive: true, force: true });
}
process.exit(status);
