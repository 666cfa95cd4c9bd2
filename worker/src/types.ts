/** What callers see: settings, what is handed in, and what is answered. The JSON is the same as that of
 * the `submit` command. */

/** The settings, as they are in the environment of a Worker. */
export interface Env {
  BATCH_AWS_REGION?: string;
  BATCH_AWS_ACCESS_KEY?: string;
  BATCH_AWS_SECRET_KEY?: string;
  BATCH_JOB_QUEUE_ARN?: string;
  BATCH_JOB_DEFINITION_ARN?: string;
  /** The queue at which containers are asked for; instead of the two above. */
  BATCH_DOORBELL_URL?: string;
  BATCH_SQS_QUEUE_URL?: string;
  R2_ENDPOINT?: string;
  R2_ACCESS_KEY?: string;
  R2_SECRET_KEY?: string;
  R2_BUCKET?: string;
  /** A bucket for archives alone: the only one that may be public. */
  R2_ARCHIVE_BUCKET?: string;
  /** The buckets themselves. With them, `R2_*` are only needed to sign links, where there is no `PUBLIC_BASE_URL`. */
  R2_BINDING?: BucketBinding;
  R2_ARCHIVE_BINDING?: BucketBinding;
  /** Where everyone can see the bucket of archives; without it, links are signed. */
  PUBLIC_BASE_URL?: string;
  /** `whsec_…`; only `verifyWebhook` needs it. */
  WEBHOOK_SECRET?: string;
  /** `whsec_…`; only `unsubscribe` needs it. */
  UNSUBSCRIBE_SECRET?: string;
  /** `auto` (R2's) unless the store is another one. */
  WPP_R2__REGION?: string;
  /** The most containers that are asked for; 50 unless given. */
  WPP_BATCH__MAX_CONTAINERS?: string | number;
  /** Other addresses of AWS, for tests. */
  AWS_ENDPOINT_URL?: string;
  AWS_ENDPOINT_URL_SQS?: string;
  AWS_ENDPOINT_URL_BATCH?: string;
}

/** What is used of an `R2Bucket`. */
export interface BucketBinding {
  get(key: string): Promise<{ httpEtag: string; text(): Promise<string> } | null>;
  head(key: string): Promise<{ size: number } | null>;
  put(
    key: string,
    value: string | Uint8Array,
    options: { onlyIf?: Headers; httpMetadata: { contentType: string } },
  ): Promise<{ httpEtag: string } | null>;
  delete(key: string): Promise<void>;
}

/** A photo: its address, or what else is known of it (docs/manifest.md). */
export type Photo =
  | string
  | {
      url: string;
      name?: string | null;
      /** The same as `name`. */
      fileName?: string | null;
      size?: number | null;
      modified?: string | null;
      crc32c?: string | null;
      md5?: string | null;
      /** Of a folder: only what these globs match, such as `*.jpg`. */
      include?: string[] | null;
      /** Of a folder: nothing that these globs match. */
      exclude?: string[] | null;
    };

/** How the event is to be packed, and whom to tell. `snake_case` works as well. */
export interface SubmitOptions {
  title?: string | null;
  archiveName?: string | null;
  onMissing?: "skip" | "fail" | null;
  maxArchiveBytes?: number | null;
  /** Zone of the times in the archive, such as `Europe/Berlin`; UTC unless it is given. */
  timeZone?: string | null;
  notify?: Notify | null;
  /** Such as `12h`; at most `7d`. */
  expiresIn?: string | null;
  /** Does a job again that is done, and sends the message of one that waits again. */
  force?: boolean | null;
  [snakeCase: string]: unknown;
}

export interface Notify {
  email?: string[] | null;
  locale?: string | null;
  tellAboutFailure?: boolean | null;
  webhook?: string | null;
  [snakeCase: string]: unknown;
}

export type Status = "queued" | "probing" | "transferring" | "delivering" | "done" | "failed" | "cancelled";

export interface Archive {
  name: string;
  /** Absent where it is the bucket of the jobs. */
  bucket?: string;
  key: string;
  bytes: number;
  photos: number;
}

/** What came of handing a job in. */
export interface Submitted {
  /** Its id: `<event>/<32 hexadecimal digits>`. */
  job: string;
  status: Status;
  /** It was done before, and its archives are there. */
  already_done: boolean;
  /** It was handed in before, and is not done yet. */
  joined: boolean;
  /** The container that was asked for: its Batch job, or `doorbell:` and a message; `null` where there are enough. */
  batch_job_id: string | null;
  state_url: string;
  archives: Archive[];
  /** It failed several times in a row, and is not begun again before this, unless it is forced. */
  rests_until?: string;
}

/** A job's state, as it is in the bucket, with what it may leave out there. */
export interface State {
  version: number;
  job: string;
  status: Status;
  sent: boolean;
  /** While a caller is just sending it. */
  sending_since?: string;
  created_at: string;
  queued_at: string;
  updated_at: string;
  photos: number;
  secret: string;
  lease: { until: string } | null;
  progress: {
    photos_probed: number;
    photos_done: number;
    photos_total: number;
    bytes_done: number;
    bytes_total: number;
  };
  timings: { queued_seconds?: number; probing_seconds?: number; transferring_seconds?: number };
  attempt_count: number;
  attempts: { number: number; owner?: { log_stream?: string }; started_at: string; ended_at?: string; outcome?: string }[];
  failures: number;
  /** How often in a row it ended as failed. */
  failed_runs?: number;
  archives: Archive[];
  archives_secret?: string;
  missing_count: number;
  missing: { photo: number; name: string; reason: unknown }[];
  /** Files in folders that are left out: junk, and what is not selected. Absent where there are none. */
  ignored?: number;
  /** Photos in the archives that have no bytes; absent where there are none. */
  empty_count?: number;
  empty?: string[];
  error: { message: string; exit_code: number } | null;
  redone: number;
  told_from: number;
  round: number;
  /** Absent until those who want to know are told. */
  delivery?: unknown;
  /** What names people was deleted, some time after its end. */
  is_anonymous?: boolean;
}

/** Everything about a job. */
export interface JobStatus extends State {
  state_url: string;
  /** The stream in CloudWatch Logs of the container that worked on it last, if the state knows it; `submit status`
   * asks Batch, too. */
  log_stream: string | null;
  /** Links to the archives, in order; empty where none was requested. Anyone who has a link can use it. */
  links: string[];
  /** The container that had it is gone, and none has taken over yet. */
  lost: boolean;
}

/** What a webhook tells (docs/operations.md). */
export interface WebhookEvent {
  type: "job.completed" | "job.failed" | "job.progress";
  timestamp: string;
  /** The receiver's address, without its query; absent in those of earlier processors. */
  receiver?: string;
  data: { job: string; event_id: string; status: Status; [more: string]: unknown };
}
