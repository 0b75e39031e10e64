import assert from "node:assert/strict";
import { formatRecord, parseRecords } from "../../src/course/records";

describe("records", () => {
  it("come back bit for bit, what is not a finite number included", () => {
    const record = {
      step: 3,
      loss: 0.1 + 0.2,
      a: NaN,
      b: -Infinity,
      c: -0,
      d: 5e-324,
      samples: ["x\n"],
      e: { f: [null] },
    };
    const [back] = parseRecords<typeof record>(formatRecord(record), "whole");
    assert.deepEqual(back, record);
    assert.ok(Object.is(back.c, -0));
  });

  it("leave out the line in which a writer died, and only where that may be", () => {
    const text = formatRecord({ step: 0 }) + formatRecord({ step: 1 }) + `{"step":`;
    assert.deepEqual([...parseRecords(text, "cut short")], [{ step: 0 }, { step: 1 }]);
    assert.throws(() => [...parseRecords(text, "whole")], /line 3/);
    assert.throws(() => [...parseRecords(`{"st\n${formatRecord({ step: 1 })}`, "cut short")], /line 1/);
  });
});
