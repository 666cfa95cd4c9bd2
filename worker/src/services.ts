/** The bucket, the queue and the compute: one signed request each, repeated while that may help, and errors
 * that name the setting. */

import { AwsV4Signer } from "aws4fetch";
import { type ErrorCode, PhotoJobError, failed } from "./error.js";
import type { Keys, Place, Settings } from "./settings.js";
import type { Archive, BucketBinding } from "./types.js";

/** With pauses that double from 200 ms on, an outage of some seconds is ridden out; R2 takes one write a
 * second to one key. */
const ATTEMPTS = 6;
const PAUSE = 200;
/** The longest pause that a server may ask for. */
const MAX_PAUSE = 10000;
const TIMEOUT = 30000;

/** What is asked of whom, for errors. */
interface Target {
  _service: string;
  /** What it is about, and the setting that names it. */
  _what: string;
  /** Settings of the key and its secret. */
  _key: string;
  _secret: string;
}
const aws = { _key: "BATCH_AWS_ACCESS_KEY", _secret: "BATCH_AWS_SECRET_KEY" };
const STORE: Target = { _service: "the store at R2_ENDPOINT", _what: "bucket (R2_BUCKET)", _key: "R2_ACCESS_KEY", _secret: "R2_SECRET_KEY" };
const BOUND: Target = { ...STORE, _service: "the bucket of R2_BINDING" };
const SQS: Target = { _service: "SQS", _what: "queue (BATCH_SQS_QUEUE_URL)", ...aws };
const BELL: Target = { ...SQS, _what: "queue (BATCH_DOORBELL_URL)" };
const BATCH: Target = {
  _service: "AWS Batch",
  _what: "job queue (BATCH_JOB_QUEUE_ARN) or job definition (BATCH_JOB_DEFINITION_ARN)",
  ...aws,
};

/** An object, and which version of it. */
export interface StoredObject {
  _text: string;
  _version: string;
}

/** When a write may happen: always, if there is nothing, or over the version that was read. */
export type Condition = { "if-none-match": "*" } | { "if-match": string } | undefined;

const path = (key: string) => key.split("/").map(encodeURIComponent).join("/");

/** What may pass by itself. */
const PASSES = /Throttl|TooMany|SlowDown|Conflict|Aborted|Timeout/;

/** What an answer that is none of success says, in words that name the setting. */
function refusal(target: Target, doing: string, status: number, text: string, header: string | null): PhotoJobError {
  const first = (pattern: RegExp) => pattern.exec(text)?.[1];
  // `com.amazonaws.sqs#QueueDoesNotExist`, `AWS.SimpleQueueService.NonExistentQueue;Sender`, or XML.
  const code = (first(/"__type" *: *"([^"]*)/) ?? header ?? first(/<Code>(.*?)</) ?? "").replace(/[;:].*/, "").replace(/.*[.#]/, "");
  const said = (first(/"message" *: *"([^"]*)/i) ?? first(/<Message>(.*?)</) ?? "").slice(0, 200);
  const { _service, _what, _key, _secret } = target;
  const about = `${status} ${code}; ${said}`;
  // The first that fits. What a code says counts more than the status.
  const table: [RegExp, string][] = [
    [/access ?key|ClientToken|UnrecognizedClient|^401/i, `${_service} does not know the key in ${_key}; check it`],
    [/Signature/, `${_secret} is not the secret of ${_key}, or the region is another one; check them`],
    [/Expired|InvalidToken/, `the key in ${_key} has expired; renew it`],
    [/Malformed|Redirect|Region/, `the ${_what} is in another region; check WPP_R2__REGION or BATCH_AWS_REGION`],
    [/no ?such|non ?exist|not ?exist|not ?found|InvalidAddress/i, `there is no such ${_what}; check name, account and region`],
    [/Denied|Unauthorized|^403/, `the key in ${_key} may not do it to the ${_what}; allow it`],
  ];
  const passes = status > 499 || status == 429 || status == 408 || PASSES.test(code);
  const remedy = table.find(([pattern]) => pattern.test(about))?.[1];
  const [kind, words]: [ErrorCode, string] = passes
    ? ["temporary", `${_service} cannot do it now (HTTP ${about})`]
    : remedy
      ? ["settings", remedy]
      : ["refused", `${_service} refuses it (HTTP ${about})`];
  return failed(kind, `${doing} failed: ${words}`);
}

/** Answers with what `act` says, and how often it failed before; what may pass is tried again. Whatever is
 * thrown that is not ours may hold an address with its signature, and is not shown. */
async function repeat<T>(target: Target, doing: string, act: () => Promise<T>): Promise<[T, number]> {
  for (let failures = 0; ; failures++)
    try {
      return [await act(), failures];
    } catch (thrown) {
      const error =
        thrown instanceof PhotoJobError
          ? thrown
          : failed("temporary", `${doing} failed: ${target._service} cannot be reached; check the address, or try again`);
      if (error.code != "temporary" || failures + 1 >= ATTEMPTS) throw error;
      const pause = PAUSE * 2 ** failures * (0.5 + Math.random() / 2);
      await new Promise((resolve) => setTimeout(resolve, Math.max(pause, error._least)));
    }
}

export class Services {
  /** Keys of a day that were worked out, which spares four hashes a request. */
  #cache = new Map<string, ArrayBuffer>();
  constructor(readonly _settings: Settings) {}

  #sign(keys: Keys, service: string, url: string, more: object) {
    return new AwsV4Signer({
      url,
      service,
      accessKeyId: keys._id,
      secretAccessKey: keys._secret,
      region: keys._region,
      cache: this.#cache,
      ...more,
    }).sign();
  }

  /** One attempt at a request; `null` where the store says that nothing is there, or not what a condition
   * asks for. */
  async #ask(target: Target, doing: string, keys: Keys, service: string, url: string, more: object): Promise<Response | null> {
    const signed = await this.#sign(keys, service, url, more);
    // A store that compresses what it sends calls its version a weak one, over which nothing can be written. It is
    // not signed, since proxies change it.
    signed.headers.set("accept-encoding", "identity");
    // Nobody else is shown a signature.
    const answer = await fetch(signed.url, { ...signed, redirect: "manual", signal: AbortSignal.timeout(TIMEOUT) } as RequestInit);
    const { ok, status, headers } = answer;
    if (ok) return answer;
    const text = await answer.text();
    if (service == "s3" && (status == 404 || status == 412) && !text.includes("NoSuchBucket")) return null;
    // Of many who make the same object at once, R2 lets one write in a second and refuses the others.
    if (status == 429 && doing.startsWith("PUT") && (more as { headers?: Record<string, string> }).headers?.["if-none-match"]) return null;
    const error = refusal(target, doing, status, text, headers.get("x-amzn-errortype"));
    error._least = Math.min(MAX_PAUSE, Number(headers.get("retry-after")) * 1000 || 0);
    throw error;
  }

  /** One action of SQS or Batch, both of which speak JSON. Actions are called as in permissions. */
  async #aws(target: Target, service: string, action: string, url: string, body: object, headers?: object): Promise<any> {
    const doing = `${service}:${action}`;
    const [answer] = await repeat(target, doing, async () => {
      const answer = await this.#ask(target, doing, this._settings._aws, service, url, {
        headers: { "content-type": "application/x-amz-json-1.0", ...headers },
        body: JSON.stringify(body),
      });
      return answer!.json();
    });
    return answer;
  }

  #sqs(action: string, body: object, target = SQS) {
    const { _sqs, _queue } = this._settings;
    return this.#aws(target, "sqs", action, _sqs + "/", { QueueUrl: _queue, ...body }, { "x-amz-target": "AmazonSQS." + action });
  }

  #batch(action: string, body: object) {
    const { _batch, _jobQueue } = this._settings;
    return this.#aws(BATCH, "batch", action, `${_batch}/v1/${action.toLowerCase()}`, { jobQueue: _jobQueue, ...body });
  }

  /** Messages that wait, and those that somebody works on. */
  async _depth(): Promise<[number, number]> {
    const waiting = "ApproximateNumberOfMessages";
    const inFlight = waiting + "NotVisible";
    const { Attributes } = await this.#sqs("GetQueueAttributes", { AttributeNames: [waiting, inFlight] });
    return [+Attributes[waiting], +Attributes[inFlight]];
  }

  _send(body: string) {
    return this.#sqs("SendMessage", { MessageBody: body });
  }

  /** Containers that will run, and those that run. With a doorbell, one for each message, since each sender
   * rang once. */
  async _active(): Promise<[number, number]> {
    const { _bell, _definition, _max } = this._settings;
    if (_bell) return this._depth();
    // The name in `arn:…:job-definition/name:revision`, or in `name:revision`.
    const nameOf = (definition: string) => definition.replace(/.*\//, "").replace(/:.*/, "");
    const count = async (jobStatus: string) => {
      let found = 0;
      let nextToken: string | undefined;
      do {
        const page = await this.#batch("ListJobs", { jobStatus, nextToken });
        for (const { jobDefinition } of page.jobSummaryList ?? [])
          if (!jobDefinition || nameOf(jobDefinition) == nameOf(_definition)) found++;
        nextToken = page.nextToken;
      } while (nextToken && found < _max);
      return found;
    };
    const [running, ...waiting] = await Promise.all(["RUNNING", "SUBMITTED", "PENDING", "RUNNABLE", "STARTING"].map(count));
    return [waiting.reduce((a, b) => a + b), running!];
  }

  /** Asks for one more container; the id of its Batch job, or of what was sent to the doorbell. */
  async _container(event: string): Promise<string> {
    const { _bell } = this._settings;
    if (_bell) return "doorbell:" + (await this.#sqs("SendMessage", { QueueUrl: _bell, MessageBody: "a container, please" }, BELL)).MessageId;
    const jobName = ("photos-" + event.replace(/\W/g, "-")).slice(0, 128);
    return (await this.#batch("SubmitJob", { jobName, jobDefinition: this._settings._definition })).jobId;
  }

  /** The bucket over the S3 API, as if it were bound. */
  #store(_place: string): BucketBinding {
    const { _r2 } = this._settings;
    const ask = (method: string, key: string, more?: object) =>
      this.#ask(STORE, `${method} ${key}`, _r2!, "s3", `${_place}/${path(key)}`, { method, ...more });
    const tag = (answer: Response | null) => answer && { httpEtag: answer.headers.get("etag")!.replace("W/", ""), text: () => answer.text() };
    return {
      get: async (key) => tag(await ask("GET", key)),
      head: async (key) => {
        const answer = await ask("HEAD", key);
        return answer && { size: Number(answer.headers.get("content-length")) };
      },
      put: async (key, body, { onlyIf, httpMetadata }) =>
        tag(await ask("PUT", key, { headers: { "content-type": httpMetadata.contentType, ...Object.fromEntries(onlyIf ?? []) }, body })),
      delete: async (key) => void (await ask("DELETE", key)),
    };
  }

  #object<T>(method: string, key: string, act: (bucket: BucketBinding) => Promise<T>, { _binding, _place }: Place = this._settings) {
    return repeat(_binding ? BOUND : STORE, `${method} ${key}`, () => act(_binding ?? this.#store(_place)));
  }

  /** Where an archive is; `undefined` where that is none of our buckets, or nobody could be led there. */
  #placeOf({ bucket }: Archive): Place | undefined {
    const { _archives, _r2 } = this._settings;
    return bucket ? (bucket == _archives?._bucket ? _archives : undefined) : _r2 && this._settings;
  }

  /** An object; `null` if there is none. */
  async _get(key: string): Promise<StoredObject | null> {
    const [found] = await this.#object("GET", key, async (bucket) => {
      const object = await bucket.get(key);
      return object && { _text: await object.text(), _version: object.httpEtag };
    });
    return found;
  }

  /** Whether an archive is there, as long as it should be. */
  async _has(archive: Archive): Promise<boolean> {
    const { key, bytes } = archive;
    const place = this.#placeOf(archive);
    return !!place && (await this.#object("HEAD", key, (bucket) => bucket.head(key), place))[0]?.size === bytes;
  }

  /** Writes an object, and tells its version; `undefined` if somebody else was there first. A conditional
   * write whose answer was lost meets itself when it is repeated: then these very bytes are there. */
  async _put(key: string, body: string | Uint8Array, condition?: Condition): Promise<string | undefined> {
    const [written, failures] = await this.#object("PUT", key, (bucket) =>
      bucket
        .put(key, body, { onlyIf: condition && new Headers(condition), httpMetadata: { contentType: "application/json" } })
        .catch((error: Error) => {
          // The same refusal, as a binding says it (R2's error codes).
          if (condition && "if-none-match" in condition && /\(10058\)/.test(error.message)) return null;
          throw error;
        }),
    );
    if (written || !failures) return written?.httpEtag;
    const there = await this._get(key);
    return there?._text === body ? there._version : undefined;
  }

  async _delete(key: string): Promise<void> {
    await this.#object("DELETE", key, (bucket) => bucket.delete(key));
  }

  /** A link that anyone can follow who has it: below the public address, which shows archives alone, or signed. */
  async _link(archive: Archive, seconds: number): Promise<string> {
    const place = this.#placeOf(archive);
    const at = path(archive.key);
    if (!place || place._base) return place ? `${place._base}/${at}` : "";
    return (await this.#sign(this._settings._r2!, "s3", `${place._place}/${at}?X-Amz-Expires=${seconds}`, { signQuery: true })).url.href;
  }
}
