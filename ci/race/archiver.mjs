// archiver + @aws-sdk/lib-storage: `node archiver.mjs URLS ENDPOINT KEY`.
// The usual way, at its best: keep-alive, STORE, unsigned payloads, no checksums beyond ZIP's own.
import fs from "node:fs";
import https from "node:https";
import { PassThrough } from "node:stream";
import { S3Client } from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { ZipArchive } from "archiver";

const [list, endpoint, key] = process.argv.slice(2);
const urls = fs.readFileSync(list, "utf8").trim().split("\n");
const agent = new https.Agent({ keepAlive: true });

const get = (url) =>
  new Promise((resolve, reject) => {
    const request = https.get(url, { agent }, (response) => {
      if (response.statusCode === 200) resolve(response);
      else reject(new Error(`${url}: ${response.statusCode}`));
    });
    request.on("error", reject);
  });

const client = new S3Client({
  endpoint,
  region: "auto",
  forcePathStyle: true,
  requestChecksumCalculation: "WHEN_REQUIRED",
  credentials: { accessKeyId: "race", secretAccessKey: "race-secret" },
});
client.middlewareStack.add(
  (next) => (args) => {
    args.request.headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD";
    return next(args);
  },
  { step: "build", name: "unsignedPayload" },
);

const archive = new ZipArchive({ store: true });
const body = new PassThrough({ highWaterMark: 1024 * 1024 });
archive.pipe(body);
const upload = new Upload({
  client,
  params: { Bucket: "race", Key: key, Body: body },
  partSize: 8 * 1024 * 1024,
  queueSize: 4,
});
const fail = (error) => {
  console.error(error);
  process.exit(1);
};
archive.on("error", fail);
const done = upload.done();
done.catch(fail);
for (const url of urls) {
  const response = await get(url);
  const added = new Promise((resolve) => archive.once("entry", resolve));
  archive.append(response, { name: url.slice(url.lastIndexOf("/") + 1) });
  await added;
}
await archive.finalize();
await done;
agent.destroy();
client.destroy();
