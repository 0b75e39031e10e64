import assert from "node:assert/strict";
import { type Comm, CellComms } from "../../src/kernel/child/comms";
import type { CommMessage } from "../../src/kernel/messages";

describe("kernel/child/comms", () => {
  let said: CommMessage[];
  let comms: CellComms;
  const metadata = {};

  beforeEach(() => {
    said = [];
    comms = new CellComms(
      (message) => said.push(message),
      () => "cell 3",
    );
  });

  it("opens one from a cell, speaks both ways with bytes, and closes it", () => {
    const heard: unknown[] = [];
    const comm = comms.open("slider", { value: 1 });
    comm.onMessage = (data, buffers) => heard.push([data, ...buffers.map((bytes) => [...bytes])]);
    comm.send({ value: 2 }, [Uint8Array.of(1, 255)]);
    comms.take({ type: "commMessage", id: "r9", commId: comm.id, data: { value: 3 }, metadata, buffers: ["Av8="] });
    assert.deepEqual(heard, [[{ value: 3 }, [2, 255]]]);
    comm.close({ done: true });
    const commId = comm.id;
    assert.deepEqual(said, [
      { type: "commOpen", id: "cell 3", commId, target: "slider", data: { value: 1 }, metadata },
      { type: "commMessage", id: "cell 3", commId, data: { value: 2 }, metadata, buffers: ["Af8="] },
      { type: "commClose", id: "cell 3", commId, data: { done: true }, metadata },
    ]);
    assert.throws(() => comm.send({}), /comm .* to "slider" is closed; open a new one/);
    comms.take({ type: "commMessage", id: "r10", commId, data: {}, metadata });
    assert.equal(heard.length, 1);
  });

  it("takes one that a client opens to a registered target; what its listeners send answers the client's message", () => {
    let mine: Comm | undefined;
    const closed: unknown[] = [];
    comms.register("echo", (comm, data) => {
      mine = comm;
      comm.send({ hello: data });
      comm.onMessage = (heard) => comm.send({ echo: heard });
      comm.onClose = (last) => closed.push(last);
    });
    comms.take({ type: "commOpen", id: "r1", commId: "c1", target: "echo", data: { a: 1 }, metadata });
    comms.take({ type: "commMessage", id: "r2", commId: "c1", data: { b: 2 }, metadata });
    comms.take({ type: "commClose", id: "r3", commId: "c1", data: { c: 3 }, metadata });
    assert.equal(mine?.target, "echo");
    assert.deepEqual(said, [
      { type: "commMessage", id: "r1", commId: "c1", data: { hello: { a: 1 } }, metadata },
      { type: "commMessage", id: "r2", commId: "c1", data: { echo: { b: 2 } }, metadata },
    ]);
    assert.deepEqual(closed, [{ c: 3 }]);
    assert.throws(() => mine?.close(), /is closed/);
  });

  it("closes at once what a client opens to a target that nobody registered", () => {
    comms.take({ type: "commOpen", id: "r1", commId: "c1", target: "nobody", data: {}, metadata });
    assert.deepEqual(said, [{ type: "commClose", id: "r1", commId: "c1", data: {}, metadata }]);
  });
});
