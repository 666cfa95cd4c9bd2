/** The pages, as HTML. Everything that comes from outside goes through `html`, which escapes it. */

import type { JobStatus } from "aws-batch-integration";
import { INTERRUPTED, countOf, percentDone, sizeOf, timeLeft, whyMissing } from "./words";

/** Text that is HTML already. */
class Html {
  constructor(readonly text: string) {}
}

type Part = string | number | Html | Part[] | undefined;

const escape = (text: string) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
const render = (part: Part): string =>
  part instanceof Html ? part.text : Array.isArray(part) ? part.map(render).join("") : escape(String(part ?? ""));

function html(texts: TemplateStringsArray, ...parts: Part[]): Html {
  return new Html(texts.map((text, index) => text + render(parts[index])).join(""));
}

const STYLE = new Html(`
:root { color-scheme: light dark; --ink: #1d1b20; --soft: #5b5763; --page: #faf8f6; --card: #fff; --line: #ded8d2; --act: #7a2e4d; --on: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #f1edf3; --soft: #b9b2be; --page: #17151a; --card: #221f26; --line: #3c3741; --act: #f2b8cc; --on: #3a0f22; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 1.0625rem/1.55 system-ui, sans-serif; }
main { max-width: 34rem; margin: 0 auto; padding: 2rem 1rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .5rem; overflow-wrap: anywhere; }
p { margin: 0 0 1rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 1rem; padding: 1.25rem; }
.soft { color: var(--soft); }
progress { display: block; width: 100%; height: .75rem; margin: 1rem 0; accent-color: var(--act); }
.act { display: block; width: 100%; min-height: 3rem; padding: .75rem 1rem; margin: 0 0 .75rem; border: 0; border-radius: .75rem;
  background: var(--act); color: var(--on); font: inherit; font-weight: 600; text-align: center; text-decoration: none; overflow-wrap: anywhere; cursor: pointer; }
.act small { display: block; font-weight: 400; }
.act:focus-visible, summary:focus-visible { outline: 3px solid var(--ink); outline-offset: 3px; }
summary { cursor: pointer; min-height: 2.75rem; padding: .6rem 0; }
li { overflow-wrap: anywhere; }
@media (min-width: 40rem) { main { padding-top: 4rem; } .card { padding: 2rem; } }
`);

// Takes over what the same address shows now, so that there is one way to draw the page. Only what has
// changed is touched: whoever reads, hears or has focused something is not disturbed.
const SCRIPT = new Html(`
const main = document.querySelector("main");
const ends = () => ["ready", "ended"].includes(main.dataset.stage);
async function look() {
  let wait = 2000;
  try {
    const answer = await fetch(location.href);
    if (answer.status === 404) return;
    const text = await answer.text();
    // Without its style, which this page's policy has no nonce for.
    const next = new DOMParser().parseFromString(text.slice(text.indexOf("<main")), "text/html");
    const now = answer.ok && next.querySelector("main");
    if (now) {
      if (now.dataset.stage !== main.dataset.stage) {
        main.dataset.stage = now.dataset.stage;
        main.querySelector("#part").replaceChildren(...now.querySelector("#part").childNodes);
      }
      for (const it of now.querySelectorAll("[data-live]")) {
        const old = main.querySelector("[data-live=" + it.dataset.live + "]");
        if (it.tagName === "PROGRESS" && it.hasAttribute("value")) old.value = it.value;
        else if (old.textContent !== it.textContent) old.textContent = it.textContent;
      }
      document.title = now.dataset.title;
    } else wait = 10000;
  } catch {
    wait = 10000;
  }
  if (!ends()) setTimeout(look, wait);
}
if (!ends()) setTimeout(look, 2000);
`);

export interface Page {
  /** What is shown in the tab. */
  title: string;
  body: Html;
  /** Whether there is something to wait for. */
  waits?: boolean;
}

/** A page with its headers. Nothing is loaded from anywhere, and only what carries the nonce runs. */
export function respond({ title, body, waits }: Page, status = 200): Response {
  const nonce = crypto.randomUUID();
  const document = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${title}</title>
<link rel="icon" href="data:,">
${waits ? html`<noscript><meta http-equiv="refresh" content="5"></noscript>` : ""}
<style nonce="${nonce}">${STYLE}</style>
</head>
<body>
${body}
${waits ? html`<script nonce="${nonce}">${SCRIPT}</script>` : ""}
</body>
</html>
`;
  return new Response(document.text, {
    status,
    headers: {
      "content-type": "text/html; charset=utf-8",
      "content-security-policy":
        `default-src 'none'; style-src 'nonce-${nonce}'; script-src 'nonce-${nonce}'; connect-src 'self'; ` +
        "img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
      ...PRIVATE,
    },
  });
}

/** For whatever is behind a link with a token: it is in no cache, and the link is told to nobody. */
export const PRIVATE = {
  "cache-control": "no-store",
  "referrer-policy": "same-origin",
  // Browsers come by https from then on (RFC 6797), for a year.
  "strict-transport-security": "max-age=31536000",
  "x-content-type-options": "nosniff",
  "x-robots-tag": "noindex",
};

/** Something short to say. */
export const notice = (title: string, text: string): Page => ({
  title,
  body: html`<main><div class="card"><h1>${title}</h1><p>${text}</p></div></main>`,
});

/** What was to be had, and is deleted. */
export const expired = notice(
  "This download has expired",
  "Archives are kept for some days only. Press “Download all photos” on your event's page once more, and they are packed again; or ask whoever sent you the link.",
);

const button = (title: string, text: string, action: string, label: string): Page => ({
  title,
  body: html`<main><div class="card"><h1>${title}</h1><p>${text}</p>
<form method="post" action="${action}"><button class="act">${label}</button></form>
</div></main>`,
});

/** Behind the link in an e-mail, whose query is handed on. */
export const unsubscribePage = (query: string) =>
  button("No more e-mails?", "You will get no more e-mails about photos. Links that you already have still work.", `/unsubscribe${query}`, "No more e-mails");

export const unsubscribedPage = (query: string) =>
  button("You get no more e-mails", "If that was a mistake, you can take it back.", `/unsubscribe${query}&again=1`, "I want them again");

export const subscribedPage = notice("You get e-mails again", "The next time that photos are ready for you, we tell you.");

/** An event, with the button. */
export const eventPage = (id: string, title: string, photos: number, token: string): Page => ({
  title,
  body: html`<main><div class="card">
<h1>${title}</h1>
<p class="soft">${countOf(photos, "photo")}, in one go.</p>
<form method="post" action="/events/${id}/download?t=${token}">
<button class="act">Download all photos</button>
</form>
</div></main>`,
});

/** What is going on, in the words of whoever waits. */
function news(job: JobStatus): { heading: string; text: string } {
  switch (job.status) {
    case "queued":
      return { heading: "Your photos are next", text: "A machine is being started for them. That takes a minute or two." };
    case "probing":
      return { heading: "Looking at your photos", text: job.lost ? INTERRUPTED : "We are finding out how large they are." };
    case "transferring":
      return { heading: "Packing your photos", text: "You can close this page and come back with the same link." };
    case "delivering":
    case "done":
      return { heading: "Your photos are ready", text: "They are in ZIP archives, which open on every computer and phone." };
    case "cancelled":
      return { heading: "This download was called off", text: "Ask whoever sent you the link for a new one." };
    case "failed":
      return {
        heading: "We could not pack your photos",
        text:
          job.error?.exit_code === 66
            ? "None of them, or not all that were asked for, could be had. Ask whoever sent you the link."
            : "Ask whoever sent you the link to look at it.",
      };
  }
}

function progress(job: JobStatus, now: number): Html {
  const { photos_probed, photos_done, photos_total, bytes_done, bytes_total } = job.progress;
  const bar = (value?: number) =>
    value === undefined
      ? html`<progress aria-labelledby="heading" max="100"></progress>`
      : html`<progress aria-labelledby="heading" data-live="bar" max="100" value="${value}">${value} %</progress>`;
  if (job.status === "queued") return html`${bar()}<p class="soft">${countOf(job.photos, "photo")}</p>`;
  if (job.status === "probing")
    return html`${bar(Math.floor((100 * photos_probed) / (job.photos || 1)))}
<p class="soft" data-live="photos">${photos_probed.toLocaleString("en")} of ${countOf(job.photos, "photo")}</p>`;
  return html`${bar(percentDone(job))}
<p data-live="photos">${photos_done.toLocaleString("en")} of ${countOf(photos_total, "photo")}</p>
<p data-live="bytes">${sizeOf(bytes_done)} of ${sizeOf(bytes_total)}</p>
<p class="soft" data-live="left">${timeLeft(job, now)}</p>`;
}

/** Where an archive is had, by its number from 1. It is the Worker's own address, since a link to the store would be
 * dead when a page is left open for long. */
export const archivePath = (job: JobStatus, number: number, token: string) => `/jobs/${job.job}/archives/${number}?t=${token}`;

function downloads(job: JobStatus, token: string): Html {
  const missing = job.missing_count;
  const names = job.missing.slice(0, 100);
  return html`${job.archives.map((archive, index) =>
    // The store says that it is to be saved; `download` would not count across origins.
    html`<a class="act" href="${archivePath(job, index + 1, token)}">Download ${archive.name}<small>${countOf(archive.photos, "photo")}, ${sizeOf(archive.bytes)}</small></a>`,
  )}
${
    missing
      ? html`<details><summary>${countOf(missing, "photo")} couldn't be included</summary><ul>${names.map((it) => html`<li>${it.name}<br><small class="soft">${whyMissing(it.reason)}</small></li>`)}</ul>${
          missing > names.length ? html`<p>and ${missing - names.length} more</p>` : ""
        }</details>`
      : ""
  }`;
}

/** Which parts the page has; within one, only numbers change. Whether others have been told yet is nothing to
 * guests. */
function stageOf({ status }: JobStatus): string {
  if (status === "delivering" || status === "done") return "ready";
  return status === "failed" || status === "cancelled" ? "ended" : status;
}

/** How a job is, or its downloads. */
export function jobPage(job: JobStatus, token: string, now: number): Page {
  const stage = stageOf(job);
  const { heading, text } = news(job);
  const title = job.status === "transferring" ? `${percentDone(job)} % – ${heading}` : heading;
  const part = stage === "ready" ? downloads(job, token) : stage === "ended" ? html`` : progress(job, now);
  return {
    title,
    waits: stage !== "ready" && stage !== "ended",
    body: html`<main data-stage="${stage}" data-title="${title}"><div class="card">
<div role="status"><h1 id="heading" data-live="heading">${heading}</h1>
<p data-live="news">${text}</p></div>
<div id="part">${part}</div>
</div></main>`,
  };
}
