import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { responseLogProbs } from "../../src/models/policy";
import { ofResponses, onTokens } from "../../src/objectives/token-layout";
import { chooseBackend } from "../../src/tensors/backend";
import { BOT, EOS, USER } from "../../src/text/vocabulary";
import { tinyPolicy } from "../models/tiny";

describe("the layout of response tokens", () => {
  before(async () => {
    await chooseBackend({ backend: "wasm" });
  });
  const examples = [
    { prompt: [USER, 4, BOT], response: [5, EOS] },
    { prompt: [USER, 5, 6, BOT], response: [4, 4, 6, EOS] }, // the horizon decrees this <eos>
  ];

  it("is that of responseLogProbs, there and back", () => {
    const policy = tinyPolicy(1);
    tf.tidy(() => {
      const { logProbs, mask } = responseLogProbs(policy, examples);
      const lists = ofResponses(examples, logProbs.dataSync());
      assert.deepEqual(
        lists.map(({ length }) => length),
        [2, 4],
      );
      assert.ok(lists[0].every((lp) => lp < 0));
      assert.ok(lists[1][3] === 0, "the decreed <eos> is certain");
      assert.ok(onTokens(examples, lists).equal(logProbs).all().dataSync()[0], "back again");
      const ones = onTokens(
        examples,
        examples.map(({ response }) => response.map(() => 1)),
      );
      assert.equal(ones.sub(mask).sum().dataSync()[0], 1, "one token more than the policy chose");
    });
    policy.dispose();
  });

  it("says what does not fit", () => {
    assert.throws(() => onTokens(examples, [[1], [1, 2, 3, 4]]), /expected 2 numbers for response 0, .*, got 1/);
    assert.throws(() => ofResponses(examples, [1, 2]), /expected 2 rows of 7 numbers, got 2/);
  });
});
