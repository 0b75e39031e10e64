/** An output as a notebook's kernel gets it: data by MIME type. */
export type Bundle = Record<string, unknown>;

/** What a kernel would be sent while `show` runs: the module of tslab in which displays are written is played here. */
export async function displayed(show: () => unknown): Promise<Bundle[]> {
  const bundles: Bundle[] = [];
  const name = "/fake/tslab/dist/jupyter.js";
  const exports = { lastWriteDisplayData: ({ data }: { data: Bundle }) => bundles.push(data) };
  require.cache[name] = { exports } as unknown as NodeJS.Module;
  try {
    await show();
  } finally {
    delete require.cache[name];
  }
  return bundles;
}
