// The Worker that the tests run in workerd: calls the built module as a Worker would, with the settings of
// the test, and tells what it answers.
import { AWSBatchIntegration } from "../dist/aws-batch-integration.js";
import { bytes, read, sha256 } from "../src/manifest.ts";
import { verify } from "../src/webhook.ts";

let photos;

async function answer(request, env) {
  const { pathname, searchParams } = new URL(request.url);
  // At a time of the test's choice.
  if (pathname === "/verify") return verify(searchParams.get("secret"), request, Number(searchParams.get("now")) * 1000);
  if (pathname === "/webhook") return new AWSBatchIntegration(env).verifyWebhook(request);
  // So many photos, made before anybody looks at the clock.
  if (pathname === "/prepare") return (photos = many(Number(searchParams.get("count")))).length;
  const { call, args = [], set = {} } = await request.json();
  if (call === "manifest") return manifest(...args);
  if (call === "submitPrepared") return new AWSBatchIntegration({ ...env, ...set }).submitPhotoProcessingJob(args[0], photos);
  return new AWSBatchIntegration({ ...env, ...set })[call](...args);
}

function many(count) {
  const token = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
  return Array.from({ length: count }, (_, n) => ({
    url: `https://firebasestorage.googleapis.com/v0/b/wedding.appspot.com/o/events%2F1%2FIMG_${n}.jpg?alt=media&token=${token}`,
    fileName: `Ceremony/IMG_${n}.jpg`,
    size: 4_000_000 + n,
    crc32c: "n03x6A==",
  }));
}

/** What the module makes of a manifest, which nobody sees from outside. */
async function manifest(...args) {
  const made = await read(...args);
  const subscriber = made._subscriber && JSON.stringify(made._subscriber);
  return {
    job: made._job,
    canonical: new TextDecoder().decode(made._body),
    subscriber,
    fingerprint: subscriber && (await sha256(bytes(subscriber), 8)),
  };
}

export default {
  async fetch(request, env) {
    try {
      return Response.json({ answer: await answer(request, env) });
    } catch (error) {
      return Response.json({ error: { name: error.name, code: error.code, message: error.message, stack: error.stack } });
    }
  },
};
