/** Hands an event's photos to wedding-photo-processor from a Cloudflare Worker, as the `submit` command does
 * (src/submit in Rust), whose order this keeps: claim, manifest, container, message, state. The claim is the state,
 * written on the condition that no other was faster: of many callers at once, one pays for a container. There is
 * never a message without its manifest, and a job counts as sent only when its state says so; handing in again
 * sends again whatever is not confirmed. */

import { failed } from "./error.js";
import { JOB, MAX_EXPIRES_IN, type Manifest, type Subscriber, bytes, read as readManifest, sha256 } from "./manifest.js";
import { Services } from "./services.js";
import { read as readSettings } from "./settings.js";
import type { Archive, Env, JobStatus, Photo, State, Submitted, SubmitOptions, WebhookEvent } from "./types.js";
import { isUnsubscribe, verify } from "./webhook.js";

export { PhotoJobError, type ErrorCode } from "./error.js";
export type * from "./types.js";

/** How often a state is read again because somebody else changed it. */
const MAX_CONFLICTS = 5;
/** How long a caller waits for another that sends the same job, and how often it looks (as `submit` does). */
const SENDING = 15_000;
const LOOK_AT_SENDING = 1000;
/** How often, and how long apart, it is looked whether an idle container takes the message (2 s in all, as
 * `submit` waits, but with fewer requests). */
const LOOKS = 5;
const LOOK_EVERY = 400;

const isFinal = (state: State) => /^(done|failed|cancelled)$/.test(state.status);
/** Whether those who want to know are told how it ended. */
const isTold = (state: State) => /^(delivering|done|failed)$/.test(state.status);
const now = () => new Date().toISOString();
const isHeld = (state: State) => !isFinal(state) && !!state.lease && Date.parse(state.lease.until) > Date.now();
const key = (job: string, name: string) => `jobs/${job}/${name}`;

type Known = [state: State, version: string] | undefined;
type Capacity = [depth: [waiting: number, inFlight: number], active: [waiting: number, running: number]];

export class AWSBatchIntegration {
  readonly #env: Env;
  #made: Services | undefined;

  /** @param env the Worker's environment; without it, what is global, as in Workers of the older syntax. */
  constructor(env: Env = globalThis as Env) {
    this.#env = env;
  }

  /** Settings are looked at when they are needed first, so that a Worker that only receives webhooks needs
   * no others. */
  get #services() {
    return (this.#made ??= new Services(readSettings(this.#env)));
  }

  /** Hands a job in. The same photos again are the same job, which is answered from what is there. */
  async submitPhotoProcessingJob(eventId: string, photos: readonly Photo[], options: SubmitOptions = {}): Promise<Submitted> {
    const services = this.#services;
    const manifest = await readManifest(eventId, photos, options);
    const { _job: job, _event, _subscriber: subscriber, _force } = manifest;
    const counting: Promise<Capacity> = Promise.all([services._depth(), services._active()]);
    // Of a job that is done, nobody asks how it went.
    counting.catch(() => {});
    let known = await this.#read(job);
    let counted: Capacity | undefined;
    let isNews = false;
    let container: string | null = null;
    const answer = (state: State, more?: Partial<Submitted>): Submitted => ({
      job,
      status: state.status,
      already_done: false,
      joined: false,
      batch_job_id: container,
      state_url: this.#url(job),
      archives: [],
      ...more,
    });
    const patience = Date.now() + SENDING;
    for (let conflict = 0; conflict < MAX_CONFLICTS; ) {
      let [state, version] = known ?? [undefined, undefined];
      const decision = await this.#decide(state, manifest);
      if (decision != "redo" && state?.sending_since && Math.abs(Date.now() - Date.parse(state.sending_since)) < SENDING && Date.now() < patience) {
        await pause(LOOK_AT_SENDING);
        known = await this.#read(job);
        continue;
      }
      conflict++;
      if (subscriber) {
        subscriber.asked_in = (state?.redone ?? 0) + (decision == "redo" ? 1 : 0) || undefined;
        isNews = (await this.#subscribe(job, subscriber)) || isNews;
      }
      if (decision == "done" || decision == "joined") {
        if (isNews) {
          const found = decision == "joined" ? await this.#read(job) : known;
          if (!found) throw this.#noJob(job);
          if (found[0].redone != state!.redone) {
            // Others had it done again meanwhile, and only those who ask now are told.
            known = found;
            continue;
          }
          // It may have ended since, and those who were there then been told.
          if (isTold(found[0])) container = await this.#callFor(job, _event, subscriber!);
        }
        return answer(state!, decision == "done" ? { already_done: true, archives: state!.archives } : { joined: true });
      }
      if (decision == "rests") return answer(state!, { rests_until: restsUntil(state!) });
      if (!state) state = queued(job, manifest._photos, now());
      else if (decision == "redo") queueAgain(state, _force);
      // Nothing is written where nothing could be sent.
      counted ??= await counting;
      // The claim. Besides, a state that says that the job has ended would make a container drop the message.
      state.sending_since = now();
      version = await this.#write(state, version);
      if (!version) {
        known = await this.#read(job);
        if (!known) await pause(LOOK_AT_SENDING);
        continue;
      }
      const settle = () => {
        delete state.sending_since;
        return this.#write(state, version);
      };
      try {
        await services._put(key(job, "manifest.json"), manifest._body);
        if (counted[1][0] + counted[1][1] < this.#work(counted)) container = await services._container(_event);
        await services._send(message(job));
      } catch (error) {
        // The next caller need not wait for this one.
        await settle().catch(() => {});
        throw error;
      }
      state.sent = true;
      await settle();
      // Containers that wait for a machine or are busy look into the queue again. One that is idle may just
      // have looked for the last time; then it takes nothing, and counts as none.
      if (!container && !surely(counted) && !(await this.#isTakenSoon(job, state.attempt_count ?? 0)))
        container = await services._container(_event);
      return answer(state);
    }
    throw this.#busy(job);
  }

  /** Everything about a job, with links to its archives that are good for so long: to all of them, or `only` to that
   * of an index; for 0 seconds, to none. Links that are not made are empty. */
  async getJobStatus(jobId: string, linkSeconds = MAX_EXPIRES_IN, only?: number): Promise<JobStatus> {
    const [state] = (await this.#read(this.#job(jobId))) ?? [];
    if (!state) throw this.#noJob(jobId);
    const seconds = Math.min(MAX_EXPIRES_IN, Math.floor(linkSeconds));
    const link = (archive: Archive, index: number) => (seconds > 0 && (only ?? index) == index ? this.#services._link(archive, seconds) : "");
    return {
      ...state,
      state_url: this.#url(jobId),
      log_stream: state.attempts.at(-1)?.owner?.log_stream ?? null,
      links: await Promise.all(state.archives.map(link)),
      lost: /^(probing|transferring)$/.test(state.status) && !isHeld(state),
    };
  }

  /** Calls a job off. The container that works on it notices when it writes the state the next time, and
   * leaves nothing behind. */
  async cancelJob(jobId: string): Promise<State> {
    this.#job(jobId);
    for (let conflict = 0; conflict < MAX_CONFLICTS; conflict++) {
      const [state, version] = (await this.#read(jobId)) ?? [];
      if (!state) throw this.#noJob(jobId);
      if (isFinal(state) || isTold(state))
        throw failed("wrong-status", `${jobId} is ${state.status}; there is nothing to call off`);
      const attempt = state.attempts.at(-1);
      if (attempt && !attempt.ended_at) Object.assign(attempt, { ended_at: now(), outcome: "cancelled" });
      Object.assign(state, { status: "cancelled", lease: null });
      if (await this.#write(state, version)) return state;
    }
    throw this.#busy(jobId);
  }

  /** What a webhook tells, if it is signed with `WEBHOOK_SECRET` and for this receiver; else an error. The body is
   * read by this. `receiver` is the address in the manifest's `webhook`, where a proxy changes the request's. */
  verifyWebhook(request: Request, receiver?: string): Promise<WebhookEvent> {
    return verify(this.#env.WEBHOOK_SECRET, request, Date.now(), receiver);
  }

  /** Unsubscribes the recipient of an e-mail, or subscribes them again (RFC 8058), by `a` and `t` of the link in it.
   * False if the signature is wrong. */
  async unsubscribe(a: string, t: string, again = false): Promise<boolean> {
    if (!(await isUnsubscribe(this.#env.UNSUBSCRIBE_SECRET, a, t))) return false;
    const key = `mail/unsubscribed/${a}.json`;
    await (again ? this.#services._delete(key) : this.#services._put(key, JSON.stringify({ at: now() })));
    return true;
  }

  #job(text: string): string {
    if (!JOB.test(text)) throw failed("no-job", "this is not a job; give <event>/<id>");
    return text;
  }

  #noJob = (job: string) => failed("no-job", `there is no job ${job}`);
  #busy = (job: string) => failed("temporary", `${job} is changed by somebody else all the time; try again`);
  #url = (job: string) => `s3://${this.#services._settings._bucket}/${key(job, "state.json")}`;
  /** How many containers there is work for, one more message included. */
  #work = ([[waiting, inFlight]]: Capacity) => Math.min(waiting + inFlight + 1, this.#services._settings._max);

  async #read(job: string): Promise<Known> {
    const found = await this.#services._get(key(job, "state.json"));
    if (!found) return;
    let state: State | undefined;
    try {
      state = JSON.parse(found._text);
    } catch {
      // Said below.
    }
    if (state?.version != 1)
      throw failed("refused", `the state of ${job} has version ${state?.version}; update this module`);
    if (state.job != job || !(state.archives ?? []).every((archive) => isMade(state, archive)))
      throw failed("refused", `the state of ${job} is another job's, or names an archive that is not this job's`);
    const first = { ...untouched(), attempt_count: 0, attempts: [], archives: [], redone: 0, told_from: 0, round: 0 };
    return [Object.assign(first, state), found._version];
  }

  /** Writes a state over the version that was read; `undefined` if somebody else was faster. */
  #write(state: State, version: string | undefined): Promise<string | undefined> {
    state.updated_at = now();
    const condition = version ? { "if-match": version } : ({ "if-none-match": "*" } as const);
    return this.#services._put(key(state.job, "state.json"), JSON.stringify(state, null, 2), condition);
  }

  /** What is to be done about a job that is handed in. */
  async #decide(state: State | undefined, { _force, _folders }: Manifest): Promise<"send" | "redo" | "joined" | "done" | "rests"> {
    if (!state) return "send";
    if (!_force && Date.parse(restsUntil(state) ?? "") > Date.now()) return "rests";
    switch (state.status) {
      case "done":
        // What is in a folder now, only doing it again tells.
        return !_force && !_folders && (await this.#isThere(state)) ? "done" : "redo";
      case "failed":
      case "cancelled":
        return "redo";
      case "queued":
        return state.sent && !_force ? "joined" : "send";
      default:
        // Where nobody holds it, its container is lost, and maybe its message too.
        return (state.status == "delivering" && !_force) || isHeld(state) ? "joined" : "send";
    }
  }

  /** Whether a job that is done has all its photos and all its archives. */
  async #isThere(state: State): Promise<boolean> {
    if (state.missing_count || state.is_anonymous) return false;
    for (const archive of state.archives)
      if (!(await this.#services._has(archive))) return false;
    return true;
  }

  #subscriberKey = async (job: string, { asked_in, ...wishes }: Subscriber) =>
    key(job, `subscriber-${await sha256(bytes(JSON.stringify(wishes)), 8)}.json`);

  /** Notes whom to tell; whether that is news. */
  async #subscribe(job: string, subscriber: Subscriber): Promise<boolean> {
    const place = await this.#subscriberKey(job, subscriber);
    const known = await this.#services._get(place);
    try {
      if (known && (JSON.parse(known._text).asked_in ?? 0) >= (subscriber.asked_in ?? 0)) return false;
    } catch {
      // It is not one, and is written anew.
    }
    await this.#services._put(place, JSON.stringify(subscriber));
    return true;
  }

  /** Has somebody told who came late: a message, and a container unless one is surely there for it. Where
   * that does not work, they are as if they had not come, so that it does the next time. */
  async #callFor(job: string, event: string, late: Subscriber): Promise<string | null> {
    const services = this.#services;
    try {
      const counted = await Promise.all([services._depth(), services._active()]);
      const [waiting, running] = counted[1];
      const container = waiting + running < this.#work(counted) || !surely(counted) ? await services._container(event) : null;
      await services._send(message(job));
      return container;
    } catch (error) {
      await services._delete(await this.#subscriberKey(job, late));
      throw error;
    }
  }

  async #isTakenSoon(job: string, attempts: number): Promise<boolean> {
    for (let look = 0; look < LOOKS; look++) {
      await pause(LOOK_EVERY);
      const [state] = (await this.#read(job)) ?? [];
      if (state && (state.attempt_count > attempts || isFinal(state))) return true;
    }
    return false;
  }
}

/** Containers that will surely look into the queue again. */
const surely = ([[, inFlight], [waiting, running]]: Capacity) => waiting + Math.min(running, inFlight);

const pause = (time: number) => new Promise((resolve) => setTimeout(resolve, time));

/** Until when a job that failed rests, so that no guest's button pays for a container each time: after the second
 * failure in a row a minute, then twice as long each time, an hour at most. */
function restsUntil({ status, failed_runs = 0, attempts, updated_at }: State): string | undefined {
  if (status != "failed" || failed_runs < 2) return;
  const rest = 60_000 * Math.min(60, 2 ** (failed_runs - 2));
  return new Date(Date.parse(attempts.at(-1)?.ended_at ?? updated_at) + rest).toISOString();
}

const message = (job: string) => JSON.stringify({ version: 1, job, volume: null });

/** Whether an archive is one that this job made: the attempt's secret proves it, or, in earlier ones, its name. */
function isMade({ job, archives_secret: secret }: State, { key, name }: Archive): boolean {
  const before = `archives/${job}-`;
  const folder = secret ? `archives/${secret}/` : key.startsWith(before) && before + key.slice(before.length).split("/")[0] + "/";
  return key === folder + name && !name.includes("/") && (!secret || /^[\da-f]{32}$/.test(secret));
}

/** What the state of a job says that nobody has worked on since it was handed in. */
const untouched = () => ({
  lease: null,
  progress: { photos_probed: 0, photos_done: 0, photos_total: 0, bytes_done: 0, bytes_total: 0 },
  timings: {},
  failures: 0,
  missing_count: 0,
  missing: [],
  error: null,
  delivery: undefined,
  is_anonymous: undefined,
});

/** The state of a job that was just handed in; what it leaves out, the processor fills in. */
const queued = (job: string, photos: number, at: string) =>
  ({
    version: 1,
    job,
    status: "queued",
    sent: false,
    created_at: at,
    queued_at: at,
    updated_at: at,
    photos,
    secret: "",
  }) as State;

/** Puts a job into the queue again, to be done from the start. With `everybody`, all who ever asked are told
 * how it ends; without, if it was done, only those who ask from now on. */
function queueAgain(state: State, everybody: boolean): void {
  const redone = state.redone + 1;
  const told_from = everybody ? 0 : state.status == "done" ? redone : state.told_from;
  Object.assign(state, untouched(), { redone, told_from, status: "queued", sent: false, queued_at: now() });
}
