import { ChildSession } from "./child-session";

// A process that owns a child and its spare, for tests of what becomes of them. Says their ids, and when it hears Ctrl-C,
// which it outlives as the kernel does.
const session = new ChildSession({ spare: true });
process.on("SIGINT", () => console.log("heard"));
void (async () => {
  await session.child.ready;
  await session.until(() => session.child.spareReady, "the spare");
  session.start("while (true) {}");
  console.log(JSON.stringify(session.child.pids));
})();
