import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { detectFormat, type PreferenceFormatName } from "../../src/text/preference-formats";
import { readPreferences, type ReadPreferences } from "../../src/text/preferences";

let folder: string;
before(() => (folder = mkdtempSync(join(tmpdir(), "formats-"))));
after(() => rmSync(folder, { recursive: true, force: true }));

function read(...rows: unknown[]): Promise<ReadPreferences> {
  const path = join(folder, "rows.jsonl");
  writeFileSync(path, rows.map((row) => JSON.stringify(row) + "\n").join(""));
  return readPreferences(path, { onError: "collect" });
}

/** The one problem of the one row, as "path: expected, found". */
async function problem(row: unknown): Promise<string> {
  const { records, problems } = await read(row);
  assert.deepEqual([records.length, problems.length], [0, 1]);
  return `${problems[0].path}: ${problems[0].expected}, found ${problems[0].found}`;
}

const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });

// Rows in the shapes of the published files, with words of our own.
const strings = { prompt: "how do i sleep ?", chosen: "dim the lights .", rejected: "stay awake ." };
const messages = { prompt: [user("how do i sleep ?")], chosen: [assistant("dim .")], rejected: [assistant("no .")] };
const implicit = { chosen: [user("sleep ?"), assistant("dim .")], rejected: [user("sleep ?"), assistant("no .")] };
const hh = {
  chosen: "\n\nHuman: Can fish sleep?\n\nAssistant: They rest.\n\nHuman: Where?\n\nAssistant: Near the ground.",
  rejected: "\n\nHuman: Can fish sleep?\n\nAssistant: They rest.\n\nHuman: Where?\n\nAssistant: No.",
};
const ultrafeedback = {
  prompt: "Name a red fruit.",
  prompt_id: "a91b",
  chosen: [user("Name a red fruit."), assistant("A cherry.")],
  rejected: [user("Name a red fruit."), assistant("A lime.")],
  messages: [user("Name a red fruit."), assistant("A cherry.")],
  score_chosen: 8.5,
  score_rejected: 3,
};
const comparison = {
  info: {
    id: "t3_abc",
    post: "My bike was stolen.",
    title: "Bike gone",
    subreddit: "cycling",
    site: null,
    article: null,
  },
  summaries: [
    { text: " A post.", policy: "sup2", note: null },
    { text: " A bike was stolen.", policy: "ref", note: "clear" },
  ],
  choice: 1,
  worker: "w7",
  batch: "batch9",
  split: "train",
  extra: { confidence: 8 },
};

describe("the public preference formats", () => {
  it("are told apart by their outline", async () => {
    const examples: [PreferenceFormatName, unknown][] = [
      ["strings", strings],
      ["messages", messages],
      ["messages", implicit],
      ["hh-rlhf", hh],
      ["ultrafeedback", ultrafeedback],
      ["summarize-comparisons", comparison],
    ];
    for (const [name, row] of examples) {
      assert.equal(detectFormat(row), name);
      const { format, records, problems } = await read(row);
      assert.deepEqual([format, records.length, problems], [name, 1, []]);
    }
    for (const row of [null, 5, "chosen", [], {}, { chosen: 1, rejected: 2 }])
      assert.equal(detectFormat(row), undefined);
  });

  it("messages: a prompt of its own, or one that both dialogues share", async () => {
    const { records, ignored } = await read(messages, implicit);
    assert.deepEqual(records[0], { prompt: messages.prompt, chosen: "dim .", rejected: "no ." });
    assert.deepEqual(records[1], { prompt: [user("sleep ?")], chosen: "dim .", rejected: "no ." });
    assert.deepEqual(ignored, {});
    const named = { ...messages, prompt: [{ ...user("a"), name: "Ann" }] };
    assert.deepEqual((await read(named, named)).ignored, { "prompt[].name": 2 });
  });

  it("messages: a prompt that is a string is what the user said", async () => {
    const replies = { ...messages, prompt: "how do i sleep ?" };
    const dialogues = { ...implicit, prompt: "sleep ?" };
    const { format, records } = await read(replies, dialogues);
    assert.equal(format, "messages");
    assert.deepEqual(records[0], { prompt: messages.prompt, chosen: "dim .", rejected: "no ." });
    assert.deepEqual(records[1], { prompt: [user("sleep ?")], chosen: "dim .", rejected: "no ." });
    assert.match(
      await problem({ ...dialogues, prompt: "wake ?" }),
      /^prompt: the last user message of chosen, found "wake/,
    );
    assert.equal(await problem({ ...messages, prompt: 5 }), "prompt: a string or a list, found 5");
    assert.match(await problem({ ...messages, prompt: [] }), /^prompt: .*at least 1 item, found a list of 0/);
    assert.match(await problem({ ...replies, chosen: implicit.chosen }), /^rejected: a prompt and a reply/);
  });

  it("messages: what is no pair of replies to one prompt is refused", async () => {
    const twice = { ...messages, chosen: implicit.chosen };
    assert.equal(
      await problem(twice),
      "chosen: one message of the assistant, as the prompt has the rest, found a list of 2",
    );
    const bot = { ...messages, prompt: [{ role: "bot", content: "a" }] };
    assert.equal(await problem(bot), 'prompt[0].role: "system" or "user" or "assistant", found "bot"');
    const question = { ...implicit, rejected: [user("sleep ?"), user("no .")] };
    assert.equal(await problem(question), 'rejected[1].role: "assistant" in the last message, found "user"');
    const other = { ...implicit, rejected: [user("wake ?"), assistant("no .")] };
    assert.match(await problem(other), /^rejected\[0\]: the same message as in chosen, found an object/);
    const longer = { ...implicit, rejected: [...implicit.rejected, assistant("no .")] };
    assert.match(await problem(longer), /^rejected: 2 messages, as in chosen, found a list of 3/);
    assert.match(await problem({ ...implicit, chosen: [assistant("dim .")] }), /^chosen: .*at least 2 messages/);
  });

  it("UltraFeedback: the scores' difference is the margin", async () => {
    const { records, ignored } = await read(ultrafeedback);
    assert.deepEqual(records[0], {
      prompt: [user("Name a red fruit.")],
      chosen: "A cherry.",
      rejected: "A lime.",
      margin: 5.5,
      provenance: { judge: "gpt-4", source: "ultrafeedback a91b" },
    });
    assert.deepEqual(ignored, { messages: 1 });
    assert.equal((await read({ ...ultrafeedback, score_rejected: 8.5 })).records[0].margin, 0);
  });

  it("UltraFeedback: a row that contradicts itself is refused", async () => {
    assert.equal(
      await problem({ ...ultrafeedback, score_rejected: 9 }),
      "score_chosen: at least score_rejected, 9, found 8.5",
    );
    assert.match(
      await problem({ ...ultrafeedback, prompt: "Name it." }),
      /^prompt: the last user message of chosen, found "Na/,
    );
    assert.equal(await problem({ ...ultrafeedback, score_chosen: null }), "score_chosen: a number, found null");
    assert.match(
      await problem({ ...ultrafeedback, rejected: ultrafeedback.chosen }),
      /^rejected: a response other than/,
    );
    const empty = { ...ultrafeedback, rejected: [user("Name a red fruit."), { role: "assistant" }] };
    assert.equal(await problem(empty), "rejected[1].content: a string, found nothing");
  });

  it("Summarize-from-Feedback: choice says which summary is the chosen one", async () => {
    const { records, ignored } = await read(comparison, { ...comparison, choice: 0, extra: {} });
    assert.deepEqual(records[0], {
      prompt: [user("SUBREDDIT: r/cycling\n\nTITLE: Bike gone\n\nPOST: My bike was stolen.\n\nTL;DR:")],
      chosen: " A bike was stolen.",
      rejected: " A post.",
      provenance: { judge: "human w7", confidence: 8, source: "summarize-from-feedback batch9 train t3_abc" },
    });
    assert.deepEqual([records[1].chosen, records[1].rejected], [" A post.", " A bike was stolen."]);
    assert.equal("confidence" in records[1].provenance!, false);
    assert.deepEqual(ignored, { "info.site": 2, "summaries[].policy": 2, "summaries[].note": 2 });
  });

  it("Summarize-from-Feedback: articles, and confidence that is null or absent", async () => {
    const article = { id: "5f", site: "cnn", title: "Rain", article: "It rained.", post: null, subreddit: null };
    const { extra: _, ...without } = comparison;
    for (const row of [without, { ...comparison, extra: null }, { ...comparison, extra: { confidence: null } }]) {
      const { records } = await read({ ...row, info: article });
      assert.equal(records[0].prompt[0].content, "Article:\nIt rained.\n\nTL;DR:");
      assert.equal("confidence" in records[0].provenance!, false);
    }
  });

  it("Summarize-from-Feedback: rows without a text, a pair or a choice are refused", async () => {
    assert.match(await problem({ ...comparison, info: { id: "x" } }), /^info: post, title and subreddit, or article/);
    assert.equal(await problem({ ...comparison, choice: 2 }), "choice: 0 or 1, found 2");
    assert.equal(await problem({ ...comparison, choice: "1" }), 'choice: 0 or 1, found "1"');
    const three = [...comparison.summaries, comparison.summaries[0]];
    assert.equal(await problem({ ...comparison, summaries: three }), "summaries: at most 2 items, found a list of 3");
    const numbers = [{ text: " a" }, { text: 4 }];
    assert.equal(await problem({ ...comparison, summaries: numbers }), "summaries[1].text: a string, found 4");
  });
});
