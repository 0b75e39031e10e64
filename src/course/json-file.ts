import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";

/** How stages keep plain data: as one JSON file of this name. */
export const jsonFile = <T>(name: string) => ({
  save: (data: T, folder: string) => writeFile(path.join(folder, name), JSON.stringify(data)),
  load: async (folder: string): Promise<T> => JSON.parse(await readFile(path.join(folder, name), "utf8")) as T,
});
