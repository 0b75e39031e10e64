import type { RunEvent } from "../notebooks/run";

/** Says on stderr how far runs have come: one line that changes on a terminal, else a line per cell that took over 1 s. */
export interface RunProgress {
  /** Takes an event of the run called `label`. */
  event(label: string, event: RunEvent): void;
  /** Writes a line of its own, above the changing one. */
  line(text: string): void;
  /** Takes the changing line away until it is drawn again, so that stdout on the same terminal reads well. */
  clear(): void;
  /** Ends the changing line. */
  end(): void;
}

/** `3.2 s`, `1:05 min` or `2:01:05 h`. */
export function duration(seconds: number): string {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (value: number) => String(value).padStart(2, "0");
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)} h` : `${minutes}:${two(rest)} min`;
}

export function runProgress(stream: NodeJS.WriteStream = process.stderr): RunProgress {
  const running = new Map<string, { begun: number; cell: string }>();
  const terminal = stream.isTTY === true;
  let timer: NodeJS.Timeout | undefined;
  const clear = () => {
    if (terminal) stream.write("\r\x1b[K");
  };
  const draw = () => {
    if (!terminal || running.size === 0) return;
    const now = performance.now();
    const parts = [...running].map(
      ([label, { begun, cell }]) => `${label}  ${cell}  ${duration((now - begun) / 1000)}`,
    );
    clear();
    stream.write(parts.join("   |   ").slice(0, (stream.columns || 80) - 1));
  };
  const line = (text: string) => {
    clear();
    stream.write(`${text}\n`);
    draw();
  };
  return {
    line,
    clear,
    event(label, event) {
      switch (event.type) {
        case "output":
          return; // a cell may print thousands of lines
        case "started":
          running.set(label, { begun: performance.now() - event.seconds * 1000, cell: `kernel ready` });
          if (terminal) timer ??= setInterval(draw, 500).unref();
          else line(`${label}: kernel ready after ${duration(event.seconds)}, ${event.count} cells to run`);
          break;
        case "cell-started": {
          const run = running.get(label);
          if (run) run.cell = `cell ${event.index} of ${event.count} (${event.id})`;
          break;
        }
        case "cell-done":
          if (!terminal && event.seconds > 1)
            line(`${label}: cell ${event.index} of ${event.count} (${event.id}) took ${duration(event.seconds)}`);
          break;
        case "done":
          running.delete(label);
          break;
      }
      draw();
    },
    end() {
      clearInterval(timer);
      timer = undefined;
      running.clear();
      clear();
    },
  };
}

/**
 * Turns Ctrl-C into signals for runs: the first asks cells to stop and save, the second kills the kernels.
 *
 * @param say told what the first Ctrl-C does.
 */
export function interruptible(say: (text: string) => void): {
  signal: AbortSignal;
  killSignal: AbortSignal;
  stop(): void;
} {
  const [interrupt, kill] = [new AbortController(), new AbortController()];
  const onSignal = () => {
    if (interrupt.signal.aborted) return kill.abort();
    say("Interrupting: cells may save their work. Press Ctrl-C again to kill them.");
    interrupt.abort();
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  const stop = () => {
    process.off("SIGINT", onSignal);
    process.off("SIGTERM", onSignal);
  };
  return { signal: interrupt.signal, killSignal: kill.signal, stop };
}
