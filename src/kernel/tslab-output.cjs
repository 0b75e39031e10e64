"use strict";
/**
 * Preloaded (`node --require`) into a stock tslab kernel by our client. It mends four things without touching tslab:
 *
 * 1. Lost output. tslab never awaits `socket.send()`, and zeromq.js refuses a second send while one is pending, which
 *    happens after about 512 sends without a turn of the event loop; the message, and even `idle`, is then lost. Here
 *    each socket keeps what it cannot send now in a queue. The first sends still leave at once, so that a loop that
 *    never yields is seen to print. The publisher's high-water mark is lifted, so that ZeroMQ drops nothing either.
 * 2. Line numbers. The JavaScript of each cell gets a file name of its own (`cell-1.js`, …) and is written into the
 *    folder WORKBOOK_EMITTED, from which the client finds the line of the cell that a stack trace means.
 * 3. Orphans. When the client's end of file descriptor 3 closes, the client is gone and this kernel ends.
 * 4. Interrupts that kill. tslab runs a cell with Node's `breakOnSigint`, whose end resets the signal's action; a cell
 *    that added a SIGINT listener before its first await (training that wants to save) has then, in Node 20, a kernel
 *    that the next interrupt kills. Adding all listeners again after the cell's first part sets the action right.
 */
const fs = require("node:fs");
const net = require("node:net");
const path = require("node:path");
const vm = require("node:vm");

const tslab = path.dirname(require.resolve("tslab/package.json"));
const zmq = require(require.resolve("zeromq", { paths: [path.join(tslab, "dist")] }));

/** @type {WeakMap<object, { direct: Promise<void>, waiting: { message: unknown, done: () => void }[] }>} */
const outboxes = new WeakMap();

function outbox(socket) {
  let box = outboxes.get(socket);
  if (!box) outboxes.set(socket, (box = { direct: Promise.resolve(), waiting: [] }));
  return box;
}

async function drain(socket, box, send) {
  while (box.waiting.length > 0) {
    await box.direct.catch(() => {});
    const { message, done } = box.waiting[0];
    try {
      await send.call(socket, message);
    } catch (error) {
      if (!socket.closed) fs.writeSync(2, `a kernel message could not be sent: ${error && error.message}\n`);
    }
    box.waiting.shift();
    done();
  }
}

// Plain assignment to `prototype.send` is ignored by zeromq.js's classes; defining the property is not.
for (const Socket of [zmq.Publisher, zmq.Router]) {
  const { send, bind } = Socket.prototype;
  Object.defineProperty(Socket.prototype, "send", {
    configurable: true,
    writable: true,
    value(message) {
      const box = outbox(this);
      if (box.waiting.length === 0) {
        try {
          return (box.direct = send.call(this, message));
        } catch (error) {
          if (error.code !== "EBUSY") throw error;
        }
      }
      const sent = new Promise((done) => box.waiting.push({ message, done }));
      if (box.waiting.length === 1) void drain(this, box, send);
      return sent;
    },
  });
  Object.defineProperty(Socket.prototype, "bind", {
    configurable: true,
    writable: true,
    value(address) {
      this.sendHighWaterMark = 0;
      return bind.call(this, address);
    },
  });
}

function rearmInterrupt() {
  const listeners = process.rawListeners("SIGINT");
  process.removeAllListeners("SIGINT");
  for (const listener of listeners) process.addListener("SIGINT", listener);
}

const emitted = process.env.WORKBOOK_EMITTED;
delete process.env.WORKBOOK_EMITTED;
const { runInThisContext } = vm;
let cells = 0;
vm.runInThisContext = function (code, options) {
  if (typeof code !== "string" || !/^\((?:async )?function\(exports, require\) \{ /.test(code))
    return runInThisContext.call(this, code, options);
  const filename = `cell-${++cells}.js`;
  if (emitted) fs.writeFileSync(path.join(emitted, filename), code);
  try {
    return runInThisContext.call(this, code, { ...options, filename });
  } finally {
    rearmInterrupt();
  }
};

if (process.env.WORKBOOK_LIFELINE) {
  delete process.env.WORKBOOK_LIFELINE;
  const lifeline = new net.Socket({ fd: 3 });
  lifeline.on("close", () => process.exit(1)).on("error", () => {});
  lifeline.resume();
  lifeline.unref();
}
