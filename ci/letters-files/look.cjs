// Opens every letter of a folder in Chromium and tells what is wrong with it: `look.cjs FOLDER SHOTS`.
// `ci/letters` says what it finds playwright-core and axe-core by (NODE_PATH).
"use strict";
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { pathToFileURL } = require("node:url");
const { chromium } = require("playwright-core");
const axe = require("axe-core");

const SCREENS = [
  { name: "small-phone", width: 320, height: 640 },
  { name: "phone", width: 390, height: 844 },
  { name: "desktop", width: 1280, height: 900 },
];
const SCHEMES = ["light", "dark"];
const PAGES_AT_ONCE = 2;
// What fingers hit: Apple's Human Interface Guidelines, and WCAG 2.5.5.
const MIN_TOUCH = 44;
// Only a page that hangs takes as long; others compile beside it.
const TIMEOUT_MS = 180_000;
// A letter is shown inside the page of a mail program, and landmarks are that page's matter.
const NOT_FOR_LETTERS = { region: { enabled: false }, "landmark-one-main": { enabled: false } };
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

// In the page: what runs over the right edge.
const tooWide = () => {
  const width = document.documentElement.clientWidth;
  const wide = [...document.querySelectorAll("body *")].filter((element) => {
    const box = element.getBoundingClientRect();
    return box.width > 0 && (box.right > width + 0.5 || box.left < -0.5);
  });
  const scrolls = document.documentElement.scrollWidth > width;
  return wide.map((element) => element.outerHTML.slice(0, 80)).concat(scrolls ? ["the page scrolls sideways"] : []);
};

// In the page: links that are too small.
const tooSmall = (min) =>
  [...document.querySelectorAll("a")]
    .filter((link) => link.getBoundingClientRect().height < min || link.getBoundingClientRect().width < min)
    .map((link) => link.textContent.slice(0, 80));

// In the page: links that a screen reader's list of links cannot tell apart, or that say nothing.
const unclearLinks = () => {
  const names = [...document.querySelectorAll("a")].map((link) => link.textContent.trim());
  return names.filter((name, index) => name === "" || names.indexOf(name) !== index);
};

async function look(page, file, screen, scheme, shots) {
  const name = path.basename(file, ".html");
  const url = pathToFileURL(file).href;
  const requests = [];
  const note = (request) => {
    if (request.url() !== url) requests.push(request.url().slice(0, 120));
  };
  page.on("request", note);
  await page.setViewportSize({ width: screen.width, height: screen.height });
  await page.emulateMedia({ colorScheme: scheme });
  await page.goto(url);
  await page.screenshot({ path: path.join(shots, `${name}-${screen.name}-${scheme}.png`), fullPage: true });

  const findings = {
    "fits the width": await page.evaluate(tooWide),
    "can be touched": await page.evaluate(tooSmall, MIN_TOUCH),
    "has clear links": await page.evaluate(unclearLinks),
  };
  await page.evaluate(axe.source);
  const result = await page.evaluate((rules) => axe.run(document, { rules }), NOT_FOR_LETTERS);
  findings["is accessible (axe)"] = result.violations.flatMap((violation) =>
    violation.nodes.map((node) => `${violation.id}: ${violation.help}: ${node.html.slice(0, 120)}`),
  );
  // Whatever it loaded late is noted by now, too.
  findings["loads nothing"] = requests;
  // Contrast that axe cannot work out is contrast that nobody has checked.
  const unknown = result.incomplete.filter((it) => it.id === "color-contrast");
  findings["has a contrast that can be told"] = unknown.flatMap((it) => it.nodes.map((node) => node.html.slice(0, 120)));
  return findings;
}

async function main() {
  const [folder, shots] = process.argv.slice(2);
  const files = fs.readdirSync(folder).filter((name) => name.endsWith(".html")).sort();
  if (files.length === 0) throw new Error(`no .html in ${folder}`);
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), "wpp-letters-profile."));
  let ok = 0;
  const wrong = [];
  const browser = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    headless: true,
    args: FLAGS,
  });
  try {
    const views = files.flatMap((file) => SCREENS.flatMap((screen) => SCHEMES.map((scheme) => ({ file, screen, scheme }))));
    const lookAtNext = async () => {
      for (let view = views.shift(); view; view = views.shift()) {
        const { file, screen, scheme } = view;
        const page = await browser.newPage();
        page.setDefaultTimeout(TIMEOUT_MS);
        const findings = await look(page, path.join(folder, file), screen, scheme, shots);
        await page.close();
        for (const [check, found] of Object.entries(findings)) {
          const what = `${file} on ${screen.name} (${screen.width}), ${scheme}: ${check}`;
          if (found.length === 0) {
            ok += 1;
            console.log(`ok ${what}`);
          } else {
            wrong.push(what);
            console.log(`NOT ok ${what}`);
            found.slice(0, 10).forEach((line) => console.log(`   ${line}`));
          }
        }
      }
    };
    await Promise.all(Array.from({ length: PAGES_AT_ONCE }, lookAtNext));
  } finally {
    await browser.close();
    fs.rmSync(profile, { recursive: true, force: true });
  }
  console.log(`letters: ${ok} passed, ${wrong.length} failed`);
  wrong.forEach((what) => console.log(`  ${what}`));
  process.exitCode = wrong.length === 0 ? 0 : 1;
}

main().catch((error) => {
  console.error(`letters: ${error.stack || error}`);
  process.exitCode = 1;
});
