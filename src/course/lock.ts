import { linkSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** Who holds a lock. `born` tells a process from a later one that was given the same pid. */
interface Holder {
  pid: number;
  host: string;
  born: string;
  what: string;
}

/**
 * Waits for a lock file, across processes, and takes it; the function that comes back gives it up.
 *
 * The lock of a process that has died is broken. One that belongs to another machine (a shared disk) is respected, as
 * nothing here can tell whether its holder lives; the message names the file to delete.
 *
 * @param what what is being done, in words, for those who wait ("training sft")
 * @param options.say told once when there is a wait, and by whom the lock is held
 * @param options.signal ends the wait with its reason
 */
export async function lock(
  file: string,
  what: string,
  options: { say?: (message: string) => void; signal?: AbortSignal } = {},
): Promise<() => void> {
  mkdirSync(dirname(file), { recursive: true });
  const mine = JSON.stringify({ pid: process.pid, host: hostname(), born: bornAt(process.pid), what } satisfies Holder);
  for (let waits = 0; !create(file, mine); waits++) {
    options.signal?.throwIfAborted();
    const holder = readHolder(file);
    if (holder === undefined) continue; // given up between our two looks
    if (isDead(holder)) {
      breakLock(file, holder);
      continue;
    }
    if (waits === 0) {
      const where = holder.host === hostname() ? "" : ` on ${holder.host} (if it no longer runs, delete ${file})`;
      options.say?.(`waiting for process ${holder.pid}${where}, which is ${holder.what}`);
    }
    await sleep(200, undefined, { signal: options.signal });
  }
  return () => {
    if (read(file) === mine) rmSync(file, { force: true });
  };
}

/** Creates the file with its text, all or nothing; false where it is there. */
function create(file: string, text: string): boolean {
  const whole = `${file}.${process.pid}.new`;
  try {
    writeFileSync(whole, text);
    linkSync(whole, file);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") return false;
    if (code === "EPERM" || code === "ENOTSUP" || code === "ENOSYS") return createInTwoSteps(file, text);
    throw error;
  } finally {
    rmSync(whole, { force: true });
  }
}

/** On disks without links: for a moment the file is there and empty. */
function createInTwoSteps(file: string, text: string): boolean {
  try {
    writeFileSync(file, text, { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

/** A lock that was created but not yet written reads as held by a live process for a moment, then as abandoned. */
function readHolder(file: string): Holder | undefined {
  const text = read(file);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as Holder;
  } catch {
    const fresh = (ageOf(file) ?? 0) < 5000;
    return { pid: fresh ? process.pid : 0, host: hostname(), born: fresh ? bornAt(process.pid) : "", what: "starting" };
  }
}

function isDead(holder: Holder): boolean {
  if (holder.host !== hostname()) return false;
  if (holder.pid === 0) return true;
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return true;
  }
  const born = bornAt(holder.pid);
  return born !== "" && holder.born !== "" && born !== holder.born;
}

/**
 * Two that wait may both find the holder dead; were each to delete the file, the second would delete the lock the first
 * had just taken. So only the one that creates the file beside it deletes, and only what is still the dead one's.
 */
function breakLock(file: string, holder: Holder): void {
  const guard = `${file}.break`;
  if (!create(guard, String(process.pid))) {
    if ((ageOf(guard) ?? 0) > 10_000) rmSync(guard, { force: true }); // who was breaking it died, too
    return;
  }
  try {
    const now = readHolder(file);
    if (now !== undefined && now.pid === holder.pid && now.born === holder.born) rmSync(file, { force: true });
  } finally {
    rmSync(guard, { force: true });
  }
}

function ageOf(file: string): number | undefined {
  try {
    return Date.now() - statSync(file).mtimeMs;
  } catch {
    return undefined;
  }
}

/** When a process started, in clock ticks since boot (field 22 of /proc/pid/stat), or "" where that cannot be known. */
function bornAt(pid: number): string {
  const stat = read(`/proc/${pid}/stat`);
  // The second field is the program's name in parentheses and may hold spaces, so count from its end.
  return stat?.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
}
