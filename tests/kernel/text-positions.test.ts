import assert from "node:assert/strict";
import { completionInCodePoints, toCodePoints, toUtf16Offset } from "../../src/kernel/text-positions";

describe("kernel/text-positions", () => {
  // Code points of one unit, of two, and a letter with a combining mark, which is two code points.
  const text = "aβ😀e\u0301🧠z";

  it("agrees with the string's own iteration by code points, both ways", () => {
    const points = [...text];
    for (let count = 0; count <= points.length; count++) {
      const offset = points.slice(0, count).join("").length;
      assert.equal(toUtf16Offset(text, count), offset);
      assert.equal(toCodePoints(text, offset), count);
    }
  });

  it("takes a position beyond the end as the end", () => {
    assert.equal(toUtf16Offset(text, 99), text.length);
    assert.equal(toCodePoints(text, 99), [...text].length);
  });

  it("leaves the rest of a completion as it is", () => {
    const reply = { matches: ["z"], cursor_start: 8, cursor_end: 9, metadata: { other: 1 } };
    assert.deepEqual(completionInCodePoints(text, reply), { ...reply, cursor_start: 6, cursor_end: 7 });
  });
});
