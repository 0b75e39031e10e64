import { log, runKernel } from "../../src/kernel/run-kernel";
import { StandInChild } from "./stand-in-child";

// The kernel's main program with the stand-in for its child; says on stdout when the child is stopped.
const child = new StandInChild();
const stop = child.stop.bind(child);
child.stop = async () => {
  process.stdout.write("child stopped\n");
  await stop();
};
runKernel({ connectionFile: process.argv[2], startChild: () => child }).then(
  (code) => process.exit(code),
  (error: Error) => {
    log(error.message);
    process.exit(1);
  },
);
