/** A Worker that shows the whole: a button, a job, its progress, the downloads. `link.ts` says who may do
 * what, `page.ts` draws. */

import { AWSBatchIntegration, type Env as JobEnv, type JobStatus, type Photo, PhotoJobError } from "aws-batch-integration";
import { isRight, tokenFor } from "./link";
import { archivePath, eventPage, expired, jobPage, notice, PRIVATE, respond, subscribedPage, unsubscribePage, unsubscribedPage } from "./page";
import { secondsLeft } from "./words";

export interface Env extends JobEnv {
  R2_BINDING?: R2Bucket;
  R2_ARCHIVE_BINDING?: R2Bucket;
  /** Limits how often the button of one event is pressed (Workers' rate limiting binding); optional. */
  EVENT_LIMIT?: RateLimit;
  /** Events by their id: `{"title": …, "photos": […], "salt": …}`. */
  EVENTS: KVNamespace;
  /** At least 32 characters that nobody can guess; signs the links to events and jobs. */
  LINK_SECRET: string;
}

interface Event {
  title?: string;
  photos: Photo[];
  /** Part of what links to the event are signed with: another one withdraws them. */
  salt?: string;
}

/** How long a download can be taken up again after it was begun; each beginning makes a new link. */
const LINK_SECONDS = 6 * 3600;
/** How long who presses the button is led to what is there: not as long as archives are kept (14 days). */
const KEPT_SECONDS = 12 * 86_400;
/** The same where whole folders are asked for, since there may be more in them by then. */
const FOLDER_KEPT_SECONDS = 3600;
/** How long a webhook that comes again is known by its id. */
const REMEMBERED_SECONDS = 86_400;

const EVENT = /^\/events\/([\w.-]{1,128})(\/download)?$/;
const JOB = /^\/jobs\/([\w.-]{1,128}\/[\da-f]{32})(\/page)?$/;
const ARCHIVE = /^\/jobs\/([\w.-]{1,128}\/[\da-f]{32})\/archives\/([1-9]\d{0,5})$/;

export default {
  async fetch(request, env): Promise<Response> {
    try {
      return await route(request, env);
    } catch (error) {
      // Ours name the setting and have no secret in them. What others say may have.
      console.error(error instanceof PhotoJobError ? `${error.code}: ${error.message}` : `${(error as Error).name} at ${new URL(request.url).pathname}`);
      if (error instanceof PhotoJobError && error.code === "no-job") return nothing(request);
      const status = error instanceof PhotoJobError && error.code === "temporary" ? 503 : 500;
      return wantsPage(request)
        ? respond(notice("That did not work", "It is not your fault. Please try again in a few minutes."), status)
        : Response.json({ error: "try again later" }, { status, headers: PRIVATE });
    }
  },
} satisfies ExportedHandler<Env>;

async function route(request: Request, env: Env): Promise<Response> {
  const { pathname } = new URL(request.url);
  const isPost = request.method === "POST";
  const isGet = request.method === "GET" || request.method === "HEAD";
  const [, event, download] = EVENT.exec(pathname) ?? [];
  if (event && !download && isGet) return showEvent(request, env, event);
  if (event && download && isPost) return startDownload(request, env, event);
  const [, job, page] = JOB.exec(pathname) ?? [];
  if (job && isGet) return showJob(request, env, job, page !== undefined);
  const [, jobOfArchive, number] = ARCHIVE.exec(pathname) ?? [];
  if (jobOfArchive && isGet) return leadToArchive(request, env, jobOfArchive, Number(number));
  if (pathname === "/webhooks" && isPost) return takeWebhook(request, env);
  // Whatever looks at links ahead of people only asks for them (RFC 8058, 3.1).
  if (pathname === "/unsubscribe" && isGet) return respond(unsubscribePage(new URL(request.url).search));
  if (pathname === "/unsubscribe" && isPost) return unsubscribe(request, env);
  return nothing(request);
}

const wantsPage = (request: Request) => (request.headers.get("accept") ?? "").includes("text/html");

/** The same for what is not there and for what somebody may not see, so that nobody learns which. */
function nothing(request: Request): Response {
  return wantsPage(request)
    ? respond(notice("There is nothing here", "Look whether the link is complete, or ask for a new one."), 404)
    : Response.json({ error: "not found" }, { status: 404, headers: PRIVATE });
}

const tokenOf = (request: Request) => new URL(request.url).searchParams.get("t");

async function showEvent(request: Request, env: Env, id: string): Promise<Response> {
  const token = tokenOf(request);
  const event = await env.EVENTS.get<Event>(id, "json");
  // Also where there is no such event, so that both take as long.
  if (!(await isRight(env.LINK_SECRET, "event", id, event?.salt, token, Date.now())) || !event) return nothing(request);
  return respond(eventPage(id, event.title ?? id, event.photos.length, token!));
}

async function startDownload(request: Request, env: Env, id: string): Promise<Response> {
  // The token is what counts, and no browser sends it by itself; this is a second lock.
  const origin = request.headers.get("origin");
  if (origin !== null && origin !== new URL(request.url).origin) return nothing(request);
  const text = await env.EVENTS.get(id);
  const salt = text === null ? undefined : (JSON.parse(text) as Event).salt;
  if (!(await isRight(env.LINK_SECRET, "event", id, salt, tokenOf(request), Date.now())) || text === null) return nothing(request);
  if (env.EVENT_LIMIT && !(await env.EVENT_LIMIT.limit({ key: id })).success)
    return wantsPage(request)
      ? respond(notice("Many guests are here at once", "Please try again in a minute."), 429)
      : Response.json({ error: "try again in a minute" }, { status: 429, headers: { "retry-after": "60", ...PRIVATE } });
  const { job, status } = await jobOf(env, id, text, new URL("/webhooks", request.url));
  const query = "?t=" + (await tokenFor(env.LINK_SECRET, "job", job, salt, Date.now()));
  const page = `/jobs/${job}/page${query}`;
  if (wantsPage(request)) return new Response(null, { status: 303, headers: { location: page, ...PRIVATE } });
  return Response.json({ job, status, url: `/jobs/${job}${query}`, page }, { status: 202, headers: PRIVATE });
}

/** The job of an event: the one that is there, or a new one. */
async function jobOf(env: Env, id: string, text: string, webhooks: URL): Promise<{ job: string; status: JobStatus["status"] }> {
  const event: Event = JSON.parse(text);
  const batchProcessor = new AWSBatchIntegration(env);
  // Handing in again does again what is not complete, so that each guest would take the downloads from all others
  // where a photo is missing. Another list of photos is another job.
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  const place = `job:${id}:${Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  const known = await env.EVENTS.get(place);
  const found = known ? await ready(env, batchProcessor, known, event.photos.some(isFolder) ? FOLDER_KEPT_SECONDS : KEPT_SECONDS) : undefined;
  if (found) return found;
  const submitted = await batchProcessor.submitPhotoProcessingJob(id, event.photos, {
    title: event.title,
    archiveName: event.title,
    notify: env.WEBHOOK_SECRET && canBeCalled(webhooks) ? { webhook: webhooks.href } : undefined,
  });
  await env.EVENTS.put(place, submitted.job, { expirationTtl: KEPT_SECONDS });
  return submitted;
}

/** The processor calls `https` addresses only, and none on a developer's own machine. */
const canBeCalled = ({ protocol, hostname }: URL) => protocol === "https:" && !/^(localhost$|127\.)/.test(hostname);

const isFolder = (photo: Photo) => /^\s*(gs|s3):.*\/\s*$/is.test(typeof photo === "string" ? photo : photo.url);

/** A job, if it is done, not too old, and has all its archives. */
async function ready(env: Env, batchProcessor: AWSBatchIntegration, id: string, seconds: number): Promise<JobStatus | undefined> {
  let job: JobStatus;
  try {
    job = await batchProcessor.getJobStatus(id, LINK_SECONDS);
  } catch (error) {
    if (error instanceof PhotoJobError && error.code === "no-job") return;
    throw error;
  }
  // Its archives are not older than that.
  if (job.status !== "done" || Date.parse(job.queued_at) + seconds * 1000 < Date.now()) return;
  const there = await Promise.all(job.archives.map((_, index) => isThere(env, job, index)));
  return there.every(Boolean) ? job : undefined;
}

/** Whether an archive has not been deleted. */
async function isThere(env: Env, job: JobStatus, index: number): Promise<boolean> {
  const { bucket, key } = job.archives[index]!;
  const bound = bucket ? env.R2_ARCHIVE_BINDING : env.R2_BINDING;
  if (bound) return (await bound.head(key)) !== null;
  if (!job.links[index]) return false;
  // Links are signed for `GET`; its first byte is as good.
  const answer = await fetch(job.links[index]!, { headers: { range: "bytes=0-0" } });
  await answer.body?.cancel();
  // Anything else may pass, or is said best by the store.
  return answer.status !== 404;
}

/** Whether a token opens a job: it is signed with the salt that the job's event has now. */
async function opensJob(env: Env, job: string, token: string | null): Promise<boolean> {
  const event = await env.EVENTS.get<Event>(job.split("/")[0]!, "json");
  return isRight(env.LINK_SECRET, "job", job, event?.salt, token, Date.now());
}

async function showJob(request: Request, env: Env, id: string, asPage: boolean): Promise<Response> {
  const token = tokenOf(request);
  if (!(await opensJob(env, id, token))) return nothing(request);
  // Links of the page lead here, and only the one that is followed is signed.
  const job = await new AWSBatchIntegration(env).getJobStatus(id, 0);
  return asPage ? respond(jobPage(job, token!, Date.now())) : Response.json(publicly(job, token!), { headers: PRIVATE });
}

/** Leads to an archive at the store, by a link that is made now. */
async function leadToArchive(request: Request, env: Env, id: string, number: number): Promise<Response> {
  if (!(await opensJob(env, id, tokenOf(request)))) return nothing(request);
  const job = await new AWSBatchIntegration(env).getJobStatus(id, LINK_SECONDS, number - 1);
  const link = job.links[number - 1];
  if (!link) return nothing(request);
  // The store would say it in XML.
  if (await isThere(env, job, number - 1)) return new Response(null, { status: 302, headers: { location: link, ...PRIVATE } });
  return wantsPage(request) ? respond(expired, 410) : Response.json({ error: "it has expired; begin again" }, { status: 410, headers: PRIVATE });
}

/** What guests may know of a job: not who works on it, nor what went wrong in whose machine. */
const publicly = (job: JobStatus, token: string) => ({
  job: job.job,
  status: job.status,
  photos: job.photos,
  progress: job.progress,
  /** It was interrupted, and is being taken up again. */
  interrupted: job.lost,
  seconds_left: secondsLeft(job, Date.now()),
  archives: job.archives.map(({ name, bytes, photos }, index) => ({ name, bytes, photos, url: archivePath(job, index + 1, token) })),
  missing_count: job.missing_count,
  missing: job.missing.map(({ name }) => name),
});

/** The button of that page, or of a mail program. */
async function unsubscribe(request: Request, env: Env): Promise<Response> {
  const { search, searchParams } = new URL(request.url);
  const again = searchParams.get("again") === "1";
  const isOurs = await new AWSBatchIntegration(env).unsubscribe(searchParams.get("a") ?? "", searchParams.get("t") ?? "", again);
  return isOurs ? respond(again ? subscribedPage : unsubscribedPage(search)) : nothing(request);
}

async function takeWebhook(request: Request, env: Env): Promise<Response> {
  const id = request.headers.get("webhook-id") ?? "";
  try {
    const event = await new AWSBatchIntegration(env).verifyWebhook(request);
    const known = `webhook:${id}`;
    if (!(await env.EVENTS.get(known))) {
      // Here a site would write down that the event is ready. Ids that were taken are kept, since a webhook
      // whose answer got lost comes again.
      console.log(`${event.type}: ${event.data.job}`);
      await env.EVENTS.put(known, event.type, { expirationTtl: REMEMBERED_SECONDS });
    }
    return new Response(null, { status: 204 });
  } catch (error) {
    if (error instanceof PhotoJobError && error.code === "webhook")
      return Response.json({ error: error.message }, { status: 401 });
    throw error;
  }
}
