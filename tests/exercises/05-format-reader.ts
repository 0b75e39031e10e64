import assert from "node:assert/strict";
import type { Exercise } from "../../src/grading/exercise";
import { Random } from "../../src/tensors/random";
import type { Message, PreferenceRecord } from "../../src/text/preferences";

export function readDialogues(row: unknown): PreferenceRecord | { path: string; expected: string; found: unknown } {
  if (typeof row !== "object" || row === null) return { path: "", expected: "an object", found: row };
  const { chosen, rejected } = row as { chosen: Message[]; rejected: Message[] };
  for (const [name, dialogue] of Object.entries({ chosen: chosen, rejected: rejected })) {
    if (!Array.isArray(dialogue) || dialogue.length < 2) {
      return { path: name, expected: "a list of at least two messages", found: dialogue };
    }
    for (const [i, message] of dialogue.entries()) {
      if (!["system", "user", "assistant"].includes(message?.role)) {
        return { path: `${name}[${i}].role`, expected: "system, user or assistant", found: message?.role };
      }
      if (typeof message.content !== "string") {
        return { path: `${name}[${i}].content`, expected: "a string", found: message.content };
      }
    }
    const last = dialogue.length - 1;
    if (dialogue[last].role !== "assistant") {
      return { path: `${name}[${last}].role`, expected: "assistant in the last message", found: dialogue[last].role };
    }
  }
  if (chosen.length !== rejected.length) {
    return { path: "rejected", expected: `${chosen.length} messages, as in chosen`, found: rejected };
  }
  const last = chosen.length - 1;
  for (let i = 0; i < last; i++) {
    if (chosen[i].role !== rejected[i].role || chosen[i].content !== rejected[i].content) {
      return { path: `rejected[${i}]`, expected: "the same message as in chosen", found: rejected[i] };
    }
  }
  if (chosen[last].content === rejected[last].content) {
    return { path: `rejected[${last}].content`, expected: "another response", found: rejected[last].content };
  }
  return { prompt: chosen.slice(0, last), chosen: chosen[last].content, rejected: rejected[last].content };
}

type Result = ReturnType<typeof readDialogues>;

const say = (role: Message["role"], content: string): Message => ({ role, content });

interface Row {
  chosen: Message[];
  rejected: Message[];
}

/** A dialogue of some turns with two last replies; white space at the ends, as real data have it. */
function randomRow(seed: number): Row {
  const rng = Random.fromSeed(seed).child("format reader");
  const words = () => Array.from({ length: 2 + rng.integer(4) }, () => `w${rng.integer(900)}`).join(" ");
  const prompt = [...(rng.bernoulli(0.5) ? [say("system", words())] : []), say("user", `${words()}\n`)];
  for (let turn = rng.integer(3); turn > 0; turn--) prompt.push(say("assistant", words()), say("user", words()));
  return {
    chosen: [...prompt, say("assistant", ` better ${words()}`)],
    rejected: [...prompt, say("assistant", ` worse ${words()} `)],
  };
}

const short = (value: unknown): string => JSON.stringify(value) ?? "nothing";

/** Compared field by field as JSON: a notebook's objects may come from another realm. */
function expectRecord(found: Result, expected: { prompt: Message[]; chosen: string; rejected: string }): void {
  assert.ok(found && !("path" in found), `expected a record, got the problem ${short(found)}: this row is a good one`);
  const turns = (messages: Message[] | undefined) => short(messages?.map(({ role, content }) => [role, content]));
  assert.equal(
    turns(found.prompt),
    turns(expected.prompt),
    `expected the prompt ${turns(expected.prompt)}, got ${turns(found.prompt)}: it is every message but the last, to the letter`,
  );
  for (const field of ["chosen", "rejected"] as const) {
    assert.equal(
      found[field],
      expected[field],
      `${field}: expected ${short(expected[field])}, got ${short(found[field])}: the last message's content, to the letter`,
    );
  }
}

function expectProblem(found: Result, path: string, value: unknown, mistake: string): void {
  assert.ok(found && "path" in found, `expected a problem at "${path}", got the record ${short(found)}: ${mistake}`);
  assert.equal(found.path, path, `expected the problem at "${path}", got "${found.path}": ${mistake}`);
  assert.equal(short(found.found), short(value), `"${path}": expected found to be the value that stands there`);
  assert.ok(
    typeof found.expected === "string" && found.expected.length > 3,
    `"${path}": expected the field "expected" to say in words what should stand there`,
  );
}

export const exercise: Exercise<typeof readDialogues> = {
  id: "05-format-reader",
  notebook: "05-preferences",
  title: "A reader that says what is wrong",
  difficulty: 3,
  minutes: 25,
  points: 4,
  hints: [
    "What can be wrong with a row from a file that you did not write? Which part of two dialogues is the prompt, and what must be true of it?",
    "record = (all messages but the last, chosen's last content, rejected's last content), if: both are lists of at least two messages with a known role and a string as content; both end with the assistant; all but the last are equal; the last differ. Otherwise { path, expected, found } of what is wrong.",
    'Loop over `Object.entries({ chosen, rejected })`, check with `Array.isArray`, and over `dialogue.entries()` check `role` and `content`; return `{ path: `${name}[${i}].role`, expected: "…", found: message.role }` at once where one is wrong. Then compare lengths, then messages before the last, then the two last ones.',
  ],
  solution: readDialogues,
  checks(yours, { seed }) {
    describe("shape", () => {
      it("gives a record or a problem", () => {
        const record = yours(randomRow(seed));
        assert.ok(
          record && "prompt" in record,
          `of a good row, expected a record with prompt, chosen, rejected; got ${short(record)}`,
        );
        const problem = yours({});
        assert.ok(
          problem && "path" in problem,
          `of an empty row, expected { path, expected, found }; got ${short(problem)}`,
        );
      });
    });
    describe("hand-worked case", () => {
      it("splits a question and its two answers", () => {
        expectRecord(
          yours({
            chosen: [say("user", "hello"), say("assistant", "good day")],
            rejected: [say("user", "hello"), say("assistant", "what ?")],
          }),
          { prompt: [say("user", "hello")], chosen: "good day", rejected: "what ?" },
        );
      });
      it("points at a field of the wrong kind", () => {
        const row: unknown = {
          chosen: [say("user", "hello"), { role: "assistant", content: 7 }],
          rejected: [say("user", "hello"), say("assistant", "what ?")],
        };
        expectProblem(
          yours(row),
          "chosen[1].content",
          7,
          "a content is a string; other values are not turned into one",
        );
      });
      it("points at a missing field", () => {
        const row: unknown = { chosen: [say("user", "hello"), say("assistant", "good day")] };
        expectProblem(yours(row), "rejected", undefined, "there is no rejected dialogue");
      });
    });
    describe("exact truth", () => {
      it("takes long dialogues apart, to the letter", () => {
        for (let i = 0; i < 4; i++) {
          const row = randomRow(seed + i);
          expectRecord(yours(row), {
            prompt: row.chosen.slice(0, -1),
            chosen: row.chosen[row.chosen.length - 1].content,
            rejected: row.rejected[row.rejected.length - 1].content,
          });
        }
      });
      it("takes an empty reply as it stands", () => {
        const row = randomRow(seed + 4);
        row.chosen[row.chosen.length - 1].content = "";
        const rejected = row.rejected[row.rejected.length - 1].content;
        expectRecord(yours(row), { prompt: row.chosen.slice(0, -1), chosen: "", rejected });
      });
      it("finds a role that nobody has", () => {
        const row = randomRow(seed + 5);
        const wrong = { ...row, rejected: [{ role: "narrator", content: "once" }, ...row.rejected.slice(1)] };
        expectProblem(yours(wrong), "rejected[0].role", "narrator", "roles are system, user and assistant");
      });
      it("finds a dialogue that does not end with the assistant", () => {
        const row = randomRow(seed + 6);
        const wrong = {
          chosen: [...row.chosen.slice(0, -1), say("user", "and now ?")],
          rejected: row.rejected,
        };
        const path = `chosen[${wrong.chosen.length - 1}].role`;
        expectProblem(yours(wrong), path, "user", "a reply is the assistant's");
      });
      it("finds two prompts that differ", () => {
        const row = randomRow(seed + 7);
        const other = say(row.rejected[0].role, "something else");
        const wrong = { ...row, rejected: [other, ...row.rejected.slice(1)] };
        expectProblem(yours(wrong), "rejected[0]", other, "two answers to two prompts are no comparison");
      });
      it("finds a prompt with a turn too many", () => {
        const row = randomRow(seed + 8);
        const wrong = { ...row, rejected: [...row.rejected, say("user", "go on"), say("assistant", "yes")] };
        expectProblem(yours(wrong), "rejected", wrong.rejected, "the dialogues have different lengths");
      });
      it("finds a preference for nothing", () => {
        const row = randomRow(seed + 9);
        const last = row.chosen.length - 1;
        const wrong = { chosen: row.chosen, rejected: row.chosen };
        expectProblem(
          yours(wrong),
          `rejected[${last}].content`,
          row.chosen[last].content,
          "both responses are the same, so nothing is preferred",
        );
      });
      it("finds a dialogue without a prompt", () => {
        const row = randomRow(seed + 10);
        const wrong = { chosen: row.chosen.slice(-1), rejected: row.rejected.slice(-1) };
        expectProblem(yours(wrong), "chosen", wrong.chosen, "a reply needs a prompt: at least two messages");
      });
    });
    describe("invariance", () => {
      it("does not depend on fields that it has no use for", () => {
        const row = randomRow(seed + 11);
        expectRecord(yours({ score_chosen: 8, source: "x", ...row }), {
          prompt: row.chosen.slice(0, -1),
          chosen: row.chosen[row.chosen.length - 1].content,
          rejected: row.rejected[row.rejected.length - 1].content,
        });
      });
      it("turning the preference round turns the record round", () => {
        const row = randomRow(seed + 12);
        expectRecord(yours({ chosen: row.rejected, rejected: row.chosen }), {
          prompt: row.chosen.slice(0, -1),
          chosen: row.rejected[row.rejected.length - 1].content,
          rejected: row.chosen[row.chosen.length - 1].content,
        });
      });
    });
  },
  mutants: [
    {
      name: "reply left in the prompt",
      why: "Your prompt still holds the chosen reply; a model trained on it would be shown the answer.",
      wrong: (row) => {
        const found = readDialogues(row);
        return "path" in found ? found : { ...found, prompt: (row as Row).chosen };
      },
    },
    {
      name: "only the last question",
      why: "You keep the last question only. The earlier turns, and a system message, are part of the prompt.",
      wrong: (row) => {
        const found = readDialogues(row);
        return "path" in found ? found : { ...found, prompt: found.prompt.slice(-1) };
      },
    },
    {
      name: "trimmed",
      why: "You trim white space. A record is what the file says, to the letter; a summary's leading space is a token.",
      wrong: (row) => {
        const found = readDialogues(row);
        return "path" in found ? found : { ...found, chosen: found.chosen.trim(), rejected: found.rejected.trim() };
      },
    },
    {
      name: "swapped",
      why: "You have put the rejected response in the place of the chosen one.",
      wrong: (row) => {
        const found = readDialogues(row);
        return "path" in found ? found : { ...found, chosen: found.rejected, rejected: found.chosen };
      },
    },
    {
      name: "prompts not compared",
      why: "You take chosen's prompt without a look at rejected's. Two answers to two prompts are no comparison.",
      wrong: (row) => {
        const found = readDialogues(row);
        if (!("path" in found) || !/^rejected\[\d+\]$/.test(found.path)) return found;
        const { chosen, rejected } = row as Row;
        return {
          prompt: chosen.slice(0, -1),
          chosen: chosen[chosen.length - 1].content,
          rejected: rejected[rejected.length - 1].content,
        };
      },
    },
    {
      name: "lengths not compared",
      why: "You compare the messages that chosen has, and do not notice that rejected has more.",
      wrong: (row) => {
        const found = readDialogues(row);
        if (!("path" in found) || found.path !== "rejected" || !Array.isArray(found.found)) return found;
        const { chosen, rejected } = row as Row;
        if (rejected.length < 2) return found;
        return {
          prompt: chosen.slice(0, -1),
          chosen: chosen[chosen.length - 1].content,
          rejected: rejected[rejected.length - 1].content,
        };
      },
    },
    {
      name: "identical responses let through",
      why: "You let through two identical responses: such a row prefers nothing, and every reward gives it probability ½.",
      wrong: (row) => {
        const found = readDialogues(row);
        if (!("path" in found) || found.expected !== "another response") return found;
        const { chosen } = row as Row;
        const { content } = chosen[chosen.length - 1];
        return { prompt: chosen.slice(0, -1), chosen: content, rejected: content };
      },
    },
    {
      name: "content made a string",
      why: "You turn a content of another kind into a string, so a broken row becomes training data without a word.",
      wrong: (row) => {
        const found = readDialogues(row);
        if (!("path" in found) || !found.path.endsWith(".content") || found.expected !== "a string") return found;
        const repair = (dialogue: Message[]) =>
          dialogue.map(({ role, content }) => ({ role, content: String(content as unknown) }));
        const { chosen, rejected } = row as Row;
        return readDialogues({ chosen: repair(chosen), rejected: repair(rejected) });
      },
    },
    {
      name: "the last speaker not checked",
      why: "You do not look who speaks last: a question would be learned as an answer.",
      wrong: (row) => {
        const found = readDialogues(row);
        if (!("path" in found) || found.expected !== "assistant in the last message") return found;
        const answered = (dialogue: Message[]) => [
          ...dialogue.slice(0, -1),
          say("assistant", dialogue[dialogue.length - 1].content),
        ];
        const { chosen, rejected } = row as Row;
        return readDialogues({ chosen: answered(chosen), rejected: answered(rejected) });
      },
    },
  ],
};
