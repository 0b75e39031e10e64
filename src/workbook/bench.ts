import { fork, type ChildProcess } from "node:child_process";
import os from "node:os";
import path from "node:path";
import { repositoryRoot } from "./paths";

/** What is timed: a train step or the generation of a batch, at a size. */
export interface BenchTask {
  kind: "train step" | "generation";
  model: { vocabularySize: number; context: number; width: number; layers: number; heads: number };
  /** Rows of the batch; columns: tokens of a window, or the longest answer. */
  rows: number;
  columns: number;
}

export const benchTasks: Readonly<Record<string, BenchTask>> = {
  "train step, advice world": {
    kind: "train step",
    model: { vocabularySize: 242, context: 48, width: 64, layers: 2, heads: 4 },
    rows: 24,
    columns: 40,
  },
  "train step, reference GPT": {
    kind: "train step",
    model: { vocabularySize: 512, context: 64, width: 128, layers: 4, heads: 4 },
    rows: 16,
    columns: 64,
  },
  "generation, 32 answers, advice world": {
    kind: "generation",
    model: { vocabularySize: 242, context: 48, width: 64, layers: 2, heads: 4 },
    rows: 32,
    columns: 30,
  },
  "generation, 32 answers, reference GPT": {
    kind: "generation",
    model: { vocabularySize: 512, context: 64, width: 128, layers: 4, heads: 4 },
    rows: 32,
    columns: 60,
  },
};

/** A backend, and for wasm which kernels. */
export const benchContenders = ["wasm stock", "wasm simd", "wasm relaxed", "cpu", "webgpu", "tensorflow"] as const;
export type BenchContender = (typeof benchContenders)[number];

export interface BenchRow {
  task: string;
  contender: BenchContender;
  /** What it is, or why it could not take part. */
  description: string;
  /** Over the rounds, in seconds; absent where it could not take part. */
  median?: number;
  fastest?: number;
  slowest?: number;
  tokensPerSecond?: number;
  /** The baseline's median over this one's: above 1 is faster. */
  ratio?: number;
}

export interface BenchReport {
  machine: { cpu: string; cores: number; memoryGiB: number; node: string; platform: string };
  rounds: number;
  baseline: BenchContender;
  rows: BenchRow[];
}

type Answer = { ready?: string; seconds?: number; tokens?: number; error?: string };

/**
 * Times every contender on every task, one round of each in turn, so that whatever else the machine does hits all alike:
 * compare ratios, not seconds. The slow ones (stock wasm, cpu) run fewer rounds.
 */
export async function bench(options: {
  rounds: number;
  contenders?: readonly BenchContender[];
  onProgress?: (text: string) => void;
}): Promise<BenchReport> {
  const { rounds, contenders = benchContenders, onProgress } = options;
  const baseline: BenchContender = "wasm stock";
  const children = new Map<BenchContender, ChildProcess>();
  const descriptions = new Map<BenchContender, string>();
  const seconds = new Map<string, number[]>();
  const tokens = new Map<string, number>();
  const failures = new Map<string, string>();
  try {
    for (const contender of contenders) {
      onProgress?.(`starting ${contender}`);
      const child = fork(path.join(__dirname, "bench-worker.ts"), {
        cwd: repositoryRoot,
        execArgv: ["--require", "tsx/cjs"],
        stdio: ["ignore", "ignore", "ignore", "ipc"],
      });
      children.set(contender, child);
      const answer = await ask(child, contender);
      descriptions.set(contender, answer.ready ?? answer.error ?? "no answer");
      if (!answer.ready) children.delete(contender);
    }
    for (const task of Object.keys(benchTasks)) {
      for (let round = -1; round < rounds; round++) {
        for (const [contender, child] of children) {
          const key = `${task}|${contender}`;
          // The slow ones take part in fewer rounds, and are warm soon enough without one of their own.
          const slow = contender === "cpu" || contender === "wasm stock";
          if (failures.has(key) || (slow && (round < 0 || round >= Math.max(1, Math.floor(rounds / 4))))) continue;
          onProgress?.(`${task}: round ${round + 1} of ${rounds}, ${contender}`);
          const answer = await ask(child, task);
          if (answer.error !== undefined) failures.set(key, answer.error);
          else if (round >= 0) {
            // Round −1 warms up.
            seconds.set(key, [...(seconds.get(key) ?? []), answer.seconds!]);
            tokens.set(key, answer.tokens!);
          }
        }
      }
    }
  } finally {
    for (const child of children.values()) child.kill();
  }
  const rows = Object.keys(benchTasks).flatMap((task) =>
    contenders.map((contender): BenchRow => {
      const key = `${task}|${contender}`;
      const times = [...(seconds.get(key) ?? [])].sort((a, b) => a - b);
      const description = failures.get(key) ?? descriptions.get(contender)!;
      if (times.length === 0) return { task, contender, description };
      const median = times[times.length >> 1];
      const base = [...(seconds.get(`${task}|${baseline}`) ?? [])].sort((a, b) => a - b);
      return {
        task,
        contender,
        description,
        median,
        fastest: times[0],
        slowest: times[times.length - 1],
        tokensPerSecond: tokens.get(key)! / median,
        ...(base.length > 0 && { ratio: base[base.length >> 1] / median }),
      };
    }),
  );
  const machine = {
    cpu: os.cpus()[0]?.model ?? "unknown",
    cores: os.availableParallelism(),
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
  };
  return { machine, rounds, baseline, rows };
}

/** The report as a text table. */
export function describeBench({ machine, baseline, rows }: BenchReport): string {
  const lines = [
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, Node ${machine.node}, ${machine.platform}`,
  ];
  for (const task of new Set(rows.map((row) => row.task))) {
    lines.push("", `${task} (times ${baseline} = 1)`);
    for (const row of rows.filter((one) => one.task === task)) {
      lines.push(
        row.median === undefined
          ? `  ${row.contender.padEnd(13)} –  ${row.description}`
          : `  ${row.contender.padEnd(13)} ${milliseconds(row.median)} (${milliseconds(row.fastest!)} … ${milliseconds(row.slowest!)})` +
              `  ${String(Math.round(row.tokensPerSecond!)).padStart(7)} tokens/s` +
              (row.ratio === undefined ? "" : `  ${row.ratio.toFixed(2).padStart(6)} ×`),
      );
    }
  }
  return lines.join("\n");
}

const milliseconds = (seconds: number): string => `${(1000 * seconds).toFixed(1).padStart(8)} ms`;

function ask(child: ChildProcess, question: string): Promise<Answer> {
  return new Promise((resolve) => {
    const done = (answer: Answer): void => {
      child.off("message", onMessage);
      child.off("exit", onExit);
      resolve(answer);
    };
    const onMessage = (answer: unknown): void => done(answer as Answer);
    const onExit = (code: number | null): void => done({ error: `its process ended with ${code}` });
    child.on("message", onMessage);
    child.on("exit", onExit);
    child.send(question);
  });
}
