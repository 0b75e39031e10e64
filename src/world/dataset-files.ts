import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { platform } from "../platform";
import type { DatasetFile } from "./dataset";

/** The folder of the committed records. */
export const DATASET_FOLDER = resolve(__dirname, "../../datasets/advice");

/** Writes the files into a folder, which is made where it is missing. */
export function writeDataset(folder: string, files: readonly DatasetFile[]): void {
  mkdirSync(folder, { recursive: true });
  for (const { name, text } of files) writeFileSync(join(folder, name), text);
}

/**
 * How a folder differs from the files, one sentence each; empty where it holds exactly these files with these bytes.
 * Hidden files (of an editor or a file manager) are not looked at.
 */
export function datasetDifferences(folder: string, files: readonly DatasetFile[]): string[] {
  const present = new Set(listFolder(folder));
  const differences: string[] = [];
  for (const { name, text } of files) {
    if (!present.delete(name)) differences.push(`${name}: missing`);
    else {
      const found = readFileSync(join(folder, name));
      if (!found.equals(Buffer.from(text))) {
        differences.push(`${name}: expected sha256 ${platform.sha256(text)}, found ${platform.sha256(found)}`);
      }
    }
  }
  return [...differences, ...[...present].map((name) => `${name}: not a file of this data set`)];
}

function listFolder(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => !name.startsWith("."));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
