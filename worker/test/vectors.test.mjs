// The vectors in tests/data, which the Rust side runs as well (src/job/key.rs, src/job/message.rs,
// src/job/subscriber.rs, src/manifest/parse.rs, src/deliver/webhook.rs).
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { caller, data, finish, worker } from "./support.mjs";

let miniflare;
let call;
before(async () => {
  miniflare = await worker("harness.mjs");
  call = caller(miniflare);
});
after(finish);

/** A manifest as the arguments that it is here. */
function given({ manifest, event_id }) {
  if (Array.isArray(manifest)) return [event_id, manifest, {}];
  const { event_id: named, eventId, photos, ...options } = manifest;
  return [named ?? eventId ?? event_id, photos, options];
}

describe("job ids are those of the Rust side", () => {
  const vectors = data("job-ids.json");
  // One URL a line is how people write a manifest; here photos are an array already.
  const texts = vectors.filter(({ manifest }) => typeof manifest === "string");
  assert.equal(texts.length, 1);
  for (const vector of vectors.filter((it) => !texts.includes(it)))
    test(vector.about, async () => {
      const { canonical, job } = await call("manifest", given(vector));
      assert.equal(canonical, vector.canonical);
      assert.equal(job, vector.job);
    });
});

describe("wrong manifests are wrong in the same places", () => {
  for (const vector of data("wrong-manifests.json"))
    test(vector.about, async () => {
      const error = await call("manifest", given(vector)).then(() => assert.fail("it was taken"), (it) => it);
      assert.equal(error.code, "manifest", error.stack);
      const places = [...error.message.matchAll(/\n {2}([^:]*): /g)].map((it) => it[1]);
      // One place may be wrong in two ways.
      assert.deepEqual([...new Set(places)].sort(), vector.places, error.message);
      assert(!error.message.includes("s3cret"), error.message);
    });
});

describe("subscribers are the same", () => {
  for (const vector of data("subscribers.json"))
    test(vector.about, async () => {
      const { subscriber, fingerprint } = await call("manifest", given(vector));
      assert.equal(subscriber, vector.json);
      assert.equal(fingerprint, vector.fingerprint);
    });
});

describe("webhooks", () => {
  const vectors = data("webhooks.json");
  /** Verifies in workerd, at the time of the signature unless it is said otherwise. */
  const hook = async (vector, { secret = vector.secret, now = vector.timestamp, ...headers } = {}) => {
    const asked = await miniflare.dispatchFetch(`http://worker/verify?${new URLSearchParams({ secret, now })}`, {
      method: "POST",
      body: vector.body,
      headers: { "webhook-id": vector.id, "webhook-timestamp": vector.timestamp, "webhook-signature": vector.signature, ...headers },
    });
    return asked.json();
  };
  for (const vector of vectors) {
    test(`${vector.about}: verified`, async () => {
      assert.deepEqual((await hook(vector)).answer, JSON.parse(vector.body));
      // Up to five minutes early or late, and by one of several signatures, as while a secret is changed.
      for (const off of [-300, 300]) assert((await hook(vector, { now: vector.timestamp + off })).answer, `${off} s`);
      assert((await hook(vector, { "webhook-signature": `v1,${"A".repeat(43)}= v1a,x ${vector.signature}` })).answer);
    });
    test(`${vector.about}: nothing else is`, async () => {
      for (const [what, wrong] of Object.entries({
        "another secret": { secret: "whsec_" + Buffer.alloc(24).toString("base64") },
        "another id": { "webhook-id": "msg_2" },
        "no id": { "webhook-id": "" },
        "another time": { "webhook-timestamp": vector.timestamp + 1 },
        "a time that is none": { "webhook-timestamp": "now" },
        "too early": { now: vector.timestamp - 301 },
        "too late": { now: vector.timestamp + 301 },
        "no signature": { "webhook-signature": "" },
        "another version": { "webhook-signature": vector.signature.replace("v1", "v2") },
        "a signature cut short": { "webhook-signature": vector.signature.slice(0, -4) },
      })) {
        const { error } = await hook(vector, wrong);
        assert.equal(error?.code, "webhook", what);
      }
      assert.equal((await hook({ ...vector, body: vector.body + " " })).error.code, "webhook");
      assert.match((await hook({ ...vector, body: "x".repeat(2 ** 20) })).error.message, /longer/);
    });
  }
  test("one that arrives in very many parts", async () => {
    const [{ secret, timestamp }] = vectors;
    const body = JSON.stringify({ type: "job.completed", data: { missing: Array.from({ length: 5000 }, (_, n) => `IMG_${n} ü.jpg`) } });
    const signature = createHmac("sha256", Buffer.from(secret.slice(6), "base64")).update(`msg_9.${timestamp}.${body}`).digest("base64");
    const bytes = Buffer.from(body);
    const parts = new ReadableStream({
      start(controller) {
        // So that characters are cut in two as well.
        for (let at = 0; at < bytes.length; at += 101) controller.enqueue(bytes.subarray(at, at + 101));
        controller.close();
      },
    });
    const asked = await miniflare.dispatchFetch(`http://worker/verify?${new URLSearchParams({ secret, now: timestamp })}`, {
      method: "POST",
      body: parts,
      duplex: "half",
      headers: { "webhook-id": "msg_9", "webhook-timestamp": timestamp, "webhook-signature": `v1,${signature}` },
    });
    assert.deepEqual((await asked.json()).answer, JSON.parse(body));
  });

  for (const secret of ["", "whsec_", "whsec_?", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
    test(`the secret ${JSON.stringify(secret)} is none`, async () => {
      const { error } = await hook(vectors[0], { secret });
      assert.equal(error.code, "settings");
      assert.match(error.message, /WEBHOOK_SECRET/);
    });
});
