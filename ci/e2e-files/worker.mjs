// Presses the button of the Worker's example for the event of a manifest, and waits for the job as its page
// does; prints what the Worker says of it in the end: `worker.mjs MANIFEST`. The Worker runs in workerd, with
// the settings of `submit`.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { eventLink } from "../../worker/example/event-link.mjs";

const require = createRequire(new URL("../../worker/package.json", import.meta.url));
const { buildSync } = require("esbuild");
const { Miniflare } = require("miniflare");

const { event_id: event, ...asked } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const secret = "only for this test, and long enough for it";
const settings = Object.entries(process.env).filter(([name]) => /^(BATCH|R2|AWS_ENDPOINT_URL|WPP_R2_)_/.test(name));
const built = buildSync({
  entryPoints: [new URL("../../worker/example/src/index.ts", import.meta.url).pathname],
  bundle: true,
  format: "esm",
  target: "es2022",
  write: false,
});
const miniflare = new Miniflare({
  modules: true,
  script: built.outputFiles[0].text,
  compatibilityDate: "2026-07-01",
  bindings: { ...Object.fromEntries(settings), LINK_SECRET: secret },
  kvNamespaces: ["EVENTS"],
});
const ask = async (path, init) => {
  const answer = await miniflare.dispatchFetch(`http://worker${path}`, init);
  if (!answer.ok) throw new Error(`${path.split("?")[0]}: ${answer.status} ${await answer.text()}`);
  return answer.json();
};
try {
  await (await miniflare.getKVNamespace("EVENTS")).put(event, JSON.stringify(asked));
  const button = eventLink(secret, "", event).replace("?", "/download?");
  const { job, url } = await ask(button, { method: "POST" });
  let status = await ask(url);
  while (status.status !== "done") {
    if (status.status === "failed") throw new Error(`${job} failed`);
    if (status.status === "cancelled") throw new Error(`${job} was called off by somebody, and will never be done`);
    await new Promise((resolve) => setTimeout(resolve, 500));
    status = await ask(url);
  }
  // Who presses it again gets the same job.
  const again = await ask(button, { method: "POST" });
  // Where a download leads to, which outlives this Worker.
  for (const archive of status.archives) {
    const answer = await miniflare.dispatchFetch(`http://worker${archive.url}`, { redirect: "manual" });
    if (answer.status !== 302) throw new Error(`${archive.name} cannot be had: ${answer.status} ${await answer.text()}`);
    archive.url = answer.headers.get("location");
  }
  console.log(JSON.stringify({ ...status, again: again.job }));
} finally {
  await miniflare.dispose();
}
