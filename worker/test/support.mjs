// What the tests share: the real services (`ci/services`), workerd through miniflare, and clean ends.
import { AwsClient } from "aws4fetch";
import { build } from "esbuild";
import { Miniflare } from "miniflare";
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export const root = fileURLToPath(new URL("../..", import.meta.url));
export const run = promisify(execFile);
export const TEST = process.env;

/** What is done when a test file ends, the last thing first. */
const ends = [];
export const atEnd = (act) => ends.push(act);
export async function finish() {
  for (const act of ends.reverse()) await act();
}

export function folder() {
  const made = mkdtempSync(path.join(tmpdir(), "wpp-worker."));
  atEnd(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

/** A name that no other run has. */
export const unique = (name) => `${name}-${process.pid}-${Date.now().toString(36)}`;

export const data = (name) => JSON.parse(readFileSync(path.join(root, "tests/data", name), "utf8"));

/** A program that runs until the tests end. */
export function start(command, args, options) {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
  const said = [];
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => said.push(text));
  atEnd(() => child.kill("SIGKILL"));
  return { child, said };
}

const store = new AwsClient({
  accessKeyId: TEST.TEST_STORE_ACCESS_KEY,
  secretAccessKey: TEST.TEST_STORE_SECRET_KEY,
  service: "s3",
  region: "us-east-1",
});

/** The store as its owner sees it. */
export const s3 = (key, init) => store.fetch(`${TEST.TEST_MINIO}/${key.split("/").map(encodeURIComponent).join("/")}`, init);

/** A bucket, a queue, a job queue and a job definition whose containers do not even start. */
export async function provision(name) {
  const bucket = unique(name).toLowerCase();
  assert((await s3(bucket, { method: "PUT" })).ok, "no bucket");
  const { stdout } = await run(TEST.TEST_PYTHON, [
    path.join(root, "ci/provision.py"),
    ...["--sqs-endpoint", TEST.TEST_LOCALSTACK, "--batch-endpoint", TEST.TEST_MOTO, "--name", bucket, "--image", "there-is-none"],
  ]);
  const made = JSON.parse(stdout);
  return {
    BATCH_AWS_REGION: "us-east-1",
    BATCH_AWS_ACCESS_KEY: "test",
    BATCH_AWS_SECRET_KEY: "test",
    BATCH_SQS_QUEUE_URL: made.queue_url,
    BATCH_JOB_QUEUE_ARN: made.job_queue_arn,
    BATCH_JOB_DEFINITION_ARN: made.job_definition_arn,
    AWS_ENDPOINT_URL_BATCH: TEST.TEST_MOTO,
    R2_ENDPOINT: TEST.TEST_MINIO,
    R2_ACCESS_KEY: TEST.TEST_STORE_ACCESS_KEY,
    R2_SECRET_KEY: TEST.TEST_STORE_SECRET_KEY,
    R2_BUCKET: bucket,
    WPP_R2__REGION: "us-east-1",
    WEBHOOK_SECRET: TEST.TEST_WEBHOOK_SECRET,
  };
}

const sqs = new AwsClient({ accessKeyId: "test", secretAccessKey: "test", service: "sqs", region: "us-east-1" });

/** The texts of the messages that wait, which are taken out. */
export async function messages(settings) {
  const ask = (action, body) =>
    sqs
      .fetch(TEST.TEST_LOCALSTACK, {
        method: "POST",
        headers: { "content-type": "application/x-amz-json-1.0", "x-amz-target": `AmazonSQS.${action}` },
        body: JSON.stringify({ QueueUrl: settings.BATCH_SQS_QUEUE_URL, ...body }),
      })
      .then((it) => it.text())
      .then((it) => (it ? JSON.parse(it) : {}));
  const bodies = [];
  for (;;) {
    const { Messages = [] } = await ask("ReceiveMessage", { MaxNumberOfMessages: 10 });
    if (!Messages.length) return bodies;
    for (const message of Messages) {
      bodies.push(message.Body);
      await ask("DeleteMessage", { ReceiptHandle: message.ReceiptHandle });
    }
  }
}

const batch = new AwsClient({ accessKeyId: "test", secretAccessKey: "test", service: "batch", region: "us-east-1" });

/** A Batch job, as Batch tells of it. */
export async function container(id) {
  const answer = await batch.fetch(`${TEST.TEST_MOTO}/v1/describejobs`, { method: "POST", body: JSON.stringify({ jobs: [id] }) });
  return (await answer.json()).jobs[0];
}

/** A Worker in workerd, from its source. */
export async function worker(entry, options = {}) {
  const built = await build({
    entryPoints: [fileURLToPath(new URL(entry, import.meta.url))],
    bundle: true,
    write: false,
    format: "esm",
    target: "es2022",
  });
  const miniflare = new Miniflare({
    modules: true,
    script: built.outputFiles[0].text,
    compatibilityDate: "2026-07-01",
    ...options,
  });
  await miniflare.ready;
  // The test may have done it already.
  atEnd(() => miniflare.dispose().catch(() => {}));
  return miniflare;
}

/** Calls the module in the harness; settings of `set` count more. */
export function caller(miniflare) {
  return async (call, args, set) => {
    const asked = await miniflare.dispatchFetch("http://worker/", { method: "POST", body: JSON.stringify({ call, args, set }) });
    const { answer, error } = await asked.json();
    if (error) throw Object.assign(new Error(error.message), error);
    return answer;
  };
}

/** A proxy in front of a service that answers by itself as long as `fault` says what; or with other headers, where
 * `fault` says `pass`. */
export async function proxy(target, fault) {
  const { hostname, port } = new URL(target);
  const seen = [];
  const server = http.createServer(async (request, response) => {
    seen.push(`${request.method} ${request.url}`);
    const body = Buffer.concat(await request.toArray());
    const given = fault(request, seen.length, String(body));
    if (given?.before) return response.writeHead(given.status, given.headers).end(given.body ?? "");
    const onward = http.request({ hostname, port, path: request.url, method: request.method, headers: request.headers }, (answer) => {
      if (given && !given.pass) {
        // It was done, but nobody hears of it.
        answer.resume();
        return answer.on("end", () => response.writeHead(given.status, given.headers).end(given.body ?? ""));
      }
      response.writeHead(answer.statusCode, given?.pass(answer.headers) ?? answer.headers);
      answer.pipe(response);
    });
    onward.on("error", () => response.destroy());
    onward.end(body);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  atEnd(() => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve))));
  return { url: `http://127.0.0.1:${server.address().port}`, seen };
}

export async function until(what, seconds, check) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const found = await check();
    if (found) return found;
    assert(Date.now() < end, `after ${seconds} s still not: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** The photo server of `ci/e2e`, with noise for photos. `slow` holds downloads of `/slow/<key>/` back. */
export async function photoServer(names, length) {
  const base = folder();
  mkdirSync(path.join(base, "photos"));
  mkdirSync(path.join(base, "slow"));
  const originals = new Map(names.map((name) => [name, randomBytes(length)]));
  for (const [name, photo] of originals) writeFileSync(path.join(base, "photos", name), photo);
  const { child, said } = start("python3", [path.join(root, "ci/e2e-files/origin.py"), path.join(base, "photos"), TEST.TEST_TLS_DIR, path.join(base, "log")]);
  const url = await until("the photo server runs", 20, () => (assert.equal(child.exitCode, null, said.join("")), said.join("").match(/^https:\S+/)?.[0]));
  return { url, originals, slow: (key, rate) => writeFileSync(path.join(base, "slow", key), String(rate)), atOnce: (key) => rmSync(path.join(base, "slow", key)) };
}

/** The processor, which drains the queue and ends. */
export function processor(settings) {
  return start(path.join(TEST.TEST_BINARIES, "processor"), [], {
    env: {
      PATH: TEST.PATH,
      SSL_CERT_FILE: TEST.TEST_CA,
      AWS_EC2_METADATA_SERVICE_ENDPOINT: "http://127.0.0.1:1",
      WPP_SOURCE__ALLOW_PRIVATE: "true",
      WPP_SOURCE__ALLOWED_HOSTS: "127.0.0.1",
      WPP_QUEUE__WAIT: "1s",
      WPP_QUEUE__VISIBILITY_TIMEOUT: "20s",
      ...settings,
    },
  });
}
