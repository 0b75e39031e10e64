/** The process that runs the cells, seen from the one that speaks Jupyter's protocol: it is replaced when it dies. */
import { defaultMemoryLimit, Life, type LifeEnd } from "./life";
import { failureOfEnd } from "./life-failures";
import type { Failure, ToChild, ToParent } from "./messages";
import type { Child } from "./server";

export interface ChildProcessOptions {
  /** The notebook's folder. */
  cwd: string;
  env?: NodeJS.ProcessEnv;
  /** MiB of JavaScript objects; tensors' own memory is not counted. Default: half of the machine's memory. */
  memoryLimit?: number;
  /**
   * Keep a second process ready, so that a crash, or native code that has to be killed, costs no time. It has loaded the compiler and nothing of the user's, and
   * costs memory (about 200 MB). Default true.
   */
  spare?: boolean;
  /** Milliseconds that an interrupted cell has to stop, before the process is restarted. Default 2000. */
  interruptGrace?: number;
  /** Seconds that a process has to become ready. Default 60, since a loaded machine takes several. */
  startTimeout?: number;
}

interface Death {
  failure: Failure;
  restarted: boolean;
}

/** Milliseconds of idleness after which the spare is started: cells that come in a row go first. */
const idleBeforeSpare = 500;
/** Milliseconds after which a reader is told that the cell's code was left to stop by itself. */
const softNotice = 700;
/** Milliseconds that a process has to end when asked, before it is killed. */
const endPatience = 1000;

export class ChildProcess implements Child {
  /** Resolves when the first process takes requests; rejects when none could be started. */
  readonly ready: Promise<void>;
  private readonly options: Required<Omit<ChildProcessOptions, "env">> & { env?: NodeJS.ProcessEnv };
  private readonly messageListeners = new Set<(message: ToParent) => void>();
  private readonly deathListeners = new Set<(death: Death) => void>();
  private current: Life;
  private spare: Life | undefined;
  private readonly lives = new Set<Life>();
  /** Cells that were sent and have not ended. */
  private readonly cells = new Set<string>();
  private latest = "";
  private interrupts = 0;
  private interrupting: { number: number; cell: string; goes(way: "soft" | "hard"): void } | undefined;
  private spareTimer: NodeJS.Timeout | undefined;
  private stopped = false;
  /** Starts in a row that failed before a cell could be taken. */
  private failedStarts = 0;
  private dead: Failure | undefined;
  private readonly waiting = new Set<() => void>();
  private settleReady: { resolve(): void; reject(error: Error): void };

  constructor(options: ChildProcessOptions) {
    const {
      cwd,
      env,
      memoryLimit = defaultMemoryLimit(),
      spare = true,
      interruptGrace = 2000,
      startTimeout = 60,
    } = options;
    this.options = { cwd, env, memoryLimit, spare, interruptGrace, startTimeout };
    let settle = {} as ChildProcess["settleReady"];
    this.ready = new Promise((resolve, reject) => (settle = { resolve, reject }));
    this.ready.catch(() => {});
    this.settleReady = settle;
    this.current = this.start();
  }

  /** Process ids, for tests and measurements. */
  get pids(): { current: number | undefined; spare: number | undefined } {
    return { current: this.current.pid, spare: this.spare?.pid };
  }

  /** Whether a death would find a process that takes cells at once. */
  get spareReady(): boolean {
    return this.spare?.ready !== undefined;
  }

  send(message: ToChild): void {
    if (this.stopped) throw new Error("The kernel has been stopped.");
    if (this.dead) throw new Error(this.dead.evalue);
    if (message.type === "execute") {
      this.cells.add(message.id);
      this.latest = message.id;
      clearTimeout(this.spareTimer);
    }
    this.current.send(message);
  }

  onMessage(listener: (message: ToParent) => void): void {
    this.messageListeners.add(listener);
  }

  onDeath(listener: (death: Death) => void): void {
    this.deathListeners.add(listener);
  }

  /**
   * Stops the running cell. Code that does not stop within the grace (native code that never returns) is ended with its
   * process, and a new one started.
   */
  async interrupt(): Promise<void> {
    const life = this.current;
    if (!life.ready) return this.interruptUnsent(life);
    const [cell] = this.cells;
    if (cell === undefined || this.stopped) return;
    const number = ++this.interrupts;
    const { interruptGrace } = this.options;
    let notice: NodeJS.Timeout | undefined;
    let escalation: NodeJS.Timeout | undefined;
    const escalateAfter = (milliseconds: number): void => {
      clearTimeout(escalation);
      escalation = setTimeout(() => {
        if (this.current === life && this.cells.has(cell)) this.replace(life, wouldNotStop(interruptGrace));
      }, milliseconds);
    };
    escalateAfter(interruptGrace);
    this.interrupting = {
      number,
      cell,
      goes: (way) => {
        clearTimeout(notice);
        clearTimeout(escalation);
        // The thread that says "soft" will say "hard" when its patience ends; that it lives it has just shown.
        if (way === "hard") escalateAfter(interruptGrace);
        else
          notice = setTimeout(
            () => this.tell({ type: "stream", id: cell, name: "stderr", text: softText }),
            softNotice,
          );
      },
    };
    life.interrupt(number, cell);
    await this.until(() => !this.cells.has(cell));
    clearTimeout(notice);
    clearTimeout(escalation);
  }

  async stop(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.spareTimer);
    this.settleReady.reject(new Error("The kernel was stopped before it was ready."));
    this.spare?.kill();
    // Before it is ready it has nothing to end well.
    if (!this.current.ready) this.current.kill();
    this.current.hangUp();
    const timer = setTimeout(() => this.current.kill(), endPatience);
    await this.until(() => this.lives.size === 0);
    clearTimeout(timer);
    this.cells.clear();
    this.progress();
  }

  private start(): Life {
    const { cwd, env, memoryLimit, startTimeout } = this.options;
    const timer = setTimeout(() => life.kill(), startTimeout * 1000);
    const life: Life = new Life(
      { cwd, env, memoryLimit },
      {
        message: (message) => {
          if (message.type === "ready") clearTimeout(timer);
          if (life === this.current) this.heard(message);
        },
        stray: (name, text) => {
          if (life === this.current) this.tell({ type: "stream", id: this.latest, name, text });
        },
        interruptGoes: (way, number) => {
          if (life === this.current && this.interrupting?.number === number) this.interrupting.goes(way);
        },
        end: (end) => {
          clearTimeout(timer);
          this.lives.delete(life);
          this.lost(life, end);
          this.progress();
        },
      },
    );
    this.lives.add(life);
    return life;
  }

  private heard(message: ToParent): void {
    if (message.type === "ready") {
      this.failedStarts = 0;
      this.settleReady.resolve();
    }
    if (message.type === "done") this.cells.delete(message.id);
    this.tell(message);
    this.progress();
    this.planSpare();
  }

  private tell(message: ToParent): void {
    for (const listener of this.messageListeners) listener(message);
  }

  /** A process has ended that nobody replaced: by itself. */
  private lost(life: Life, end: LifeEnd): void {
    if (this.stopped) return;
    if (life === this.spare) {
      // Without one, the next start only takes longer.
      this.spare = undefined;
    } else if (life === this.current) {
      this.failedStarts = end.wasReady ? 0 : this.failedStarts + 1;
      this.replace(life, failureOfEnd(end, this.options), this.failedStarts < 2);
    }
  }

  /** Puts the spare, or a new process, in a process's place, and tells what has happened. */
  private replace(life: Life, failure: Failure, restart = true): void {
    life.kill();
    clearTimeout(this.spareTimer);
    this.cells.clear();
    if (restart) {
      this.current = this.spare ?? this.start();
      this.current.setLow(false);
      this.spare = undefined;
    } else {
      this.dead = failure;
      this.settleReady.reject(new Error(failure.evalue));
    }
    for (const listener of this.deathListeners) listener({ failure, restarted: restart });
    // A spare has been ready before anybody heard of it.
    if (restart && this.current.ready) this.heard(this.current.ready);
    this.progress();
  }

  private planSpare(): void {
    clearTimeout(this.spareTimer);
    if (!this.options.spare || this.spare || this.stopped || !this.current.ready || this.cells.size > 0) return;
    this.spareTimer = setTimeout(() => {
      if (this.cells.size > 0 || this.spare || this.stopped) return;
      this.spare = this.start();
      this.spare.setLow(true);
    }, idleBeforeSpare);
    this.spareTimer.unref();
  }

  /** Cells that still wait for the process's start end at once. */
  private interruptUnsent(life: Life): void {
    for (const { id } of life.unsend()) {
      this.cells.delete(id);
      const text = "The cell was interrupted before it began.";
      const failure = { ename: "InterruptError", evalue: text, traceback: [`InterruptError: ${text}`] };
      this.tell({ type: "done", id, failure });
    }
    this.progress();
  }

  /** Waits until something has come true that {@link progress} may have brought about. */
  private until(holds: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!holds()) return;
        this.waiting.delete(look);
        resolve();
      };
      this.waiting.add(look);
      look();
    });
  }

  private progress(): void {
    for (const look of [...this.waiting]) look();
  }
}

const softText =
  "Interrupted: this code wants to end by itself, after the step it is in, and gets some seconds for it. " +
  "Interrupt again to stop it at once.\n";

function wouldNotStop(grace: number): Failure {
  const text =
    `The cell did not stop within ${grace / 1000} s of the interrupt: it is in native code, which cannot be interrupted. ` +
    "So the kernel was restarted. Its variables and imports are gone, files are kept; run the cells from the top.";
  return { ename: "InterruptError", evalue: text, traceback: [`InterruptError: ${text}`] };
}
