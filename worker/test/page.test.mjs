// The example, as guests meet it: from the button to a ZIP that opens, in Chromium, at the width of a phone and
// of a desktop, dark and light, with and without JavaScript. The processor does the jobs.
import { chromium } from "playwright-core";
import axe from "axe-core";
import assert from "node:assert/strict";
import { createHash, createHmac, randomBytes, randomUUID } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { eventLink } from "../example/event-link.mjs";
import { data, finish, folder, messages, photoServer, processor, provision, root, run, s3, TEST, unique, until, worker } from "./support.mjs";

const SHOTS = process.env.WORKER_SCREENSHOTS ?? path.join(root, "target/worker-screenshots");
// Slow enough to look at a job in the middle of its work.
const PHOTO_BYTES = 600_000;
const NAMES = Array.from({ length: 12 }, (_, n) => `IMG_${n}.jpg`);
const HOSTILE = `<img src=x onerror="document.title='pwned'"> & "Söhne" </title>`;
const SCREENS = [
  { name: "phone", viewport: { width: 390, height: 844 }, isMobile: true, colorScheme: "dark" },
  { name: "desktop", viewport: { width: 1280, height: 900 }, isMobile: false, colorScheme: "light" },
];
const SECRET = randomBytes(32).toString("base64");

let settings, miniflare, origin, events, server, browser;

before(async () => {
  mkdirSync(SHOTS, { recursive: true });
  settings = await provision("page");
  miniflare = await worker("../example/src/index.ts", {
    bindings: { ...settings, LINK_SECRET: SECRET, UNSUBSCRIBE_SECRET: data("unsubscribe.json")[0].secret },
    kvNamespaces: ["EVENTS"],
    host: "127.0.0.1",
  });
  origin = (await miniflare.ready).origin;
  events = await miniflare.getKVNamespace("EVENTS");
  server = await photoServer(NAMES, PHOTO_BYTES);
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
});
after(async () => {
  await browser?.close();
  await finish();
});

/** An event whose photos come as slowly as `server.slow(id, …)` says, and the link to it. */
async function event(name, { title = "Smith & Jones", photos } = {}) {
  const id = unique(name);
  await events.put(id, JSON.stringify({ title, photos: photos ?? NAMES.map((it) => `${server.url}/slow/${id}/${it}`) }));
  return { id, link: eventLink(SECRET, origin, id) };
}

const get = (url, init) => fetch(url, { redirect: "manual", ...init });
const press = (id, token, init = {}) =>
  get(`${origin}/events/${id}/download?t=${encodeURIComponent(token)}`, { method: "POST", ...init });
const tokenOf = (link) => new URL(link, origin).searchParams.get("t");

/** What axe finds wrong, and what runs over the edge. */
async function look(page, name) {
  await page.screenshot({ path: path.join(SHOTS, `${name}.png`), fullPage: true });
  const { violations } = await page.evaluate(`${axe.source}; axe.run(document)`);
  assert.deepEqual(violations.map((it) => `${it.id}: ${it.nodes[0].html}`), [], name);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
  assert(!wide, `${name} scrolls sideways`);
  for (const act of await page.locator(".act").all()) assert((await act.boundingBox()).height >= 44, `${name}: too small to touch`);
}

async function open(screen, more = {}) {
  const { name, ...options } = screen;
  const context = await browser.newContext({ ...options, ...more, ignoreHTTPSErrors: true, acceptDownloads: true });
  const page = await context.newPage();
  const wrong = [];
  page.on("console", (it) => it.type() === "error" && wrong.push(it.text()));
  page.on("pageerror", (it) => wrong.push(String(it)));
  return { context, page, wrong };
}

/** Saves what a button leads to, and unpacks it. */
async function unpack(page, button) {
  const [download] = await Promise.all([page.waitForEvent("download"), button.click()]);
  const into = folder();
  const file = path.join(into, download.suggestedFilename());
  await download.saveAs(file);
  await run("unzip", ["-q", file, "-d", path.join(into, "photos")]);
  return { name: path.basename(file), photos: path.join(into, "photos") };
}

function areOriginals(photos) {
  assert.deepEqual(readdirSync(photos).sort(), NAMES.toSorted());
  for (const [name, bytes] of server.originals) assert(bytes.equals(readFileSync(path.join(photos, name))), name);
}

for (const screen of SCREENS)
  test(`from the button to a ZIP that opens, on a ${screen.name}`, async () => {
    const { id, link } = await event(screen.name, { title: `Smith & Jones ${screen.name}` });
    server.slow(id, 50_000);
    const { context, page, wrong } = await open(screen);
    await page.goto(link);
    await look(page, `${screen.name}-1-event`);
    // With the keyboard alone.
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Download all photos");
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/jobs\/.*\/page/);
    await page.getByRole("heading", { name: "Your photos are next" }).waitFor();
    await look(page, `${screen.name}-2-queued`);

    processor(settings);
    await page.getByRole("heading", { name: "Packing your photos" }).waitFor({ timeout: 20_000 });
    const bar = page.getByRole("progressbar");
    await until("there is progress and a time left", 20, async () => Number(await bar.getAttribute("value")) > 10);
    await page.getByText(/seconds left/).waitFor({ timeout: 20_000 });
    await page.getByText(/of 7\.2 MB/).waitFor();
    await page.getByText(/of 12 photos/).waitFor();
    assert.match(await page.title(), /^\d+ % – Packing your photos$/);
    await look(page, `${screen.name}-3-packing`);

    server.atOnce(id);
    const button = page.getByRole("link", { name: /^Download/ });
    await button.waitFor({ timeout: 30_000 });
    assert.match(await button.textContent(), new RegExp(`^Download Smith & Jones ${screen.name}\\.zip12 photos, 7\\.2 MB$`));
    assert.equal(await page.getByRole("status").getByRole("heading").textContent(), "Your photos are ready");
    assert.equal(await page.title(), "Your photos are ready");
    await look(page, `${screen.name}-4-ready`);
    const zip = await unpack(page, button);
    assert.equal(zip.name, `Smith & Jones ${screen.name}.zip`);
    areOriginals(zip.photos);
    assert.deepEqual(wrong, []);
    await context.close();
  });

test("without JavaScript it is the same", async () => {
  const { id, link } = await event("plain");
  server.slow(id, 50_000);
  const { context, page } = await open(SCREENS[0], { javaScriptEnabled: false });
  await page.goto(link);
  await page.getByRole("button", { name: "Download all photos" }).click();
  await page.getByRole("heading", { name: "Your photos are next" }).waitFor();
  processor(settings);
  // It looks again by itself.
  await page.getByRole("heading", { name: "Packing your photos" }).waitFor({ timeout: 30_000 });
  await page.screenshot({ path: path.join(SHOTS, "plain-packing.png"), fullPage: true });
  server.atOnce(id);
  const button = page.getByRole("link", { name: /^Download/ });
  await button.waitFor({ timeout: 30_000 });
  areOriginals((await unpack(page, button)).photos);
  await context.close();
});

/** What an attempt's archives lie under. */
const secret = () => randomUUID().replaceAll("-", "");

describe("what else can come of a job", () => {
  const job = async (name, change, more) => {
    const { id, link } = await event(name, more);
    const { headers } = await press(id, tokenOf(link), { headers: { accept: "text/html" } });
    const page = new URL(headers.get("location"), origin);
    const key = `${settings.R2_BUCKET}${page.pathname.replace("/page", "/state.json")}`;
    await messages(settings);
    await s3(key, { method: "PUT", body: JSON.stringify({ ...(await (await s3(key)).json()), archives_secret: change.archives?.[0].key.split("/")[1], ...change }) });
    return { id, page: page.href, json: page.href.replace("/page", ""), key };
  };

  test("several volumes, photos that are missing, and names that mean harm", async () => {
    const id = secret();
    const name = (n) => `${HOSTILE.replaceAll("/", "_")}-${n}-of-3.zip`;
    const archives = [1, 2, 3].map((n) => ({ name: name(n), key: `archives/${id}/${name(n)}`, bytes: 4e9 * n, photos: 1000 * n }));
    const missing = [{ photo: 1, name: HOSTILE, reason: "not_found" }];
    const { page: url, json } = await job("volumes", { status: "done", archives, missing, missing_count: 101 }, { title: HOSTILE });
    for (const screen of SCREENS) {
      const { context, page, wrong } = await open(screen);
      await page.goto(url);
      const buttons = await page.getByRole("link", { name: /^Download/ }).allTextContents();
      assert.deepEqual(buttons, archives.map((it) => `Download ${it.name}${it.photos.toLocaleString("en")} photos, ${[4, 8, 12][archives.indexOf(it)]}${it.bytes < 1e10 ? ".0" : ""} GB`));
      await page.getByText("101 photos couldn't be included").click();
      assert.equal(await page.getByRole("listitem").textContent(), `${HOSTILE}It is no longer where it was stored.`);
      await page.getByText("and 100 more").waitFor();
      assert.equal(await page.locator("img").count(), 0);
      await look(page, `${screen.name}-5-volumes`);
      assert.deepEqual(wrong, []);
      assert.equal(await page.title(), "Your photos are ready");
      await context.close();
    }
    const told = await (await get(json)).json();
    const path = (n) => `${new URL(json).pathname}/archives/${n}${new URL(json).search}`;
    assert.deepEqual(told.archives, archives.map(({ name, bytes, photos }, index) => ({ name, bytes, photos, url: path(index + 1) })));
    assert.deepEqual(told.missing, [HOSTILE]);
  });

  test("an event whose name means harm", async () => {
    const { link } = await event("hostile", { title: HOSTILE });
    const { context, page, wrong } = await open(SCREENS[1]);
    await page.goto(link);
    assert.equal(await page.getByRole("heading").textContent(), HOSTILE);
    assert.deepEqual([await page.title(), await page.locator("img").count(), wrong], [HOSTILE, 0, []]);
    await context.close();
  });

  for (const [status, change, words] of [
    ["failed", { error: { message: "SMTP_URL is wrong on ip-10-0-0-1", exit_code: 75 } }, "We could not pack your photos"],
    ["failed", { error: { message: "all photos are missing", exit_code: 66 } }, "We could not pack your photos"],
    ["cancelled", {}, "This download was called off"],
  ])
    test(`${status}: in plain words, without what is inside`, async () => {
      const lease = { owner: { id: "container-1", log_stream: "stream-1" }, until: "2999-01-01T00:00:00Z" };
      const { page, json } = await job(status, { status, lease, secret: "5ecret", ...change });
      for (const url of [page, json]) {
        const text = await (await get(url)).text();
        assert(!/SMTP_URL|10-0-0-1|container-1|stream-1|5ecret/.test(text), text);
      }
      assert((await (await get(page)).text()).includes(words));
    });

  const archive = (id, n = 1) => ({ name: `${n}.zip`, key: `archives/${id}/${n}.zip`, bytes: 3, photos: 2 });
  const store = (it) => s3(`${settings.R2_BUCKET}/${it.key}`, { method: "PUT", body: "zip" });

  test("another salt withdraws all links of an event", async () => {
    const id = unique("salt");
    const kv = await miniflare.getKVNamespace("EVENTS");
    const put = (salt) => kv.put(id, JSON.stringify({ photos: [`${server.url}/a.jpg`], salt }));
    await put("one");
    const link = eventLink(SECRET, origin, id, { salt: "one" });
    assert.equal((await get(link)).status, 200);
    assert.equal((await get(eventLink(SECRET, origin, id))).status, 404);
    const job = await (await press(id, tokenOf(link))).json();
    const page = new URL(job.url, origin).href;
    assert.equal((await get(page)).status, 200);
    await put("two");
    for (const withdrawn of [link, page]) assert.equal((await get(withdrawn)).status, 404, withdrawn);
    assert.equal((await press(id, tokenOf(link))).status, 404);
    assert.equal((await get(eventLink(SECRET, origin, id, { salt: "two" }))).status, 200);
    await messages(settings);
  });

  test("a button that is pressed too often asks to wait", async () => {
    const limited = await worker("../example/src/index.ts", {
      bindings: { ...settings, LINK_SECRET: SECRET },
      kvNamespaces: ["EVENTS"],
      ratelimits: { EVENT_LIMIT: { namespace_id: "1", simple: { limit: 2, period: 60 } } },
    });
    const id = unique("often");
    await (await limited.getKVNamespace("EVENTS")).put(id, JSON.stringify({ photos: [`${server.url}/a.jpg`] }));
    const url = eventLink(SECRET, origin, id).replace("?", "/download?");
    // Two minutes may meet here, so that four are let in at most.
    const refused = async (headers) => {
      for (let press = 0; press < 5; press++) {
        const answer = await limited.dispatchFetch(url, { method: "POST", redirect: "manual", headers });
        if (answer.status === 429) return answer;
      }
    };
    assert.equal((await refused({})).headers.get("retry-after"), "60");
    assert.match(await (await refused({ accept: "text/html" })).text(), /try again in a minute/);
    await messages(settings);
  });

  test("each download has a link of its own, until the archive is deleted", async () => {
    const id = secret();
    const archives = [1, 2].map((n) => archive(id, n));
    const { json } = await job("gone", { status: "done", archives });
    await store(archives[1]);
    const there = `${json.replace("?", "/archives/2?")}`;
    const { status, headers } = await get(there);
    assert.equal(status, 302);
    assert.equal(headers.get("cache-control"), "no-store");
    assert.equal(await (await fetch(headers.get("location"))).text(), "zip");
    assert(Number(new URL(headers.get("location")).searchParams.get("X-Amz-Expires")) <= 12 * 3600);
    const gone = there.replace("/2?", "/1?");
    const page = await get(gone, { headers: { accept: "text/html" } });
    assert.equal(page.status, 410);
    const text = await page.text();
    assert.match(text, /This download has expired.*Press “Download all photos”/s);
    assert(!text.includes("<Error>"));
    assert.deepEqual([(await get(gone)).status, await (await get(gone)).json()], [410, { error: "it has expired; begin again" }]);
    for (const number of ["0", "3", "1x", "-1", "01", "1/", ""]) assert.equal((await get(there.replace("/2?", `/${number}?`))).status, 404, number);
    // The link to the job does not outlive the archives, which are deleted after 14 days.
    const left = parseInt(tokenOf(json), 36) - Date.now() / 1000;
    assert(left > 7 * 86_400 && left < 14 * 86_400, `${left} s`);
  });

  test("the same with the bucket bound", async () => {
    const bound = await worker("../example/src/index.ts", { bindings: { ...settings, LINK_SECRET: SECRET }, kvNamespaces: ["EVENTS"], r2Buckets: ["R2_BINDING"] });
    const bucket = await bound.getR2Bucket("R2_BINDING");
    const id = secret();
    const archives = [1, 2].map((n) => archive(id, n));
    const { json, key } = await job("bound", { status: "done", archives });
    await bucket.put(key.slice(key.indexOf("/") + 1), await (await s3(key)).text());
    await bucket.put(archives[1].key, "zip");
    const ask = (n) => bound.dispatchFetch(json.replace("?", `/archives/${n}?`), { redirect: "manual" });
    const { status, headers } = await ask(2);
    assert.equal(status, 302);
    assert.equal(new URL(headers.get("location")).pathname, `/${settings.R2_BUCKET}/${archives[1].key}`);
    assert.equal((await ask(1)).status, 410);
  });

  test("the button leads to a job that is done, also where photos are missing, until it is old or its archives are deleted", async () => {
    const it = archive(secret());
    await store(it);
    const missing = [{ photo: 1, name: "b.jpg", reason: "not_found" }];
    const { id, page, key } = await job("once", { status: "done", archives: [it], missing, missing_count: 1 });
    const again = async () => (await press(id, tokenOf(eventLink(SECRET, origin, id)))).json();
    const stateOf = async () => (await s3(key)).json();
    const put = async (change) => s3(key, { method: "PUT", body: JSON.stringify({ ...(await stateOf()), ...change }) });
    const done = await stateOf();
    const answer = await again();
    assert.deepEqual([answer.job, answer.status], [done.job, "done"]);
    assert.deepEqual([await stateOf(), await messages(settings)], [done, []]);
    assert.equal((await get(page)).status, 200);
    // Too old for a link that is new.
    await put({ queued_at: new Date(Date.now() - 12.5 * 86_400_000).toISOString() });
    assert.equal((await again()).status, "queued");
    assert.equal((await messages(settings)).length, 1);
    await put({ status: "done", archives: [it], missing_count: 1 });
    assert.equal((await again()).status, "done");
    await s3(`${settings.R2_BUCKET}/${it.key}`, { method: "DELETE" });
    assert.equal((await again()).status, "queued");
    // Other photos are another job.
    await events.put(id, JSON.stringify({ title: "Smith & Jones", photos: ["https://127.0.0.1/other.jpg"] }));
    assert.notEqual((await again()).job, done.job);
  });

  test("folders are looked at again after an hour", async () => {
    const { id, key } = await job("folder", { status: "done" }, { photos: [{ url: "gs://bucket/events/1/" }] });
    const again = async () => (await (await press(id, tokenOf(eventLink(SECRET, origin, id)))).json()).status;
    assert.equal(await again(), "done");
    await s3(key, { method: "PUT", body: JSON.stringify({ ...(await (await s3(key)).json()), queued_at: new Date(Date.now() - 3_700_000).toISOString() }) });
    assert.equal(await again(), "queued");
  });

  test("an interrupted job has no time left", async () => {
    const at = (seconds) => new Date(Date.now() + seconds * 1000).toISOString();
    const owner = { id: "c" };
    const progress = { photos_probed: 12, photos_done: 6, photos_total: 12, bytes_done: 50, bytes_total: 100 };
    const change = { status: "transferring", progress, attempts: [{ number: 1, owner, started_at: at(-60) }], attempt_count: 1, updated_at: at(0) };
    const held = await job("held", { ...change, lease: { owner, until: at(60) } });
    const lost = await job("lost", { ...change, lease: { owner, until: at(-1) } });
    assert.match(await (await get(held.page)).text(), /seconds left/);
    const { interrupted, seconds_left } = await (await get(held.json)).json();
    assert.deepEqual([interrupted, seconds_left > 30], [false, true]);
    const text = await (await get(lost.page)).text();
    assert.match(text, /It was interrupted, and is being taken up again/);
    assert(!/seconds left|Working out/.test(text), text);
    const told = await (await get(lost.json)).json();
    assert.deepEqual([told.interrupted, told.seconds_left], [true, undefined]);
  });

  test("who is told meanwhile is nothing to a guest: buttons stay, and keep the focus", async () => {
    const it = archive(secret());
    const { page: url, key } = await job("telling", { status: "queued" });
    const put = async (change) => s3(key, { method: "PUT", body: JSON.stringify({ ...(await (await s3(key)).json()), archives_secret: change.archives?.[0].key.split("/")[1], ...change }) });
    const { context, page } = await open(SCREENS[1]);
    await page.goto(url);
    await put({ status: "delivering", archives: [it] });
    await page.getByRole("link", { name: /^Download/ }).focus();
    await put({ status: "done" });
    await page.waitForTimeout(2500);
    assert.match(await page.evaluate(() => document.activeElement.textContent), /^Download 1\.zip/);
    await context.close();
    // Without JavaScript, nothing is loaded again.
    await put({ status: "delivering" });
    assert(!(await (await get(url)).text()).includes("http-equiv"));
  });

  test("a page that was left open learns of the end by itself, and then stops asking", async () => {
    const { page: url, key } = await job("open", {});
    const { context, page } = await open(SCREENS[0]);
    await page.goto(url);
    await page.getByRole("heading", { name: "Your photos are next" }).waitFor();
    await s3(key, { method: "PUT", body: JSON.stringify({ ...(await (await s3(key)).json()), status: "cancelled" }) });
    await page.getByRole("heading", { name: "This download was called off" }).waitFor();
    let asked = 0;
    page.on("request", () => asked++);
    await page.waitForTimeout(2500);
    assert.equal(asked, 0);
    await context.close();
  });
});

describe("nobody gets in who was not let in", () => {
  let id, token, job;
  before(async () => {
    const made = await event("guarded");
    id = made.id;
    token = tokenOf(made.link);
    const answer = await press(id, token);
    assert.equal(answer.status, 202);
    job = await answer.json();
    assert.deepEqual(Object.keys(job), ["job", "status", "url", "page"]);
    assert.equal((await get(origin + job.url)).status, 200);
  });

  const forged = (right) => {
    const [expires, signature] = right.split(".");
    const swap = (text) => text.replace(/.$/, (c) => (c === "A" ? "E" : "A"));
    return ["", "x", "null", signature, `.${signature}`, `${expires}.`, `${expires}.${swap(signature)}`, `${expires}.${signature}A`, `${expires}.${"A".repeat(43)}`, `${swap(expires)}.${signature}`, `zzzzzzz.${signature}`, `${expires}.${signature}.x`];
  };

  test("forged, cut and foreign tokens open no job, and say as little as what is not there", async () => {
    const nowhere = await (await get(`${origin}/jobs/e/${"0".repeat(32)}?t=${tokenOf(job.url)}`)).text();
    const other = eventLink(SECRET, origin, job.job);
    for (const wrong of [...forged(tokenOf(job.url)), token, tokenOf(other)])
      for (const page of ["", "/page", "/archives/1"]) {
        const answer = await get(`${origin}/jobs/${job.job}${page}?t=${encodeURIComponent(wrong)}`);
        assert.equal(answer.status, 404, wrong);
        assert.equal(await answer.text(), nowhere);
      }
    assert.equal((await get(`${origin}/jobs/${job.job}`)).status, 404);
  });

  test("and no event", async () => {
    for (const wrong of [...forged(token), tokenOf(job.url), tokenOf(eventLink(SECRET, origin, id + "x")), tokenOf(eventLink(SECRET, origin, id, { days: -1 })), tokenOf(eventLink("another secret of more than thirty-two characters", origin, id))]) {
      assert.equal((await get(`${origin}/events/${id}?t=${encodeURIComponent(wrong)}`)).status, 404, wrong);
      assert.equal((await press(id, wrong)).status, 404, wrong);
    }
    // Right, but of an event that is not there.
    assert.equal((await press("nothing", tokenOf(eventLink(SECRET, origin, "nothing")))).status, 404);
  });

  test("another site cannot press the button, and a link is no button", async () => {
    assert.equal((await press(id, token, { headers: { origin: "https://evil.example" } })).status, 404);
    assert.equal((await press(id, token, { headers: { origin: "null" } })).status, 404);
    assert.equal((await press(id, token, { headers: { origin } })).status, 202);
    assert.equal((await get(`${origin}/events/${id}/download?t=${token}`)).status, 404);
  });

  test("nothing is listed, and no other address answers", async () => {
    for (const url of ["/", "/events", "/events/", "/jobs", "/jobs/", `/jobs/${id}`, `/jobs/${id}/`, "/webhooks", "/events/..%2f", `/jobs/..%2f..%2f${"0".repeat(32)}`]) {
      assert.equal((await get(`${origin}${url}?t=${token}`)).status, 404, url);
      assert.equal((await get(`${origin}${url}`, { headers: { accept: "text/html" } })).status, 404, url);
    }
  });

  test("pages are in no cache and no frame, run nothing but their own, and hold no secret", async () => {
    const answer = await get(origin + job.page);
    const policy = answer.headers.get("content-security-policy");
    for (const part of ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"]) assert(policy.includes(part), part);
    assert(!/unsafe|\*|https?:/.test(policy), policy);
    const nonce = /script-src 'nonce-([^']+)'/.exec(policy)[1];
    const text = await answer.text();
    assert.equal(text.match(/<script/g).length, text.match(new RegExp(`<script nonce="${nonce}"`, "g")).length);
    assert(!(await (await get(origin + job.page)).text()).includes(nonce), "a nonce that comes twice");
    for (const [name, value] of [["cache-control", "no-store"], ["referrer-policy", "same-origin"], ["x-content-type-options", "nosniff"], ["strict-transport-security", "max-age=31536000"]]) assert.equal(answer.headers.get(name), value);
    for (const secret of [SECRET, settings.R2_SECRET_KEY, settings.WEBHOOK_SECRET]) assert(!text.includes(secret));
  });

  test("settings that are missing are told to the operator alone", async () => {
    for (const [name, value] of [["R2_SECRET_KEY", ""], ["LINK_SECRET", "short"]]) {
      const said = [];
      const broken = await worker("../example/src/index.ts", {
        bindings: { ...settings, LINK_SECRET: SECRET, [name]: value },
        kvNamespaces: ["EVENTS"],
        handleRuntimeStdio: (...streams) => streams.forEach((it) => it.on("data", (text) => said.push(String(text)))),
      });
      await (await broken.getKVNamespace("EVENTS")).put(id, JSON.stringify({ photos: ["https://h.example/a"] }));
      const answer = await broken.dispatchFetch(`http://w/events/${id}/download?t=${token}`, { method: "POST", headers: { accept: "text/html" } });
      assert.equal(answer.status, 500);
      assert(!/R2_|LINK_SECRET/.test(await answer.text()));
      await until("the log names it", 5, () => said.join("").includes(`settings: ${name} is missing`));
    }
  });
});

test("webhooks are taken once, and only those that are ours", async () => {
  const id = unique("msg");
  const time = String(Math.floor(Date.now() / 1000));
  const body = JSON.stringify({ type: "job.completed", timestamp: "2026-06-20T15:04:05Z", data: { job: `e/${"0".repeat(32)}`, status: "done" } });
  const signature = "v1," + createHmac("sha256", Buffer.from(TEST.TEST_WEBHOOK_SECRET.slice(6), "base64")).update(`${id}.${time}.${body}`).digest("base64");
  const send = (headers = {}) => get(`${origin}/webhooks`, { method: "POST", body, headers: { "webhook-id": id, "webhook-timestamp": time, "webhook-signature": signature, ...headers } });
  assert.equal((await send({ "webhook-signature": signature.replace(/.{4}=$/, "AAA=") })).status, 401);
  assert.equal(await events.get(`webhook:${id}`), null);
  assert.deepEqual([(await send()).status, (await send()).status], [204, 204]);
  assert.equal(await events.get(`webhook:${id}`), "job.completed");
});

test("the processor is told to call the example's receiver, where it can", async () => {
  const subscriber = async (base) => {
    const id = unique("told");
    await events.put(id, JSON.stringify({ title: "T", photos: ["https://127.0.0.1/a.jpg"] }));
    const answer = await miniflare.dispatchFetch(`${eventLink(SECRET, base, id).replace("?", "/download?")}`, { method: "POST" });
    const { job } = await answer.json();
    const wish = JSON.stringify({ title: "T", tell_about_failure: false, webhook: `${base}/webhooks`, expires_in_seconds: 604_800 });
    const place = `subscriber-${createHash("sha256").update(wish).digest("hex").slice(0, 16)}.json`;
    const found = await s3(`${settings.R2_BUCKET}/jobs/${job}/${place}`);
    return found.ok ? (await found.json()).webhook : undefined;
  };
  assert.equal(await subscriber("https://photos.example.com"), "https://photos.example.com/webhooks");
  for (const base of ["http://photos.example.com", "https://localhost:8787"]) assert.equal(await subscriber(base), undefined, base);
});

test("one click ends e-mails, and another brings them back", async () => {
  const [vector] = data("unsubscribe.json");
  const link = origin + new URL(vector.link).pathname + new URL(vector.link).search;
  const key = `${settings.R2_BUCKET}/mail/unsubscribed/${vector.hash}.json`;
  const isThere = async () => (await s3(key, { method: "HEAD" })).ok;
  // A mail program that looks at links ahead of people.
  assert.equal((await get(link)).status, 200);
  assert.equal(await isThere(), false);
  // The button of a mail program (RFC 8058, 3.2), which follows no redirect and has no origin.
  const click = (url) => get(url, { method: "POST", headers: { "content-type": "application/x-www-form-urlencoded" }, body: "List-Unsubscribe=One-Click" });
  assert.equal((await click(link)).status, 200);
  assert.equal((await click(link)).status, 200);
  assert(await isThere());
  const [, other] = data("unsubscribe.json");
  for (const wrong of [link.slice(0, -1), link.replace(vector.hash, other.hash), link.replace(/t=.*/, ""), origin + "/unsubscribe?a=../../jobs&t=x"])
    assert.equal((await click(wrong)).status, 404, wrong);

  for (const screen of SCREENS) {
    const { page, context } = await open(screen);
    await page.goto(link);
    await look(page, `unsubscribe-${screen.name}`);
    await page.getByRole("button", { name: "No more e-mails" }).click();
    await page.getByRole("heading", { name: "You get no more e-mails" }).waitFor();
    await look(page, `unsubscribed-${screen.name}`);
    assert(await isThere());
    await page.getByRole("button", { name: "I want them again" }).click();
    await page.getByRole("heading", { name: "You get e-mails again" }).waitFor();
    assert.equal(await isThere(), false);
    await context.close();
  }
});
