import { failed } from "./error.js";
import type { WebhookEvent } from "./types.js";

/** As in the Standard Webhooks convention: how far clocks may differ, in seconds. */
const TOLERANCE = 300;
/** The processor's are far shorter: it names at most a hundred missing photos. */
const MAX_BYTES = 1048576;

const decode = (base64: string) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

/** What was signed: the head and the body, of which no more is read than one of ours would have. */
async function signedBytes(head: string, request: Request): Promise<[signed: Uint8Array, body: Uint8Array]> {
  const begin = new TextEncoder().encode(head);
  const parts = [begin];
  let length = begin.length;
  for await (const part of request.body ?? []) {
    length += part.length;
    if (length > MAX_BYTES) throw failed("webhook", "the webhook is longer than ours");
    parts.push(part);
  }
  // No sooner than all has arrived: whoever sends nothing takes up nothing.
  const signed = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    signed.set(part, at);
    at += part.length;
  }
  return [signed, signed.subarray(begin.length)];
}

const place = (address: string) => {
  const { origin, pathname } = new URL(address);
  return origin + pathname;
};

/** The key in a secret of ours. */
function keyIn(name: string, secret: string | undefined): Promise<CryptoKey> {
  let key: Uint8Array | undefined;
  try {
    key = decode(/^whsec_(.+)$/.exec(secret?.trim() ?? "")![1]!);
  } catch {
    // Neither is shown.
  }
  if (!key || key.length < 24 || key.length > 64)
    throw failed("settings", `${name} is not whsec_ and 24 to 64 bytes in base64; give the processor's`);
  return crypto.subtle.importKey("raw", key as BufferSource, { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
}

/** Whether a link in an e-mail is ours, by which its recipient wants no more. */
export async function isUnsubscribe(secret: string | undefined, address: string, token: string): Promise<boolean> {
  const key = await keyIn("UNSUBSCRIBE_SECRET", secret);
  if (!/^[\da-f]{32}$/.test(address) || !/^[\w-]{43}$/.test(token)) return false;
  const signature = decode(token.replaceAll("-", "+").replaceAll("_", "/") + "=");
  return crypto.subtle.verify("HMAC", key, signature as BufferSource, new TextEncoder().encode("unsubscribe.0." + address));
}

/** Whether a request is from the processor (https://github.com/standard-webhooks/standard-webhooks): what it
 * tells, or an error. */
export async function verify(secret: string | undefined, request: Request, now: number, receiver = request.url): Promise<WebhookEvent> {
  const hmac = await keyIn("WEBHOOK_SECRET", secret);
  const header = (name: string) => request.headers.get("webhook-" + name) ?? "";
  const [id, time] = [header("id"), header("timestamp")];
  if (!id || !/^\d+$/.test(time) || Math.abs(now / 1000 - Number(time)) > TOLERANCE)
    throw failed("webhook", "the webhook has no id, or its time is not now");
  const [signed, body] = await signedBytes(`${id}.${time}.`, request);
  for (const signature of header("signature").split(" ").slice(0, 10)) {
    const [version, value] = signature.split(",");
    if (version != "v1" || !value || !/^[A-Za-z\d+/]{43}=$/.test(value)) continue;
    // Takes as long for a wrong one as for another.
    if (await crypto.subtle.verify("HMAC", hmac, decode(value) as BufferSource, signed)) {
      const event: WebhookEvent = JSON.parse(new TextDecoder().decode(body));
      // All receivers have the same secret, and one could send on what it was told.
      if (event.receiver && place(event.receiver) != place(receiver)) throw failed("webhook", "the webhook was for another receiver");
      return event;
    }
  }
  throw failed("webhook", "the webhook's signature is not that of WEBHOOK_SECRET");
}
