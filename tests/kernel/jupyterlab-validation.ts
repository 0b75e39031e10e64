type Validate = (message: Record<string, unknown>) => void;
let validate: Validate | undefined | "not looked" = "not looked";

/**
 * What JupyterLab's front end holds against a message, by the check that it makes of every message it is sent; nothing,
 * said once on stderr, where its package is not installed.
 */
export function jupyterlabFaults(message: Record<string, unknown>): string[] {
  if (validate === "not looked") {
    try {
      // A part of the package of which it has no types to offer for Node's way of finding modules.
      // eslint-disable-next-line @typescript-eslint/no-require-imports
      ({ validateMessage: validate } = require("@jupyterlab/services/lib/kernel/validate") as {
        validateMessage: Validate;
      });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "MODULE_NOT_FOUND") throw error;
      validate = undefined;
      process.stderr.write("SKIPPED: JupyterLab's check of messages, since @jupyterlab/services is not installed\n");
    }
  }
  try {
    validate?.(message);
    return [];
  } catch (error) {
    const type = (message.header as { msg_type?: string })?.msg_type;
    return [`${type}: ${(error as Error).message}`];
  }
}
