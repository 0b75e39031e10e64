import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { defaultRoot } from "./paths";

/** Everything a stored result depends on. Two results with the same key are the same result. */
export interface ArtifactKey {
  /** The stage's name: lower-case letters, digits and dashes. */
  name: string;
  /** The stage's recipe: plain data. */
  recipe: unknown;
  /** The hashes of the artifacts it was made from, by what they are to it. */
  inputs: Readonly<Record<string, string | readonly string[]>>;
  /** See `codeVersion`. */
  code: string;
}

/** What stands in an artifact's manifest.json. */
export interface Manifest {
  /** What this is, in words. */
  what: string;
  hash: string;
  key: ArtifactKey;
  /** By path inside the artifact's folder. */
  files: Record<string, { bytes: number; sha256: string }>;
}

/** An artifact as `listArtifacts` shows it. */
export interface StoredArtifact {
  name: string;
  hash: string;
  what: string;
  folder: string;
  bytes: number;
  /** When it was last made or loaded, in milliseconds since 1970. */
  usedAt: number;
}

/**
 * Where artifacts are kept: the environment variable WORKBOOK_CACHE, or .cache/artifacts in the repository, and for the
 * installed package in the current folder.
 */
export function artifactRoot(): string {
  return resolve(process.env.WORKBOOK_CACHE ?? join(defaultRoot(), ".cache/artifacts"));
}

const defaultLimit = 4e9;

/**
 * The most bytes that the store keeps: 4 GB, or as many gigabytes as the environment variable WORKBOOK_CACHE_GB says. Storing
 * another artifact drops those that were unused for longest until it holds.
 *
 * @throws RangeError where the variable is no number > 0
 */
export function artifactLimit(): number {
  const said = process.env.WORKBOOK_CACHE_GB;
  if (said === undefined || said === "") return defaultLimit;
  const bytes = Number(said) * 1e9;
  if (bytes > 0) return bytes;
  throw new RangeError(`WORKBOOK_CACHE_GB: expected a number of gigabytes > 0, got "${said}"`);
}

/** The sha256 of a key, in hexadecimal: the artifact's name for machines. */
export function artifactHash(key: ArtifactKey): string {
  if (!/^[a-z0-9][a-z0-9-]*$/.test(key.name)) {
    throw new Error(`artifactHash: expected a name of lower-case letters, digits and dashes, got "${key.name}"`);
  }
  return createHash("sha256").update(canonicalJson(key)).digest("hex");
}

/**
 * JSON with sorted keys, so that equal data give equal text. Undefined properties count as absent; Infinity, which options
 * use for "no limit" and JSON does not have, stands as a text.
 *
 * @throws naming the place, for what JSON would lose or distort: NaN, functions, class instances
 */
export function canonicalJson(value: unknown, place = "value"): string {
  if (value === null || typeof value === "string" || typeof value === "boolean") return JSON.stringify(value);
  if (typeof value === "number" && !Number.isNaN(value)) {
    return JSON.stringify(Number.isFinite(value) ? value : String(value));
  }
  if (Array.isArray(value)) return `[${value.map((item, i) => canonicalJson(item, `${place}[${i}]`)).join(",")}]`;
  if (typeof value === "object" && isPlain(value)) {
    const entries = Object.entries(value).filter(([, item]) => item !== undefined);
    entries.sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item, `${place}.${key}`)}`).join(",")}}`;
  }
  const what = typeof value === "object" ? `a ${value.constructor?.name ?? "object"}` : String(value);
  throw new TypeError(`canonicalJson: expected plain data (JSON) at ${place}, got ${what}`);
}

/** True for `{…}` and for objects without a prototype; a tslab cell's `{…}` may come from another realm. */
function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value) as object | null;
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** The folder of an artifact, whether or not it is there. Its name starts with the stage's, for human eyes. */
export function artifactFolder(name: string, hash: string): string {
  return join(artifactRoot(), `${name}-${hash.slice(0, 16)}`);
}

/**
 * Stores an artifact: `fill` writes its files to a temporary folder, which then takes its place in one rename, so that
 * nobody ever sees half of one. An artifact that stood there before is replaced.
 *
 * @param what what it is, in words, for the manifest
 */
export async function storeArtifact(
  key: ArtifactKey,
  what: string,
  fill: (folder: string) => Promise<void> | void,
): Promise<string> {
  const hash = artifactHash(key);
  const target = artifactFolder(key.name, hash);
  const temporary = join(artifactRoot(), "temporary", `${key.name}-${hash.slice(0, 16)}-${process.pid}`);
  rmSync(temporary, { recursive: true, force: true });
  mkdirSync(temporary, { recursive: true });
  try {
    await fill(temporary);
    const files: Manifest["files"] = {};
    for (const file of filesUnder(temporary)) files[file] = checksum(join(temporary, file));
    const manifest: Manifest = { what, hash, key: JSON.parse(canonicalJson(key)) as ArtifactKey, files };
    writeFileSync(join(temporary, "manifest.json"), JSON.stringify(manifest, undefined, 2) + "\n");
    rmSync(target, { recursive: true, force: true });
    renameSync(temporary, target);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
  // What was used last is the last to go: what this one was made from stays as well, where there is room at all.
  pruneArtifacts({ maximumBytes: artifactLimit(), keep: target });
  return target;
}

/**
 * The folder of a stored artifact, every file of which has been read and found to match its checksum; undefined when it
 * is not there. A damaged artifact counts as not there, and `say` is told what is wrong with it.
 */
export function openArtifact(name: string, hash: string, say: (message: string) => void): string | undefined {
  const folder = artifactFolder(name, hash);
  if (!existsSync(folder)) return undefined;
  const fault = artifactFault(folder, hash);
  if (fault !== undefined) {
    say(`the stored "${name}" in ${folder} is damaged (${fault}); it is not used and will be made again`);
    return undefined;
  }
  const now = new Date();
  utimesSync(join(folder, "manifest.json"), now, now); // for prune, which drops what has not been used for long
  return folder;
}

/**
 * What is wrong with a stored artifact, every file of which is read; undefined where all is as its manifest says.
 *
 * @param hash whose it should be. Default: what its manifest says
 */
export function artifactFault(folder: string, hash?: string): string | undefined {
  let manifest: Manifest;
  try {
    manifest = JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8")) as Manifest;
  } catch (error) {
    return `its manifest.json cannot be read: ${(error as Error).message}`;
  }
  const expected = hash ?? manifest.hash;
  if (manifest.hash !== expected || artifactHash(manifest.key) !== expected)
    return "its manifest is another artifact's";
  const present = filesUnder(folder).filter((file) => file !== "manifest.json");
  const extra = present.find((file) => !(file in manifest.files));
  if (extra !== undefined) return `${extra} is not in its manifest`;
  for (const [file, expected] of Object.entries(manifest.files)) {
    if (!present.includes(file)) return `${file} is missing`;
    const found = checksum(join(folder, file));
    if (found.sha256 !== expected.sha256) {
      return `${file} has ${found.bytes} bytes with sha256 ${found.sha256.slice(0, 12)}…, expected ${expected.bytes} bytes with ${expected.sha256.slice(0, 12)}…`;
    }
  }
  return undefined;
}

/** All artifacts in the store, the most recently used first. */
export function listArtifacts(): StoredArtifact[] {
  const root = artifactRoot();
  if (!existsSync(root)) return [];
  const list: StoredArtifact[] = [];
  for (const entry of readdirSync(root)) {
    const manifestFile = join(root, entry, "manifest.json");
    if (!existsSync(manifestFile)) continue;
    let manifest: Manifest | undefined;
    try {
      manifest = JSON.parse(readFileSync(manifestFile, "utf8")) as Manifest;
    } catch {
      // Still listed: a damaged artifact takes room as well, and prune should see it.
    }
    const folder = join(root, entry);
    list.push({
      name: manifest?.key.name ?? entry,
      hash: manifest?.hash ?? "",
      what: manifest?.what ?? "damaged: its manifest.json cannot be read",
      folder,
      bytes: filesUnder(folder).reduce((sum, file) => sum + statSync(join(folder, file)).size, 0),
      usedAt: statSync(manifestFile).mtimeMs,
    });
  }
  return list.sort((a, b) => b.usedAt - a.usedAt);
}

/**
 * Deletes artifacts, the longest unused first, until both limits hold; also what crashed writers and
 * stopped trainings left behind.
 *
 * @param options.maximumBytes the store may keep this much
 * @param options.unusedDays drop what was not made or loaded for this many days
 * @param options.now for tests; milliseconds since 1970
 * @param options.keep the folder of an artifact that stays, however large it is
 * @param options.dryRun delete nothing
 * @returns what was deleted, or would be
 */
export function pruneArtifacts(options: {
  maximumBytes?: number;
  unusedDays?: number;
  now?: number;
  keep?: string;
  dryRun?: boolean;
}): StoredArtifact[] {
  const { maximumBytes = Infinity, unusedDays = Infinity, now = Date.now(), keep, dryRun = false } = options;
  const day = 24 * 3600 * 1000;
  const deleted: StoredArtifact[] = [];
  let kept = 0;
  for (const artifact of listArtifacts()) {
    const fits = kept + artifact.bytes <= maximumBytes && now - artifact.usedAt <= unusedDays * day;
    if (fits || artifact.folder === keep) {
      kept += artifact.bytes;
      continue;
    }
    if (!dryRun) rmSync(artifact.folder, { recursive: true, force: true });
    deleted.push(artifact);
  }
  if (dryRun) return deleted;
  const leftoverDays = Math.min(unusedDays, 30);
  // A writer is never at it for a day; a stopped training may be taken up again, and after a month nobody will.
  for (const [part, days] of [
    ["temporary", 1],
    ["work", leftoverDays],
  ] as const) {
    const folder = join(artifactRoot(), part);
    for (const entry of existsSync(folder) ? readdirSync(folder) : []) {
      const leftover = join(folder, entry);
      if (now - statSync(leftover).mtimeMs > days * day) rmSync(leftover, { recursive: true, force: true });
    }
  }
  return deleted;
}

/** Paths of the files in a folder and its subfolders, relative to it, with forward slashes, sorted. */
function filesUnder(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(folder.length + 1)
        .replaceAll("\\", "/"),
    )
    .sort();
}

function checksum(file: string): { bytes: number; sha256: string } {
  const content = readFileSync(file);
  return { bytes: content.length, sha256: createHash("sha256").update(content).digest("hex") };
}
