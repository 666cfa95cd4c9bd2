/** Links that carry the right to see what they lead to: `?t=<expiry>.<signature>`. Whoever has a link may hand
 * it on; nobody can make one, and ids of events and jobs, which can be guessed, open nothing. */

import { PhotoJobError } from "aws-batch-integration";

/** How long a job's link lives: not as long as its archives, which the bucket deletes after 14 days
 * (terraform/r2-bucket). */
const LIFETIME_SECONDS = 13 * 86_400;

const encoder = new TextEncoder();

export type Purpose = "event" | "job";

function keyOf(secret: string | undefined): Promise<CryptoKey> {
  if (!secret || secret.length < 32)
    throw new PhotoJobError("settings", "LINK_SECRET is missing or shorter than 32 characters; set it by `wrangler secret put`");
  return crypto.subtle.importKey("raw", encoder.encode(secret), { name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]);
}

// What it is for is signed too, so that a job's link never opens an event; and the event's salt, so that another salt
// withdraws all links to it and to its jobs.
const signedText = (purpose: Purpose, id: string, expires: string, salt: string | undefined) =>
  encoder.encode(`${purpose}\n${id}\n${expires}${salt ? "\n" + salt : ""}`);

export async function tokenFor(secret: string | undefined, purpose: Purpose, id: string, salt: string | undefined, now: number): Promise<string> {
  const expires = (Math.floor(now / 1000) + LIFETIME_SECONDS).toString(36);
  const signature = await crypto.subtle.sign("HMAC", await keyOf(secret), signedText(purpose, id, expires, salt));
  const base64 = btoa(String.fromCharCode(...new Uint8Array(signature)));
  return `${expires}.${base64.replaceAll("+", "-").replaceAll("/", "_").replace("=", "")}`;
}

/** Whether a token is right; takes as long for a nearly right one as for any other. */
export async function isRight(secret: string | undefined, purpose: Purpose, id: string, salt: string | undefined, token: string | null, now: number): Promise<boolean> {
  const key = await keyOf(secret);
  const [, expires, signature] = /^([\da-z]{1,9})\.([\w-]{43})$/.exec(token ?? "") ?? [];
  if (!expires || !signature || parseInt(expires, 36) < now / 1000) return false;
  const bytes = Uint8Array.from(atob(signature.replaceAll("-", "+").replaceAll("_", "/") + "="), (c) => c.charCodeAt(0));
  return crypto.subtle.verify("HMAC", key, bytes, signedText(purpose, id, expires, salt));
}
