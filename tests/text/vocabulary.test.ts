import assert from "node:assert/strict";
import { Random } from "../../src/tensors/random";
import { BOT, EOS, PAD, SPECIAL_TOKENS, USER, Vocabulary } from "../../src/text/vocabulary";

const words = () => Vocabulary.words(["sleep", "how", "can", "i", "?", "how"]);

describe("Vocabulary", () => {
  it("begins with the four special tokens and goes on in code-unit order, each token once", () => {
    assert.deepEqual([PAD, EOS, USER, BOT], [0, 1, 2, 3]);
    assert.deepEqual(words().tokens, ["<pad>", "<eos>", "<user>", "<bot>", "?", "can", "how", "i", "sleep"]);
    assert.deepEqual(Vocabulary.characters("abba A😀").tokens.slice(4), [" ", "A", "a", "b", "😀"]);
    assert.equal(words().size, 9);
  });

  it("splits words on any white space and characters into code points", () => {
    assert.deepEqual(words().encode("  how\tcan i\n"), [6, 5, 7]);
    assert.deepEqual(words().encode(""), []);
    const characters = Vocabulary.characters("a\n😀");
    assert.deepEqual(characters.encode("😀\na"), [6, 4, 5]);
    assert.equal(characters.decode([6, 4, 5]), "😀\na");
  });

  it("decode(encode(text)) is the text, words with one space between, for random texts", () => {
    const rng = Random.fromSeed(1);
    const letters = [..."ab \n\t😀é\u2028'\"\\"];
    const alphabet = ["eat", "less", "sugar", ".", "!", "héé", "😀"];
    const [characters, vocabulary] = [Vocabulary.characters(letters.join("")), Vocabulary.words(alphabet)];
    for (let i = 0; i < 200; i++) {
      const text = Array.from({ length: rng.integer(20) }, () => rng.choose(letters)).join("");
      assert.equal(characters.decode(characters.encode(text)), text);
      const sentence = Array.from({ length: rng.integer(20) }, () => rng.choose(alphabet));
      const spaced = sentence.map((word) => word + rng.choose([" ", "\n", "   "])).join("");
      assert.equal(vocabulary.decode(vocabulary.encode(spaced)), sentence.join(" "));
    }
  });

  it("never reads a special token from text unless asked to", () => {
    const characters = Vocabulary.characters("<eos>paduserbot");
    for (const name of SPECIAL_TOKENS) {
      assert.ok(characters.encode(`${name}${name}`).every((id) => id > BOT));
      assert.equal(characters.decode(characters.encode(name)), name);
      assert.throws(
        () => words().encode(`how ${name}`),
        new RegExp(`unknown word "${name}" at word 1 .*special tokens`),
      );
    }
    assert.deepEqual(characters.encode("<eos>s<bot>", { specials: true }), [EOS, characters.idOf("s"), BOT]);
    assert.deepEqual(words().encode("<user> how <bot>", { specials: true }), [USER, 6, BOT]);
    const ids = [USER, 5, 6, BOT, 7, EOS, PAD];
    assert.deepEqual(words().encode(words().decode(ids), { specials: true }), ids);
  });

  it("names the unknown token, its position and its surroundings", () => {
    assert.throws(
      () => words().encode("how can you sleep"),
      /unknown word "you" at word 2 \(offset 8\) in "how can you sleep"/,
    );
    assert.throws(
      () => Vocabulary.characters("ab").encode("a😀xb"),
      /unknown character "😀" at character 1 \(offset 1\)/,
    );
  });

  it("refuses ids that are not its own", () => {
    for (const id of [-1, 9, 1.5, NaN]) assert.throws(() => words().decode([4, id]), /in 0 … 8 at position 1/);
  });

  it("refuses words that could not be found in a text, and special tokens as words", () => {
    assert.throws(() => Vocabulary.words(["two words"]), /token 4, "two words": expected a word without white space/);
    assert.throws(() => Vocabulary.words([""]), /without white space/);
    assert.throws(() => Vocabulary.words(["<eos>"]), /expected no special token/);
  });

  it("goes through JSON unchanged and refuses JSON that is no vocabulary", () => {
    for (const vocabulary of [words(), Vocabulary.characters("xyz \ud800\n")]) {
      const back = Vocabulary.fromJSON(JSON.parse(JSON.stringify(vocabulary)));
      assert.deepEqual([back.kind, back.tokens], [vocabulary.kind, vocabulary.tokens]);
    }
    const { kind, tokens } = words().toJSON();
    const wrong: [unknown, RegExp][] = [
      [null, /expected an? object, found null/],
      [{ kind: "bytes", tokens }, /kind: expected "words" or "characters", found "bytes"/],
      [{ kind, tokens: [...tokens, 5] }, /tokens\[9\]: expected a string, found 5/],
      [{ kind, tokens, size: 9 }, /expected no field "size"/],
      [{ kind, tokens: tokens.slice(0, 3) }, /expected to begin with <pad> <eos> <user> <bot>/],
      [{ kind, tokens: [...tokens].reverse() }, /token 0, "sleep": expected the special <pad>/],
      [{ kind, tokens: [...tokens, "how"] }, /"how" stands at 6 and at 9/],
      [{ kind: "characters", tokens }, /"can": expected one character/],
    ];
    for (const [data, message] of wrong) assert.throws(() => Vocabulary.fromJSON(data), message);
  });
});
