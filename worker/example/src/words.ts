/** Numbers, and reasons, as people say them. */

import type { JobStatus } from "aws-batch-integration";

/** With less than this it is a guess. */
const ENOUGH_SECONDS = 3;
const ENOUGH_SHARE = 0.02;

/** Of a job whose container is gone, and that no other has taken over yet. */
export const INTERRUPTED = "It was interrupted, and is being taken up again.";

export const countOf = (count: number, what: string) => `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;

/** Why photos are missing, as e-mails say it (src/letter/words/en.ftl). */
const REASONS: Record<string, string> = {
  not_found: "It is no longer where it was stored.",
  forbidden: "It is private, or its link has expired.",
  access_denied: "We are not allowed to read it where it is stored.",
  empty_folder: "There is nothing in this folder.",
  payment_required: "The account where it is stored has been suspended.",
  refused: "The place where it is stored would not hand it out.",
  address_refused: "Its link leads to a place that we do not fetch from.",
  redirect_refused: "Its link leads to a place that we do not fetch from.",
  too_many_redirects: "Its link leads in a circle.",
  too_large: "It is too large for an archive.",
  unreachable: "We tried several times, but couldn't download it.",
  unreadable_encoding: "It is stored in a form that we can't open.",
  not_a_photo: "Its link leads to a web page instead of a photo.",
  wrong_size: "It is longer or shorter than it should be, and may be damaged.",
  wrong_hash: "It is not the file that it should be, and may be damaged.",
};

/** Why a photo is missing. A reason is a name, or an object with its name as the only key; newer containers have
 * reasons that are not known here. */
export function whyMissing(reason: unknown): string {
  const name = typeof reason === "string" ? reason : Object.keys(Object(reason))[0];
  return (name !== undefined && Object.hasOwn(REASONS, name) && REASONS[name]) || "We couldn't include it.";
}

/** A length as files are shown: in thousands. */
export function sizeOf(bytes: number): string {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let step = 0;
  // What would be rounded to a thousand is one of the next.
  for (; value >= 999.5 && step < units.length - 1; step++) value /= 1000;
  return `${step && value < 9.95 ? value.toFixed(1) : Math.round(value)} ${units[step]}`;
}

/** Of the bytes; all of them are there only when it is done. */
export function percentDone(job: JobStatus): number {
  const { bytes_done, bytes_total } = job.progress;
  return Math.min(99, Math.floor((100 * bytes_done) / (bytes_total || 1)));
}

/** Seconds until the photos are packed, at the pace so far; `undefined` while nobody can tell, as where the
 * container is gone that had the job. */
export function secondsLeft(job: JobStatus, now: number): number | undefined {
  const { bytes_done, bytes_total } = job.progress;
  const started = Date.parse(job.attempts.at(-1)?.started_at ?? "");
  const written = Date.parse(job.updated_at);
  const took = (written - started) / 1000 - (job.timings.probing_seconds ?? 0);
  if (job.lost || job.status !== "transferring" || !(took >= ENOUGH_SECONDS) || bytes_done < ENOUGH_SHARE * bytes_total) return undefined;
  const left = (took * (bytes_total - bytes_done)) / bytes_done - (now - written) / 1000;
  return Math.max(0, Math.round(left));
}

export function timeLeft(job: JobStatus, now: number): string {
  if (job.lost) return INTERRUPTED;
  const seconds = secondsLeft(job, now);
  if (seconds === undefined) return "Working out how long it takes…";
  if (seconds < 10) return "A few seconds left";
  if (seconds < 90) return `About ${Math.ceil(seconds / 10) * 10} seconds left`;
  const minutes = Math.ceil(seconds / 60);
  return minutes < 90 ? `About ${minutes} minutes left` : `About ${Math.round(minutes / 60)} hours left`;
}
