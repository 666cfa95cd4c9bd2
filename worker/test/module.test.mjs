// The module in workerd, against MinIO, LocalStack's SQS and moto's Batch.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { submit as submitByCli } from "../backend/submit.mjs";
import { caller, container, data, finish, messages, provision, proxy, run, s3, start, TEST, unique, until, worker } from "./support.mjs";

const PHOTOS = ["https://firebasestorage.googleapis.com/v0/b/w/o/1.jpg?alt=media&token=s3cret", { url: "https://storage.googleapis.com/b/2", fileName: "2.jpg" }];
const ID = "0123456789abcdef0123456789abcdef";

/** What a call fails with; none of it may hold a secret. */
async function failure(promise, settings = {}) {
  const error = await promise.then((answer) => assert.fail(`it worked: ${JSON.stringify(answer)}`), (it) => it);
  const secrets = ["s3cret", TEST.TEST_STORE_SECRET_KEY, settings.R2_SECRET_KEY, settings.BATCH_AWS_SECRET_KEY, "Signature="];
  for (const secret of secrets.filter((it) => it && it.length > 4))
    assert(!`${error.message} ${error.stack}`.includes(secret), `it has a secret in it: ${error.message}`);
  return error;
}

let settings;
before(async () => {
  settings = await provision("module");
});
after(finish);

// Everything that needs the bucket is the same over the S3 API and over a binding.
for (const way of ["S3 API", "R2 binding"]) {
  describe(`over the ${way}`, () => {
    let miniflare, call, object, put;
    before(async () => {
      const { R2_ENDPOINT, R2_ACCESS_KEY, R2_SECRET_KEY, ...others } = settings;
      miniflare =
        way === "S3 API"
          ? await worker("harness.mjs", { bindings: settings })
          : await worker("harness.mjs", {
              bindings: { ...others, R2_ARCHIVE_BUCKET: "archived", PUBLIC_BASE_URL: "https://photos.example/" },
              r2Buckets: ["R2_BINDING", "R2_ARCHIVE_BINDING"],
            });
      call = caller(miniflare);
      const bound = way === "S3 API" ? undefined : await miniflare.getR2Bucket("R2_BINDING");
      object = async (key) => {
        if (bound) return (await bound.get(key))?.text();
        const answer = await s3(`${settings.R2_BUCKET}/${key}`);
        return answer.ok ? answer.text() : undefined;
      };
      put = (key, text) => (bound ? bound.put(key, text) : s3(`${settings.R2_BUCKET}/${key}`, { method: "PUT", body: text }));
      await messages(settings);
    });
    const stateOf = async (job) => JSON.parse(await object(`jobs/${job}/state.json`));
    const putState = async (job, change) => {
      const state = { ...(await stateOf(job)), ...change };
      await put(`jobs/${job}/state.json`, JSON.stringify(state));
      return state;
    };

    test("a new job: manifest, container, message, state", async () => {
      const event = unique("new");
      const answer = await call("submitPhotoProcessingJob", [event, PHOTOS]);
      const { job, batch_job_id, ...rest } = answer;
      assert.deepEqual(rest, { status: "queued", already_done: false, joined: false, state_url: `s3://${settings.R2_BUCKET}/jobs/${job}/state.json`, archives: [] });
      const made = await call("manifest", [event, PHOTOS, {}]);
      assert.equal(job, made.job);
      assert.equal(await object(`jobs/${job}/manifest.json`), made.canonical);
      const { jobName, jobQueue } = await container(batch_job_id);
      assert.deepEqual([jobName, jobQueue], [`photos-${event}`, settings.BATCH_JOB_QUEUE_ARN]);
      const [vector] = data("messages.json");
      assert.deepEqual(await messages(settings), [vector.message.replace(vector.job, job)]);
      const state = await stateOf(job);
      const at = state.created_at;
      assert.deepEqual(state, { ...vector.state, job, photos: 2, sent: true, created_at: at, queued_at: at, updated_at: state.updated_at });
      assert(Math.abs(Date.parse(at) - Date.now()) < 60_000);
    });

    test("the same again joins it, and sends nothing", async () => {
      const event = unique("again");
      const { job } = await call("submitPhotoProcessingJob", [event, PHOTOS]);
      assert.equal((await messages(settings)).length, 1);
      const again = await call("submitPhotoProcessingJob", [event, PHOTOS]);
      assert.deepEqual([again.job, again.joined, again.batch_job_id], [job, true, null]);
      assert.deepEqual(await messages(settings), []);
      // Its message may be lost; whoever insists has it sent again.
      await call("submitPhotoProcessingJob", [event, PHOTOS, { force: true }]);
      assert.equal((await messages(settings)).length, 1);
    });

    test("what was not confirmed is sent again", async () => {
      const event = unique("unsent");
      const { job } = await call("submitPhotoProcessingJob", [event, PHOTOS]);
      await messages(settings);
      await putState(job, { sent: false });
      const again = await call("submitPhotoProcessingJob", [event, PHOTOS]);
      assert.equal(again.joined, false);
      assert.equal((await messages(settings)).length, 1);
      assert.equal((await stateOf(job)).sent, true);
    });

    test("many at once are one job, of which every message is of the same", async () => {
      const event = unique("race");
      const answers = await Promise.all(Array.from({ length: 20 }, () => call("submitPhotoProcessingJob", [event, PHOTOS])));
      assert.equal(new Set(answers.map((it) => it.job)).size, 1);
      // One of them pays, and all others join.
      assert.equal(answers.filter((it) => !it.joined).length, 1);
      assert(answers.filter((it) => it.batch_job_id).length <= 1);
      assert.equal((await messages(settings)).length, 1);
      assert.equal((await stateOf(answers[0].job)).sending_since, undefined);
      assert.equal((await stateOf(answers[0].job)).sent, true);
    });

    test("a job that failed again and again rests, unless it is forced", async () => {
      const event = unique("rests");
      const { job } = await call("submitPhotoProcessingJob", [event, PHOTOS]);
      await messages(settings);
      const at = new Date().toISOString();
      await putState(job, { status: "failed", failed_runs: 3, updated_at: at, sent: true });
      const rests = await call("submitPhotoProcessingJob", [event, PHOTOS]);
      assert.deepEqual([rests.status, rests.joined, rests.batch_job_id], ["failed", false, null]);
      assert.equal(Date.parse(rests.rests_until), Date.parse(at) + 120_000);
      assert.deepEqual(await messages(settings), []);
      assert.equal((await call("submitPhotoProcessingJob", [event, PHOTOS, { force: true }])).status, "queued");
      assert.equal((await messages(settings)).length, 1);
      await putState(job, { status: "failed", failed_runs: 1, updated_at: at });
      assert.equal((await call("submitPhotoProcessingJob", [event, PHOTOS])).status, "queued");
      await messages(settings);
    });

    test("a caller that is lost is waited for and then replaced", async () => {
      const event = unique("lost");
      const { job } = await call("submitPhotoProcessingJob", [event, PHOTOS]);
      await messages(settings);
      await putState(job, { sent: false, sending_since: new Date(Date.now() - 12_000).toISOString() });
      const next = await call("submitPhotoProcessingJob", [event, PHOTOS]);
      assert.deepEqual([next.joined, next.status], [false, "queued"]);
      assert.equal((await messages(settings)).length, 1);
    });

    test("a state that names what its job has not made is refused", async () => {
      const event = unique("forged");
      const { job } = await call("submitPhotoProcessingJob", [event, PHOTOS]);
      await messages(settings);
      const secret = "0123456789abcdef0123456789abcdef";
      const another = job.replace("forged", "victim");
      for (const change of [
        { archives: [{ name: "manifest.json", key: `jobs/${another}/manifest.json` }] },
        { archives: [{ name: "a.zip", key: `archives/${another}-5ec/a.zip` }] },
        { archives: [{ name: "b.zip", key: `archives/${secret}/a.zip` }], archives_secret: secret },
        { archives: [{ name: "a.zip", key: `archives/${secret}/a.zip` }], archives_secret: undefined },
        { archives: [{ name: "a.zip", key: `archives/${another}/a.zip` }], archives_secret: another },
      ]) {
        await putState(job, change);
        const error = await failure(call("getJobStatus", [job]));
        assert.deepEqual([error.code, /not this job's/.test(error.message)], ["refused", true], JSON.stringify(change));
      }
      // One beside the jobs, made before the archives had a bucket of their own, still has its link, if that can be signed.
      const before = { name: "a.zip", key: `archives/${job}-5ec/a.zip`, bytes: 3, photos: 2 };
      await putState(job, { archives: [before], archives_secret: undefined });
      const { links } = await call("getJobStatus", [job]);
      if (way == "S3 API") assert.match(links[0], /X-Amz-Signature/);
      else assert.deepEqual(links, [""]);
      await putState(job, { archives: [], job: another });
      assert.match((await failure(call("getJobStatus", [job]))).message, /another job's/);
    });

    test("a job that is done is answered from what is there, while it is there", async () => {
      const event = unique("done");
      const { job } = await call("submitPhotoProcessingJob", [event, PHOTOS]);
      await messages(settings);
      const name = "a & b (1)+ü.zip";
      const secret = "0123456789abcdef0123456789abcdef";
      const archive = { name, key: `archives/${secret}/${name}`, bytes: 3, photos: 2 };
      if (way == "R2 binding") {
        archive.bucket = "archived";
        await (await miniflare.getR2Bucket("R2_ARCHIVE_BINDING")).put(archive.key, "zip");
      } else await put(archive.key, "zip");
      await putState(job, { status: "done", archives: [archive], archives_secret: secret, attempt_count: 1 });
      const again = await call("submitPhotoProcessingJob", [event, PHOTOS]);
      assert.deepEqual([again.already_done, again.archives, again.batch_job_id], [true, [archive], null]);
      assert.deepEqual(await messages(settings), []);

      const status = await call("getJobStatus", [job, 60]);
      assert.deepEqual([status.job, status.status, status.links.length, status.lost], [job, "done", 1, false]);
      // Nothing is signed that is not wanted.
      assert.deepEqual((await call("getJobStatus", [job, 0])).links, [""]);
      assert.deepEqual((await call("getJobStatus", [job, 60, 1])).links, [""]);
      assert.notEqual((await call("getJobStatus", [job, 60, 0])).links[0], "");
      if (way === "S3 API") assert.equal(await (await fetch(status.links[0])).text(), "zip");
      else assert.equal(status.links[0], `https://photos.example/archives/${secret}/a%20%26%20b%20(1)%2B%C3%BC.zip`);

      // Another length is another archive.
      await putState(job, { archives: [{ ...archive, bytes: 4 }] });
      const redone = await call("submitPhotoProcessingJob", [event, PHOTOS]);
      assert.deepEqual([redone.already_done, redone.status], [false, "queued"]);
      const { redone: count, told_from, attempt_count, sent, archives } = await stateOf(job);
      assert.deepEqual([count, told_from, attempt_count, sent, archives.length], [1, 1, 1, true, 1]);
    });

    test("a job that failed, was called off, or left photos out is done again", async () => {
      const event = unique("redo");
      const { job } = await call("submitPhotoProcessingJob", [event, PHOTOS]);
      for (const [change, told] of [
        [{ status: "failed", failures: 3, error: { message: "m", exit_code: 75 } }, 0],
        [{ status: "cancelled" }, 0],
        [{ status: "done", archives: [], missing_count: 1, missing: [{ photo: 0, name: "a", reason: "not_found" }] }, 3],
      ]) {
        await messages(settings);
        await putState(job, change);
        const again = await call("submitPhotoProcessingJob", [event, PHOTOS]);
        assert.deepEqual([again.status, again.joined], ["queued", false]);
        assert.equal((await messages(settings)).length, 1);
        const state = await stateOf(job);
        assert.deepEqual([state.failures, state.error, state.missing_count ?? 0, state.told_from ?? 0], [0, null, 0, told], change.status);
      }
    });

    test("a folder is looked at anew each time", async () => {
      const event = unique("folder");
      const photos = ["gs://bucket/events/1/"];
      const { job } = await call("submitPhotoProcessingJob", [event, photos]);
      await putState(job, { status: "done", archives: [] });
      assert.equal((await call("submitPhotoProcessingJob", [event, photos])).already_done, false);
    });

    test("a job that is being done is joined while its container lives", async () => {
      const event = unique("held");
      const { job } = await call("submitPhotoProcessingJob", [event, PHOTOS]);
      await messages(settings);
      const lease = (seconds) => ({ owner: { id: "c" }, until: new Date(Date.now() + seconds * 1000).toISOString() });
      await putState(job, { status: "transferring", lease: lease(60) });
      assert.equal((await call("submitPhotoProcessingJob", [event, PHOTOS, { force: true }])).joined, true);
      assert.equal((await call("getJobStatus", [job])).lost, false);
      await putState(job, { lease: lease(-1) });
      assert.equal((await call("getJobStatus", [job])).lost, true);
      assert.equal((await call("submitPhotoProcessingJob", [event, PHOTOS])).joined, false);
      assert.equal((await messages(settings)).length, 1);
    });

    test("who comes late to a job that has ended is told, once", async () => {
      const event = unique("late");
      const notify = { email: ["couple@example.com"] };
      const { job } = await call("submitPhotoProcessingJob", [event, PHOTOS, { notify }]);
      const made = await call("manifest", [event, PHOTOS, { notify }]);
      assert.equal(await object(`jobs/${job}/subscriber-${made.fingerprint}.json`), made.subscriber);
      await messages(settings);
      await putState(job, { status: "done", archives: [] });
      await call("submitPhotoProcessingJob", [event, PHOTOS, { notify }]);
      assert.deepEqual(await messages(settings), []);
      const late = await call("submitPhotoProcessingJob", [event, PHOTOS, { notify: { email: ["guest@example.com"] } }]);
      assert.equal(late.already_done, true);
      assert.equal((await messages(settings)).length, 1);
    });

    test("a job is called off once, and not when it has ended", async () => {
      const { job } = await call("submitPhotoProcessingJob", [unique("cancel"), PHOTOS]);
      const started = new Date().toISOString();
      await putState(job, { status: "probing", attempts: [{ number: 1, owner: { id: "c" }, started_at: started }], lease: { owner: { id: "c" }, until: "2999-01-01T00:00:00Z" } });
      const cancelled = await call("cancelJob", [job]);
      assert.deepEqual([cancelled.status, cancelled.lease, cancelled.attempts[0].outcome], ["cancelled", null, "cancelled"]);
      assert.equal((await stateOf(job)).status, "cancelled");
      const again = await failure(call("cancelJob", [job]));
      assert.equal(again.code, "wrong-status");
      assert.match(again.message, /is cancelled; there is nothing to call off/);
    });

    test("jobs that nobody has heard of, and what is no job", async () => {
      for (const id of [`e/${ID}`, "", "e", `../${ID}`, `e/${ID}/state`, `e/${ID.toUpperCase()}`, `e/${ID}\n`])
        for (const ask of ["getJobStatus", "cancelJob"]) assert.equal((await failure(call(ask, [id]))).code, "no-job", id);
    });

    test("a state of a newer version is left alone", async () => {
      const { job } = await call("submitPhotoProcessingJob", [unique("newer"), PHOTOS]);
      await putState(job, { version: 2 });
      const error = await failure(call("cancelJob", [job]));
      assert.deepEqual([error.code, (await stateOf(job)).version], ["refused", 2]);
      assert.match(error.message, /version 2; update this module/);
    });
  });
}

describe("what a job of the Rust side says is understood, and the other way round", () => {
  test("`submit` and the Worker hand in the same job", async () => {
    const call = caller(await worker("harness.mjs", { bindings: settings }));
    const event = unique("both");
    const env = { ...settings, PATH: TEST.PATH, SSL_CERT_FILE: TEST.TEST_CA, AWS_EC2_METADATA_SERVICE_ENDPOINT: "http://127.0.0.1:1" };
    const cli = { command: path.join(TEST.TEST_BINARIES, "submit"), env };
    const here = await call("submitPhotoProcessingJob", [event, PHOTOS, { archiveName: "Ü.zip" }]);
    const there = await submitByCli({ event_id: event, photos: PHOTOS, archive_name: "Ü.zip" }, cli);
    assert.deepEqual([there.job, there.joined], [here.job, true]);
    assert.deepEqual(Object.keys(there).sort(), Object.keys(here).sort());
    // Zeros at the end of a second's fraction may be left out.
    const inMs = (value) => JSON.parse(JSON.stringify(value), (name, it) => (name.endsWith("_at") ? Date.parse(it) : it));
    const status = async () => inMs(await call("getJobStatus", [here.job]));
    const statusThere = async () => inMs(JSON.parse((await run(cli.command, ["status", here.job, "--json"], { env })).stdout));
    const told = await status();
    assert.deepEqual(told, await statusThere());
    assert.deepEqual([told.job, told.status, told.sent], [here.job, "queued", true]);
    // All that a state may say, as the processor would write it.
    const key = `${settings.R2_BUCKET}/jobs/${here.job}/state.json`;
    const owner = { id: "c", log_stream: "photos/default/1" };
    const at = "2026-06-20T15:04:05.678Z";
    const attempts = [{ number: 1, owner, started_at: at, ended_at: at, outcome: "done" }];
    const archives_secret = "0123456789abcdef0123456789abcdef";
    const archives = [{ name: "Ü.zip", key: `archives/${archives_secret}/Ü.zip`, bytes: 3, photos: 2 }];
    const state = { ...(await (await s3(key)).json()), status: "done", attempts, attempt_count: 1, archives, archives_secret, delivery: { mails: 1, calls: 0, waiting: 0, failed: 0 } };
    await s3(key, { method: "PUT", body: JSON.stringify(state) });
    const [{ links, ...done }, { links: others, ...doneThere }] = [await status(), await statusThere()];
    assert.deepEqual(done, doneThere);
    assert.deepEqual([links.length, others.length], [1, 1]);
    // And the Worker calls off what `submit` has handed in.
    const second = await submitByCli({ event_id: unique("cli"), photos: PHOTOS }, cli);
    assert.equal((await call("cancelJob", [second.job])).status, "cancelled");
    assert.equal(JSON.parse((await run(cli.command, ["status", second.job, "--json"], { env })).stdout).status, "cancelled");
    const wrong = await failure(submitByCli({ event_id: "e", photos: [] }, cli));
    assert.deepEqual([wrong.exitCode, wrong.mayPass], [65, false]);
    assert.match(wrong.message, /photos: is empty.*mend the manifest/s);
    assert.match((await failure(submitByCli({}, { command: "there-is-none" }))).message, /cannot be started \(ENOENT\)/);
  });
});

describe("wrong settings are named", () => {
  let call;
  before(async () => {
    call = caller(await worker("harness.mjs", { bindings: settings }));
  });
  const submit = (set) => failure(call("submitPhotoProcessingJob", [unique("wrong"), PHOTOS], set), set);

  test("all that are missing at once", async () => {
    const none = Object.fromEntries(Object.keys(settings).map((name) => [name, ""]));
    const error = await submit(none);
    assert.equal(error.code, "settings");
    for (const name of Object.keys(settings).filter((it) => !/WEBHOOK|WPP_|ENDPOINT_URL/.test(it))) assert.match(error.message, new RegExp(`${name} is missing`));
    assert.match(error.message, /wrangler\.toml/);
  });

  for (const [name, value, words] of [
    ["R2_ACCESS_KEY", "nobody", /does not know the key in R2_ACCESS_KEY/],
    ["R2_SECRET_KEY", "wr0ng-and-long", /R2_SECRET_KEY is not the secret of R2_ACCESS_KEY/],
    ["R2_BUCKET", "there-is-none", /there is no such bucket \(R2_BUCKET\)/],
    ["R2_ENDPOINT", "photos.example", /R2_ENDPOINT is not an https:\/\/ address/],
    // As it is where nobody has filled it in.
    ["R2_ENDPOINT", "https://<account>.r2.cloudflarestorage.com", /R2_ENDPOINT is not an https:\/\/ address/],
    // As Cloudflare's dashboard shows it: with the bucket, where the programs would find no job.
    ["R2_ENDPOINT", "https://a.r2.cloudflarestorage.com/photos", /R2_ENDPOINT cannot be used; give an address such as `https:\/\/<account>/],
    ["R2_ENDPOINT", "https://me:hunter2@a.r2.cloudflarestorage.com", /R2_ENDPOINT cannot be used(?!.*hunter2)/],
    ["R2_SECRET_KEY", "hunt\ner2", /R2_SECRET_KEY has a control character in it(?!.*er2)/],
    ["BATCH_AWS_ACCESS_KEY", "A\rB", /BATCH_AWS_ACCESS_KEY has a control character in it/],
    ["PUBLIC_BASE_URL", "photos.example", /PUBLIC_BASE_URL is not an/],
    ["PUBLIC_BASE_URL", "ftp://photos.example", /PUBLIC_BASE_URL is not an/],
    ["PUBLIC_BASE_URL", "https://photos.example", /R2_ARCHIVE_BUCKET is not: everyone would see the jobs/],
    ["R2_ARCHIVE_BUCKET", () => settings.R2_BUCKET, /R2_ARCHIVE_BUCKET is R2_BUCKET/],
    ["AWS_ENDPOINT_URL_BATCH", "https://", /AWS_ENDPOINT_URL_BATCH is not an/],
    ["AWS_ENDPOINT_URL", "https://[", /AWS_ENDPOINT_URL is not an/],
    ["BATCH_SQS_QUEUE_URL", "", /BATCH_SQS_QUEUE_URL is missing/],
    ["BATCH_SQS_QUEUE_URL", "queue", /BATCH_SQS_QUEUE_URL is not an/],
    ["BATCH_JOB_QUEUE_ARN", "there-is-none", /job queue \(BATCH_JOB_QUEUE_ARN\)/],
    ["BATCH_JOB_DEFINITION_ARN", "there-is-none", /job definition \(BATCH_JOB_DEFINITION_ARN\)/],
    ["WPP_BATCH__MAX_CONTAINERS", "0", /WPP_BATCH__MAX_CONTAINERS is not 1 to/],
  ])
    test(`${name}=${value}`, async () => {
      const error = await submit({ [name]: typeof value == "function" ? value() : value });
      assert.equal(error.code, "settings", error.message);
      assert.match(error.message, words);
    });

  test("a queue that is not there", async () => {
    const error = await submit({ BATCH_SQS_QUEUE_URL: settings.BATCH_SQS_QUEUE_URL.replace(/[^/]*$/, "there-is-none") });
    assert.equal(error.code, "settings", error.message);
    assert.match(error.message, /there is no such queue \(BATCH_SQS_QUEUE_URL\)/);
  });

  test("with a doorbell, Batch is asked for nothing", async () => {
    // Another queue; EventBridge's pipe behind it is not here.
    const bell = (await provision("bell")).BATCH_SQS_QUEUE_URL;
    const own = await provision("rings");
    const ring = { BATCH_DOORBELL_URL: bell, BATCH_SQS_QUEUE_URL: own.BATCH_SQS_QUEUE_URL, BATCH_JOB_QUEUE_ARN: "", BATCH_JOB_DEFINITION_ARN: "", AWS_ENDPOINT_URL_BATCH: "http://127.0.0.1:1", WPP_BATCH__MAX_CONTAINERS: "2" };
    const asked = async () => (await call("submitPhotoProcessingJob", [unique("ring"), PHOTOS], ring)).batch_job_id;
    assert.match(await asked(), /^doorbell:[\da-f-]{36}$/);
    assert.match(await asked(), /^doorbell:/);
    // Two are asked for, and two is the most.
    assert.equal(await asked(), null);
    assert.equal((await messages({ BATCH_SQS_QUEUE_URL: bell })).length, 2);
    const gone = await submit({ ...ring, WPP_BATCH__MAX_CONTAINERS: "9", BATCH_DOORBELL_URL: bell.replace(/[^/]*$/, "there-is-none") });
    assert.match(gone.message, /there is no such queue \(BATCH_DOORBELL_URL\)/);
    assert.match((await submit({ ...ring, BATCH_DOORBELL_URL: "bell" })).message, /BATCH_DOORBELL_URL is not an https/);
  });

  test("also by what only makes links", async () => {
    const error = await failure(call("getJobStatus", [`e/${ID}`], { R2_ENDPOINT: "https://<account>.r2.cloudflarestorage.com" }));
    assert.equal(error.name, "PhotoJobError");
    assert.equal(error.code, "settings");
  });

  test("an account whose keys AWS does not know", async () => {
    // A moto of its own that asks who calls; it has SQS as well.
    const port = 20_000 + Math.floor(Math.random() * 20_000);
    const url = `http://127.0.0.1:${port}`;
    start(TEST.TEST_PYTHON, ["-m", "moto.server", "-H", "127.0.0.1", "-p", String(port)], { env: { ...TEST, INITIAL_NO_AUTH_ACTION_COUNT: "0" } });
    await until("moto runs", 120, () => fetch(`${url}/moto-api/`).then((it) => it.ok, () => false));
    const error = await submit({ AWS_ENDPOINT_URL: url, AWS_ENDPOINT_URL_BATCH: "", BATCH_AWS_ACCESS_KEY: "AKIANOBODY", BATCH_AWS_SECRET_KEY: "wr0ng-and-long" });
    assert.equal(error.code, "settings", error.message);
    assert.match(error.message, /does not know the key in BATCH_AWS_ACCESS_KEY/);
  });

  test("links need something to sign with, or an address for everyone", async () => {
    const { R2_ENDPOINT, R2_ACCESS_KEY, R2_SECRET_KEY, ...others } = settings;
    const bound = caller(await worker("harness.mjs", { bindings: others, r2Buckets: ["R2_BINDING"] }));
    const error = await failure(bound("submitPhotoProcessingJob", ["e", PHOTOS]));
    assert.match(error.message, /R2_ENDPOINT is missing.*PUBLIC_BASE_URL/);
  });

  test("an address where nobody is", async () => {
    const error = await submit({ R2_ENDPOINT: "http://127.0.0.1:1" });
    assert.equal(error.code, "temporary");
    assert.match(error.message, /the store at R2_ENDPOINT cannot be reached/);
  });
});

describe("what may pass is tried again", () => {
  let call;
  before(async () => {
    call = caller(await worker("harness.mjs", { bindings: settings }));
  });

  test("429 and 5xx of the store, with as much patience as it asks for", async () => {
    const busy = await proxy(TEST.TEST_MINIO, (_, count) => (count === 1 ? { before: true, status: 429, headers: { "retry-after": "1" } } : count === 2 ? { before: true, status: 503 } : undefined));
    const start = Date.now();
    const { status } = await call("submitPhotoProcessingJob", [unique("busy"), PHOTOS], { R2_ENDPOINT: busy.url });
    assert.equal(status, "queued");
    assert(Date.now() - start >= 1000, "it did not wait");
    // A state that is not there yet, three times; then claim, manifest, state.
    assert.deepEqual(busy.seen.map((it) => it.replace(/ .*\//, " ")), ["GET state.json", "GET state.json", "GET state.json", "PUT state.json", "PUT manifest.json", "PUT state.json"]);
  });

  test("a store that compresses, and calls its versions weak, is written to over the right one", async () => {
    const asked = new Set();
    const weak = await proxy(TEST.TEST_MINIO, ({ headers }) => {
      asked.add(headers["accept-encoding"]);
      return { pass: (answer) => ({ ...answer, ...(answer.etag && { etag: `W/${answer.etag}` }) }) };
    });
    const set = { R2_ENDPOINT: weak.url };
    const { job } = await call("submitPhotoProcessingJob", [unique("weak"), PHOTOS], set);
    assert.equal((await call("cancelJob", [job], set)).status, "cancelled");
    assert.deepEqual([...asked], ["identity"]);
  });

  test("throttling of SQS and Batch, however they say it", async () => {
    const slow = (url) =>
      proxy(url, (_, count) =>
        count <= 2 ? { before: true, status: 400, headers: { "x-amzn-errortype": "ThrottlingException:" }, body: '{"__type":"com.amazonaws.sqs#RequestThrottled","message":"slow down"}' } : undefined,
      );
    const set = { AWS_ENDPOINT_URL_SQS: (await slow(TEST.TEST_LOCALSTACK)).url, AWS_ENDPOINT_URL_BATCH: (await slow(TEST.TEST_MOTO)).url };
    assert.equal((await call("submitPhotoProcessingJob", [unique("slow"), PHOTOS], set)).status, "queued");
  });

  test("a conditional write whose answer was lost has happened", async () => {
    const deaf = await proxy(TEST.TEST_MINIO, ({ method, url }, count) => (method === "PUT" && url.endsWith("state.json") && count === 2 ? { status: 500 } : undefined));
    await messages(settings);
    const { job } = await call("submitPhotoProcessingJob", [unique("deaf"), PHOTOS], { R2_ENDPOINT: deaf.url });
    assert.deepEqual(deaf.seen.map((it) => it.replace(/ .*\//, " ")), ["GET state.json", "PUT state.json", "PUT state.json", "GET state.json", "PUT manifest.json", "PUT state.json"]);
    assert.equal((await call("getJobStatus", [job])).sent, true);
  });

  test("a claim that R2 refuses because others write the same is not repeated before it was looked", async () => {
    const rush = await proxy(TEST.TEST_MINIO, ({ method }, count) => (method === "PUT" && count === 2 ? { before: true, status: 429 } : undefined));
    const { status } = await call("submitPhotoProcessingJob", [unique("rush"), PHOTOS], { R2_ENDPOINT: rush.url });
    assert.equal(status, "queued");
    assert.deepEqual(rush.seen.map((it) => it.replace(/ .*\//, " ")), ["GET state.json", "PUT state.json", "GET state.json", "PUT state.json", "PUT manifest.json", "PUT state.json"]);
  });

  test("an outage that does not end is told, without what was sent", async () => {
    const down = await proxy(TEST.TEST_MINIO, () => ({ before: true, status: 503 }));
    const error = await failure(call("getJobStatus", [`e/${ID}`], { R2_ENDPOINT: down.url }));
    assert.equal(error.code, "temporary");
    assert.match(error.message, /cannot do it now \(HTTP 503/);
    assert.equal(down.seen.length, 6);
  });
});

describe("containers", () => {
  let call;
  before(async () => {
    call = caller(await worker("harness.mjs", { bindings: settings }));
    await messages(settings);
  });
  // moto's run only where their image is; here Batch tells of one that runs, on its second page.
  const running = (jobDefinition) =>
    proxy(TEST.TEST_MOTO, ({ url }, _, body) => {
      if (!url.endsWith("/listjobs")) return;
      const { jobStatus, nextToken } = JSON.parse(body);
      const page = jobStatus !== "RUNNING" ? { jobSummaryList: [] } : nextToken ? { jobSummaryList: [{ jobId: "j", jobDefinition }] } : { jobSummaryList: [], nextToken: "more" };
      return { before: true, status: 200, body: JSON.stringify(page) };
    });
  const submit = async (event, definition) =>
    call("submitPhotoProcessingJob", [event, PHOTOS], { AWS_ENDPOINT_URL_BATCH: (await running(definition)).url, WPP_BATCH__MAX_CONTAINERS: "1" });
  const ours = () => settings.BATCH_JOB_DEFINITION_ARN.replace(/:\d+$/, ":99");

  test("one that is idle and takes nothing counts as none", async () => {
    const start = Date.now();
    assert.match((await submit(unique("idle"), ours())).batch_job_id, /./);
    assert(Date.now() - start >= 2000, "it did not wait");
  });

  test("one that takes the message is enough", async () => {
    const event = unique("taken");
    const { job } = await call("manifest", [event, PHOTOS, {}]);
    const key = `${settings.R2_BUCKET}/jobs/${job}/state.json`;
    const submitted = submit(event, ours());
    const state = await until("it is sent", 10, async () => {
      const answer = await s3(key);
      const found = answer.ok ? await answer.json() : {};
      return found.sent && found;
    });
    await s3(key, { method: "PUT", body: JSON.stringify({ ...state, status: "probing", attempt_count: 1 }) });
    assert.equal((await submitted).batch_job_id, null);
  });

  test("others in the same job queue are none of ours", async () => {
    const start = Date.now();
    assert.match((await submit(unique("others"), "arn:aws:batch:us-east-1:1:job-definition/other:1")).batch_job_id, /./);
    assert(Date.now() - start < 2000, "it waited for one of another's");
  });
});

test("a webhook, as the built module reads it", async () => {
  const miniflare = await worker("harness.mjs", { bindings: { WEBHOOK_SECRET: TEST.TEST_WEBHOOK_SECRET } });
  const event = { type: "job.completed", timestamp: "2026-06-20T15:04:05Z", data: { job: `e/${ID}`, status: "done" } };
  const own = JSON.stringify(event);
  const time = String(Math.floor(Date.now() / 1000));
  const sign = (text) => createHmac("sha256", Buffer.from(TEST.TEST_WEBHOOK_SECRET.slice(6), "base64")).update(`msg.${time}.${text}`).digest("base64");
  const send = async (signature, body = own) => {
    const headers = { "webhook-id": "msg", "webhook-timestamp": time, "webhook-signature": signature };
    return (await miniflare.dispatchFetch("http://worker/webhook", { method: "POST", body, headers })).json();
  };
  assert.deepEqual((await send(`v1,${sign(own)}`)).answer, event);
  assert.equal((await send(`v1,${sign(own + " ")}`)).error.code, "webhook");
  // All receivers have one secret: what another was told is not for us, whatever its signature.
  const to = async (receiver) => {
    const body = JSON.stringify({ ...event, receiver });
    return send(`v1,${sign(body)}`, body);
  };
  assert.equal((await to("http://worker/webhook")).answer.type, "job.completed");
  for (const other of ["http://worker/webhooks", "https://shop.example/webhook"])
    assert.match((await to(other)).error.message, /another receiver/);
});
