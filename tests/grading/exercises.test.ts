import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { exerciseIds, loadExercise, tiers } from "../../src/grading/exercise";
import { mutantContexts, runMutants } from "../../src/grading/mutants";
import { runChecks } from "../../src/grading/run-checks";
import { workspaceAt } from "../../src/course/paths";

describe("every exercise in tests/exercises", () => {
  for (const id of exerciseIds()) {
    describe(id, () => {
      const exercise = loadExercise(id);

      it("accepts its solution at any beta and seed, in the four tiers", async () => {
        for (const context of mutantContexts) {
          const [result] = await runChecks([{ exercise, yours: exercise.solution }], context);
          assert.deepEqual(result.failed, []);
          assert.equal(result.points, exercise.points);
          assert.deepEqual([...new Set(result.checks.map((check) => check.tier))], [...tiers]);
        }
      });

      it("knows a stub when it sees one, and rejects each of its mutants with a message, naming no other", async () => {
        const { mutants, faults } = await runMutants(exercise, mutantContexts);
        assert.deepEqual(faults, []);
        assert.deepEqual(
          mutants.filter((mutant) => !mutant.killed || mutant.faults.length > 0),
          [],
        );
      });

      it("has five mutants at least, three hints, and a solution that can stand in a notebook", () => {
        assert.ok((exercise.mutants ?? []).length >= 5, `${exercise.mutants?.length ?? 0} mutants`);
        assert.ok(exercise.hints.length === 3 && exercise.hints.every((hint) => hint.length > 20));
        const text = readFileSync(join(workspaceAt().exercises, `${id}.ts`), "utf8");
        assert.match(text, new RegExp(`^export (async )?function ${exercise.solution.name}\\b`, "m"));
      });

      it("has its stub in its notebook", function () {
        const twin = join(workspaceAt().text, `${exercise.notebook}.ts`);
        if (!existsSync(twin)) return this.skip(); // the notebook is not written yet
        const text = readFileSync(twin, "utf8");
        assert.match(text, new RegExp(`^(async )?function ${exercise.solution.name}\\b`, "m"));
        assert.ok(text.includes(`unfilled("${id}")`), `${twin} has no unfilled("${id}")`);
        assert.ok(
          text.includes(`check("${id}", ${exercise.solution.name}`),
          `${twin} has no check("${id}", ${exercise.solution.name}, …)`,
        );
      });
    });
  }
});
