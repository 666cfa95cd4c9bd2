// What is handed on: one file, short, for the Workers runtime alone, and a lock file that names no registry.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const read = (name) => readFileSync(new URL(`../${name}`, import.meta.url), "utf8");

test("the module is one file under 24 kB that imports nothing", () => {
  const code = read("dist/aws-batch-integration.js");
  assert(Buffer.byteLength(code) < 24_000);
  assert(!/\bimport\b|\brequire\b|node:/.test(code));
});

test("it exports what it says, and takes settings that are global, as Workers of the older syntax have them", async () => {
  const module = await import("aws-batch-integration");
  assert.deepEqual(Object.keys(module).sort(), ["AWSBatchIntegration", "PhotoJobError"]);
  globalThis.R2_BUCKET = "photos";
  const error = await new module.AWSBatchIntegration().submitPhotoProcessingJob("e", ["https://h.example/a"]).catch((it) => it);
  delete globalThis.R2_BUCKET;
  assert(error instanceof module.PhotoJobError);
  assert.match(error.message, /R2_ENDPOINT is missing/);
  assert(!error.message.includes("R2_BUCKET is missing"));
});

test("its types name nothing that is not there", () => {
  const types = ["aws-batch-integration.d.ts", "error.d.ts", "types.d.ts"].map((name) => read(`dist/${name}`)).join("");
  for (const [, from] of types.matchAll(/from "([^"]+)"/g)) assert.match(from, /^\.\/(error|types)\.js$/);
  assert(!/_least|Services/.test(types));
});

test("versions are exact, and the lock file names no registry", () => {
  const { devDependencies, dependencies } = JSON.parse(read("package.json"));
  assert.equal(dependencies, undefined);
  for (const [name, version] of Object.entries(devDependencies)) assert.match(version, /^\d+\.\d+\.\d+$/, name);
  for (const [name, { resolved, integrity }] of Object.entries(JSON.parse(read("package-lock.json")).packages)) {
    assert.equal(resolved, undefined, name);
    assert(name === "" || integrity, name);
  }
});
