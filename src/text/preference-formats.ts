import * as z from "zod";
import type { Message } from "./dialogue";
import { splitHhRlhf } from "./hh-rlhf";
import type { Mismatch } from "./mismatch";
import type { PreferenceRecord } from "./preference-record";

/** One way in which the field writes preferences down, a row of JSON each. */
export interface PreferenceFormat {
  /** The row's shape, for messages to people. */
  shape: string;
  /** The fields that a record is made of. What a row holds beside them is not read, and the reader counts it. */
  schema: z.ZodType;
  /** The record of a row that fits the schema, or why it has none. */
  toRecord(row: unknown): PreferenceRecord | Mismatch;
}

export type PreferenceFormatName = "strings" | "messages" | "hh-rlhf" | "ultrafeedback" | "summarize-comparisons";

const role = z.enum(["system", "user", "assistant"]);
export const messageSchema = z.object({ role, content: z.string() });
const reply = z.array(z.object({ role: z.literal("assistant"), content: z.string() })).length(1);
export const marginSchema = z.number().nonnegative();
export const provenanceSchema = z.strictObject({
  judge: z.string().min(1),
  principle: z.string().optional(),
  confidence: z.number().optional(),
  source: z.string().optional(),
});
const extras = { margin: marginSchema.optional(), provenance: provenanceSchema.optional() };

/** `{prompt, chosen, rejected}` as strings: one turn, the prompt said by the user. Ours may add margin and provenance. */
const strings = format(
  "{prompt: string, chosen: string, rejected: string}",
  z.object({ prompt: z.string(), chosen: z.string(), rejected: z.string(), ...extras }),
  ({ prompt, ...rest }) => ({ prompt: [{ role: "user", content: prompt }], ...rest }),
);

/**
 * The same as lists of `{role, content}`, one assistant message in each reply. Without `prompt`, the two lists are whole
 * dialogues that share all but the last message (TRL calls this an implicit prompt). A prompt that is a string is what the
 * user said: the whole prompt of two replies, or the last user message of two whole dialogues.
 */
const messages = format(
  "{prompt: [{role, content}, …], chosen: [{role, content}], rejected: [{role, content}]}",
  z.object({
    prompt: z.union([z.string(), z.array(messageSchema).min(1)]).optional(),
    chosen: z.array(messageSchema).min(1),
    rejected: z.array(messageSchema).min(1),
    ...extras,
  }),
  ({ prompt: asked, chosen, rejected, ...rest }) => {
    const replies = chosen.length === 1 && rejected.length === 1;
    const question = typeof asked === "string" ? asked : undefined;
    if (asked === undefined || (question !== undefined && !replies)) {
      const split = splitMessages(chosen, rejected, question);
      return "expected" in split ? split : { ...split, ...rest };
    }
    const prompt = typeof asked === "string" ? [{ role: "user" as const, content: asked }] : asked;
    for (const [path, said] of Object.entries({ chosen, rejected })) {
      if (reply.safeParse(said).success) continue;
      return { path, expected: "one message of the assistant, as the prompt has the rest", found: said };
    }
    return { prompt, chosen: chosen[0].content, rejected: rejected[0].content, ...rest };
  },
);

/** See `hh-rlhf.ts`. The judges were crowd workers; the files do not say which. */
const hhRlhf = format(
  String.raw`{chosen: "\n\nHuman: …\n\nAssistant: …", rejected: the same up to the last reply}`,
  z.object({ chosen: z.string(), rejected: z.string() }),
  ({ chosen, rejected }) => {
    const split = splitHhRlhf(chosen, rejected);
    return "expected" in split ? split : { ...split, provenance: { judge: "human", source: "hh-rlhf" } };
  },
);

/**
 * UltraFeedback, binarized (Cui et al. 2023; HuggingFaceH4/ultrafeedback_binarized, the `_prefs` splits): `prompt`,
 * `prompt_id`, `chosen` and `rejected` as dialogues of messages that include the prompt, `messages` (a copy of chosen),
 * and GPT-4's overall scores. The margin is score_chosen − score_rejected; a chosen response with the lower score, as
 * relabelled copies of the data may have, contradicts its own label and is refused.
 */
const ultrafeedback = format(
  "{prompt, prompt_id, chosen: [{role, content}, …], rejected: [{role, content}, …], score_chosen, score_rejected}",
  z.object({
    prompt: z.string(),
    prompt_id: z.string().min(1),
    chosen: z.array(messageSchema).min(2),
    rejected: z.array(messageSchema).min(2),
    score_chosen: z.number(),
    score_rejected: z.number(),
  }),
  (row) => {
    const split = splitMessages(row.chosen, row.rejected, row.prompt);
    if ("expected" in split) return split;
    const margin = row.score_chosen - row.score_rejected;
    if (margin < 0) {
      const expected = `at least score_rejected, ${row.score_rejected}`;
      return { path: "score_chosen", expected, found: row.score_chosen };
    }
    return { ...split, margin, provenance: { judge: "gpt-4", source: `ultrafeedback ${row.prompt_id}` } };
  },
);

/**
 * Comparisons of Summarize-from-Feedback (Stiennon et al. 2020, "Learning to summarize from human feedback"): `info` is
 * a Reddit post (post, title, subreddit) or a news article (article), `summaries` the two texts with the policy that
 * wrote each, `choice` the index of the preferred one, `worker` who chose. The prompt is the query their models were
 * given. `extra.confidence` (absent or null in some batches) is kept as it stands: a point on the labeler's scale from
 * one summary to the other, not a probability, and so no margin. Summaries keep their leading space.
 */
const summarizeComparisons = format(
  "{info: {id, post, title, subreddit} or {id, article}, summaries: [{text}, {text}], choice: 0 or 1, worker, batch, split}",
  z.object({
    info: z.object({
      id: z.string().min(1),
      post: z.string().nullish(),
      title: z.string().nullish(),
      subreddit: z.string().nullish(),
      article: z.string().nullish(),
    }),
    summaries: z.array(z.object({ text: z.string() })).length(2),
    choice: z.literal([0, 1]),
    worker: z.string().min(1),
    batch: z.string(),
    split: z.string(),
    extra: z.object({ confidence: z.number().nullish() }).nullish(),
  }),
  ({ info, summaries, choice, worker, batch, split, extra }) => {
    let query: string;
    if (info.post != null && info.title != null && info.subreddit != null) {
      query = `SUBREDDIT: r/${info.subreddit}\n\nTITLE: ${info.title}\n\nPOST: ${info.post}\n\nTL;DR:`;
    } else if (info.article != null) {
      query = `Article:\n${info.article}\n\nTL;DR:`;
    } else {
      return { path: "info", expected: "post, title and subreddit, or article", found: info };
    }
    const confidence = extra?.confidence ?? undefined;
    return {
      prompt: [{ role: "user", content: query }],
      chosen: summaries[choice].text,
      rejected: summaries[1 - choice].text,
      provenance: {
        judge: `human ${worker}`,
        ...(confidence === undefined ? {} : { confidence }),
        source: `summarize-from-feedback ${batch} ${split} ${info.id}`,
      },
    };
  },
);

export const PREFERENCE_FORMATS: Readonly<Record<PreferenceFormatName, PreferenceFormat>> = {
  strings,
  messages,
  "hh-rlhf": hhRlhf,
  ultrafeedback,
  "summarize-comparisons": summarizeComparisons,
};

/** The format that a row's outline is of, well-formed in detail or not; undefined where it is of none. */
export function detectFormat(row: unknown): PreferenceFormatName | undefined {
  if (typeof row !== "object" || row === null || Array.isArray(row)) return undefined;
  const { prompt, chosen, rejected, summaries, choice, ...others } = row as Record<string, unknown>;
  if (summaries !== undefined && choice !== undefined) return "summarize-comparisons";
  const lists = Array.isArray(chosen) || (chosen === undefined && Array.isArray(rejected));
  const texts = typeof chosen === "string" || (chosen === undefined && typeof rejected === "string");
  const scored = ["prompt_id", "score_chosen", "score_rejected"].some((field) => others[field] !== undefined);
  if (lists) return typeof prompt === "string" && scored ? "ultrafeedback" : "messages";
  if (texts) return prompt === undefined ? "hh-rlhf" : "strings";
  return undefined;
}

/** Two dialogues that share all but a last message of the assistant; `asked`, where it is known, is the last that the user said. */
function splitMessages(
  chosen: Message[],
  rejected: Message[],
  asked: string | undefined,
): { prompt: Message[]; chosen: string; rejected: string } | Mismatch {
  for (const [path, dialogue] of Object.entries({ chosen, rejected })) {
    const last = dialogue.length - 1;
    if (last < 1) return { path, expected: "a prompt and a reply: at least 2 messages", found: dialogue };
    if (dialogue[last].role !== "assistant") {
      return { path: `${path}[${last}].role`, expected: '"assistant" in the last message', found: dialogue[last].role };
    }
  }
  const prompt = chosen.slice(0, -1);
  const differs = prompt.findIndex(
    ({ role, content }, i) => rejected.at(i)?.role !== role || rejected.at(i)?.content !== content,
  );
  if (differs >= 0) {
    return { path: `rejected[${differs}]`, expected: `the same message as in chosen`, found: rejected.at(differs) };
  }
  if (rejected.length !== chosen.length) {
    return { path: "rejected", expected: `${chosen.length} messages, as in chosen`, found: rejected };
  }
  const lastAsked = prompt.filter((message) => message.role === "user").pop();
  if (asked !== undefined && lastAsked?.content !== asked) {
    return { path: "prompt", expected: "the last user message of chosen", found: asked };
  }
  return { prompt, chosen: chosen[chosen.length - 1].content, rejected: rejected[rejected.length - 1].content };
}

/** Ties a schema to the function that reads what it lets through, so that the function is typed by it. */
function format<Row>(
  shape: string,
  schema: z.ZodType<Row>,
  toRecord: (row: Row) => PreferenceRecord | Mismatch,
): PreferenceFormat {
  return { shape, schema, toRecord: (row) => toRecord(row as Row) };
}
