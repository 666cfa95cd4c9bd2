/** From what a caller gives to the manifest in its normal form, and the id that follows from it: what
 * src/manifest does in Rust. Hosts, buckets and everything about names are left to the processor, which
 * checks the manifest as a whole when it takes it. */

import { failed } from "./error.js";
import type { Photo, SubmitOptions } from "./types.js";

/** As in the processor (src/manifest/mod.rs). */
const MAX_BYTES = 33554432;
const MAX_PHOTOS = 100000;
const MAX_RECIPIENTS = 50;
const MAX_EXPIRES_IN = 604800;
/** Problems that are spelled out. */
const SHOWN = 20;
/** The common case of an address, told without reading it as a whole. */
const PLAIN = /^https:\/\/[a-z\d][a-z\d.-]*(:\d+)?[/?]/i;
const STORED = /^(gs|s3):\/\/(?!\.+\/)[\w.-]{1,222}\//i;
const EVENT = /^(?!\.)[\w.-]{1,128}$/;
const EMAIL = /^[^\s@"(),:;<>]+@[^\s@"(),:;<>]+$/;
const TIME = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)$/i;
/** Four and sixteen bytes in base64, whose last digit has bits to spare. */
const CRC32C = /^[A-Za-z\d+/]{5}[AQgw]==$/;
const MD5 = /^[A-Za-z\d+/]{21}[AQgw]==$/;
/** Of units of `expires_in`. */
const SECONDS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86400, w: 604800 };

/** Fields, by what they are of. */
const PHOTO = ["url", "name", "size", "modified", "crc32c", "md5"];
const NOTIFY = ["email", "locale", "tell_about_failure", "webhook"];
const OPTIONS = ["version", "title", "archive_name", "on_missing", "max_archive_bytes", "notify", "expires_in", "force"];
/** Texts of a photo, in the order of their names. */
const TEXTS: [string, RegExp | undefined, string][] = [
  ["crc32c", CRC32C, "give 4 bytes in base64"],
  ["md5", MD5, "give 16 bytes in base64"],
  ["modified", TIME, "give a time such as 2026-06-20T15:04:05Z"],
  ["name", undefined, "give text"],
];

const encoder = new TextEncoder();
const quote = JSON.stringify as (text: string) => string;

/** Who wants to be told; its JSON has the fields in this order, as in Rust, since it is hashed. */
export interface Subscriber {
  title?: string;
  email?: string[];
  locale?: string;
  tell_about_failure: boolean;
  webhook?: string;
  expires_in_seconds: number;
  asked_in?: number;
}

/** A job that is to be handed in. */
export interface Manifest {
  _job: string;
  _event: string;
  _photos: number;
  /** Whether it asks for whole folders, so that only a listing tells its photos. */
  _folders: boolean;
  /** Canonical JSON (RFC 8785). */
  _body: Uint8Array;
  _subscriber: Subscriber | undefined;
  _force: boolean;
}

export const JOB = /^(?!\.)[\w.-]{1,128}\/[\da-f]{32}$/;

/** The first bytes of a SHA-256, in hexadecimal digits. */
export async function sha256(bytes: Uint8Array, length: number): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as BufferSource), 0, length);
  return [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

const isObject = (value: unknown): value is object => !!value && typeof value == "object" && !Array.isArray(value);

/** Whether all that is in a folder is meant, in a private bucket. */
const isFolder = (url: unknown) => typeof url == "string" && /^\s*(gs|s3):.*\/\s*$/is.test(url);

export const bytes = (text: string): Uint8Array => encoder.encode(text);

/** Reads what was given; everything that is wrong is said at once. */
export async function read(eventId: string, photos: readonly Photo[], options: SubmitOptions): Promise<Manifest> {
  const problems: string[] = [];
  let total = 0;
  const wrong = (place: string, what: string) => {
    if (++total <= SHOWN) problems.push(`\n  ${place}: ${what}`);
  };
  // What somebody typed, cut short; never an address, since that has a token in it.
  const shown = (value: unknown) => (/\/\//.test(String(value)) ? "is of another kind" : `is \`${String(value).slice(0, 40)}\``);

  // Places are functions, since they are put into words only where something is wrong.
  type Place = (name: string) => string;
  /** The fields of an object under their `snake_case` names; `null` is as good as absent. */
  const fields = (at: Place, value: object, known: string[]) => {
    const found: Record<string, unknown> = {};
    for (const key of Object.keys(value)) {
      let name = key;
      if (!known.includes(name)) {
        name = key.replace(/[A-Z]/g, (c) => "_" + c.toLowerCase());
        if (name == "file_name" || name == "filename") name = "name";
      }
      const given = (value as Record<string, unknown>)[key];
      if (!known.includes(name)) wrong(at(name), "is not a known field; check its spelling");
      else if (name in found) wrong(at(name), "is given twice; leave one out");
      else found[name] = given ?? undefined;
    }
    return found;
  };
  const top: Place = (name) => name;
  /** A value that is as it must be, if there is one. */
  const check = <T>(at: Place, name: string, value: unknown, isRight: (value: any) => boolean, remedy: string): T | undefined => {
    if (value === undefined || isRight(value)) return value as T | undefined;
    wrong(at(name), `${shown(value)}; ${remedy}`);
    return;
  };
  const text = (at: Place, name: string, value: unknown, pattern?: RegExp, remedy = "give text") =>
    check<string>(at, name, value, (it) => typeof it == "string" && it.isWellFormed() && (!pattern || pattern.test(it)), remedy);
  // 2^64 is beyond what the processor counts with.
  const whole = (at: Place, name: string, value: unknown, least = 0) =>
    check<number>(at, name, value, (it) => Number.isInteger(it) && it >= least && it < 2 ** 64, "give a whole number of bytes");
  const flag = (at: Place, name: string, value: unknown) =>
    !!check<boolean>(at, name, value, (it) => it === !!it, "give true or false");
  const address = (place: string, value: string, webOnly?: boolean): URL | undefined => {
    if (!webOnly && STORED.test(value)) return;
    try {
      const url = new URL(value);
      if (url.username || url.password) wrong(place, "carries a user name or password");
      else if (url.protocol == "https:") return url;
      else wrong(place, `has the scheme ${url.protocol.slice(0, 9)}; use https://${webOnly ? "" : ", gs://bucket/ or s3://bucket/"}`);
    } catch {
      wrong(place, "is not an address; give one that begins with https://");
    }
    return;
  };

  text(top, "event_id", eventId ?? null, EVENT, "use 1 to 128 of A-Z a-z 0-9 . _ - and no dot in front");

  let list = "";
  let folders = false;
  if (!Array.isArray(photos) || !photos.length) wrong("photos", "is empty; give at least one");
  else if (photos.length > MAX_PHOTOS)
    wrong("photos", `has ${photos.length}; at most ${MAX_PHOTOS} fit into one job`);
  else
    for (let index = 0; index < photos.length; index++) {
      const photo: unknown = photos[index];
      const before = total;
      let url: unknown = photo;
      let json = "";
      let at: Place = () => `photos[${index}]`;
      if (typeof photo != "string") {
        if (!isObject(photo)) {
          wrong(at(""), "is neither an address nor an object");
          continue;
        }
        at = (name) => `photos[${index}].${name}`;
        const found = fields(at, photo, PHOTO);
        // In the order of their names, which canonical JSON asks for.
        for (const [name, pattern, remedy] of TEXTS) {
          const value = text(at, name, found[name], pattern, remedy);
          if (value === undefined) continue;
          json += `"${name}":${quote(value)},`;
        }
        const size = whole(at, "size", found.size);
        // `String` writes numbers as canonical JSON does.
        if (size !== undefined) json += `"size":${size},`;
        url = found.url;
      }
      // `null` is no text, either.
      const link = text(at, "url", url ?? null, undefined, "give the photo's address");
      if (link !== undefined) {
        if (!PLAIN.test(link)) {
          address(at("url"), link.trim());
          folders ||= isFolder(link);
        }
        if (total == before) list += `,{${json}"url":${quote(link)}}`;
      }
    }

  const given = fields(top, options, OPTIONS);
  check(top, "version", given.version, (it) => it === 1, "give 1");
  const force = flag(top, "force", given.force);
  const title = text(top, "title", given.title);
  const archive = text(top, "archive_name", given.archive_name) ?? `${eventId}.zip`;
  const onMissing = text(top, "on_missing", given.on_missing, /^(skip|fail)$/, "give skip or fail") ?? "skip";
  const most = whole(top, "max_archive_bytes", given.max_archive_bytes, 1);
  let expires = MAX_EXPIRES_IN;
  const lifetime = text(top, "expires_in", given.expires_in);
  if (lifetime !== undefined) {
    expires = [...lifetime.matchAll(/(\d+)(.)/g)].reduce((sum, [, count, unit]) => sum + +count! * SECONDS[unit!]!, 0);
    if (!/^( *\d+[smhdw])+$/.test(lifetime) || !(expires > 0 && expires <= MAX_EXPIRES_IN))
      wrong("expires_in", `${shown(lifetime)}; give a time such as 12h, at most 7d`);
  }

  let subscriber: Subscriber | undefined;
  const notify = given.notify;
  if (notify !== undefined) {
    const told: Place = (name) => "notify." + name;
    if (!isObject(notify)) wrong("notify", "is not an object");
    else {
      const found = fields(told, notify, NOTIFY);
      const email = check<string[]>(told, "email", found.email, Array.isArray, "give an array of addresses") ?? [];
      if (email.length > MAX_RECIPIENTS) wrong("notify.email", `has ${email.length} addresses; give at most ${MAX_RECIPIENTS}`);
      else email.forEach((it, index) => text(told, `email[${index}]`, it ?? null, EMAIL, "give an e-mail address"));
      const locale = text(told, "locale", found.locale);
      const tell_about_failure = flag(told, "tell_about_failure", found.tell_about_failure);
      const hook = text(told, "webhook", found.webhook, undefined, "give an address");
      const webhook = hook === undefined ? undefined : address("notify.webhook", hook.trim(), true);
      if (webhook) webhook.hash = "";
      if (email.length || webhook)
        // What is undefined is left out of JSON.
        subscriber = {
          title,
          email: email.length ? email : undefined,
          locale,
          tell_about_failure,
          webhook: webhook?.href,
          expires_in_seconds: expires,
        } as Subscriber;
    }
  }

  const body = bytes(
    `{"archive_name":${quote(archive)},"event_id":${quote(eventId)},` +
      (most === undefined ? "" : `"max_archive_bytes":${most},`) +
      `"on_missing":"${onMissing}","photos":[${list.slice(1)}],"version":1}`,
  );
  if (body.length > MAX_BYTES) wrong("manifest", `is ${body.length} bytes long; at most ${MAX_BYTES} are read`);
  if (total) {
    const more = total > SHOWN ? `\n  and ${total - SHOWN} more` : "";
    throw failed("manifest", `the manifest has ${total} problem${total > 1 ? "s" : ""}${problems.join("")}${more}`);
  }
  return {
    _job: `${eventId}/${await sha256(body, 16)}`,
    _event: eventId,
    _photos: photos.length,
    _folders: folders,
    _body: body,
    _subscriber: subscriber,
    _force: force,
  };
}
