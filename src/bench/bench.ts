import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import {
  contenders as knownContenders,
  startNode,
  startProcess,
  usualContenders,
  type Contender,
  type ContenderName,
  type Contestant,
} from "./contenders";
import {
  benchTaskNames,
  benchTasks,
  shakespeareRun,
  stepOperations,
  type BenchData,
  type BenchTask,
  type BenchTaskName,
  type SizedTask,
} from "./tasks";
import { timeKernels, type KernelRow } from "./kernel";
import { costCurve, type CostPoint } from "./cost-curve";
import { median } from "./median";

/** What can be timed: the tasks of training and generation, and kernels. */
export const benchPartNames = [...benchTaskNames, "kernel"] as const;
export type BenchPartName = (typeof benchPartNames)[number];

export interface BenchRow {
  task: BenchTaskName;
  contender: ContenderName;
  /** Why it could not take part; else the rest is there. */
  absent?: string;
  /** Of one step or batch, over the rounds, in seconds. */
  median?: number;
  fastest?: number;
  slowest?: number;
  rounds?: number;
  /** The median over the rounds. */
  tokensPerSecond?: number;
  /** Floating-point operations a second, by `stepOperations`: of train steps whose size is fixed. */
  rate?: number;
}

/** A whole run of (d). */
export interface BenchRun {
  contender: ContenderName;
  absent?: string;
  steps: number;
  seconds?: number;
  /** Nats a character. */
  validationLoss?: number;
}

export interface BenchReport {
  machine: { cpu: string; cores: number; memoryGiB: number; node: string; platform: string; tfjs: string };
  /** Processes that wanted a core in the minute before: above 0 the machine was not ours alone. */
  load: number;
  rounds: number;
  /** What each contender is, or what it lacks. */
  contenders: Partial<Record<ContenderName, string>>;
  /** The fastest large matrix product of each, floating-point operations a second. */
  ceilings: Partial<Record<ContenderName, number>>;
  rows: BenchRow[];
  runs: BenchRun[];
  kernels?: KernelRow[];
  costCurve?: CostPoint[];
}

export interface BenchOptions {
  rounds: number;
  contenders?: readonly ContenderName[];
  tasks?: readonly BenchPartName[];
  /** The file of (d)'s text, Tiny Shakespeare. Default: none, and (d) takes no part. */
  shakespeare?: string;
  /** The whole run of (d), by the fastest contender of each engine. */
  run?: boolean;
  costCurve?: boolean;
  /** A Python that may have PyTorch and ipykernel. */
  python?: string;
  onProgress?: (text: string) => void;
}

/** Seconds after which a contender takes no further part in a task: it is slow, and the others wait. */
const patienceByTask = 8;

/**
 * Times every contender on every task, one round of each in turn, so that whatever else the machine does hits all alike:
 * compare ratios, not seconds. All work on the same tokens, with the same weights to begin with.
 *
 * @throws Error when the file of (d)'s text is named and is not there.
 */
export async function bench(options: BenchOptions): Promise<BenchReport> {
  const { rounds, tasks: parts = benchPartNames, python = process.env.WORKBOOK_PYTHON || "python3" } = options;
  const { shakespeare, onProgress = () => undefined } = options;
  if (shakespeare !== undefined && !existsSync(shakespeare))
    throw new Error(
      `expected the text of shakespeare_char in ${shakespeare}, where there is no file; see --shakespeare`,
    );
  const tasks = parts.filter((name): name is BenchTaskName => name !== "kernel");
  const onlyKernels = parts.length > 0 && tasks.length === 0 && !options.costCurve;
  const contenders = onlyKernels ? [] : (options.contenders ?? usualContenders(os.availableParallelism()));
  const folder = await mkdtemp(path.join(os.tmpdir(), "workbook-bench-"));
  const taking = new Map<ContenderName, Contestant>();
  const report: BenchReport = {
    machine: await describeMachine(),
    load: os.loadavg()[0],
    rounds,
    contenders: {},
    ceilings: {},
    rows: [],
    runs: [],
  };
  try {
    if (!onlyKernels) onProgress("preparing weights and tokens");
    const sizes = onlyKernels ? {} : await prepare(folder, shakespeare);
    for (const name of contenders) {
      onProgress(`starting ${name}`);
      const contender: Contender = knownContenders[name];
      const contestant = startProcess(contender, python);
      const { ready, error } = await contestant.ask({ do: "start", contender, folder });
      report.contenders[name] = ready ?? error;
      if (ready) taking.set(name, contestant);
      else contestant.stop();
    }
    for (const [name, contestant] of taking) {
      onProgress(`matrix products, ${name}`);
      report.ceilings[name] = (await contestant.ask({ do: "ceiling" })).rate;
    }
    const absent = (name: ContenderName): string | undefined =>
      taking.has(name) ? undefined : report.contenders[name];
    for (const name of tasks) {
      const vocabularySize = sizes[benchTasks[name].data];
      if (vocabularySize === undefined) {
        const why = "no text was given; name the file of Tiny Shakespeare with --shakespeare";
        report.rows.push(...contenders.map((contender) => ({ task: name, contender, absent: why })));
        continue;
      }
      const task = sized(name, vocabularySize);
      const times = await timeTask(task, { taking, rounds, onProgress: (text) => onProgress(`${name}: ${text}`) });
      for (const contender of contenders) {
        const why = absent(contender) ?? times.failures.get(contender);
        const measured = times.measured.get(contender);
        report.rows.push({ task: name, contender, ...(why || !measured ? { absent: why } : summary(task, measured)) });
      }
      if (options.run && name === shakespeareRun.task)
        report.runs = await wholeRuns(task, report.rows, taking, onProgress);
    }
    if (parts.includes("kernel")) report.kernels = await timeKernels({ rounds, python, onProgress });
    if (options.costCurve) report.costCurve = await costCurve({ taking, onProgress });
  } finally {
    for (const contestant of taking.values()) contestant.stop();
    await rm(folder, { recursive: true, force: true });
  }
  return report;
}

async function prepare(folder: string, shakespeare?: string): Promise<Partial<Record<BenchData, number>>> {
  const preparing = startNode();
  try {
    const { vocabularySizes, error } = await preparing.ask({ do: "prepare", folder, shakespeare });
    if (!vocabularySizes) throw new Error(`the benchmark's data could not be made: ${error}`);
    return vocabularySizes;
  } finally {
    preparing.stop();
  }
}

function sized(name: BenchTaskName, vocabularySize: number): SizedTask {
  const task: BenchTask = benchTasks[name];
  return { ...task, model: { ...task.model, vocabularySize } };
}

interface Measured {
  seconds: number[];
  tokensPerSecond: number[];
}

async function timeTask(
  task: SizedTask,
  {
    taking,
    rounds,
    onProgress,
  }: { taking: Map<ContenderName, Contestant>; rounds: number; onProgress(text: string): void },
): Promise<{ measured: Map<ContenderName, Measured>; failures: Map<ContenderName, string> }> {
  const measured = new Map<ContenderName, Measured>();
  const failures = new Map<ContenderName, string>();
  const spent = new Map<ContenderName, number>();
  for (let round = 0; round < rounds; round++) {
    for (const [name, contestant] of taking) {
      if (failures.has(name) || (spent.get(name) ?? 0) > patienceByTask) continue;
      onProgress(`round ${round + 1} of ${rounds}, ${name}`);
      const start = performance.now();
      const { seconds, tokens, error } = await contestant.ask({ do: "time", task });
      spent.set(name, (spent.get(name) ?? 0) + (performance.now() - start) / 1000);
      if (error !== undefined) {
        failures.set(name, error);
        continue;
      }
      const sofar = measured.get(name) ?? { seconds: [], tokensPerSecond: [] };
      sofar.seconds.push(seconds!);
      sofar.tokensPerSecond.push(tokens! / seconds!);
      measured.set(name, sofar);
    }
  }
  return { measured, failures };
}

function summary(task: SizedTask, { seconds, tokensPerSecond }: Measured): Partial<BenchRow> {
  const middle = median(seconds);
  return {
    median: middle,
    fastest: Math.min(...seconds),
    slowest: Math.max(...seconds),
    rounds: seconds.length,
    tokensPerSecond: median(tokensPerSecond),
    ...(task.kind === "pre-training" && { rate: stepOperations(task.model, task.rows, task.columns) / middle }),
  };
}

async function wholeRuns(
  task: SizedTask,
  rows: readonly BenchRow[],
  taking: Map<ContenderName, Contestant>,
  onProgress: (text: string) => void,
): Promise<BenchRun[]> {
  const { steps, warmUp, betas } = shakespeareRun;
  const runs: BenchRun[] = [];
  for (const engine of ["tfjs", "pytorch"] as const) {
    const [fastest] = rows
      .filter((row) => row.task === shakespeareRun.task && row.median !== undefined)
      .filter(({ contender }) => knownContenders[contender].engine === engine)
      .sort((a, b) => a.median! - b.median!);
    if (!fastest) continue;
    const { contender } = fastest;
    onProgress(`${shakespeareRun.task}: ${steps} steps, ${contender}`);
    const request = { do: "train" as const, task, steps, warmUp, betas };
    const { seconds, validationLoss, error } = await taking.get(contender)!.ask(request);
    runs.push({ contender, steps, ...(error === undefined ? { seconds, validationLoss } : { absent: error }) });
  }
  return runs;
}

async function describeMachine(): Promise<BenchReport["machine"]> {
  const manifest = require.resolve("@tensorflow/tfjs/package.json");
  return {
    cpu: os.cpus()[0]?.model ?? "unknown",
    cores: os.availableParallelism(),
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    tfjs: (JSON.parse(await readFile(manifest, "utf8")) as { version: string }).version,
  };
}
