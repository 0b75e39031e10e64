/**
 * For packages that only some uses need: `await import("jsdom").catch(whereMissing("jsdom", "a picture of a figure"))`.
 *
 * @returns what throws an error that says what needs the package and how to get it; any other error it throws as it is
 */
export const whereMissing =
  (packageName: string, use: string) =>
  (error: unknown): never => {
    const { code, message = "" } = error as { code?: string; message?: string };
    const missing = code === "MODULE_NOT_FOUND" || code === "ERR_MODULE_NOT_FOUND";
    if (!missing || !message.includes(`'${packageName}`)) throw error;
    throw new Error(`${use} needs the package ${packageName}, which is not installed: npm install ${packageName}`, {
      cause: error,
    });
  };

/** The same for what loads or finds a package at once. */
export function orMissing<T>(packageName: string, use: string, load: () => T): T {
  try {
    return load();
  } catch (error) {
    return whereMissing(packageName, use)(error);
  }
}
