import type { Command } from "commander";
import { describeReport, doctor } from "../doctor/doctor";

/** `workbook doctor`: what this machine has and lacks. */
export function register(program: Command): void {
  program
    .command("doctor")
    .description("say what this machine has and lacks; ends non-zero when the course cannot run here")
    .option("--json", "print the report as JSON")
    .action(async ({ json }: { json?: boolean }) => {
      const report = await doctor();
      console.log(json ? JSON.stringify(report, undefined, 2) : describeReport(report));
      if (!report.canRun) process.exitCode = 1;
    });
}
