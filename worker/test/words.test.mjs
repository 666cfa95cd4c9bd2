// Numbers as the example says them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { secondsLeft, sizeOf, timeLeft, whyMissing } from "../example/src/words.ts";

test("lengths have two digits where they are small, and no unit has a thousand", () => {
  for (const [bytes, words] of [
    [0, "0 bytes"],
    [999, "999 bytes"],
    [1000, "1.0 kB"],
    [9_949, "9.9 kB"],
    [9_950, "10 kB"],
    [99_600, "100 kB"],
    [999_499, "999 kB"],
    [999_500, "1.0 MB"],
    [7_200_000, "7.2 MB"],
    [99_500_000, "100 MB"],
    [999_999_999, "1.0 GB"],
    [12e9, "12 GB"],
    [4e12, "4.0 TB"],
    [5e15, "5000 TB"],
  ])
    assert.equal(sizeOf(bytes), words, bytes);
});

test("every reason why a photo is missing has words, and so have those of newer containers", () => {
  assert.equal(whyMissing("not_found"), "It is no longer where it was stored.");
  assert.equal(whyMissing({ unreachable: { what: "the server answered 503" } }), "We tried several times, but couldn't download it.");
  assert.equal(whyMissing({ address_refused: { host: null } }), whyMissing("address_refused"));
  for (const reason of ["eaten_by_a_dog", { lost: { planet: "Mars" } }, "toString", null, undefined, 7, []])
    assert.equal(whyMissing(reason), "We couldn't include it.", JSON.stringify(reason));
});

test("a time left is told at the pace so far, and not where nobody works on it", () => {
  const start = Date.parse("2026-06-20T15:00:00Z");
  const at = (seconds) => new Date(start + seconds * 1000).toISOString();
  const job = {
    status: "transferring",
    updated_at: at(30),
    progress: { bytes_done: 25, bytes_total: 100 },
    attempts: [{ number: 1, started_at: at(0) }],
    timings: { probing_seconds: 10 },
    lost: false,
  };
  const now = start + 30_000;
  // 20 s for a quarter.
  assert.equal(secondsLeft(job, now), 60);
  assert.equal(timeLeft(job, now), "About 60 seconds left");
  const lost = { ...job, lost: true };
  assert.equal(secondsLeft(lost, now), undefined);
  assert.equal(timeLeft(lost, now), "It was interrupted, and is being taken up again.");
});
