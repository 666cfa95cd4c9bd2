// Builds dist/: the module, minified, in one file that can be copied into a Worker, and its types.
// Fails when the module is too long.
import { build } from "esbuild";
import { execFileSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const MAX_BYTES = 24_000;
// Names that nobody outside sees: ours, and those of aws4fetch's signer.
const INSIDE =
  /^(_[a-zA-Z]\w*|service|region|cache|accessKeyId|secretAccessKey|sessionToken|signQuery|appendSessionToken|allHeaders|singleEncode|datetime|signableHeaders|signedHeaders|canonicalHeaders|credentialString|encodedPath|encodedSearch|authHeader|signature|stringToSign|canonicalString|hexBodyHash)$/;

// We always say whose key, which service and which region is meant, have no keys for a session, and send text and
// bytes only, so more than two kilobytes of the signer stay out: what guesses, and what asks for these.
const NOT_NEEDED = [
  /(?<=\nfunction guessServiceRegion\([^\n]*\n)[\s\S]*?(?=\n}\n)/,
  /(?<=\n {4})if \(\w+ == null\) throw new TypeError\([^\n]*(?=\n)/,
  /if \(this\.sessionToken && [^}]*}/,
  /if \(this\.body && typeof this\.body !== 'string' [^}]*}/,
];
const onlyTheSigner = {
  name: "only-the-signer",
  setup(build) {
    build.onLoad({ filter: /aws4fetch\.esm\.mjs$/ }, ({ path }) => {
      const contents = NOT_NEEDED.reduce((code, part) => {
        if (!part.test(code)) throw new Error(`aws4fetch is not as it was: there is no ${part}`);
        return code.replaceAll(new RegExp(part, "g"), "");
      }, readFileSync(path, "utf8"));
      return { contents };
    });
  },
};
process.chdir(fileURLToPath(new URL("..", import.meta.url)));
rmSync("dist", { recursive: true, force: true });

const file = "dist/aws-batch-integration.js";
const { metafile } = await build({
  metafile: true,
  // It would take where it was loaded from.
  absWorkingDir: process.cwd(),
  entryPoints: ["src/aws-batch-integration.ts"],
  outfile: file,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  // Nothing of Node may slip in.
  platform: "neutral",
  mainFields: ["module", "main"],
  mangleProps: INSIDE,
  plugins: [onlyTheSigner],
  legalComments: "inline",
});
execFileSync(process.execPath, ["node_modules/typescript/bin/tsc", "--project", "src", "--noEmit", "false", "--declaration", "--emitDeclarationOnly", "--outDir", "dist"], {
  stdio: "inherit",
});
// What is inside has types of its own, which nobody outside sees.
for (const inside of ["manifest", "services", "settings", "webhook"]) rmSync(`dist/${inside}.d.ts`);
const code = readFileSync(file);
const size = code.length;
console.log(`${file}: ${size} bytes, ${gzipSync(code).length} compressed`);
for (const [from, { bytesInOutput }] of Object.entries(metafile.outputs[file].inputs)) console.log(`  ${from}: ${bytesInOutput}`);
if (size >= MAX_BYTES) {
  console.error(`build: ${file} must be shorter than ${MAX_BYTES} bytes`);
  process.exit(1);
}
