import { failed } from "./error.js";
import type { BucketBinding, Env } from "./types.js";

const CONTROL = /[\0-\x1f\x7f-\x9f]/;

/** Whose signature a request carries. */
export interface Keys {
  _id: string;
  _secret: string;
  _region: string;
}

/** A bucket, and how it is reached. */
export interface Place {
  _binding: BucketBinding | undefined;
  /** Its address at the store, without a slash at the end. */
  _place: string;
  _bucket: string;
  /** Where everyone can see it. */
  _base?: string;
}

/** The settings, checked; the place is that of the jobs. */
export interface Settings extends Place {
  _aws: Keys;
  _sqs: string;
  _batch: string;
  _queue: string;
  _jobQueue: string;
  _definition: string;
  /** Empty where Batch itself is asked. */
  _bell: string;
  _max: number;
  /** `undefined` where archives are beside the jobs. */
  _archives: Place | undefined;
  /** `undefined` where the binding does everything, and links need no signature. */
  _r2: Keys | undefined;
}

/** Reads the settings; everything that is wrong is said at once. */
export function read(env: Env): Settings {
  const wrong: string[] = [];
  const text = (name: keyof Env) => {
    const value = String(env[name] ?? "").trim();
    if (CONTROL.test(value)) wrong.push(`${name} has a control character in it, such as a line break; take it out`);
    return value;
  };
  const need = (name: keyof Env) => text(name) || (wrong.push(`${name} is missing`), "");
  const address = (name: keyof Env, value = need(name)) => {
    try {
      if (!value || (/^https?:\/\//.test(value) && new URL(value))) return value.replace(/\/+$/, "");
    } catch {
      // Such as one in which something was left to be filled in.
    }
    wrong.push(`${name} is not an https:// address`);
    return "";
  };
  const region = need("BATCH_AWS_REGION");
  // As the programs say it. Cloudflare's dashboard shows the address with the bucket, where no job would be found.
  const store = (given = address("R2_ENDPOINT")) => {
    if (given && (!/^https?:\/\/[^/?#@]+$/.test(given) || given.includes(`//${bucket}.`)))
      wrong.push("R2_ENDPOINT cannot be used; give an address such as `https://<account>.r2.cloudflarestorage.com`, without the bucket");
    return given;
  };
  const endpoint = (name: keyof Env, otherwise: string, used = text(name) ? name : "AWS_ENDPOINT_URL") =>
    address(used, text(used)) || otherwise;
  const queue = address("BATCH_SQS_QUEUE_URL");
  const bell = address("BATCH_DOORBELL_URL", text("BATCH_DOORBELL_URL"));
  const binding = env.R2_BINDING;
  const base = address("PUBLIC_BASE_URL", text("PUBLIC_BASE_URL"));
  const max = Number(env.WPP_BATCH__MAX_CONTAINERS || 50);
  if (!(Number.isInteger(max) && max > 0 && max <= 1000)) wrong.push("WPP_BATCH__MAX_CONTAINERS is not 1 to 1000");
  const archives = text("R2_ARCHIVE_BUCKET");
  if (base && !archives)
    wrong.push("PUBLIC_BASE_URL is set, but R2_ARCHIVE_BUCKET is not: everyone would see the jobs with the photos' tokens");
  // With bindings and an address for everyone, nothing has to be signed.
  const signs = !binding || !base || !env.R2_ARCHIVE_BINDING;
  const bucket = signs ? need("R2_BUCKET") : text("R2_BUCKET");
  if (archives && archives == bucket) wrong.push("R2_ARCHIVE_BUCKET is R2_BUCKET; give archives a bucket of their own");
  const at = signs ? store() : "";
  const settings: Settings = {
    _aws: { _id: need("BATCH_AWS_ACCESS_KEY"), _secret: need("BATCH_AWS_SECRET_KEY"), _region: region },
    // The queue's own address says where SQS is.
    _sqs: endpoint("AWS_ENDPOINT_URL_SQS", queue.replace(/^(\w+:\/\/[^/]*).*/, "$1")),
    _batch: endpoint("AWS_ENDPOINT_URL_BATCH", `https://batch.${region}.amazonaws.com`),
    _queue: queue,
    _bell: bell,
    _jobQueue: bell || need("BATCH_JOB_QUEUE_ARN"),
    _definition: bell || need("BATCH_JOB_DEFINITION_ARN"),
    _max: max,
    _binding: binding,
    _place: `${at}/${bucket}`,
    _r2: signs
      ? { _id: need("R2_ACCESS_KEY"), _secret: need("R2_SECRET_KEY"), _region: text("WPP_R2__REGION") || "auto" }
      : undefined,
    _bucket: bucket || "R2_BINDING",
    _archives: archives ? { _binding: env.R2_ARCHIVE_BINDING, _place: `${at}/${archives}`, _bucket: archives, _base: base } : undefined,
  };
  if (wrong.length)
    throw failed(
      "settings",
      `${[...new Set(wrong)].join("; ")}; set it in wrangler.toml, or by \`wrangler secret put\`` +
        (signs && binding ? " (R2_*, or PUBLIC_BASE_URL and R2_ARCHIVE_BINDING, for links)" : ""),
    );
  return settings;
}
