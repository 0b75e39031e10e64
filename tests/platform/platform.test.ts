import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { platform as chosen } from "../../src/platform";
import { platform as node } from "../../src/platform/node";
import { assets, platform as page } from "../../src/platform/page";
import { temporaryFolder } from "../models/tiny";

describe("the platform", () => {
  const folder = temporaryFolder();
  const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

  it("is Node's, where nobody chose another", () => {
    assert.equal(chosen, node);
  });

  for (const [name, platform] of [
    ["Node", node],
    ["a page", page],
  ] as const) {
    describe(`of ${name}`, () => {
      it("keeps files: written in parts, replaced as a whole, removed", async () => {
        const { files } = platform;
        const file = folder.path(name, "deep", "file");
        await assert.rejects(files.read(file), /file/);
        assert.equal(await files.exists(file), false);
        await files.makeFolderOf(file);
        await files.write(file, [bytes(1, 2), bytes(), bytes(3)]);
        assert.deepEqual([...(await files.read(file))], [1, 2, 3]);
        (await files.read(file))[0] = 9; // what was read is a copy
        await Promise.all([4, 4, 4].map((value) => files.write(file, [bytes(value)])));
        assert.deepEqual([...(await files.read(file))], [4]);
        assert.equal(await files.exists(file), true);
        await files.remove(file);
        await files.remove(file);
        assert.equal(await files.exists(file), false);
      });

      it("unpacks gzip, and says what is wrong with a stream", async () => {
        const text = "a line\n".repeat(5000);
        const packed = Uint8Array.from(gzipSync(text));
        const whole = await platform.gunzip(packed);
        assert.equal(whole.damage, undefined);
        assert.equal(new TextDecoder().decode(whole.bytes), text);
        const cut = await platform.gunzip(packed.slice(0, -20));
        assert.match(cut.damage!, /gzip stream/);
        assert.ok(text.startsWith(new TextDecoder().decode(cut.bytes)));
        const corrupt = packed.slice();
        corrupt[corrupt.length - 6] ^= 1; // in the checksum
        const { bytes: none, damage } = await platform.gunzip(corrupt);
        assert.equal(none.length, 0);
        assert.match(damage!, /gzip stream/);
      });

      it("hashes as FIPS 180-4 has it, at every length around a block's end", () => {
        // The standard's examples.
        assert.equal(platform.sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert.equal(
          platform.sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        );
        assert.equal(platform.sha256("größe"), createHash("sha256").update("größe").digest("hex"));
        for (let length = 0; length <= 200; length++) {
          const content = Uint8Array.from({ length: length + 3 }, (_, i) => (i * 89 + length) % 256).subarray(3);
          assert.equal(platform.sha256(content), createHash("sha256").update(content).digest("hex"), `${length} bytes`);
        }
      });

      it("lets the event loop turn", async () => {
        let turned = false;
        setTimeout(() => (turned = true), 0);
        const until = performance.now() + 2000;
        while (!turned && performance.now() < until) await platform.turn();
        assert.ok(turned);
      });
    });
  }

  it("of Node leaves nothing behind a write that fails", async () => {
    mkdirSync(folder.path("taken", "in the way"), { recursive: true });
    await assert.rejects(node.files.write(folder.path("taken"), [bytes(1)]));
    await assert.rejects(node.files.write(folder.path("no folder", "file"), [bytes(1)]), /ENOENT/);
    assert.ok(readdirSync(folder.path()).every((name) => !name.endsWith(".unfinished")));
  });

  it("of a page has the program's files that it has fetched, and names those it has not", () => {
    assert.throws(() => page.programFile("tensors/x.wasm"), /has not fetched tensors\/x\.wasm/);
    assets.set("some-package/x.json", Uint8Array.of(5));
    assert.deepEqual(Array.from(page.packageFile("some-package", "x.json")), [5]);
    assets.delete("some-package/x.json");
  });
});
