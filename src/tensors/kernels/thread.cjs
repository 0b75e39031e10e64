// A thread of the kernels (threads.ts), in plain JavaScript so that it starts without a compiler: waits for calls, claims
// one after the other as the main thread does, and runs them on the shared heap. It never allocates.
"use strict";
const { workerData } = require("node:worker_threads");

const { kernels, memory, control, layout, threadScratch, index } = workerData;
const instance = new WebAssembly.Instance(kernels, { env: { memory } });
const functions = WebAssembly.Module.exports(kernels).map(({ name }) => instance.exports[name]);
const words = new Int32Array(control);
const calls = new Float64Array(control, layout.calls);

function run(call) {
  let at = call * layout.callLength;
  const kernel = functions[calls[at++]];
  const scratch = words[layout.scratch + index];
  const parameters = Array.from({ length: calls[at++] }, () => calls[at++]);
  kernel(...parameters.map((value) => (value === threadScratch ? scratch : value)));
}

for (;;) {
  let ticket = Atomics.load(words, layout.ticket);
  // The next calls often follow at once: looking a little longer is quicker than being woken. Then it sleeps.
  for (let look = 0; (ticket & layout.remaining) === 0 && look < layout.looks; look++) {
    ticket = Atomics.load(words, layout.ticket);
  }
  const left = ticket & layout.remaining;
  if (left === 0) {
    Atomics.wait(words, layout.ticket, ticket);
  } else if (Atomics.compareExchange(words, layout.ticket, ticket, ticket - 1 + layout.claim) === ticket) {
    try {
      run(left - 1);
    } catch {
      Atomics.store(words, layout.failed, 1);
    }
    Atomics.add(words, layout.finished, 1);
    Atomics.notify(words, layout.finished);
  }
}
