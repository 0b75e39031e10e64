import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { gunzipSync } from "node:zlib";
import { Random } from "../../src/tensors/random";
import { splitHhRlhf } from "../../src/text/hh-rlhf";
import { readPreferences, type Message, type ReadPreferences } from "../../src/text/preferences";

const say = (role: Message["role"], content: string): Message => ({ role, content });

/** The dialogue of messages in HH-RLHF's own notation. */
const join = (messages: readonly Message[]): string =>
  messages.map(({ role, content }) => `\n\n${role === "user" ? "Human" : "Assistant"}: ${content}`).join("");

describe("splitHhRlhf", () => {
  it("takes the prompt through the last human turn and the reply after it", () => {
    const shared = "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\nd";
    assert.deepEqual(splitHhRlhf(`${shared}\n\nAssistant: good`, `${shared}\n\nAssistant: `), {
      prompt: [say("user", "a"), say("assistant", "b"), say("user", "c\nd")],
      chosen: "good",
      rejected: "",
    });
  });

  it("leaves a reply's own marker, a doubled turn and white space as they stand", () => {
    const shared = "\n\nHuman: a\n\nAssistant: Human: b:\n\nAssistant:  c\n\n\nHuman:d";
    assert.deepEqual(splitHhRlhf(`${shared}\n\nAssistant: e\n\nAssistant:  f \n`, `${shared}\n\nAssistant: g`), {
      // "\n\n\nHuman:" is a line feed and then a marker.
      prompt: [say("user", "a"), say("assistant", "Human: b:"), say("assistant", " c\n"), say("user", "d")],
      chosen: "e\n\nAssistant:  f \n",
      rejected: "g",
    });
  });

  it("undoes the notation for random dialogues", () => {
    const rng = Random.fromSeed(1);
    const text = () =>
      Array.from({ length: rng.integer(9) }, () => rng.choose(["a", " ", "\n", "Human:", "é"])).join("");
    for (let i = 0; i < 300; i++) {
      // A turn that ends in a line feed and one that begins with a marker word are what this notation cannot tell apart.
      const clean = () => text().replaceAll("\n", "\n.");
      const prompt = Array.from({ length: rng.integer(5) }, () => say(rng.choose(["user", "assistant"]), clean()));
      prompt.push(say("user", clean()));
      const [chosen, rejected] = [clean(), clean()];
      const [one, other] = [chosen, rejected].map((reply) => join([...prompt, say("assistant", reply)]));
      assert.deepEqual(splitHhRlhf(one, other), { prompt, chosen, rejected });
    }
  });

  it("refuses what is no pair of dialogues with one prompt", () => {
    const good = "\n\nHuman: a\n\nAssistant: b";
    const wrong: [string, string, string, RegExp][] = [
      ["a", good, "chosen", /begins with/],
      [good, `x${good}`, "rejected", /begins with/],
      ["", good, "chosen", /begins with/],
      ["\n\nAssistant: b", good, "chosen", /a turn of/],
      [good, `${good}\n\nHuman: c`, "rejected", /a reply .* after the last human turn/],
      [good, "\n\nHuman: A\n\nAssistant: b", "rejected", /turn 1 differs/],
      [good, `${good}\n\nHuman: c\n\nAssistant: d`, "rejected", /turn 2 differs/],
      [`${good}\n\nHuman: c\n\nAssistant: d`, good, "rejected", /turn 2 differs/],
    ];
    for (const [chosen, rejected, path, expected] of wrong) {
      const mismatch = splitHhRlhf(chosen, rejected);
      assert.ok("expected" in mismatch, chosen);
      assert.equal(mismatch.path, path);
      assert.match(mismatch.expected, expected);
    }
  });
});

describe("the harmless-base test split (../shared/data/hh-rlhf)", () => {
  const path = resolve(__dirname, "../../../shared/data/hh-rlhf/harmless-base-test.jsonl.gz");
  let read: ReadPreferences;
  before(async function () {
    if (!existsSync(path)) this.skip();
    read = await readPreferences(path);
  });

  it("is read whole: 2,312 records, no problem, nothing left over", () => {
    const { records, ...rest } = read;
    assert.equal(records.length, 2312);
    assert.deepEqual(rest, { problems: [], format: "hh-rlhf", lines: 2312, blankLines: 0, ignored: {} });
  });

  it("loses no character: every line comes back from its record", () => {
    const lines = gunzipSync(readFileSync(path)).toString("utf8").trimEnd().split("\n");
    lines.forEach((line, i) => {
      const { prompt, chosen, rejected } = read.records[i];
      const whole = (reply: string) => join([...prompt, say("assistant", reply)]);
      assert.deepEqual({ chosen: whole(chosen), rejected: whole(rejected) }, JSON.parse(line));
    });
  });

  it("has the oddities that the docstring of splitHhRlhf counts", () => {
    const rows = read.records.map(({ prompt, chosen, rejected }) => {
      const texts = [...prompt.map((message) => message.content), chosen, rejected];
      return {
        empty: chosen === "",
        emptyRejected: rejected === "",
        marker: [chosen, rejected].some((reply) => reply.includes("\n\nAssistant: ")),
        doubled: prompt.some((message, t) => message.role === prompt.at(t + 1)?.role),
        space: texts.some((text) => text !== text.trim()),
        inline: texts.some((text) => /(?<!\n\n)(Human|Assistant):/.test(text)),
        same: chosen === rejected,
      };
    });
    const count = (name: keyof (typeof rows)[number]) => rows.filter((row) => row[name]).length;
    assert.deepEqual(
      [count("empty"), count("emptyRejected"), count("marker"), count("doubled"), count("inline"), count("same")],
      [4, 0, 5, 4, 49, 0],
    );
    assert.deepEqual(
      rows.map((row) => row.space),
      rows.map((row) => row.doubled),
    );
  });
});
