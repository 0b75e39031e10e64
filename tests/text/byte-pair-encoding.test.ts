import assert from "node:assert/strict";
import { Random } from "../../src/tensors/random";
import { BytePairEncoding } from "../../src/text/byte-pair-encoding";
import { tokenizerFromJSON } from "../../src/text/tokenizer";
import { BOT, SPECIAL_TOKENS, Vocabulary } from "../../src/text/vocabulary";

const repeated = (frequencies: Record<string, number>): string[] =>
  Object.entries(frequencies).flatMap(([text, times]) => new Array<string>(times).fill(text));
const fruit = repeated({ banana: 7, bandana: 4, cab: 2, née: 9, "a née": 5 });
const spelt = (encoding: BytePairEncoding, ids: readonly number[]): string[] => ids.map((id) => encoding.tokens[id]);

/**
 * The definition, without any bookkeeping: count all neighbours again before each merge, on strings of bytes. For texts
 * without white space, each of which is one piece.
 */
function mergesByDefinition(texts: readonly string[], most: number): string[] {
  const id = new Map(Array.from({ length: 256 }, (_, byte) => [String.fromCharCode(byte), byte]));
  let sequences = texts.map((text) => [...Buffer.from(text).toString("latin1")]);
  const learnt: string[] = [];
  while (learnt.length < most) {
    const counts = new Map<string, { a: string; b: string; times: number }>();
    for (const tokens of sequences) {
      for (let i = 0; i + 1 < tokens.length; i++) {
        const [a, b] = tokens.slice(i, i + 2);
        const found = counts.get(`${id.get(a)} ${id.get(b)}`) ?? { a, b, times: 0 };
        counts.set(`${id.get(a)} ${id.get(b)}`, { ...found, times: found.times + 1 });
      }
    }
    const [best] = [...counts.values()].sort(
      (x, y) => y.times - x.times || id.get(x.a)! - id.get(y.a)! || id.get(x.b)! - id.get(y.b)!,
    );
    if (!best || best.times < 2) break;
    id.set(best.a + best.b, 256 + learnt.length);
    learnt.push(best.a + best.b);
    sequences = sequences.map((tokens) => {
      const joined: string[] = [];
      for (let i = 0; i < tokens.length; i++) {
        if (tokens[i] === best.a && tokens[i + 1] === best.b) joined.push(tokens[i] + tokens[++i]);
        else joined.push(tokens[i]);
      }
      return joined;
    });
  }
  return learnt;
}

describe("BytePairEncoding", () => {
  it("learns the merges, and cuts a text, as Hugging Face's tokenizers 0.23.3 does", () => {
    // Their ids have another order, so pairs that are equally frequent may come in another; here no two are.
    const encoding = BytePairEncoding.learn(fruit, { size: 268 });
    assert.deepEqual(encoding.tokens.slice(260), ["an", "n\\xc3", "\\xa9e", "née", "ban", "ana", "banana", " née"]);
    assert.deepEqual(spelt(encoding, encoding.encode("bananas: née, nanna  banane")), [
      ...["banana", "s", ":", " née", ",", " ", "n", "an", "n", "a", " ", " ", "ban", "an", "e"],
    ]);
  });

  it("learns what the definition says, for random texts with many ties", () => {
    const rng = Random.fromSeed(3);
    for (let trial = 0; trial < 20; trial++) {
      const texts = Array.from({ length: 40 }, () =>
        Array.from({ length: 1 + rng.integer(12) }, () => rng.choose(["a", "b", "é", "日"])).join(""),
      );
      const encoding = BytePairEncoding.learn(texts, { size: 260 + 40 });
      const bytes = encoding.toJSON().merges.reduce<string[]>(
        (known, [a, b]) => [...known, known[a - 4] + known[b - 4]],
        Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte)),
      );
      assert.deepEqual(bytes.slice(256), mergesByDefinition(texts, 40));
    }
  });

  it("stops where no pair stands twice, and is the same for the same texts", () => {
    assert.equal(BytePairEncoding.learn(["abc", "de"], { size: 500 }).size, 260);
    assert.equal(BytePairEncoding.learn([], { size: 500 }).size, 260);
    assert.equal(BytePairEncoding.learn(["abab"], { size: 500 }).size, 261);
    assert.deepEqual(
      BytePairEncoding.learn([...fruit].reverse(), { size: 264 }).toJSON(),
      BytePairEncoding.learn(fruit, { size: 264 }).toJSON(),
    );
    for (const size of [259, 1.5, NaN, 2 ** 21]) {
      assert.throws(() => BytePairEncoding.learn(fruit, { size }), /size to be an integer in 260 … 1048576/);
    }
  });

  it("keeps merges within words", () => {
    const encoding = BytePairEncoding.learn(new Array<string>(50).fill("to be, 12 or 12\n\n  not to be"), {
      size: 600,
    });
    for (const token of encoding.tokens.slice(260)) assert.match(token, /^( ?(\p{L}+|\d+|,)|\s+)$/u);
    assert.ok(encoding.tokens.includes(" not"));
  });

  it("takes a page without a space piece by piece", () => {
    const rng = Random.fromSeed(6);
    const page = Array.from({ length: 20_000 }, () => rng.choose([..."日本語の文章には空白がない"])).join("");
    const encoding = BytePairEncoding.learn([page], { size: 1000 });
    assert.equal(encoding.size, 1000);
    assert.equal(encoding.decode(encoding.encode(page)), page);
    // Merges do not cross the border of two pieces of 64 characters.
    const piece = [...page].slice(64, 128).join("");
    const before = encoding.encode([...page].slice(0, 64).join("")).length;
    assert.deepEqual(
      encoding.encode(page).slice(before, before + encoding.encode(piece).length),
      encoding.encode(piece),
    );
    for (const run of ["a", "7", "!", " ", "\n"]) {
      const text = `${run.repeat(1000)}x ${run.repeat(64)} b`;
      assert.equal(encoding.decode(encoding.encode(text)), text);
    }
  }).timeout(20_000);

  it("gives back every character of Unicode, byte by byte and merged", () => {
    const plain = BytePairEncoding.learn([], { size: 260 });
    for (let start = 0; start <= 0x10ffff; start += 0x1000) {
      const codes = Array.from({ length: 0x1000 }, (_, i) => start + i).filter(
        (code) => code < 0xd800 || code > 0xdfff,
      );
      const text = codes.map((code) => String.fromCodePoint(code)).join("");
      const learnt = BytePairEncoding.learn([text.slice(0, 40), text.slice(0, 40)], { size: 280 });
      for (const encoding of [plain, learnt]) assert.equal(encoding.decode(encoding.encode(text)), text);
      assert.ok(Buffer.from(plain.encode(text).map((id) => id - 4)).equals(Buffer.from(text)));
    }
  });

  it("gives back random texts of anything", () => {
    const rng = Random.fromSeed(5);
    const signs = [..."ab Zé日😀\u0301\n\t\u2028\ufeff\u00a0'<>,.0٣", "<eos>", "  ", "\r\n", "👩‍👩‍👧"];
    const encoding = BytePairEncoding.learn(["ab ab Zé 日日 😀😀  \n\n<eos><eos>"], { size: 300 });
    for (let i = 0; i < 500; i++) {
      const text = Array.from({ length: rng.integer(30) }, () => rng.choose(signs)).join("");
      const ids = encoding.encode(text);
      assert.equal(encoding.decode(ids), text);
      assert.ok(
        ids.every((id) => id > BOT && id < encoding.size),
        "a text has no special token",
      );
    }
  });

  it("writes special tokens by name and bytes that are no UTF-8 as U+FFFD", () => {
    const encoding = BytePairEncoding.learn([], { size: 260 });
    assert.deepEqual(encoding.tokens.slice(0, 4), SPECIAL_TOKENS);
    assert.equal(encoding.decode([2, 4 + 0x61, 3, 4 + 0xff, 4 + 0x62, 1]), "<user>a<bot>\ufffdb<eos>");
    for (const id of [-1, 260, 4.5, NaN]) assert.throws(() => encoding.decode([5, id]), /in 0 … 259 at position 1/);
  });

  it("refuses half a character, in learning and in encoding", () => {
    const encoding = BytePairEncoding.learn([], { size: 260 });
    assert.throws(() => encoding.encode("ab\ud83dc"), /half a character \(the surrogate \\ud83d\) at offset 2/);
    assert.throws(() => BytePairEncoding.learn(["a", "\ude00"], { size: 260 }), /text 1 has half a character/);
  });

  it("goes through JSON unchanged and refuses JSON that is no encoding", () => {
    const encoding = BytePairEncoding.learn(fruit, { size: 268 });
    const back = tokenizerFromJSON(JSON.parse(JSON.stringify(encoding)));
    assert.deepEqual(back.tokens, encoding.tokens);
    assert.deepEqual(back.encode("bandana née"), encoding.encode("bandana née"));
    const kind = "byte-pairs";
    const wrong: [unknown, RegExp][] = [
      [{ kind }, /merges: expected a list, found nothing/],
      [{ kind, merges: [[4]] }, /merges\[0\]/],
      [{ kind, merges: [], size: 260 }, /expected no field "size"/],
      [{ kind, merges: [[4, 260]] }, /merges\[0\]: expected ids in 4 … 259, got 260/],
      [{ kind, merges: [[3, 5]] }, /merges\[0\]: expected ids in 4 … 259, got 3/],
      [
        {
          kind,
          merges: [
            [4, 5],
            [260, 4],
            [4, 5],
          ],
        },
        /merges\[2\] repeats merges\[0\], 4 and 5/,
      ],
    ];
    for (const [data, message] of wrong) assert.throws(() => tokenizerFromJSON(data), message);
  });
});

describe("tokenizerFromJSON", () => {
  it("knows the kinds of tokenizers by their name", () => {
    for (const vocabulary of [Vocabulary.words(["a", "b"]), Vocabulary.characters("ab")]) {
      assert.deepEqual(tokenizerFromJSON(vocabulary.toJSON()), vocabulary);
    }
    for (const data of [null, [], 5, { kind: "wordpiece" }, {}]) {
      assert.throws(() => tokenizerFromJSON(data), /kind: expected "words", "characters" or "byte-pairs", found/);
    }
  });
});
