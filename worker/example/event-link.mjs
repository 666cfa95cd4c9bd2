#!/usr/bin/env node
// Prints the link to an event's page, for whoever may download its photos:
//
//   LINK_SECRET=… node example/event-link.mjs https://photos.example.com smith-jones-2026 [salt]
//
// It is good for eight weeks. The salt is that of the event in `EVENTS`, where it has one; give the event another
// salt, and all links of before are withdrawn.
//
// A site does the same where it shows the button (`link.ts` is how the Worker reads it).
import { createHmac } from "node:crypto";
import { fileURLToPath } from "node:url";

export function eventLink(secret, origin, event, { salt = "", days = 56 } = {}) {
  const expires = (Math.floor(Date.now() / 1000) + days * 86_400).toString(36);
  const signature = createHmac("sha256", secret).update(`event\n${event}\n${expires}${salt && "\n" + salt}`).digest("base64url");
  return `${origin}/events/${event}?t=${expires}.${signature}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [origin, event, salt] = process.argv.slice(2);
  if (!event || !process.env.LINK_SECRET) {
    console.error("event-link: give the Worker's address and an event, and LINK_SECRET in the environment");
    process.exit(2);
  }
  console.log(eventLink(process.env.LINK_SECRET, origin, event, { salt }));
}
