/** A Worker that shows the whole: a button, a job, its progress, the downloads. `link.ts` says who may do
 * what, `page.ts` draws. */

import { AWSBatchIntegration, type Env as JobEnv, type JobStatus, type Photo, PhotoJobError } from "aws-batch-integration";
import { isRight, tokenFor } from "./link";
import { eventPage, jobPage, notice, PRIVATE, respond } from "./page";
import { secondsLeft } from "./words";

export interface Env extends JobEnv {
  R2_BINDING?: R2Bucket;
  /** Events by their id: `{"title": …, "photos": […]}`. */
  EVENTS: KVNamespace;
  /** At least 32 characters that nobody can guess; signs the links to events and jobs. */
  LINK_SECRET: string;
}

interface Event {
  title?: string;
  photos: Photo[];
}

/** How long a download can be begun after the page was drawn; each drawing makes new links. */
const LINK_SECONDS = 12 * 3600;
/** How long a webhook that comes again is known by its id. */
const REMEMBERED_SECONDS = 86_400;

const EVENT = /^\/events\/([\w.-]{1,128})(\/download)?$/;
const JOB = /^\/jobs\/([\w.-]{1,128}\/[\da-f]{32})(\/page)?$/;

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
  if (pathname === "/webhooks" && isPost) return takeWebhook(request, env);
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
  if (!(await isRight(env.LINK_SECRET, "event", id, token, Date.now()))) return nothing(request);
  const event = await env.EVENTS.get<Event>(id, "json");
  if (!event) return nothing(request);
  return respond(eventPage(id, event.title ?? id, event.photos.length, token!));
}

async function startDownload(request: Request, env: Env, id: string): Promise<Response> {
  // The token is what counts, and no browser sends it by itself; this is a second lock.
  const origin = request.headers.get("origin");
  if (origin !== null && origin !== new URL(request.url).origin) return nothing(request);
  if (!(await isRight(env.LINK_SECRET, "event", id, tokenOf(request), Date.now()))) return nothing(request);
  const event = await env.EVENTS.get<Event>(id, "json");
  if (!event) return nothing(request);
  const { job, status } = await new AWSBatchIntegration(env).submitPhotoProcessingJob(id, event.photos, {
    title: event.title,
    archiveName: event.title,
  });
  const query = "?t=" + (await tokenFor(env.LINK_SECRET, "job", job, Date.now()));
  const page = `/jobs/${job}/page${query}`;
  if (wantsPage(request)) return new Response(null, { status: 303, headers: { location: page, ...PRIVATE } });
  return Response.json({ job, status, url: `/jobs/${job}${query}`, page }, { status: 202, headers: PRIVATE });
}

async function showJob(request: Request, env: Env, id: string, asPage: boolean): Promise<Response> {
  if (!(await isRight(env.LINK_SECRET, "job", id, tokenOf(request), Date.now()))) return nothing(request);
  const job = await new AWSBatchIntegration(env).getJobStatus(id, LINK_SECONDS);
  return asPage ? respond(jobPage(job, Date.now())) : Response.json(publicly(job), { headers: PRIVATE });
}

/** What guests may know of a job: not who works on it, nor what went wrong in whose machine. */
const publicly = (job: JobStatus) => ({
  job: job.job,
  status: job.status,
  photos: job.photos,
  progress: job.progress,
  seconds_left: secondsLeft(job, Date.now()),
  archives: (job.archives ?? []).map(({ name, bytes, photos }, index) => ({ name, bytes, photos, url: job.links[index] })),
  missing_count: job.missing_count ?? 0,
  missing: (job.missing ?? []).map(({ name }) => name),
});

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
