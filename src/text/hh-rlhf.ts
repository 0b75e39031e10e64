import type { Message } from "./dialogue";
import type { Mismatch } from "./mismatch";

/**
 * Anthropic's HH-RLHF pairs (Bai et al. 2022, "Training a Helpful and Harmless Assistant with RLHF"): `chosen` and
 * `rejected` are each a whole dialogue in one string, in which a turn begins with "\n\nHuman: " or "\n\nAssistant: ".
 *
 * Their card says that the two share all but the last reply. Real rows need a rule that says what the last reply is, and
 * the rule here is: **the prompt is everything through the last human turn, the reply is everything after it.** Text is
 * kept to the letter, neither trimmed nor repaired, so a record's turns joined again are the line that was read. A row
 * is refused where the two prompts differ, where no human turn is there, or where nothing follows the last one.
 *
 * All 2,312 rows of the harmless-base test split are read. What is odd in them, counted (a test counts again):
 *
 * | rows | oddity                                                             | what becomes of it                    |
 * |------|--------------------------------------------------------------------|---------------------------------------|
 * | 4    | the chosen reply is empty                                          | an empty reply: the action is `<eos>` |
 * | 5    | a reply holds "\n\nAssistant: ", so the two dialogues have unequal | the reply, with the marker in it      |
 * |      | numbers of turns and an "earlier" turn that differs                |                                       |
 * | 4    | two assistant turns in a row inside the shared prompt, the second  | two messages of one role, white space |
 * |      | with a space too many; the only turns with white space at an end   | kept                                  |
 * | 49   | "Human:" or "Assistant:" within a line: the model went on and spoke| text of the turn it stands in         |
 * |      | for the human ("Assistant: Human: …"), or a turn was run together  |                                       |
 * | 0    | chosen and rejected are the same                                   | would be refused                      |
 */
export function splitHhRlhf(
  chosen: string,
  rejected: string,
): { prompt: Message[]; chosen: string; rejected: string } | Mismatch {
  const better = splitDialogue("chosen", chosen);
  if ("expected" in better) return better;
  const worse = splitDialogue("rejected", rejected);
  if ("expected" in worse) return worse;
  for (let i = 0; i < Math.max(better.prompt.length, worse.prompt.length); i++) {
    const [ours, theirs] = [better.prompt.at(i), worse.prompt.at(i)];
    if (ours?.role !== theirs?.role || ours?.content !== theirs?.content) {
      return {
        path: "rejected",
        expected: `the dialogue of chosen up to the last human turn; turn ${i + 1} differs`,
        found: theirs?.content,
      };
    }
  }
  return { prompt: better.prompt, chosen: better.reply, rejected: worse.reply };
}

function splitDialogue(path: string, text: string): { prompt: Message[]; reply: string } | Mismatch {
  const markers = [...text.matchAll(/\n\n(Human|Assistant): ?/g)];
  if (markers.at(0)?.index !== 0) {
    return { path, expected: String.raw`a dialogue that begins with "\n\nHuman: "`, found: text };
  }
  const turns = markers.map((marker, i) => ({
    human: marker[1] === "Human",
    begin: marker.index + marker[0].length,
    end: markers.at(i + 1)?.index ?? text.length,
  }));
  const lastHuman = turns.map((turn) => turn.human).lastIndexOf(true);
  if (lastHuman < 0) return { path, expected: String.raw`a turn of "\n\nHuman: "`, found: text };
  const reply = turns.at(lastHuman + 1);
  if (!reply) {
    return { path, expected: String.raw`a reply "\n\nAssistant: " after the last human turn`, found: text.slice(-60) };
  }
  const prompt = turns.slice(0, lastHuman + 1).map((turn): Message => {
    return { role: turn.human ? "user" : "assistant", content: text.slice(turn.begin, turn.end) };
  });
  return { prompt, reply: text.slice(reply.begin) };
}
