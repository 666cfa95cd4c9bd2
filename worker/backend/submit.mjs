#!/usr/bin/env node
// How a backend that is no Worker hands in photos: by the `submit` command, with the manifest on its stdin.
// Its settings are those of the environment (`submit --help`).
//
//   node backend/submit.mjs manifest.json
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

/** What each exit code asks of the caller (README, "Run it as a service"). */
const REMEDIES = { 2: "mend the settings", 65: "mend the manifest", 75: "try again" };

/** Hands a manifest in, and answers with the job as `AWSBatchIntegration` does. */
export function submit(manifest, { command = "submit", args = [], env = process.env } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, ["-", ...args], { env, stdio: ["pipe", "pipe", "pipe"] });
    let answer = "";
    let said = "";
    child.stdout.setEncoding("utf8").on("data", (text) => (answer += text));
    child.stderr.setEncoding("utf8").on("data", (text) => (said += text));
    child.on("error", (error) => reject(new Error(`\`${command}\` cannot be started (${error.code}); is it on the PATH?`)));
    // It may have ended before it read everything; its exit code says why.
    child.stdin.on("error", () => {});
    child.on("close", (code) => {
      if (code === 0) return resolve(JSON.parse(answer));
      const error = new Error(`${said.trim()} (exit code ${code}: ${REMEDIES[code] ?? "see above"})`);
      reject(Object.assign(error, { exitCode: code, mayPass: code === 75 }));
    });
    child.stdin.end(JSON.stringify(manifest));
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    const manifest = JSON.parse(await readFile(process.argv[2] ?? "/dev/stdin", "utf8"));
    console.log(JSON.stringify(await submit(manifest), null, 2));
  } catch (error) {
    console.error(error.message);
    process.exit(error.exitCode ?? 2);
  }
}
