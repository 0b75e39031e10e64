"use strict";
/**
 * A thread beside the one that runs the cells. It hears of interrupts also when that one is in a loop that never ends, and
 * then breaks into it by V8's inspector. interrupt.ts is the other half, and explains how the two work together.
 *
 * The parent writes lines to descriptor 4: `interrupt NUMBER CELL`. It is answered `soft NUMBER` or `hard NUMBER`: which
 * way is tried from now on. When the descriptor closes, the parent is gone, and this process ends.
 */
const { Session } = require("node:inspector");
const { Socket } = require("node:net");
const { parentPort, workerData } = require("node:worker_threads");

const { words, at, verdict, probe, patience } = workerData;
const parent = new Socket({ fd: 4, readable: true, writable: true });
let session;
/** The interrupt that is under way. */
let current = { number: 0, cell: "", soft: false, timer: undefined };
/** Whether the main thread has yet to answer a probe. */
let probing = false;

let text = "";
parent.setEncoding("utf8");
parent.on("data", (data) => {
  const lines = (text + data).split("\n");
  text = lines.pop();
  for (const line of lines) {
    const [, number, cell] = /^interrupt (\d+) (.*)$/.exec(line) ?? [];
    if (number) interrupt(Number(number), cell);
  }
});
parent.on("error", () => {});
parent.on("close", () => {
  // The main thread exits by itself, having seen the same, unless it is in a loop.
  setTimeout(() => process.kill(process.pid, "SIGKILL"), 1500);
});

function interrupt(number, cell) {
  clearTimeout(current.timer);
  // Asked twice, or nobody in the cell listens: no more waiting.
  const soft = cell !== current.cell && Atomics.load(words, at.listeners) > 0;
  current = { number, cell, soft, timer: undefined };
  parent.write(`${soft ? "soft" : "hard"} ${number}\n`);
  parentPort.postMessage({ number, cell, soft });
  if (soft) current.timer = setTimeout(() => goHard(number, cell), patience);
  else current.timer = setTimeout(() => breakIn(number), 5);
}

function goHard(number, cell) {
  if (current.number !== number) return;
  current.soft = false;
  parent.write(`hard ${number}\n`);
  parentPort.postMessage({ number, cell, soft: false });
  breakIn(number);
}

/** Until the main thread has come round to its messages: stops what it is doing. */
function breakIn(number) {
  if (current.number !== number) return;
  if (Atomics.load(words, at.heard) >= number) return leave(number);
  if (!session) {
    session = new Session();
    session.connectToMainThread();
  }
  if (!probing) {
    probing = true;
    Atomics.store(words, at.verdict, verdict.none);
    Atomics.store(words, at.posted, 0);
    session.post("Runtime.evaluate", { expression: probe, silent: true }, () => (probing = false));
  }
  Atomics.wait(words, at.verdict, verdict.none, 20);
  // Shielded code will decide when it is through.
  Atomics.wait(words, at.verdict, verdict.later, 20);
  if (Atomics.load(words, at.verdict) === verdict.stop) {
    session.post("Runtime.terminateExecution");
    Atomics.store(words, at.verdict, verdict.leave);
    Atomics.store(words, at.posted, 1);
  }
  current.timer = setTimeout(() => breakIn(number), 5);
}

/** Lets go of the inspector: Node, when it exits, would wait for us and say so. */
function leave(number) {
  if (probing) current.timer = setTimeout(() => breakIn(number), 5);
  else if (session) {
    session.disconnect();
    session = undefined;
  }
}
