/** From what a caller gives to the manifest in its normal form, and the id that follows from it: what
 * src/manifest does in Rust. Hosts, buckets and everything about names are left to the processor, which
 * checks the manifest as a whole when it takes it. */

import { failed } from "./error.js";
import type { Photo, SubmitOptions } from "./types.js";

/** As in the processor (src/manifest/mod.rs). */
const MAX_BYTES = 33554432;
const MAX_PHOTOS = 100000;
const MAX_RECIPIENTS = 50;
const MAX_GLOBS = 100;
export const MAX_EXPIRES_IN = 604800;
/** Problems that are spelled out. */
const SHOWN = 20;
/** The common case of an address, told without reading it as a whole. */
const PLAIN = /^https:\/\/[a-z\d][a-z\d.-]*(:\d+)?[/?][!-~]*$/i;
const STORED = /^(gs|s3):\/\/(?!\.+\/)[\w.-]{1,222}\//i;
/** What spreadsheets and broken exports leave in addresses: control characters, and another address. */
const CONTROL = /[\0-\x1f\x7f-\x9f]/;
const ANOTHER = /^[^a-z\d]*[a-z\d][a-z\d+.-]*:\/\//i;
/** IANA names; only the processor knows them all. */
const ZONE = /^[a-z][\w+-]*(\/[\w+-]+)*$/i;
const EVENT = /^(?!\.)[\w.-]{1,128}$/;
/** Mail servers take other letters than ASCII's behind the @ alone, where they stand for others (IDNA). */
const EMAIL = /^[^\s@<>,\x7f-\uffff]+@[^\s@<>,]+$/;
const TIME = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)$/i;
/** Four and sixteen bytes in base64, whose last digit has bits to spare. */
const CRC32C = /^[A-Za-z\d+/]{5}[AQgw]==$/;
const MD5 = /^[A-Za-z\d+/]{21}[AQgw]==$/;
/** Of units of `expires_in`. */
const SECONDS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86400, w: 604800 };

/** Fields, by what they are of. */
const PHOTO = ["url", "name", "size", "modified", "crc32c", "md5", "include", "exclude"];
const NOTIFY = ["email", "locale", "tell_about_failure", "webhook"];
const OPTIONS = ["version", "title", "archive_name", "on_missing", "max_archive_bytes", "time_zone", "notify", "expires_in", "force"];
const encoder = new TextEncoder();

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
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const isObject = (value: unknown): value is object => !!value && typeof value == "object" && !Array.isArray(value);

export const bytes = (text: string): Uint8Array => encoder.encode(text);

interface NormalPhoto {
  crc32c?: string | undefined;
  exclude?: string[] | undefined;
  include?: string[] | undefined;
  md5?: string | undefined;
  modified?: string | undefined;
  name?: string | undefined;
  size?: number | undefined;
  url: string | undefined;
}

/** A photo that is plainly right, as nearly all are: this is run thousands of times before anything is compiled.
 * The others are looked at closely. */
function plain(photo: Photo): NormalPhoto | undefined {
  if (typeof photo == "string") return PLAIN.test(photo) ? { url: photo } : undefined;
  if (!isObject(photo)) return;
  const { crc32c, md5, modified, fileName, name = fileName, size, url } = photo;
  // Each field that is right; what is left over is wrong, unknown, or there twice.
  const left =
    Object.keys(photo).length -
    +is(url, PLAIN) -
    +(typeof name == "string") -
    +(Number.isSafeInteger(size) && size! >= 0) -
    +is(crc32c, CRC32C) -
    +is(md5, MD5) -
    +is(modified, TIME);
  return left || !url ? undefined : ({ crc32c, md5, modified, name, size, url } as NormalPhoto);
}

const is = (value: unknown, pattern: RegExp) => typeof value == "string" && pattern.test(value);

/** Reads what was given; everything that is wrong is said at once. */
export async function read(eventId: string, photos: readonly Photo[], options: SubmitOptions): Promise<Manifest> {
  const problems: string[] = [];
  let total = 0;
  const wrong = (place: string, what: string): undefined => {
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
  const address = (place: string, value: string): URL | undefined => {
    if (STORED.test(value)) return;
    try {
      const url = new URL(value);
      if (url.username || url.password) wrong(place, "carries a user name or password");
      else if (url.protocol == "https:") return url;
      else wrong(place, `has the scheme ${url.protocol.slice(0, 9)}; use https://, gs://bucket/ or s3://bucket/`);
    } catch {
      wrong(place, "is not an address; give one that begins with https://");
    }
    return;
  };

  text(top, "event_id", eventId ?? null, EVENT, "use 1 to 128 of A-Z a-z 0-9 . _ - and no dot in front");

  let folders = false;
  /** A photo in its normal form, its fields in the order of their names; notes what is wrong with it. */
  const look = (photo: unknown, index: number): NormalPhoto | undefined => {
    const bare = typeof photo == "string";
    if (!bare && !isObject(photo)) return wrong(`photos[${index}]`, "is neither an address nor an object");
    const at: Place = (name) => `photos[${index}]` + (bare ? "" : "." + name);
    const found = bare ? { url: photo } : fields(at, photo as object, PHOTO);
    // `null` is no text, either.
    const url = text(at, "url", found.url ?? null, undefined, "give the photo's address");
    // All that is in a folder of a private bucket.
    const folder = url !== undefined && /^\s*(gs|s3):.*\/\s*$/is.test(url);
    folders ||= folder;
    if (url !== undefined && !PLAIN.test(url)) {
      const it = url.trim();
      if (CONTROL.test(it) || it.split(/\s+/).slice(1).some((word) => ANOTHER.test(word)))
        wrong(at("url"), "has a control character or another address in it; give each address on its own");
      else address(at("url"), it);
    }
    const globs = (name: string): string[] | undefined => {
      const list = check<string[]>(at, name, found[name], Array.isArray, "give an array of globs");
      if (list && !folder) wrong(at(name), "is for folders, such as gs://bucket/folder/; leave it out");
      else if (list && list.length > MAX_GLOBS) wrong(at(name), `has ${list.length} globs; give at most ${MAX_GLOBS}`);
      else list?.forEach((it, index) => text(at, `${name}[${index}]`, it ?? null, /^[^/]/s, "give a glob relative to the folder"));
      return list;
    };
    return {
      crc32c: text(at, "crc32c", found.crc32c, CRC32C, "give 4 bytes in base64"),
      exclude: globs("exclude"),
      include: globs("include"),
      md5: text(at, "md5", found.md5, MD5, "give 16 bytes in base64"),
      modified: text(at, "modified", found.modified, TIME, "give a time such as 2026-06-20T15:04:05Z"),
      name: text(at, "name", found.name),
      size: whole(at, "size", found.size),
      url,
    };
  };
  const list: (NormalPhoto | undefined)[] = [];
  if (!Array.isArray(photos) || !photos.length) wrong("photos", "is empty; give at least one");
  else if (photos.length > MAX_PHOTOS) wrong("photos", `has ${photos.length}; at most ${MAX_PHOTOS} fit into one job`);
  else
    photos.forEach((photo: Photo, index) => {
      list.push(plain(photo) ?? look(photo, index));
    });

  const given = fields(top, options ?? {}, OPTIONS);
  check(top, "version", given.version, (it) => it === 1, "give 1");
  const force = flag(top, "force", given.force);
  const title = text(top, "title", given.title);
  const archive_name = text(top, "archive_name", given.archive_name) ?? `${eventId}.zip`;
  const on_missing = text(top, "on_missing", given.on_missing, /^(skip|fail)$/, "give skip or fail") ?? "skip";
  const max_archive_bytes = whole(top, "max_archive_bytes", given.max_archive_bytes, 1);
  const time_zone = text(top, "time_zone", given.time_zone, ZONE, "give a name such as Europe/Berlin");
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
      const hook = text(told, "webhook", found.webhook, /^https:/i, "give an https:// address");
      const webhook = hook && address("notify.webhook", hook);
      if (webhook) webhook.hash = "";
      if (email.length || webhook)
        // What is undefined is left out of JSON.
        subscriber = {
          title,
          email: email.length ? email : undefined,
          locale,
          tell_about_failure,
          webhook: webhook ? webhook.href : undefined,
          expires_in_seconds: expires,
        } as Subscriber;
    }
  }

  const json = JSON.stringify({
    archive_name,
    event_id: eventId,
    max_archive_bytes,
    on_missing,
    photos: list,
    time_zone,
    version: 1,
  });
  // How half a character is written; or somebody's name has a backslash in it.
  if (list.length && json.includes("\\ud")) photos.forEach((photo, index) => plain(photo) && look(photo, index));
  const body = bytes(json);
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
