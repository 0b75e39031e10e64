import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { BytePairEncoding } from "../../src/text/byte-pair-encoding";
import { preferenceTexts, tokenisePreferences } from "../../src/text/preference-tokens";
import { readPreferences, type Message } from "../../src/text/preferences";
import { BOT, EOS, USER, Vocabulary } from "../../src/text/vocabulary";
import { temporaryFolder } from "../models/tiny";

const vocabulary = Vocabulary.words("abcdefghij".split(""));
const [a, b, c, d, e] = vocabulary.encode("a b c d e");
const user = (content: string): Message => ({ role: "user", content });
const bot = (content: string): Message => ({ role: "assistant", content });
const record = (prompt: Message[], chosen: string, rejected: string) => ({ prompt, chosen, rejected });
/** Room for prompts of 6 and responses of 4. */
const room = { context: 10, responseLimit: 4 };

describe("tokenisePreferences", () => {
  it("gives the template's tokens, the index of each record, and each prompt once", () => {
    const records = [
      record([user("a b")], "c", ""),
      record([user("a"), bot("b"), user("c")], "d d d", "e"),
      record([user("a b")], "d", "e"),
    ];
    const turns = [USER, a, BOT, b, EOS, USER, c, BOT];
    const { pairs, prompts, counts } = tokenisePreferences(vocabulary, records, { context: 12, responseLimit: 4 });
    assert.deepEqual(pairs, [
      {
        chosen: { prompt: [USER, a, b, BOT], response: [c, EOS] },
        rejected: { prompt: [USER, a, b, BOT], response: [EOS] },
        record: 0,
      },
      {
        chosen: { prompt: turns, response: [d, d, d, EOS] },
        rejected: { prompt: turns, response: [e, EOS] },
        record: 1,
      },
      {
        chosen: { prompt: [USER, a, b, BOT], response: [d, EOS] },
        rejected: { prompt: [USER, a, b, BOT], response: [e, EOS] },
        record: 2,
      },
    ]);
    assert.deepEqual(prompts, [[USER, a, b, BOT], turns]);
    assert.deepEqual(counts, {
      records: 3,
      pairs: 3,
      promptsShortened: 0,
      responsesShortened: 0,
      droppedTooLong: 0,
      droppedIdentical: 0,
    });
  });

  const long = [
    record([user("a b c d")], "a b c", "a"), // fits, to the last token
    record([user("a b c d e")], "a", "b"), // prompt one too long
    record([user("a")], "a b c d", "a b c e"), // both responses one too long, the same when cut
    record([user("a")], "a b c d", "b b c d e"), // both too long, cut to different ones
    record([user("a b c d e"), bot("a"), user("b")], "a", "b b b b"), // the first message does not fit
    record([user("a b c d e"), bot("a a a a a a")], "a", "b"), // nor does the last, which is the assistant's
    record([user("a")], "b  c", "b c"), // other text, same tokens
  ];

  it("refuses what is too long unless it is told what to do", () => {
    assert.throws(
      () => tokenisePreferences(vocabulary, long, room),
      /5 of 7 records are too long. Record 1 has a prompt of 7 tokens and responses of 2 and 2; .* room for 6 and 4\./,
    );
  });

  it("drops records that are too long, and counts them", () => {
    const { pairs, counts } = tokenisePreferences(vocabulary, long, { ...room, tooLong: "drop" });
    assert.deepEqual(
      pairs.map(({ record }) => record),
      [0],
    );
    assert.deepEqual(counts, {
      records: 7,
      pairs: 1,
      promptsShortened: 0,
      responsesShortened: 0,
      droppedTooLong: 5,
      droppedIdentical: 1,
    });
  });

  it("shortens prompts at their beginning, by whole messages, and responses at their end, and counts both", () => {
    const { pairs, prompts, counts } = tokenisePreferences(vocabulary, long, { ...room, tooLong: "shorten" });
    assert.deepEqual(
      pairs.map(({ record, chosen, rejected }) => [record, chosen.prompt, chosen.response, rejected.response]),
      [
        [0, [USER, a, b, c, d, BOT], [a, b, c, EOS], [a, EOS]],
        [1, [USER, b, c, d, e, BOT], [a, EOS], [b, EOS]],
        [3, [USER, a, BOT], [a, b, c, EOS], [b, b, c, EOS]],
        [4, [BOT, a, EOS, USER, b, BOT], [a, EOS], [b, b, b, EOS]],
        [5, [BOT, a, a, a, EOS, BOT], [a, EOS], [b, EOS]],
      ],
    );
    for (const { chosen, rejected } of pairs) {
      assert.ok(chosen.prompt.length + Math.max(chosen.response.length, rejected.response.length) <= room.context);
      assert.deepEqual(chosen.prompt, rejected.prompt);
    }
    assert.equal(prompts.length, 5);
    assert.deepEqual(counts, {
      records: 7,
      pairs: 5,
      promptsShortened: 3,
      responsesShortened: 3,
      droppedTooLong: 0,
      droppedIdentical: 2,
    });
  });

  it("names the record that cannot be said, and throws where no pair is left", () => {
    const fine = record([user("a")], "b", "c");
    assert.throws(
      () => tokenisePreferences(vocabulary, [fine, record([user("a")], "z", "c")], room),
      /record 1: Vocabulary\.encode: unknown word "z"/,
    );
    assert.throws(
      () => tokenisePreferences(vocabulary, [record([{ role: "system", content: "a" }, user("b")], "a", "b")], room),
      /record 0: dialoguePromptTokens: message 0 has the role "system"/,
    );
    assert.throws(
      () => tokenisePreferences(vocabulary, long.slice(5), { ...room, tooLong: "drop" }),
      /none of 2 records: 1 were too long, and of 1 both responses are the same tokens/,
    );
    assert.throws(() => tokenisePreferences(vocabulary, [], room), /got none of 0 records/);
  });

  it("refuses options that leave no room or do not exist", () => {
    const call = (options: object) => () => tokenisePreferences(vocabulary, long, { ...room, ...options });
    assert.throws(call({ context: 6 }), /a responseLimit of 4 leaves no room for a prompt in a context of 6/);
    assert.throws(call({ context: 1.5 }), /context to be a positive integer, got 1.5/);
    assert.throws(call({ responseLimit: 0 }), /responseLimit to be a positive integer, got 0/);
    assert.throws(call({ tooLong: "cut" }), /tooLong to be "refuse", "drop" or "shorten", got cut/);
  });
});

describe("rows of every public format", () => {
  const folder = temporaryFolder();
  const dialogue = [user("Is 7 prime?"), bot("Yes."), user("Et 9 ? 日")];
  const hh = "\n\nHuman: Is 7 prime?\n\nAssistant: Yes.\n\nHuman: Et 9 ? 日\n\nAssistant: ";
  const rows: Record<string, { row: object; prompt: string }> = {
    strings: { row: { prompt: "Et 9 ? 日", chosen: "Non.", rejected: "" }, prompt: "<user>Et 9 ? 日<bot>" },
    messages: {
      row: { prompt: dialogue, chosen: [bot("Non.")], rejected: [bot("")] },
      prompt: "<user>Is 7 prime?<bot>Yes.<eos><user>Et 9 ? 日<bot>",
    },
    "hh-rlhf": {
      row: { chosen: `${hh}Non.`, rejected: hh },
      prompt: "<user>Is 7 prime?<bot>Yes.<eos><user>Et 9 ? 日<bot>",
    },
    ultrafeedback: {
      row: {
        prompt: "Et 9 ? 日",
        prompt_id: "p",
        chosen: [...dialogue, bot("Non.")],
        rejected: [...dialogue, bot("")],
        score_chosen: 2,
        score_rejected: 1,
      },
      prompt: "<user>Is 7 prime?<bot>Yes.<eos><user>Et 9 ? 日<bot>",
    },
    "summarize-comparisons": {
      row: {
        info: { id: "i", post: "日", title: "t", subreddit: "s" },
        summaries: [{ text: "" }, { text: "Non." }],
        choice: 1,
        worker: "w",
        batch: "b",
        split: "train",
      },
      prompt: "<user>SUBREDDIT: r/s\n\nTITLE: t\n\nPOST: 日\n\nTL;DR:<bot>",
    },
  };
  for (const [name, { row, prompt }] of Object.entries(rows)) {
    it(`become tokens with their turns: ${name}`, async () => {
      const path = join(folder.path(), `${name}.jsonl`);
      writeFileSync(path, JSON.stringify(row));
      const { records, format } = await readPreferences(path);
      assert.equal(format, name);
      const encoding = BytePairEncoding.learn(preferenceTexts([...records, ...records]), { size: 300 });
      const [{ chosen, rejected }] = tokenisePreferences(encoding, records, { context: 200, responseLimit: 20 }).pairs;
      const said = [chosen.prompt, chosen.response, rejected.prompt, rejected.response].map((ids) =>
        encoding.decode(ids),
      );
      assert.deepEqual(said, [prompt, "Non.<eos>", prompt, "<eos>"]);
    });
  }
});

describe("preferenceTexts", () => {
  it("is all that is said, in order, so that a tokenizer learnt from it covers the records", () => {
    const records = [record([user("a"), bot("b"), user("c")], "d", "e"), record([user("f")], "", "g")];
    assert.deepEqual([...preferenceTexts(records)], ["a", "b", "c", "d", "e", "f", "", "g"]);
    const encoding = BytePairEncoding.learn(preferenceTexts(records), { size: 300 });
    assert.equal(tokenisePreferences(encoding, records, { context: 16, responseLimit: 4 }).pairs.length, 2);
  });
});
